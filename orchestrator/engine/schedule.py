"""When a schedule ticks next: five cron fields on the clocks of a zone.

A tick whose local time clocks have jumped over comes at the first instant after the jump, as one with those that come
there anyway. Where clocks go back, a tick at a fixed hour comes once, the first time that clocks show it; one of every
hour or every so many minutes comes both times. `docs/decisions/0006-schedules.md`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from orchestrator.engine.local_time import instant_of, is_on_calendar, local_of, second_instant_of, zone_called
from orchestrator.model.triggers import Cron

YEARS_AHEAD_MAX = 45
"""29 February on a given weekday comes round within 40 years."""

LAST_YEAR = 9_998
"""The last year that has a following one."""

TICKS_KEPT = 4_096
"""Many customers ask for the same tick: it is worked out once for each zone."""


@lru_cache(maxsize=TICKS_KEPT)
def next_tick(cron: Cron, zone: str, after_ms: int) -> int | None:
    """The schedule's first instant later than `after_ms`; None if there is none.

    >>> days, months, weekdays = (frozenset(range(1, most + 1)) for most in (31, 12, 7))
    >>> daily = Cron("30 2 * * *", (30,), (2,), days, months, weekdays)
    >>> night = 1_772_899_200_000  # 7 March 2026, 16:00 UTC
    >>> local_of(next_tick(daily, "America/New_York", night), zone_called("America/New_York")).isoformat()
    '2026-03-08T03:00:00-04:00'
    """
    if not is_on_calendar(after_ms):
        return None
    place = zone_called(zone)
    # Where clocks go back over midnight, ticks of the day before come again after the first ones of the next day.
    day = local_of(after_ms, place).date() - timedelta(days=1)
    last_year = min(day.year + YEARS_AHEAD_MAX, LAST_YEAR)
    while day.year <= last_year:
        if day.month not in cron.months:
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            continue
        if is_on_day(cron, day):
            tick = _next_on_day(cron, day, place, after_ms)
            if tick is not None and cron.is_repeated and is_on_day(cron, day + timedelta(days=1)):
                following = _next_on_day(cron, day + timedelta(days=1), place, after_ms)
                return tick if following is None else min(tick, following)
            if tick is not None:
                return tick
        day += timedelta(days=1)
    return None


def is_on_day(cron: Cron, day: date) -> bool:
    """Whether the schedule ticks on this day, by its month, day of the month and weekday."""
    is_day, is_weekday = day.day in cron.days, day.isoweekday() in cron.weekdays
    return day.month in cron.months and ((is_day or is_weekday) if cron.is_either_day else (is_day and is_weekday))


def _next_on_day(cron: Cron, day: date, zone: ZoneInfo, after_ms: int) -> int | None:
    found = _first_after(cron, day, zone, after_ms, instant_of)
    if cron.is_repeated:
        again = _first_after(cron, day, zone, after_ms, second_instant_of)
        found = again if found is None or (again is not None and again < found) else found
    return found


def _first_after(
    cron: Cron, day: date, zone: ZoneInfo, after_ms: int, instant: Callable[[datetime, ZoneInfo], int]
) -> int | None:
    """The day's first tick later than `after_ms`, each local time standing for one instant, which keeps their order."""
    minutes = cron.minutes
    count = len(cron.hours) * len(minutes)

    def at(index: int) -> int:
        hour, minute = divmod(index, len(minutes))
        return instant(datetime.combine(day, time(cron.hours[hour], minutes[minute])), zone)

    index = bisect_right(range(count), after_ms, key=at)
    return at(index) if index < count else None
