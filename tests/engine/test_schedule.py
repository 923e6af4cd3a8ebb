"""Ticks of schedules on the clocks of zones that put them forward and back, against a count of every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.cron_source import parse_cron
from orchestrator.engine.local_time import local_of, zone_called
from orchestrator.engine.schedule import is_on_day, next_tick
from orchestrator.model.triggers import Cron

MINUTE = 60_000
ZONES = (
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "America/St_Johns",
)
CHANGES = {
    "America/New_York": ("2026-03-08T00:00", "2026-11-01T00:00"),
    # The clocks of 2018 went forward at midnight, those of 2019 back at midnight, for the last time.
    "America/Sao_Paulo": ("2018-11-03T12:00", "2019-02-16T12:00"),
    "Asia/Kathmandu": ("2026-03-08T00:00", "1985-12-31T12:00"),
    "Australia/Lord_Howe": ("2026-10-03T06:00", "2026-04-04T06:00"),
    "Pacific/Chatham": ("2026-09-26T06:00", "2026-04-04T06:00"),
    # The 30th of December 2011 was left out.
    "Pacific/Apia": ("2011-12-29T12:00", "2026-04-04T06:00"),
    # One minute past midnight became one minute past eleven of the day before.
    "America/St_Johns": ("2010-03-13T12:00", "2010-11-06T12:00"),
}
HOURS = 36


def cron(text: str) -> Cron:
    found = parse_cron(text)
    assert isinstance(found, Cron), found
    return found


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def shown(at_ms: int | None, zone: str) -> str:
    assert at_ms is not None
    return local_of(at_ms, zone_called(zone)).isoformat(timespec="minutes")


def ticks(text: str, zone: str, start_ms: int, end_ms: int) -> list[int]:
    found: list[int] = []
    at_ms = start_ms
    while (tick := next_tick(cron(text), zone, at_ms)) is not None and tick <= end_ms:
        found.append(tick)
        at_ms = tick
    return found


def counted(text: str, zone: str, start_ms: int, end_ms: int) -> list[int]:
    """The same by looking at what clocks show in every minute: a tick where they show its time, or have jumped over."""
    schedule, place = cron(text), zone_called(zone)
    found: list[int] = []
    before = local_of(start_ms, place)
    for at_ms in range(start_ms + MINUTE, end_ms + 1, MINUTE):
        local = local_of(at_ms, place)
        jumped = (local.replace(tzinfo=None) - before.replace(tzinfo=None)) // timedelta(minutes=1)
        shown_now = [local.replace(tzinfo=None) - timedelta(minutes=back) for back in range(max(1, jumped))]
        is_second = local.fold == 1 and not schedule.is_repeated
        if not is_second and any(_is_tick(schedule, time) for time in shown_now):
            found.append(at_ms)
        before = local
    return found


def _is_tick(schedule: Cron, time: datetime) -> bool:
    return time.minute in schedule.minutes and time.hour in schedule.hours and is_on_day(schedule, time.date())


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "text", ["0 9 * * *", "30 2 * * *", "15 0 * * *", "0 * * * *", "*/20 * * * *", "0,45 0-3 * * *", "10 */2 * * *"]
)
def test_ticks_are_those_that_clocks_show_or_have_jumped_over(text: str, zone: str) -> None:
    for change in CHANGES[zone]:
        start_ms = ms(change)
        end_ms = start_ms + HOURS * 60 * MINUTE
        assert ticks(text, zone, start_ms, end_ms) == counted(text, zone, start_ms, end_ms), change


minutes = st.sampled_from(["*", "0", "30", "*/15", "5,35", "40-50"])
hours = st.sampled_from(["*", "0", "1", "2", "3", "*/3", "0-4", "2,23"])
days = st.sampled_from(["*", "1", "*/2", "3-9", "29"])
weekdays = st.sampled_from(["*", "mon", "sat,sun", "7", "1-5"])


@settings(deadline=None)
@given(st.builds("{} {} {} * {}".format, minutes, hours, days, weekdays), st.sampled_from(ZONES), st.data())
def test_any_schedule_ticks_as_clocks_show(text: str, zone: str, data: st.DataObject) -> None:
    start_ms = ms(data.draw(st.sampled_from(CHANGES[zone]))) + data.draw(st.integers(0, 24 * 60)) * MINUTE
    end_ms = start_ms + 12 * 60 * MINUTE
    assert ticks(text, zone, start_ms, end_ms) == counted(text, zone, start_ms, end_ms)


@pytest.mark.parametrize(
    ("text", "zone", "after", "tick"),
    [
        ("30 2 * * *", "America/New_York", "2026-03-08T05:00", "2026-03-08T03:00-04:00"),
        ("30 1 * * *", "America/New_York", "2026-11-01T04:00", "2026-11-01T01:30-04:00"),
        ("30 1 * * *", "America/New_York", "2026-11-01T05:30", "2026-11-02T01:30-05:00"),
        ("0 * * * *", "America/New_York", "2026-11-01T05:00", "2026-11-01T01:00-05:00"),
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-04T02:00", "2018-11-04T01:00-02:00"),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", "2026-10-04T02:30+11:00"),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", "2026-04-05T01:45+11:00"),
        ("0 3 * * *", "Pacific/Chatham", "2026-09-26T12:00", "2026-09-27T03:45+13:45"),
        ("5 0 1 1 *", "Asia/Kathmandu", "1985-12-01T00:00", "1986-01-01T00:15+05:45"),
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-29T12:00", "2011-12-31T00:00+14:00"),
        ("0 0 29 2 *", "Asia/Kathmandu", "2096-03-01T00:00", "2104-02-29T00:00+05:45"),
        ("0 9 1 * mon", "UTC", "2026-03-02T12:00", "2026-03-09T09:00+00:00"),
        ("0 9 */2 * mon", "UTC", "2026-03-02T12:00", "2026-03-09T09:00+00:00"),
        ("0 9 31 * *", "UTC", "2026-03-31T12:00", "2026-05-31T09:00+00:00"),
    ],
)
def test_a_tick_where_clocks_and_calendars_are_odd(text: str, zone: str, after: str, tick: str) -> None:
    assert shown(next_tick(cron(text), zone, ms(after)), zone) == tick


@settings(deadline=None)
@given(
    st.builds("{} {} {} * {}".format, st.sampled_from(["0", "30", "5,35"]), hours, days, weekdays),
    st.integers(0, 200 * 1440),
)
def test_in_a_zone_without_changes_the_ticks_are_those_of_cronsim(text: str, minute: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")) + timedelta(minutes=minute)
    found = next_tick(cron(text), "UTC", int(start.timestamp() * 1000))
    assert found == int(next(CronSim(text, start)).timestamp() * 1000)


def test_a_schedule_without_a_day_never_ticks() -> None:
    assert next_tick(cron("0 0 30 2 mon"), "UTC", 0) is not None
    assert next_tick(Cron("", (0,), (0,), frozenset({30}), frozenset({2}), frozenset(range(1, 8))), "UTC", 0) is None
    assert next_tick(cron("0 0 * * *"), "UTC", 2**62) is None
    assert next_tick(cron("0 0 29 2 */7"), "UTC", ms("9976-03-01")) is None
    assert shown(next_tick(cron("0 0 29 2 */7"), "UTC", ms("2026-01-01")), "UTC")[:10] == "2032-02-29"


NOT_PLAIN = (
    *("", "0 9 * *", "0 0 9 * * *", "60 9 * * *", "0 24 * * *", "0 9 0 * *", "0 9 * 13 *", "0 9 * * 8", "0 9 * * mo"),
    *("0 9 L * *", "0 9 LW * *", "0 9 * * mon#2", "0 9 * * 5L", "0 9 5-1 * *", "*/0 * * * *", "0 9 30 2 *", "@daily"),
)


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_is_no_plain_schedule_is_refused(text: str) -> None:
    assert isinstance(parse_cron(text), str)
