"""Exits and waits that ask for past events end as soon as time alone has changed what they ask for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.compiler import compile_journeys, with_pinned
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.pause_source import with_paused
from orchestrator.authoring.sources import Sources
from orchestrator.model.actions import Transition
from orchestrator.model.customer import ACTIVE, PAUSED
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from tests.authoring.cases import fixture_events, fixture_sources
from tests.engine.build import DAY, HOUR, START

EVENTS = fixture_events().types
LEAVING = """
journey: leaving
owner: lifecycle@shop.example
status: live
entry: {{on: cart_updated, reentry: always}}
exit:
  - when: {condition}
steps:
  pause: {{wait: 400 days}}
"""
WAITING = """
journey: waiting
owner: lifecycle@shop.example
status: live
entry: {{on: cart_updated, reentry: always}}
steps:
  pause: {{wait: 1 hour}}
  busy: {{wait_while: "not ({condition})", timeout: 400 days}}
  after: {{wait: 400 days}}
"""
CONDITIONS = [
    "count(order_placed, 3 days) < 2",
    "sum(order_placed.total, 3 days) < 8",
    "days_since(order_placed) >= 2",
    "max(order_placed.total, 2 days) == null and count(order_placed) > 0",
    "distinct(order_placed.cart_id, 1 day) <= 1 or not consent.email and count(order_placed, 5 days) == 1",
    "days_since(order_placed) >= count(order_placed, 4 days)",
]


def compiled(condition: str, *, is_segment: bool = False, takes_along: bool = False) -> JourneySet:
    """Two journeys that wait for the condition; in a segment, whose moments are known to be right, or directly."""
    files = {path: text for path, text in fixture_sources().files.items() if path in {"profile.yaml", "channels.yaml"}}
    text = "segment.ready" if is_segment else condition
    files |= {"leaving.yaml": LEAVING.format(condition=text), "waiting.yaml": WAITING.format(condition=text)}
    if takes_along:
        files |= {
            path: text + "migrate: {from: any}\n"
            for path, text in files.items()
            if path in {"leaving.yaml", "waiting.yaml"}
        }
    if is_segment:
        files["segments.yaml"] = f"segments:\n  ready: {{when: '{condition}'}}\n"
    compilation = compile_journeys(Sources(files=files), EVENTS)
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys


def event(kind: str, number: int) -> Event:
    fields = {"cart_id": f"c{number % 3}", "value": 1, "total": number % 6, "items": []}
    return Event(kind, f"e{number}", "ada", fields)


def told(journeys: JourneySet, log: list[tuple[str, int]], *, in_steps: bool) -> list[tuple[str, str, str, str, int]]:
    """What happens, in order; with `in_steps` time is looked at often, otherwise only when an event comes."""
    engine, at_ms, made = OfflineEngine(journeys), START, list[Transition]()
    for number, (kind, gap_ms) in enumerate(log):
        if in_steps:
            for part in range(1, 5):
                made += engine.advance(at_ms + gap_ms * part // 5).transitions
        at_ms += gap_ms
        made += engine.apply(at_ms, event(kind, number)).transitions
    made += engine.advance(at_ms + 30 * DAY).transitions
    return sorted((t.journey, t.kind, t.step, t.reason, t.at_ms) for t in made)


LOGS = st.lists(
    st.tuples(st.sampled_from(["order_placed", "order_placed", "cart_updated"]), st.integers(1, 30 * HOUR)),
    max_size=25,
)


@pytest.mark.parametrize("condition", [c for c in CONDITIONS if "days_since(order_placed) >= count" not in c])
@settings(max_examples=30)
@given(log=LOGS)
def test_a_condition_ends_what_waits_for_it_when_a_segment_of_the_same_condition_would(
    condition: str, log: list[tuple[str, int]]
) -> None:
    direct, by_segment = compiled(condition), compiled(condition, is_segment=True)
    assert told(direct, log, in_steps=False) == told(by_segment, log, in_steps=False)


@pytest.mark.parametrize("condition", CONDITIONS)
@settings(max_examples=15)
@given(log=LOGS)
def test_it_does_not_matter_when_somebody_looks(condition: str, log: list[tuple[str, int]]) -> None:
    journeys = compiled(condition)
    assert told(journeys, log, in_steps=True) == told(journeys, log, in_steps=False)


def test_days_that_are_compared_with_more_than_a_number_are_looked_at_every_day() -> None:
    log = [("order_placed", 1), ("order_placed", HOUR), ("cart_updated", HOUR)]
    ends = [t for t in told(compiled(CONDITIONS[-1]), log, in_steps=False) if t[:2] == ("leaving", "exited")]
    # Two orders within four days: two whole days after the second one.
    assert [at_ms for *_, at_ms in ends] == [START + 1 + HOUR + 2 * DAY]


def test_an_older_version_that_waits_for_time_alone_goes_on_doing_so() -> None:
    older = compiled(CONDITIONS[0])
    current = compiled("consent.sms")
    assert (older.has_slides, current.has_slides) == (True, False)
    engine = OfflineEngine(older)
    for number in range(2):
        engine.apply(START + number, event("order_placed", number))
    engine.apply(START + 2, event("cart_updated", 2))
    assert sorted(engine.customers["ada"].clocks) == ["slide:1"]
    engine.journeys = replace(with_pinned(current, [older]), alignment="other")
    engine.bring_in_line(START + DAY)
    # The first order goes out of the window.
    left = [t.at_ms for t in engine.advance(START + 9 * DAY).transitions if t.kind == "exited"]
    assert left == [START + 3 * DAY]
    assert not any(name.startswith("slide") for name in engine.customers["ada"].clocks)


def test_a_clock_that_is_due_as_other_journeys_come_into_force_still_fires() -> None:
    journeys = compiled(CONDITIONS[0])
    engine = OfflineEngine(journeys)
    for number in range(2):
        engine.apply(START + number, event("order_placed", number))
    engine.apply(START + 2, event("cart_updated", 2))
    engine.journeys = replace(journeys, alignment="other")
    assert [t.at_ms for t in engine.advance(START + 9 * DAY).transitions if t.kind == "exited"] == [START + 3 * DAY]


def inside() -> OfflineEngine:
    """A customer with two orders of one instant, whose passages both end three days after: one waits, one may exit."""
    engine = OfflineEngine(compiled(CONDITIONS[0]))
    for number in range(2):
        engine.apply(START, event("order_placed", number))
    engine.apply(START, event("cart_updated", 2))
    engine.advance(START + DAY)
    assert engine.customers["ada"].clocks == {"slide:1": START + 3 * DAY, "slide:2": START + 3 * DAY}
    return engine


def ends(transitions: list[Transition]) -> list[tuple[str, str, int]]:
    """How passages end or go on, and when; not that they stand still."""
    return [(t.journey, t.reason, t.at_ms) for t in transitions if t.kind not in {"paused", "resumed"}]


def switched(engine: OfflineEngine, journeys: JourneySet, at_ms: int) -> list[Transition]:
    engine.journeys = journeys
    return engine.bring_in_line(at_ms).transitions + engine.advance(at_ms).transitions


@pytest.mark.parametrize("resumed_ms", [2 * DAY, 3 * DAY, 10 * DAY])
def test_a_window_wakes_no_passage_that_stands_still(resumed_ms: int) -> None:
    engine = inside()
    live = engine.journeys
    made = switched(engine, with_paused(live, ["leaving", "waiting"]), START + DAY)
    assert [t.kind for t in made] == ["paused", "paused"]
    assert engine.customers["ada"].clocks == {}
    during = engine.advance(START + resumed_ms)
    assert (during.timers_fired, during.transitions) == (0, [])
    assert {one.state for one in engine.customers["ada"].instances} == {PAUSED}
    # It counts again from when they go on: at once, if it happened in the pause, and otherwise at its instant.
    after = switched(engine, live, START + resumed_ms) + engine.advance(START + 20 * DAY).transitions
    at_ms = START + max(resumed_ms, 3 * DAY)
    assert sorted(ends(after)) == [("leaving", "exit_condition", at_ms), ("waiting", "over", at_ms)]


def test_events_in_a_pause_set_no_clock_and_journeys_that_run_keep_theirs() -> None:
    engine = inside()
    switched(engine, with_paused(engine.journeys, ["leaving"]), START + DAY)
    numbers = {one.journey: one.number for one in engine.customers["ada"].instances}
    assert engine.customers["ada"].clocks == {f"slide:{numbers['waiting']}": START + 3 * DAY}
    engine.apply(START + 2 * DAY, event("order_placed", 3))
    assert list(engine.customers["ada"].clocks) == [f"slide:{numbers['waiting']}"]
    after = engine.advance(START + 20 * DAY).transitions
    assert ends(after) == [("waiting", "over", START + 3 * DAY)]


def test_a_pause_of_the_very_instant_comes_before_the_window() -> None:
    engine = inside()
    engine.journeys = with_paused(engine.journeys, ["leaving", "waiting"])
    made = engine.advance(START + 20 * DAY).transitions
    assert [(t.kind, t.at_ms) for t in made] == [("paused", START + 3 * DAY)] * 2
    assert engine.customers["ada"].clocks == {}


def test_passages_that_change_over_go_by_the_window_of_their_new_version() -> None:
    engine = inside()
    engine.apply(START + DAY, event("order_placed", 3))
    current = compiled("count(order_placed, 3 days) < 1", takes_along=True)
    engine.journeys = replace(with_pinned(current, [engine.journeys]), alignment="other")
    made = engine.bring_in_line(START + 2 * DAY).transitions
    assert {t.kind for t in made} == {"migrated"}
    assert {one.state for one in engine.customers["ada"].instances} == {ACTIVE}
    assert set(engine.customers["ada"].clocks.values()) == {START + 4 * DAY}
    left = ends(engine.advance(START + 20 * DAY).transitions)
    assert left == [("leaving", "exit_condition", START + 4 * DAY), ("waiting", "over", START + 4 * DAY)]


def test_journeys_whose_conditions_time_does_not_change_have_no_such_clocks() -> None:
    engine = OfflineEngine(compiled("count(order_placed) > 3"))
    assert not engine.journeys.has_slides
    engine.apply(START, event("cart_updated", 1))
    assert engine.customers["ada"].clocks == {}
