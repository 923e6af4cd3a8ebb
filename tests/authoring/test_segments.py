"""Segments: who is in them at every instant, and what coming in and going out leads to."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.compiler import Compilation, compile_journeys, with_pinned
from orchestrator.authoring.durations import DAY_MS, HOUR_MS
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.sources import Sources
from orchestrator.authoring.tracking import listed_aggregates
from orchestrator.engine.align import align
from orchestrator.engine.turn import Turn
from orchestrator.model.actions import Effects, Transition
from orchestrator.model.customer import NEVER_MS, Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from tests.authoring.cases import fixture_events, fixture_sources

EVENTS = fixture_events().types
START = 1_772_442_000_000
GREETING = """
journey: greeting
owner: lifecycle@shop.example
status: live
entry: {segment: vip, when: enters, reentry: always}
exit:
  - when: not segment.vip
steps:
  pause: {wait: 365 days}
"""
FAREWELL = """
journey: farewell
owner: lifecycle@shop.example
status: live
entry: {segment: vip, when: leaves, reentry: always}
steps:
  pause: {wait: 1 hour}
"""

MARKING = """
journey: marking
owner: lifecycle@shop.example
status: live
entry: {on: cart_updated}
steps:
  mark: {set: {is_marked: true}}
"""


def compiled(segments: str, **journeys: str) -> Compilation:
    rules = {
        path: text for path, text in fixture_sources().files.items() if path.endswith(("profile.yaml", "channels.yaml"))
    }
    files = {f"{name}.yaml": text for name, text in journeys.items()}
    return compile_journeys(Sources(files={**rules, **files, "segments.yaml": f"segments:\n{segments}"}), EVENTS)


def a_set(segments: str, **journeys: str) -> JourneySet:
    compilation = compiled(segments, **(journeys or {"greeting": GREETING, "farewell": FAREWELL}))
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys


def order(number: int, total: str = "10", event_id: str = "") -> Event:
    fields = {"total": Decimal(total), "currency": "EUR", "cart_id": f"c{number}", "occurred_at": START}
    return Event("order_placed", event_id or f"e{number}", "ada", fields)


def registered(number: int = 0) -> Event:
    fields = {"email": "a@example.com", "spent": Decimal(0), "phone": None, "first_name": "Ada", "birthday": None}
    return Event("customer_registered", f"r{number}", "ada", fields)


def said(transitions: list[Transition]) -> list[tuple[str, str, int]]:
    return [(t.journey, t.kind, t.at_ms - START) for t in transitions if t.kind in {"entered", "exited"}]


VIP = "  vip: {when: 'sum(order_placed.total, 30 days) >= 100'}\n"


def test_a_window_that_slides_past_an_event_ends_membership_without_an_event() -> None:
    engine = OfflineEngine(a_set(VIP))
    seen = said(engine.apply(START, order(1, "60")).transitions)
    assert seen == []
    seen = said(engine.apply(START + DAY_MS, order(2, "60")).transitions)
    assert seen == [("greeting", "entered", DAY_MS)]
    assert engine.customers["ada"].segments == {"vip": START + DAY_MS}
    seen = said(engine.advance(START + 30 * DAY_MS - 1).transitions)
    assert seen == []
    seen = said(engine.advance(START + 30 * DAY_MS).transitions)
    assert seen == [("greeting", "exited", 30 * DAY_MS), ("farewell", "entered", 30 * DAY_MS)]
    assert engine.customers["ada"].segments == {}


def test_days_since_lets_in_on_the_day_and_wakes_nobody_before() -> None:
    engine = OfflineEngine(a_set("  vip: {when: days_since(order_placed) >= 60}\n"))
    engine.apply(START, order(1))
    assert engine.next_wake() == (START + 60 * DAY_MS, b"ada")
    engine.apply(START + DAY_MS, order(2))
    assert engine.next_wake() == (START + 61 * DAY_MS, b"ada")
    seen = said(engine.advance(START + 61 * DAY_MS).transitions)
    assert seen == [("greeting", "entered", 61 * DAY_MS)]
    assert engine.customers["ada"].clocks == {}, "after that, time changes nothing any more"
    seen = said(engine.apply(START + 70 * DAY_MS, order(3)).transitions)
    assert seen == [("greeting", "exited", 70 * DAY_MS), ("farewell", "entered", 70 * DAY_MS)]


def test_a_count_wakes_only_when_it_crosses_its_number() -> None:
    engine = OfflineEngine(a_set("  vip: {when: 'count(order_placed, 10 days) >= 2'}\n"))
    for day in range(5):
        engine.apply(START + day * DAY_MS, order(day))
    assert engine.customers["ada"].clocks == {"segment:vip": START + 13 * DAY_MS}


def test_a_segment_of_segments_changes_with_them() -> None:
    lapsed = "  vip: {when: segment.buyer and not segment.recent}\n  buyer: {when: count(order_placed) > 0}\n"
    engine = OfflineEngine(a_set(lapsed + "  recent: {when: 'count(order_placed, 7 days) > 0'}\n"))
    engine.apply(START, order(1))
    assert sorted(engine.customers["ada"].segments) == ["buyer", "recent"]
    seen = said(engine.advance(START + 7 * DAY_MS).transitions)
    assert seen == [("greeting", "entered", 7 * DAY_MS)]
    assert sorted(engine.customers["ada"].segments) == ["buyer", "vip"]


def test_a_profile_that_a_step_changes_changes_segments_at_once() -> None:
    journeys = a_set("  vip: {when: profile.is_marked}\n", greeting=GREETING, marking=MARKING)
    engine = OfflineEngine(journeys)
    event = Event("cart_updated", "e1", "ada", {"cart_id": "c1"})
    seen = said(engine.apply(START, event).transitions)
    assert seen == [("marking", "entered", 0), ("marking", "exited", 0), ("greeting", "entered", 0)]


def test_journeys_that_open_each_other_without_end_are_stopped_and_that_is_recorded() -> None:
    def flip(name: str, way: str, value: str) -> str:
        return f"""
