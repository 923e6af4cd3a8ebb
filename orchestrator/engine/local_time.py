"""The customer's clock and calendar: instants (milliseconds, UTC) that local days and times of day stand for.

Zones come from the pinned `tzdata` package alone, never from the machine's own database: the same journeys give the
same instants everywhere. Where clocks jump forward over a time of day, the first instant after the jump stands for it;
where they go back and show it twice, the first of the two.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from orchestrator.model.customer import Customer
from orchestrator.model.journey import ClockTime

ZONE_ATTRIBUTE = "time_zone"
"""The profile attribute that holds a customer's zone."""

DAYS_AHEAD_MAX = 9
"""A weekday comes round in seven days; a zone that crosses the date line can skip one of them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_DAY_MS = 86_400_000
_FIRST_MS, _LAST_MS = -61_500_000_000_000, 252_700_000_000_000
"""The years 21 to 9977: what calendars can count, with room for ten years more on each side."""


@cache
def zone_names() -> frozenset[str]:
    """Every zone that there is."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@cache
def zone_called(name: str) -> ZoneInfo:
    """The zone of one of `zone_names`."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def zone_of(customer: Customer, default: str) -> ZoneInfo:
    """The customer's zone; the default one if the profile has none or one that nobody knows."""
    name = customer.profile.get(ZONE_ATTRIBUTE)
    return zone_called(name if isinstance(name, str) and name in zone_names() else default)


def is_on_calendar(at_ms: int) -> bool:
    """Whether the instant is one that calendars can count from: records may carry any number as their time."""
    return _FIRST_MS <= at_ms <= _LAST_MS


def local_of(at_ms: int, zone: ZoneInfo) -> datetime:
    """What clocks in the zone show at this instant; `fold` is 1 where they show it for the second time."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)


def instant_of(local: datetime, zone: ZoneInfo) -> int:
    """The first instant at which clocks in the zone show this local time, or at which they have jumped over it.

    >>> new_york = zone_called("America/New_York")
    >>> local_of(instant_of(datetime(2026, 3, 8, 2, 30), new_york), new_york).isoformat()
    '2026-03-08T03:00:00-04:00'
    >>> local_of(instant_of(datetime(2026, 11, 1, 1, 30), new_york), new_york).isoformat()
    '2026-11-01T01:30:00-04:00'
    """
    wanted = local.replace(tzinfo=None)
    at_ms = _ms_of(wanted.replace(tzinfo=zone, fold=0))
    if local_of(at_ms, zone).replace(tzinfo=None) == wanted:
        return at_ms
    # In a gap the two readings of the local time lie on both sides of the jump, which comes on a whole second.
    before, after = _ms_of(wanted.replace(tzinfo=zone, fold=1)) // 1000, -(-at_ms // 1000)
    while after - before > 1:
        middle = (before + after) // 2
        if local_of(middle * 1000, zone).replace(tzinfo=None) >= wanted:
            after = middle
        else:
            before = middle
    return after * 1000


def second_instant_of(local: datetime, zone: ZoneInfo) -> int:
    """As `instant_of`, but the second of two instants where clocks go back."""
    wanted = local.replace(tzinfo=None)
    return max(_ms_of(wanted.replace(tzinfo=zone, fold=1)), instant_of(wanted, zone))


def next_clock_time(now_ms: int, at: ClockTime, weekdays: frozenset[int], zone: ZoneInfo) -> int:
    """The next instant, later than now, at which it is this time of day on one of these weekdays (1 is Monday; none
    given: on any).

    A time of day that comes exactly now is not meant: a wait always takes time, so that a loop around it is a day.
    """
    if not is_on_calendar(now_ms):
        return now_ms + _DAY_MS
    today = local_of(now_ms, zone).date()
    for ahead in range(DAYS_AHEAD_MAX + 1):
        day = today + timedelta(days=ahead)
        if not weekdays or day.isoweekday() in weekdays:
            at_ms = at_time_of_day(day, at, zone)
            if at_ms > now_ms:
                return at_ms
    raise AssertionError(f"no {at} within {DAYS_AHEAD_MAX} days in {zone.key}")


def at_time_of_day(day: date, at: ClockTime, zone: ZoneInfo) -> int:
    """The instant at which it is this time on this local day."""
    return instant_of(datetime.combine(day, time(at.hour, at.minute)), zone)


def months_later(at_ms: int, months: int, zone: ZoneInfo) -> int:
    """The same time of day in the zone, months later or earlier; the last day of a month that is too short.

    >>> berlin = zone_called("Europe/Berlin")
    >>> start_ms = instant_of(datetime(2024, 1, 31, 9), berlin)
    >>> local_of(months_later(start_ms, 1, berlin), berlin).isoformat()
    '2024-02-29T09:00:00+01:00'
    """
    if not is_on_calendar(at_ms):
        return at_ms + months * 30 * _DAY_MS
    local = local_of(at_ms, zone)
    return instant_of(datetime.combine(add_months(local.date(), months), local.time()), zone)


def days_later(at_ms: int, days: int, zone: ZoneInfo) -> int:
    """The same time of day in the zone, days later or earlier."""
    local = local_of(at_ms, zone)
    return instant_of(datetime.combine(local.date() + timedelta(days=days), local.time()), zone)


def add_months(day: date, months: int) -> date:
    """The same day of the month, months later or earlier, or the last one of a month that is too short.

    >>> add_months(date(2024, 2, 29), 12).isoformat(), add_months(date(2026, 3, 31), -1).isoformat()
    ('2025-02-28', '2026-02-28')
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    first = date(year, month + 1, 1)
    following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
    return first.replace(day=min(day.day, (following - first).days))


def day_of(days: int) -> date:
    """The date that so many days since the epoch are."""
    return date.fromordinal(_EPOCH_DAY + days)


def _ms_of(aware: datetime) -> int:
    return (aware - _EPOCH) // timedelta(milliseconds=1)
