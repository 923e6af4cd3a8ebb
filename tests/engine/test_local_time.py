"""What local days and times of day are, in the zones whose rules are the strangest."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.engine.local_time import (
    add_months,
    at_time_of_day,
    days_later,
    instant_of,
    is_on_calendar,
    local_of,
    months_later,
    next_clock_time,
    zone_called,
    zone_names,
    zone_of,
)
from orchestrator.model.customer import Customer
from orchestrator.model.journey import ClockTime

ANY_DAY: frozenset[int] = frozenset()
NINE = ClockTime(9, 0)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def shown(at_ms: int, zone: str) -> str:
    return local_of(at_ms, zone_called(zone)).isoformat()


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        # Clocks go forward: the first instant after the jump.
        ("America/New_York", "2026-03-08T02:30", "2026-03-08T03:00:00-04:00"),
        ("America/New_York", "2026-03-08T02:00", "2026-03-08T03:00:00-04:00"),
        ("America/New_York", "2026-03-08T03:00", "2026-03-08T03:00:00-04:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-04T02:30:00+11:00"),
        ("America/Sao_Paulo", "2018-11-04T00:00", "2018-11-04T01:00:00-02:00"),
        ("America/Sao_Paulo", "2018-11-04T00:59", "2018-11-04T01:00:00-02:00"),
        ("Pacific/Chatham", "2026-09-27T03:00", "2026-09-27T03:45:00+13:45"),
        ("Asia/Kathmandu", "1986-01-01T00:10", "1986-01-01T00:15:00+05:45"),
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-31T00:00:00+14:00"),
        # Clocks go back: the first of the two.
        ("America/New_York", "2026-11-01T01:30", "2026-11-01T01:30:00-04:00"),
        ("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-05T01:45:00+11:00"),
        ("America/Sao_Paulo", "2018-02-17T23:30", "2018-02-17T23:30:00-02:00"),
        ("Pacific/Chatham", "2026-04-05T03:00", "2026-04-05T03:00:00+13:45"),
        # Neither.
        ("America/Sao_Paulo", "2019-11-03T00:00", "2019-11-03T00:00:00-03:00"),
        ("Asia/Kathmandu", "2026-03-08T09:00", "2026-03-08T09:00:00+05:45"),
    ],
)
def test_a_local_time_stands_for_one_instant(zone: str, local: str, expected: str) -> None:
    found = instant_of(datetime.fromisoformat(local), zone_called(zone))
    assert found == ms(expected)
    assert shown(found, zone) == expected


def test_a_time_of_day_that_is_exactly_now_means_the_next_one() -> None:
    zone = zone_called("Asia/Kathmandu")
    nine_ms = ms("2026-03-08T09:00:00+05:45")
    assert next_clock_time(nine_ms - 1, NINE, ANY_DAY, zone) == nine_ms
    assert next_clock_time(nine_ms, NINE, ANY_DAY, zone) == nine_ms + 86_400_000


def test_a_day_that_clocks_make_longer_still_has_one_nine_o_clock() -> None:
    zone = zone_called("America/New_York")
    saturday_ms = ms("2026-10-31T09:00:00-04:00")
    assert next_clock_time(saturday_ms, NINE, ANY_DAY, zone) == ms("2026-11-01T09:00:00-05:00")


def test_the_second_showing_of_a_time_of_day_is_not_meant() -> None:
    between_ms = ms("2026-11-01T01:10:00-05:00")
    found = next_clock_time(between_ms, ClockTime(1, 30), ANY_DAY, zone_called("America/New_York"))
    assert found == ms("2026-11-02T01:30:00-05:00")


def test_weekdays_are_those_of_the_zone() -> None:
    # Sunday evening in UTC is Monday morning on Chatham.
    sunday_ms = ms("2026-03-08T19:00:00+00:00")
    assert next_clock_time(sunday_ms, NINE, frozenset({1}), zone_called("Pacific/Chatham")) == ms(
        "2026-03-09T09:00:00+13:45"
    )
    assert next_clock_time(sunday_ms, NINE, frozenset({1, 2}), zone_called("UTC")) == ms("2026-03-09T09:00:00+00:00")


def test_a_day_that_the_zone_skipped_stands_for_the_first_instant_after_it() -> None:
    # Samoa had no Friday, 30 December 2011; its noon stands for the first instant of Saturday.
    found = next_clock_time(
        ms("2011-12-29T20:00:00-10:00"), ClockTime(12, 0), frozenset({5}), zone_called("Pacific/Apia")
    )
    assert shown(found, "Pacific/Apia") == "2011-12-31T00:00:00+14:00"


@pytest.mark.parametrize(
    ("start", "months", "expected"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2024-02-29", 48, "2028-02-29"),
        ("2026-12-15", 1, "2027-01-15"),
        ("2026-11-30", 3, "2027-02-28"),
        ("2026-03-31", -1, "2026-02-28"),
        ("2026-01-15", -1, "2025-12-15"),
    ],
)
def test_months_end_where_a_short_month_ends(start: str, months: int, expected: str) -> None:
    assert add_months(date.fromisoformat(start), months).isoformat() == expected


def test_months_keep_the_local_time_of_day_across_a_change_of_clocks() -> None:
    start_ms = ms("2026-02-28T09:15:30.250-05:00")
    assert months_later(start_ms, 1, zone_called("America/New_York")) == ms("2026-03-28T09:15:30.250-04:00")
    assert days_later(ms("2026-03-07T09:00:00-05:00"), 1, zone_called("America/New_York")) == ms(
        "2026-03-08T09:00:00-04:00"
    )


def test_an_unknown_zone_is_the_default_one() -> None:
    for written in ("Europe/Berlni", "../../../etc/passwd", "", 5, None, "europe/berlin"):
        assert zone_of(Customer(profile={"time_zone": written}), "Asia/Kathmandu").key == "Asia/Kathmandu"
    assert zone_of(Customer(), "UTC").key == "UTC"
    assert zone_of(Customer(profile={"time_zone": "Pacific/Chatham"}), "UTC").key == "Pacific/Chatham"


def test_zones_do_not_come_from_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import zoneinfo

    monkeypatch.setattr(zoneinfo, "TZPATH", ("/nowhere",))
    zone_called.cache_clear()
    assert zone_called("America/New_York") is not zoneinfo.ZoneInfo("America/New_York")
    assert shown(0, "America/New_York") == "1969-12-31T19:00:00-05:00"


def test_every_zone_can_be_read() -> None:
    assert len(zone_names()) > 400
    for name in sorted(zone_names())[::20]:
        assert zone_called(name).key == name


def test_instants_beyond_calendars_do_not_raise() -> None:
    zone = zone_called("Pacific/Chatham")
    for at_ms in (2**63 - 1, -(2**62)):
        assert not is_on_calendar(at_ms)
        assert next_clock_time(at_ms, NINE, ANY_DAY, zone) > at_ms
        assert months_later(at_ms, 1, zone) > at_ms


ZONES = st.sampled_from(
    ["Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Chatham", "America/New_York", "UTC"]
)
INSTANTS = st.integers(ms("1980-01-01T00:00:00+00:00"), ms("2037-01-01T00:00:00+00:00"))
CLOCK_TIMES = st.builds(ClockTime, st.integers(0, 23), st.integers(0, 59))
WEEKDAYS = st.frozensets(st.integers(1, 7), max_size=3)


def minutes(local: datetime) -> int:
    return local.hour * 60 + local.minute


@given(INSTANTS, CLOCK_TIMES, WEEKDAYS, ZONES)
@settings(max_examples=300, deadline=None)
def test_a_time_of_day_is_later_than_now_and_as_asked_unless_clocks_jump_over_it(
    now_ms: int, at: ClockTime, weekdays: frozenset[int], name: str
) -> None:
    zone = zone_called(name)
    found = next_clock_time(now_ms, at, weekdays, zone)
    assert now_ms < found <= now_ms + 9 * 86_400_000
    local = local_of(found, zone)
    assert not weekdays or local.isoweekday() in weekdays
    before = local_of(found - 1, zone).replace(tzinfo=None)
    wanted = datetime.combine(local.date(), datetime.min.time()).replace(hour=at.hour, minute=at.minute)
    is_gap = local.replace(tzinfo=None) - before > timedelta(milliseconds=1)
    assert local.replace(tzinfo=None) == wanted or (is_gap and before < wanted < local.replace(tzinfo=None))


@given(INSTANTS, st.integers(0, 40 * 86_400_000), CLOCK_TIMES, WEEKDAYS, ZONES)
@settings(max_examples=200, deadline=None)
def test_who_comes_later_never_goes_on_earlier(
    now_ms: int, later: int, at: ClockTime, weekdays: frozenset[int], name: str
) -> None:
    zone = zone_called(name)
    assert next_clock_time(now_ms, at, weekdays, zone) <= next_clock_time(now_ms + later, at, weekdays, zone)


@given(INSTANTS, st.integers(1, 36), ZONES)
@settings(max_examples=200, deadline=None)
def test_months_pass_at_their_full_length(now_ms: int, months: int, name: str) -> None:
    zone = zone_called(name)
    later_ms = months_later(now_ms, months, zone)
    start, end = local_of(now_ms, zone), local_of(later_ms, zone)
    assert (end.year - start.year) * 12 + end.month - start.month == months
    assert end.day == start.day or end.day < start.day
    assert months_later(now_ms, months + 1, zone) > later_ms > now_ms


@given(INSTANTS, ZONES)
@settings(max_examples=200, deadline=None)
def test_every_instant_is_found_again_from_its_first_local_time(at_ms: int, name: str) -> None:
    zone = zone_called(name)
    local = local_of(at_ms, zone)
    found = instant_of(local, zone)
    assert found == at_ms if local.fold == 0 else found < at_ms
    assert at_time_of_day(local.date(), ClockTime(0, 0), zone) <= at_ms
