"""Quiet hours: until when a promotional message has to wait, or that it is not to be sent at all."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from orchestrator.engine.local_time import instant_of, is_on_calendar, local_of, second_instant_of, zone_called, zone_of
from orchestrator.model.customer import Customer
from orchestrator.model.journey import ClockTime, JourneySet, QuietHours

RULES_IN_A_ROW_MAX = 20
"""Where quiet hours follow on quiet hours without a gap for so long, the message is skipped."""


def quiet_until(journeys: JourneySet, customer: Customer, channel: str, now_ms: int) -> int | None:
    """`now_ms` if a message may go out on this channel now, a later instant until which it is held, None to skip it.

    Quiet hours that begin where others end are one: a held message does not come up in between.
    """
    at_ms = now_ms
    for _ in range(RULES_IN_A_ROW_MAX):
        rule = _rule_at(journeys, customer, channel, at_ms)
        if rule is None:
            return at_ms
        if not rule.holds:
            return None
        at_ms = _end_of(rule, at_ms, _zone(rule, customer, journeys))
        if rule.late_after_ms is not None and at_ms - now_ms > rule.late_after_ms:
            return None
    return None


def is_quiet(start: ClockTime, end: ClockTime, at: time) -> bool:
    """Whether the time of day lies in hours that may go over midnight; the end is outside.

    >>> is_quiet(ClockTime(21, 0), ClockTime(8, 0), time(7, 59)), is_quiet(ClockTime(21, 0), ClockTime(8, 0), time(8))
    (True, False)
    """
    first, last = time(start.hour, start.minute), time(end.hour, end.minute)
    return first <= at < last if first < last else at >= first or at < last


def _rule_at(journeys: JourneySet, customer: Customer, channel: str, at_ms: int) -> QuietHours | None:
    if not is_on_calendar(at_ms):
        return None
    for rule in journeys.quiet_hours:
        if (rule.channels is None or channel in rule.channels) and is_quiet(
            rule.start, rule.end, local_of(at_ms, _zone(rule, customer, journeys)).time()
        ):
            return rule
    return None


def _end_of(rule: QuietHours, at_ms: int, zone: ZoneInfo) -> int:
    """The next instant at which the hours end; each of two where clocks go back, for both are an end."""
    today = local_of(at_ms, zone).date()
    end = time(rule.end.hour, rule.end.minute)
    ends = [
        found
        for ahead in range(4)
        for instant in (instant_of, second_instant_of)
        if (found := instant(datetime.combine(today + timedelta(days=ahead), end), zone)) > at_ms
    ]
    return min(ends)


def _zone(rule: QuietHours, customer: Customer, journeys: JourneySet) -> ZoneInfo:
    return zone_of(customer, journeys.default_zone) if rule.zone is None else zone_called(rule.zone)
