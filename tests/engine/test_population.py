"""Clocks that let customers in: set, moved, fired, and the same after a restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.cron_source import parse_cron
from orchestrator.engine.decide import apply_event, bring_in_line, fire_timers
from orchestrator.engine.local_time import local_of, zone_called
from orchestrator.model.actions import Effects
from orchestrator.model.aggregates import Segment, Tracked
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import (
    Cap,
    ClockTime,
    Expression,
    Journey,
    JourneySet,
    OnDate,
    ProfileRule,
    ReEntry,
    Scope,
    Wait,
    WaitWhile,
)
from orchestrator.model.shared import Shared
from orchestrator.model.triggers import Bounds, Cron, EntryLimit, OnSchedule, OnSegment
from orchestrator.model.types import Kind, Type
from tests.engine.build import DAY, HOUR, START, event_field, expression, journey, journeys, reachable, send

YEAR = 366 * DAY
EPOCH_DAY = date(1970, 1, 1).toordinal()
BIRTHDAY = Expression("profile.birthday", Type(Kind.DATE), lambda scope: scope.customer.profile.get("birthday"))
RENEWAL = Expression("profile.renewal", Type(Kind.INSTANT), lambda scope: scope.customer.profile.get("renewal"))


def days(text: str) -> int:
    return date.fromisoformat(text).toordinal() - EPOCH_DAY


def at(text: str) -> int:
    return days(text) * DAY


def on_date(**changes: Any) -> OnDate:
    plain = OnDate(BIRTHDAY, True, 0, 0, 0, None, None, False)
    changed = replace(plain, **changes)
    return replace(changed, attribute=changed.value.text.removeprefix("profile."))


def on_schedule(text: str, zone: str | None = "UTC", segment: str | None = None) -> OnSchedule:
    cron = parse_cron(text)
    assert isinstance(cron, Cron)
    return OnSchedule(cron, zone, segment)


def greeting(trigger: OnDate | OnSchedule, **changes: Any) -> Journey:
    options = {"reentry": ReEntry("always"), **changes}
    return journey(Wait("pause", HOUR, "_end"), trigger=trigger, **options)


def as_it_is(name: str) -> Segment:
    """A segment whose members are those whom the test makes its members."""

    def is_member(scope: Scope) -> bool:
        return name in scope.customer.segments

    return Segment(name, name, "as it is", is_member, None, f"segment:{name}", (), frozenset(), frozenset(), False)


def profile_set(*every: Journey) -> JourneySet:
    attributes = tuple((name, event_field(name), None) for name in ("birthday", "renewal", "time_zone", "mood"))
    rules: dict[str, tuple[ProfileRule, ...]] = {"changed": (ProfileRule("changed", attributes, ()),)}
    tracked = Tracked(segments=(as_it_is("lapsing"), as_it_is("vip")))
    return replace(journeys(*every), profile_rules=rules, alignment="rules", tracked=tracked)


def changed(number: int, **fields: Any) -> Event:
    return Event("changed", f"e{number}", "c1", fields)


def entered(effects: Effects, zone: str = "UTC") -> list[tuple[str, str]]:
    place = zone_called(zone)
    return [
        (t.reason, local_of(t.at_ms, place).isoformat(timespec="minutes"))
        for t in effects.transitions
        if t.kind == "entered"
    ]


def run(given: JourneySet, *steps: tuple[int, Event | None], restart: bool = False) -> Effects:
    """Events at their times, and None for timers up to then; the record is encoded in between if it restarts."""
    customer, effects = Customer(), Effects()
    for at_ms, event in steps:
        if event is None:
            fire_timers(given, customer, "c1", at_ms, effects)
        else:
            apply_event(given, customer, event, at_ms, effects)
        if restart:
            customer = decode_customer(encode_customer(customer))
    return effects


def test_a_date_lets_in_once_before_it_and_not_again() -> None:
    given = profile_set(greeting(on_date(days=-7, at=ClockTime(9, 0))))
    effects = run(given, (at("2026-03-01"), changed(1, birthday=days("2026-03-20"))), (at("2028-01-01"), None))
    assert entered(effects) == [("date", "2026-03-13T09:00+00:00")]


def test_a_date_that_is_past_when_it_is_learned_lets_nobody_in() -> None:
    given = profile_set(greeting(on_date(days=-7)))
    for birthday in ("2026-03-05", "2026-03-08", "2020-01-01"):
        effects = run(given, (at("2026-03-01"), changed(1, birthday=days(birthday))), (at("2030-01-01"), None))
        assert entered(effects) == []


def test_a_customer_without_the_attribute_has_no_clock() -> None:
    given = profile_set(greeting(on_date(is_yearly=True)))
    customer = Customer()
    apply_event(given, customer, changed(1, birthday=None), START, Effects())
    assert customer.clocks == {}
    apply_event(given, customer, changed(2, birthday="soon"), START, Effects())
    assert customer.clocks == {}
    apply_event(given, customer, changed(3, birthday=10**12), START, Effects())
    assert customer.clocks == {}


def test_a_yearly_date_comes_round_from_its_own_year_on() -> None:
    given = profile_set(greeting(on_date(is_yearly=True, at=ClockTime(9, 0))))
    effects = run(given, (at("2026-06-01"), changed(1, birthday=days("1990-03-20"))), (at("2029-01-01"), None))
    assert [when for _, when in entered(effects)] == ["2027-03-20T09:00+00:00", "2028-03-20T09:00+00:00"]
    ahead = run(given, (at("2026-06-01"), changed(1, birthday=days("2028-03-20"))), (at("2030-01-01"), None))
    assert [when for _, when in entered(ahead)] == ["2028-03-20T09:00+00:00", "2029-03-20T09:00+00:00"]


def test_a_leap_day_is_the_28th_of_february_in_other_years() -> None:
    given = profile_set(greeting(on_date(is_yearly=True)))
    effects = run(given, (at("2026-01-01"), changed(1, birthday=days("2000-02-29"))), (at("2029-01-01"), None))
    assert [when[:10] for _, when in entered(effects)] == ["2026-02-28", "2027-02-28", "2028-02-29"]
    before = profile_set(greeting(on_date(is_yearly=True, months=-1)))
    effects = run(before, (at("2026-01-01"), changed(1, birthday=days("2000-02-29"))), (at("2029-01-01"), None))
    assert [when[:10] for _, when in entered(effects)] == ["2026-01-28", "2027-01-28", "2028-01-29"]


@pytest.mark.parametrize(
    ("zone", "birthday", "clock", "when"),
    [
        ("America/New_York", "2000-03-08", ClockTime(2, 30), "2026-03-08T03:00-04:00"),
        ("America/New_York", "2000-11-01", ClockTime(1, 30), "2026-11-01T01:30-04:00"),
        ("Australia/Lord_Howe", "2000-10-04", ClockTime(2, 15), "2026-10-04T02:30+11:00"),
        ("Asia/Kathmandu", "2000-03-08", None, "2026-03-08T00:00+05:45"),
        ("Pacific/Chatham", "2000-09-27", ClockTime(3, 0), "2026-09-27T03:45+13:45"),
        ("America/Sao_Paulo", "2000-05-04", None, "2026-05-04T00:00-03:00"),
    ],
)
def test_a_date_is_one_of_the_customers_zone(zone: str, birthday: str, clock: ClockTime | None, when: str) -> None:
    given = profile_set(greeting(on_date(is_yearly=True, at=clock)))
    event = changed(1, birthday=days(birthday), time_zone=zone)
    effects = run(given, (at("2026-01-01"), event), (at("2026-12-31"), None))
    assert entered(effects, zone) == [("date", when)]


def test_midnight_that_clocks_have_jumped_over_is_the_first_instant_after() -> None:
    given = profile_set(greeting(on_date(is_yearly=True)))
    event = changed(1, birthday=days("1990-11-04"), time_zone="America/Sao_Paulo")
    effects = run(given, (at("2018-06-01"), event), (at("2019-01-01"), None))
    assert entered(effects, "America/Sao_Paulo") == [("date", "2018-11-04T01:00-02:00")]


def test_a_changed_date_or_zone_moves_the_clock() -> None:
    given = profile_set(greeting(on_date(at=ClockTime(9, 0))))
    first = changed(1, birthday=days("2026-03-20"))
    later = (at("2026-03-10"), changed(2, birthday=days("2026-05-20")))
    away = (at("2026-03-11"), changed(3, time_zone="America/New_York"))
    effects = run(given, (at("2026-03-01"), first), later, away, (at("2027-01-01"), None))
    assert entered(effects) == [("date", "2026-05-20T13:00+00:00")]
    past = (at("2026-03-10"), changed(2, birthday=days("2026-03-05")))
    assert entered(run(given, (at("2026-03-01"), first), past, (at("2027-01-01"), None))) == []


def test_an_instant_keeps_its_own_time_or_is_moved_by_hours() -> None:
    instant = at("2026-03-20") + 15 * HOUR
    given = profile_set(greeting(on_date(value=RENEWAL, is_date=False, offset_ms=-2 * HOUR)))
    effects = run(given, (at("2026-03-01"), changed(1, renewal=instant)), (at("2027-01-01"), None))
    assert entered(effects) == [("date", "2026-03-20T13:00+00:00")]
    yearly = profile_set(greeting(on_date(value=RENEWAL, is_date=False, is_yearly=True, days=-1)))
    effects = run(yearly, (at("2026-04-01"), changed(1, renewal=instant)), (at("2028-01-01"), None))
    assert entered(effects) == [("date", "2027-03-19T15:00+00:00")]


def test_ticks_that_nobody_was_there_for_come_each_at_its_time_in_order() -> None:
    given = profile_set(greeting(on_schedule("0 9 * * mon")))
    effects = run(given, (at("2026-03-03"), changed(1)), (at("2026-03-25"), None))
    assert [when for _, when in entered(effects)] == [f"2026-03-{day:02}T09:00+00:00" for day in (9, 16, 23)]


def test_a_tick_finds_only_the_members_of_its_segment() -> None:
    given = profile_set(greeting(on_schedule("0 9 * * *", segment="lapsing")))
    for segments, times in (({"lapsing": 1}, 2), ({"vip": 1}, 0)):
        customer, effects = Customer(), Effects()
        apply_event(given, customer, changed(1), at("2026-03-03"), effects)
        customer.segments = segments
        fire_timers(given, customer, "c1", at("2026-03-05"), effects)
        assert len(entered(effects)) == times


def test_a_schedule_by_the_customers_clocks_follows_a_new_zone() -> None:
    given = profile_set(greeting(on_schedule("0 9 * * *", zone=None)))
    steps = [
        (at("2026-03-03"), changed(1, time_zone="Asia/Kathmandu")),
        (at("2026-03-04"), changed(2, time_zone="America/New_York")),
        (at("2026-03-05"), None),
    ]
    times = [when for _, when in entered(run(given, *steps))]
    assert times == ["2026-03-03T03:15+00:00", "2026-03-04T14:00+00:00"]


def test_who_comes_at_a_tick_is_let_in_at_the_next_one() -> None:
    given = profile_set(greeting(on_schedule("0 9 * * *")))
    noon = at("2026-03-03") + 9 * HOUR
    assert entered(run(given, (noon, changed(1)), (noon + 2 * DAY, None)))[0] == ("schedule", "2026-03-04T09:00+00:00")


def test_a_journey_that_is_gone_leaves_no_clock() -> None:
    given = profile_set(greeting(on_schedule("0 9 * * *")))
    customer = Customer()
    apply_event(given, customer, changed(1), at("2026-03-03"), Effects())
    assert list(customer.clocks) == ["tick:welcome"]
    without = replace(given, entries_by_clock={}, entries_by_profile={}, alignment="other")
    apply_event(without, customer, changed(2), at("2026-03-03") + HOUR, Effects())
    assert customer.clocks == {}


def test_a_tick_that_was_due_before_new_rules_came_is_not_lost() -> None:
    given = profile_set(greeting(on_schedule("0 9 * * *")))
    customer, effects = Customer(), Effects()
    apply_event(given, customer, changed(1), at("2026-03-03"), effects)
    moved = replace(profile_set(greeting(on_schedule("0 12 * * *"))), alignment="other")
    apply_event(moved, customer, changed(2), at("2026-03-04"), effects)
    fire_timers(moved, customer, "c1", at("2026-03-05"), effects)
    times = [when for _, when in entered(effects)]
    assert times == ["2026-03-03T09:00+00:00", "2026-03-03T12:00+00:00", "2026-03-04T12:00+00:00"]


@pytest.mark.parametrize("which", [0, 1])
def test_a_clock_due_as_the_profile_changes_still_fires(which: int) -> None:
    trigger = (on_schedule("0 9 * * *", zone=None), on_date(is_yearly=True, at=ClockTime(9, 0)))[which]
    given = profile_set(greeting(trigger))
    nine = at("2026-03-03") + 9 * HOUR
    before = (at("2026-03-03"), changed(1, birthday=days("2000-03-03")))
    assert len(entered(run(given, before, (nine, changed(2, birthday=days("2000-05-05")))))) == 1


moves = st.tuples(
    st.integers(0, 40 * 24),
    st.sampled_from(["", "birthday", "time_zone", "renewal", "mood"]),
    st.integers(0, 3),
)


@settings(deadline=None)
@given(st.lists(moves, max_size=12))
def test_a_restart_and_a_late_worker_change_nothing(steps: list[tuple[int, str, int]]) -> None:
    given = profile_set(
        replace(greeting(on_date(is_yearly=True, days=-3)), name="a"),
        replace(greeting(on_schedule("0 9 * * mon", zone=None)), name="b"),
        replace(greeting(on_date(value=RENEWAL, is_date=False, months=-1)), name="c"),
    )
    values: dict[str, list[Any]] = {
        "birthday": [days("2000-02-29"), days("1990-03-20"), days("2026-04-01"), None],
        "time_zone": ["America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "nowhere"],
        "renewal": [at("2026-04-10"), at("2026-05-10"), at("2020-05-10"), None],
        "mood": ["fine", "low", "fine", "gone"],
    }
    now_ms, events, ticked = at("2026-02-20"), [], []
    for number, (hours, name, which) in enumerate(steps):
        now_ms += hours * HOUR
        event = changed(number, **({name: values[name][which]} if name else {}))
        events.append((now_ms, event))
        ticked += [(now_ms - HOUR, None), (now_ms, event)]
    end = (now_ms + YEAR, None)
    plain = run(given, *events, end)
    assert run(given, *ticked, end, restart=True).transitions == plain.transitions
    everyone = tuple(given.current.values())
    at_any_change = replace(given, entries_by_profile=dict.fromkeys(("mood", *values), everyone))
    assert run(at_any_change, *events, end).transitions == plain.transitions


def test_a_change_of_another_attribute_looks_at_no_date() -> None:
    looked: list[int] = []

    def look(scope: Scope) -> Any:
        looked.append(scope.now_ms)
        return BIRTHDAY.evaluate(scope)

    value = replace(BIRTHDAY, evaluate=look)
    given = profile_set(replace(greeting(on_date(value=value, zone="UTC")), name="a"))
    run(given, (at("2026-01-01"), changed(1, birthday=days("2030-03-03"))))
    before = len(looked)
    run(given, (at("2026-01-01"), changed(1, birthday=days("2030-03-03"))), (at("2026-01-02"), changed(2, renewal=5)))
    assert len(looked) == 2 * before


def bounded(*limits: EntryLimit, opens: str = "2000-01-01", closes: str = "2100-01-01") -> Bounds:
    return Bounds(at(opens), at(closes), limits)


def held(one: Journey, bounds: Bounds | None = None, *, backfill: bool = False) -> Journey:
    return replace(one, entry=replace(one.entry, bounds=bounds, is_backfilled=backfill))


def test_customers_enter_from_the_first_instant_of_the_window_and_before_its_last() -> None:
    by_event = held(journey(Wait("pause", 1, "_end"), on="changed", reentry=ReEntry("always")))
    bounds = bounded(opens="2026-03-02", closes="2026-03-04")
    given = replace(profile_set(held(by_event, bounds)), alignment="")
    opens, closes = at("2026-03-02"), at("2026-03-04")
    steps = [(ms, changed(n)) for n, ms in enumerate((opens - 1, opens, closes - 1, closes))]
    effects = run(given, *steps)
    assert [t.at_ms for t in effects.transitions if t.kind == "entered"] == [opens, closes - 1]
    assert {t.kind for t in effects.transitions} == {"entered", "exited", "step"}


def test_a_clock_ticks_only_within_the_window() -> None:
    schedule = held(greeting(on_schedule("0 9 * * *")), bounded(opens="2026-03-05", closes="2026-03-07"))
    effects = run(profile_set(schedule), (at("2026-03-01"), changed(1)), (at("2026-04-01"), None))
    assert [when for _, when in entered(effects)] == ["2026-03-05T09:00+00:00", "2026-03-06T09:00+00:00"]
    assert effects.timers_fired == 4
    yearly = held(greeting(on_date(is_yearly=True)), bounded(opens="2028-01-01", closes="2029-01-01"))
    effects = run(profile_set(yearly), (at("2026-01-01"), changed(1, birthday=0)), (at("2032-01-01"), None))
    assert [when[:10] for _, when in entered(effects)] == ["2028-01-01"]


def test_a_limit_counts_a_sliding_window_exactly() -> None:
    limits = (EntryLimit(2, 7 * DAY, is_of_all=False), EntryLimit(3, None, is_of_all=False))
    schedule = held(greeting(on_schedule("0 9 * * *")), bounded(*limits))
    effects = run(profile_set(schedule), (at("2026-03-01"), changed(1)), (at("2026-03-20"), None))
    assert [when[8:10] for _, when in entered(effects)] == ["01", "02", "08"]
    assert {t.reason for t in effects.transitions if t.kind == "not_entered"} == {"limit"}


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 4), st.integers(1, 30))
def test_a_limit_holds_whenever_customers_come(hours: list[int], most: int, window: int) -> None:
    limit = EntryLimit(most, window * HOUR, is_of_all=False)
    one = held(journey(Wait("pause", 1, "_end"), on="changed", reentry=ReEntry("always")), bounded(limit))
    given = replace(profile_set(one), alignment="")
    customer, effects, now_ms, expected = Customer(), Effects(), START, list[int]()
    for number, step in enumerate(hours):
        # One millisecond more, in which the passage ends.
        now_ms += step * HOUR + 1
        apply_event(given, customer, changed(number), now_ms, effects)
        if sum(1 for at_ms in expected if at_ms > now_ms - window * HOUR) < most:
            expected.append(now_ms)
        assert len(customer.admissions.get("welcome", [])) <= most
        customer = decode_customer(encode_customer(customer))
    assert [t.at_ms for t in effects.transitions if t.kind == "entered"] == expected


def test_a_limit_of_all_customers_holds_over_them() -> None:
    limit = EntryLimit(3, None, is_of_all=True)
    one = held(journey(Wait("pause", DAY, "_end"), on="changed"), bounded(limit))
    given = replace(profile_set(one), alignment="")
    assert given.uses_shared
    effects = Effects(shared=Shared())
    for number in range(5):
        event = Event("changed", f"e{number}", f"c{number}", {})
        apply_event(given, Customer(), event, START + number, effects)
    assert [t.customer_id for t in effects.transitions if t.kind == "entered"] == ["c0", "c1", "c2"]
    assert [(t.customer_id, t.reason) for t in effects.transitions if t.kind == "not_entered"] == [
        ("c3", "limit_of_all"),
        ("c4", "limit_of_all"),
    ]


def known(**changes: Any) -> Customer:
    return Customer(last_at_ms=at("2026-03-01"), aligned="before", **changes)


def filled(one: Journey, customer: Customer, until: str = "2026-03-03") -> list[tuple[str, str]]:
    """Who enters as the journey comes into force on the second of March, at an event that means nothing."""
    given, effects = profile_set(one), Effects()
    apply_event(given, customer, changed(1), at("2026-03-02"), effects)
    apply_event(replace(given, alignment="other"), customer, changed(2), at("2026-03-02") + HOUR, effects)
    fire_timers(given, customer, "c1", at(until), effects)
    return entered(effects)


def test_those_enter_who_match_as_the_journey_comes_into_force_and_once() -> None:
    when = [("backfill", "2026-03-02T00:00+00:00")]
    of_segment = held(journey(Wait("p", 1, "_end"), trigger=OnSegment("vip", enters=True), reentry=ReEntry("always")))
    member = {"vip": 1}
    assert filled(held(of_segment, backfill=True), known(segments=member)) == when
    assert filled(held(of_segment, backfill=True), known()) == []
    assert filled(of_segment, known(segments=member)) == []
    assert filled(held(of_segment, backfill=True), Customer(segments=member)) == []


def test_those_enter_for_whom_the_moment_has_come_and_the_date_has_not() -> None:
    when = [("backfill", "2026-03-02T00:00+00:00")]
    dated = held(greeting(on_date(days=-7)), backfill=True)
    yearly = held(greeting(on_date(days=-7, is_yearly=True)), backfill=True)
    assert filled(dated, known(profile={"birthday": days("2026-03-05")})) == when
    assert filled(yearly, known(profile={"birthday": days("1990-03-05")})) == when
    for birthday in ("2026-03-02", "2026-03-01", "2026-05-01"):
        assert filled(dated, known(profile={"birthday": days(birthday)})) == []
    assert filled(dated, known()) == []
    assert filled(held(greeting(on_date(days=-7))), known(profile={"birthday": days("2026-03-05")})) == []


def test_a_schedule_with_backfill_begins_with_a_round_of_its_own() -> None:
    weekly = held(greeting(on_schedule("0 9 * * tue", segment="vip")), backfill=True)
    assert filled(weekly, known(segments={"vip": 1}), until="2026-03-04") == [
        ("backfill", "2026-03-02T00:00+00:00"),
        ("schedule", "2026-03-03T09:00+00:00"),
    ]
    assert filled(weekly, known(), until="2026-03-04") == []


def test_those_who_match_wait_until_the_window_opens() -> None:
    one = journey(Wait("p", 1, "_end"), trigger=OnSegment("vip", enters=True), reentry=ReEntry("always"))
    opening = held(one, bounded(opens="2026-03-10"), backfill=True)
    when = [("backfill", "2026-03-10T00:00+00:00")]
    assert filled(opening, known(segments={"vip": 1}), until="2026-03-20") == when
    shut = held(one, bounded(closes="2026-03-01"), backfill=True)
    assert filled(shut, known(segments={"vip": 1}), until="2026-03-20") == []


def test_a_journey_that_was_taken_away_is_filled_again_when_it_comes_back() -> None:
    one = held(journey(Wait("p", 1, "_end"), trigger=OnSegment("vip", enters=True), reentry=ReEntry("always")))
    customer, effects = known(segments={"vip": 1}), Effects()
    there = profile_set(held(one, backfill=True))
    sets = [there, replace(there, entries_by_backfill={}, alignment="without")]
    for number, in_force in enumerate([*sets, *sets]):
        apply_event(in_force, customer, changed(number), at("2026-03-02") + number * HOUR, effects)
    assert [when[11:13] for _, when in entered(effects)] == ["00", "02"]


def mailing(name: str, priority: int, **changes: Any) -> Journey:
    options = {"trigger": on_schedule("0 9 * * *"), "reentry": ReEntry("always"), **changes}
    return journey(send("hello", "_end", priority=priority), name=name, **options)


def sent(given: JourneySet, customer: Customer, until_ms: int) -> list[tuple[str, int]]:
    effects = Effects()
    fire_timers(given, customer, "c1", until_ms, effects)
    return [(action.journey, action.created_at_ms) for action in effects.actions]


def test_messages_of_journeys_that_tick_together_compete_by_priority() -> None:
    one_a_day = Cap("one", None, 1, 20 * HOUR)
    low, high = mailing("a_low", 1), mailing("b_high", 9)
    given = replace(profile_set(low, high), caps=(one_a_day,))
    customer = reachable()
    apply_event(given, customer, changed(1), at("2026-03-03"), Effects())
    nine = at("2026-03-03") + 9 * HOUR
    assert sent(given, customer, nine) == [("b_high", nine)]


def test_a_passage_that_ends_with_its_message_at_a_tick_makes_room_for_the_next_entry() -> None:
    steps = (Wait("day", DAY, "hello"), send("hello", "_end"))
    daily = journey(*steps, trigger=on_schedule("0 9 * * *"), reentry=ReEntry("always"))
    given = replace(profile_set(daily), caps=(Cap("many", None, 9, DAY),))
    customer, effects = reachable(), Effects()
    apply_event(given, customer, changed(1), at("2026-03-03"), effects)
    fire_timers(given, customer, "c1", at("2026-03-06"), effects)
    assert [when[8:10] for _, when in entered(effects)] == ["03", "04", "05"]


def test_who_waits_while_in_a_segment_goes_on_as_it_is_defined_anew_and_nobody_enters_by_it() -> None:
    in_vip = expression(lambda scope: "vip" in scope.customer.segments)
    waits = journey(WaitWhile("hold", in_vip, None, "_end", "bye"), send("bye", "_end"), name="waits", waits_while=True)
    lost = journey(Wait("pause", HOUR, "_end"), trigger=OnSegment("vip", enters=False), name="lost")
    given = profile_set(waits, lost)
    customer = reachable(segments={"vip": START}, aligned="rules", last_at_ms=START)
    apply_event(given, customer, Event("registered", "e1", "c1", {}), START, Effects())
    assert [instance.step for instance in customer.instances] == ["hold"]
    nobody = replace(as_it_is("vip"), when=lambda _: False)
    effects = Effects()
    anew = replace(given, tracked=Tracked(segments=(as_it_is("lapsing"), nobody)), alignment="anew")
    assert bring_in_line(anew, customer, "c1", START + HOUR, effects)
    assert [action.step for action in effects.actions] == ["bye"]
    assert (customer.segments, customer.instances) == ({}, [])
