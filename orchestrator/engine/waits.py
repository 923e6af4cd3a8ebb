"""When a wait is over: calendar months, local times of day, moments that a profile attribute names."""

from __future__ import annotations

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
from orchestrator.model.journey import ClockTime, Journey, WaitMonths, WaitUntilMoment, WaitUntilTime

_DAY_MS = 86_400_000
_MIDNIGHT = ClockTime(0, 0)


def months_due(turn: Turn, step: WaitMonths) -> int:
    """The same time of day in the customer's zone, so many months from now."""
    return months_later(turn.now_ms, step.months, _zone(turn, None))


def clock_due(turn: Turn, step: WaitUntilTime) -> int:
    """When it is next that time of day on one of the weekdays."""
    return next_clock_time(turn.now_ms, step.at, step.weekdays, _zone(turn, step.zone))


def moment_due(turn: Turn, journey: Journey, instance: Instance, step: WaitUntilMoment) -> int | None:
    """The moment that the step waits for, by the profile as it is now; None if there is none."""
    value = value_of(turn, step.until, journey, instance, step.name)
    if not isinstance(value, int) or not is_on_calendar(value * _DAY_MS if step.is_date else value):
        return None
    zone = _zone(turn, step.zone)
    if step.is_date or step.at is not None:
        day = day_of(value) if step.is_date else local_of(value, zone).date()
        day = add_months(day, step.months) + timedelta(days=step.days)
        return at_time_of_day(day, step.at or _MIDNIGHT, zone)
    if step.months:
        return months_later(value, step.months, zone)
    if step.days:
        return days_later(value, step.days, zone)
    return value + step.offset_ms


def _zone(turn: Turn, fixed: str | None) -> ZoneInfo:
    return zone_of(turn.customer, turn.journeys.default_zone) if fixed is None else zone_called(fixed)