journey: {name}
owner: lifecycle@shop.example
status: live
entry: {{segment: vip, when: {way}, reentry: always}}
steps:
  flip: {{set: {{is_marked: {value}}}}}
"""

    start = MARKING.replace("marking", "start")
    journeys = a_set(
        "  vip: {when: profile.is_marked}\n",
        on=flip("on", "leaves", "true"),
        off=flip("off", "enters", "false"),
        start=start,
    )
    engine = OfflineEngine(journeys)
    effects = engine.apply(START, Event("cart_updated", "e1", "ada", {"cart_id": "c1"}))
    assert [failure.detail for failure in effects.failures] == ["passages open and end each other without end"]
    assert len(effects.transitions) < 1_000


def test_so_are_those_whose_messages_compete() -> None:
    """A passage that comes to a message waits for the others, and changes the profile only after that."""

    def flip(name: str, way: str, value: str) -> str:
        send = "say: {send: email, template: reminder, with: {value: '1'}}"
        return f"""
journey: {name}
owner: lifecycle@shop.example
status: live
entry: {{segment: vip, when: {way}, reentry: always}}
steps:
  {send}
  flip: {{set: {{is_marked: {value}}}}}
"""

    own = {"on.yaml": flip("on", "leaves", "true"), "off.yaml": flip("off", "enters", "false")}
    files = {path: text for path, text in fixture_sources().files.items() if not path.startswith("cart")}
    segments = "segments:\n  vip: {when: profile.is_marked}\n"
    marking = {"start.yaml": MARKING.replace("marking", "start"), "segments.yaml": segments}
    compilation = compile_journeys(Sources(files={**files, **own, **marking}), EVENTS)
    assert compilation.journeys is not None, compilation.problems
    assert compilation.journeys.caps, "so that messages compete"
    engine = OfflineEngine(compilation.journeys)
    effects = engine.apply(START, Event("cart_updated", "e1", "ada", {"cart_id": "c1"}))
    assert {failure.detail for failure in effects.failures} == {"passages open and end each other without end"}
    assert all(instance.timer_at_ms < NEVER_MS for instance in engine.customers["ada"].instances)
    assert len(effects.transitions) < 1_000


def test_consent_that_is_taken_back_ends_membership_with_the_same_event() -> None:
    engine = OfflineEngine(a_set("  vip: {when: consent.email}\n"))
    for number, granted in enumerate((True, False)):
        fields = {"channel": "email", "granted": granted}
        engine.apply(START + number, Event("consent_changed", f"e{number}", "ada", fields))
        assert ("vip" in engine.customers["ada"].segments) is granted


def test_a_schedule_lets_in_who_is_in_its_segment_by_then() -> None:
    daily = GREETING.replace("{segment: vip, when: enters, ", '{schedule: "0 12 * * *", segment: vip, zone: UTC, ')
    engine = OfflineEngine(a_set("  vip: {when: 'count(order_placed, 30 hours) > 0'}\n", greeting=daily))
    engine.apply(START, registered())
    assert said(engine.advance(START + DAY_MS).transitions) == []
    engine.apply(START + DAY_MS, order(1))
    noon = 3 * HOUR_MS
    seen = said(engine.advance(START + 4 * DAY_MS).transitions)
    assert seen == [("greeting", "entered", DAY_MS + noon), ("greeting", "exited", DAY_MS + 30 * HOUR_MS)]


def test_a_condition_that_cannot_be_evaluated_does_not_hold_and_that_is_recorded() -> None:
    engine = OfflineEngine(a_set("  vip: {when: 1 / count(cart_updated) < 5}\n"))
    effects = engine.apply(START, registered())
    assert [failure.detail.split(":")[0] for failure in effects.failures] == ["ZeroDivisionError in segment vip"]
    assert engine.customers["ada"].segments == {}


def test_a_new_customer_who_is_in_from_the_start_enters() -> None:
    engine = OfflineEngine(a_set("  vip: {when: count(order_placed) == 0}\n"))
    assert said(engine.apply(START, registered()).transitions) == [("greeting", "entered", 0)]


def test_customers_who_are_known_become_members_of_a_new_segment_without_entering() -> None:
    engine = OfflineEngine(a_set("  vip: {when: 'count(order_placed, 300 days) > 5'}\n"))
    engine.apply(START, order(1))
    assert engine.customers["ada"].segments == {}
    engine.journeys = with_pinned(a_set("  vip: {when: 'count(order_placed, 300 days) > 0'}\n"), [engine.journeys])
    seen = said(engine.apply(START + 1, registered()).transitions)
    assert seen == []
    assert engine.customers["ada"].segments == {"vip": START + 1}
    assert said(engine.advance(START + 300 * DAY_MS).transitions) == [("farewell", "entered", 300 * DAY_MS)]


def test_what_no_journey_uses_any_more_is_forgotten() -> None:
    engine = OfflineEngine(a_set(VIP))
    engine.apply(START, order(1, "200"))
    customer = engine.customers["ada"]
    assert (len(customer.aggregates), len(customer.segments), len(customer.clocks)) == (1, 1, 1)
    customer.instances = []
    engine.journeys = a_set("  vip: {when: consent.email}\n")
    engine.apply(START + 1, order(2))
    assert (customer.aggregates, customer.segments, customer.clocks) == ({}, {}, {})


def test_aligning_twice_changes_nothing() -> None:
    engine = OfflineEngine(a_set(VIP))
    engine.apply(START, order(1, "200"))
    customer = engine.customers["ada"]
    before = encode_customer(customer)
    align(Turn(engine.journeys, customer, "ada", {}, None, START, Effects()))
    assert encode_customer(customer) == before


def test_a_segment_that_nobody_uses_is_checked_and_costs_nothing() -> None:
    journeys = a_set(VIP, farewell=FAREWELL.replace("segment: vip, when: leaves", "on: order_placed"))
    assert journeys.tracked is None
    assert list(journeys.segments) == ["vip"]
    broken = compiled("  vip: {when: count(order_plced) > 1}\n", farewell=FAREWELL).problems
    assert [problem.code for problem in broken] == ["J201"]


def test_a_version_is_another_one_if_a_segment_that_it_looks_at_is() -> None:
    greetings = [a_set(f"  vip: {{when: count(order_placed) > {n}}}\n").current for n in (1, 2)]
    assert greetings[0]["greeting"].version != greetings[1]["greeting"].version
    assert greetings[0]["farewell"].version == greetings[1]["farewell"].version, "it only lets in"


def test_customers_inside_an_older_version_keep_the_segment_that_it_looks_at() -> None:
    older = a_set(VIP)
    current = a_set(
        "  gone: {when: consent.email}\n", farewell=FAREWELL.replace("segment: vip, when: leaves", "on: order_placed")
    )
    both = with_pinned(current, [older])
    assert both.tracked is not None
    assert [segment.name for segment in both.tracked.segments] == ["vip"]
    assert list(listed_aggregates(both)) == ["sum(order_placed.total, 30 days)"]


@pytest.mark.parametrize(
    ("condition", "codes"),
    [
        ("segment.gold", ["J250"]),
        ("event.total > 5", ["J212"]),
        ("entry.total > 5", ["J212"]),
        ("steps.a.visits > 5", ["J212"]),
        ("count(order_placed)", ["J401"]),
        ("profile.nothing == 1", ["J207"]),
        ("days_since(order_placed) in [1, 2]", ["J445"]),
        ("(days_since(order_placed) ?? 999) >= 60", []),
        ("60 <= days_since(order_placed) and not consent.email", []),
    ],
)
def test_what_is_wrong_with_a_segment_is_said(condition: str, codes: list[str]) -> None:
    found = compiled(f'  vip: {{when: "{condition}"}}\n', greeting=GREETING).problems
    assert [problem.code for problem in found] == codes


CONDITIONS: dict[str, Callable[[list[tuple[int, Decimal]], int], bool]] = {
    "count(order_placed, 5 hours) >= 2": lambda past, now: len(inside(past, now, 5)) >= 2,
    "count(order_placed, 5 hours) == 1": lambda past, now: len(inside(past, now, 5)) == 1,
    "2 < count(order_placed, 5 hours)": lambda past, now: len(inside(past, now, 5)) > 2,
    "count(order_placed, 5 hours) <= 1.5": lambda past, now: len(inside(past, now, 5)) <= 1,
    "count(order_placed, 5 hours) < 3": lambda past, now: len(inside(past, now, 5)) < 3,
    "count(order_placed where event.total > 20, 3 hours) != 1": lambda past, now: (
        len([v for v in inside(past, now, 3) if v > 20]) != 1
    ),
    "sum(order_placed.total, 4 hours) > 50": lambda past, now: sum(inside(past, now, 4)) > 50,
    "avg(order_placed.total, 6 hours) >= 25": lambda past, now: (
        bool(values := inside(past, now, 6)) and sum(values) / len(values) >= 25
    ),
    "max(order_placed.total, 4 hours) - min(order_placed.total, 4 hours) > 10": lambda past, now: (
        bool(values := inside(past, now, 4)) and max(values) - min(values) > 10
    ),
    "last(order_placed.total, 2 hours) > 20 or first(order_placed.total, 7 hours) > 30": lambda past, now: (
        (bool(two := inside(past, now, 2)) and two[-1] > 20) or (bool(seven := inside(past, now, 7)) and seven[0] > 30)
    ),
    "distinct(order_placed.total, 5 hours) == 2": lambda past, now: len(set(inside(past, now, 5))) == 2,
    "days_since(order_placed) >= 1": lambda past, now: bool(past) and now - past[-1][0] >= DAY_MS,
    "days_since(order_placed) == 1 or (days_since(order_placed) ?? 9) > 2.5": lambda past, now: (
        not past or (now - past[-1][0]) // DAY_MS == 1 or now - past[-1][0] >= 3 * DAY_MS
    ),
    "segment.base and count(order_placed, 2 hours) == 0": lambda past, now: (
        len(inside(past, now, 6)) > 0 and len(inside(past, now, 2)) == 0
    ),
}


def inside(past: list[tuple[int, Decimal]], now: int, hours: int) -> list[Decimal]:
    return [value for at_ms, value in past if at_ms > now - hours * HOUR_MS]


SETS = {
    condition: a_set(f"  vip: {{when: '{condition}'}}\n  base: {{when: 'count(order_placed, 6 hours) > 0'}}\n")
    for condition in CONDITIONS
}

MOMENTS = st.lists(
    st.tuples(
        st.integers(0, 16).map(lambda quarters: quarters * HOUR_MS // 4) | st.integers(0, 30 * HOUR_MS),
        st.integers(1, 60),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("condition", CONDITIONS)
@settings(max_examples=30, deadline=None)
@given(moments=MOMENTS)
def test_membership_is_at_every_instant_what_the_whole_past_says(condition: str, moments: list[Any]) -> None:
    """Random orders, some delivered twice, with a restart after each: who is in, and when that changed, is what looking
    through the whole log at every instant at which anything can change says.
    """
    engine = OfflineEngine(SETS[condition])
    past: list[tuple[int, Decimal]] = []
    now_ms = START
    engine.apply(now_ms, registered())
    for number, (gap_ms, total, is_twice) in enumerate(moments):
        target = now_ms + gap_ms
        edges = {at + hours * HOUR_MS for at, _ in past for hours in (2, 3, 4, 5, 6, 7)}
        edges |= {at + days * DAY_MS for at, _ in past for days in (1, 2, 3)}
        for instant in sorted({e + d for e in edges for d in (-1, 0)} | {target - 1}):
            if now_ms <= instant < target:
                now_ms = instant
                engine.advance(now_ms)
                check(engine, condition, past, now_ms)
        now_ms = target
        for _ in range(1 + is_twice):
            engine.apply(now_ms, order(number, str(total)))
        past.append((now_ms, Decimal(total)))
        check(engine, condition, past, now_ms)
        engine.put("ada", decode_customer(encode_customer(engine.customers["ada"])))


def check(engine: OfflineEngine, condition: str, past: list[tuple[int, Decimal]], now_ms: int) -> None:
    customer: Customer = engine.customers["ada"]
    assert ("vip" in customer.segments) == CONDITIONS[condition](past, now_ms), (now_ms - START, customer)
    is_inside = any(instance.journey == "greeting" for instance in customer.instances)
    assert is_inside == ("vip" in customer.segments), "entry and exit by the segment follow it"
