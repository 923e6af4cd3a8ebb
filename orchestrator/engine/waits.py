"""When a wait is over: calendar months, local times of day, moments that a profile attribute names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from orchestrator.engine.local_time import (
    add_months,
    at_time_of_day,
    day_of,
    days_later,
    is_on_calendar,
    local_of,
    months_later,
    next_clock_time,
    zone_called,
    zone_of,
)
from orchestrator.engine.turn import Turn, value_of
from orchestrator.model.customer import Instance
from orchestrator.model.journey import ClockTime, Journey, OnDate, WaitMonths, WaitUntilMoment, WaitUntilTime

_DAY_MS = 86_400_000
_MIDNIGHT = ClockTime(0, 0)


def months_due(turn: Turn, step: WaitMonths) -> int:
    """The same time of day in the customer's zone, so many months from now."""
    return months_later(turn.now_ms, step.months, zone_for(turn, None))


def later(turn: Turn, duration_ms: int, months: int) -> int:
    """So much later than now; or, if there are months, so many of them by the customer's calendar."""
    return months_later(turn.now_ms, months, zone_for(turn, None)) if months else turn.now_ms + duration_ms


def clock_due(turn: Turn, step: WaitUntilTime) -> int:
    """When it is next that time of day on one of the weekdays."""
    return next_clock_time(turn.now_ms, step.at, step.weekdays, zone_for(turn, step.zone))


def moment_due(turn: Turn, journey: Journey, instance: Instance, step: WaitUntilMoment) -> int | None:
    """The moment that the step waits for, by the profile as it is now; None if there is none."""
    value = value_of(turn, step.until, journey, instance, step.name)
    if not isinstance(value, int) or not is_on_calendar(value * _DAY_MS if step.is_date else value):
        return None
    return _moved(value, step, zone_for(turn, step.zone), 0)


def date_due(turn: Turn, trigger: OnDate, after_ms: int) -> int | None:
    """When the date lets the customer in next, later than `after_ms`, by the profile as it is now; None for never."""
    found = _next_round(turn, trigger, after_ms)
    return None if found is None else found[1]


def is_date_ahead(turn: Turn, trigger: OnDate) -> bool:
    """Whether the moment that lets the customer in has come, and the date that it leads up to has not."""
    date = replace(trigger, months=0, days=0, offset_ms=0)
    ahead = _next_round(turn, date, turn.now_ms)
    value = trigger.value.evaluate(turn)
    return ahead is not None and _moved(value, trigger, zone_for(turn, trigger.zone), ahead[0]) <= turn.now_ms


def _next_round(turn: Turn, trigger: OnDate, after_ms: int) -> tuple[int, int] | None:
    """(years after the date's own year, instant) of the first moment later than `after_ms`; None if there is none."""
    value = trigger.value.evaluate(turn)
    if not isinstance(value, int) or not is_on_calendar(value * _DAY_MS if trigger.is_date else value):
        return None
    zone = zone_for(turn, trigger.zone)
    if not trigger.is_yearly:
        due_ms = _moved(value, trigger, zone, 0)
        return (0, due_ms) if due_ms > after_ms else None
    if not is_on_calendar(after_ms):
        return None
    first_year = (day_of(value) if trigger.is_date else local_of(value, zone).date()).year
    offset_days = trigger.months * 30 + trigger.days + trigger.offset_ms // _DAY_MS
    # Two years before the one that the offset leads from come surely too early, so some year from there on fits.
    years = max(0, local_of(after_ms, zone).year - offset_days // 365 - 2 - first_year)
    while True:
        due_ms = _moved(value, trigger, zone, years)
        if due_ms > after_ms:
            return years, due_ms
        years += 1


def _moved(value: int, by: WaitUntilMoment | OnDate, zone: ZoneInfo, years: int) -> int:
    """The moment that so many years and the offset lead to."""
    if by.is_date or by.at is not None:
        day = day_of(value) if by.is_date else local_of(value, zone).date()
        day = add_months(add_months(day, 12 * years), by.months) + timedelta(days=by.days)
        return at_time_of_day(day, by.at or _MIDNIGHT, zone)
    at_ms = months_later(value, 12 * years, zone) if years else value
    if by.months:
        return months_later(at_ms, by.months, zone)
    if by.days:
        return days_later(at_ms, by.days, zone)
    return at_ms + by.offset_ms


def zone_for(turn: Turn, fixed: str | None) -> ZoneInfo:
    """The zone of this name, or the customer's."""
    return zone_of(turn.customer, turn.journeys.default_zone) if fixed is None else zone_called(fixed)
