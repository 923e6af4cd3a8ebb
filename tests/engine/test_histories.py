"""What was before an aggregate was kept comes as an event, is added once, and lets nobody in unless it says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.sources import Sources
from orchestrator.authoring.tracking import listed_aggregates
from orchestrator.engine.histories import REBUILT
from orchestrator.model.aggregates import encode_kept
from orchestrator.model.customer import Customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from tests.authoring.cases import fixture_events, fixture_sources
from tests.engine.build import DAY, START

COUNT, SINCE = "count(order_placed, 30 days)", "days_since(order_placed)"
REGULARS = """
journey: regulars
owner: lifecycle@shop.example
status: live
entry: {segment: regular, when: enters}
exit:
  - when: not segment.regular
steps:
  pause: {wait: 100 days}
"""
SEGMENTS = f"""
segments:
  regular: {{when: '{COUNT} >= 3'}}
  quiet: {{when: '{SINCE} >= 9 or {COUNT} == 0'}}
"""
LEAVERS = REGULARS.replace("regulars", "quiet_ones").replace("regular", "quiet")


def a_set() -> JourneySet:
    files = {path: text for path, text in fixture_sources().files.items() if path in {"profile.yaml", "channels.yaml"}}
    files |= {"segments.yaml": SEGMENTS, "regulars.yaml": REGULARS, "quiet_ones.yaml": LEAVERS}
    journeys = compile_journeys(Sources(files=files), fixture_events().types).journeys
    assert journeys is not None
    return replace(journeys, wanted=journeys.wanted | {REBUILT})


JOURNEYS = a_set()
KEYS = {text: aggregate.key for text, aggregate in listed_aggregates(JOURNEYS).items()}


def rebuilt(kept: dict[str, Any], event_id: str = "r1", *, since: int = 0, lets_in: bool = False) -> Event:
    parts = [{"key": KEYS[name], "since": since, "kept": encode_kept(what)} for name, what in kept.items()]
    return Event(REBUILT, event_id, "ada", {"aggregates": parts, "lets_in": lets_in})


def past_of(*days: int, event_id: str = "r1", **more: Any) -> Event:
    pairs = [part for day in days for part in (START + day * DAY, 1)]
    return rebuilt({COUNT: pairs, SINCE: START + days[-1] * DAY}, event_id, **more)


def order(engine: OfflineEngine, day: int) -> None:
    engine.apply(START + day * DAY, Event("order_placed", f"o{day}", "ada", {"cart_id": "c", "total": 5}))


def standing(engine: OfflineEngine) -> tuple[set[str], set[str]]:
    """The customer's segments and journeys."""
    customer = engine.customers["ada"]
    return set(customer.segments), {instance.journey for instance in customer.instances}


def count_of(engine: OfflineEngine) -> int:
    return sum(engine.customers["ada"].aggregates[KEYS[COUNT]][1::2])


def test_the_past_is_added_once_and_makes_members_without_letting_them_in() -> None:
    engine = OfflineEngine(JOURNEYS)
    order(engine, 20)
    engine.apply(START + 21 * DAY, past_of(1, 2, 3))
    assert count_of(engine) == 4
    assert standing(engine) == ({"regular"}, set())
    # Another run of the command, or the same event once more, long after its id was forgotten.
    engine.apply(START + 21 * DAY, past_of(1, 2, 3, event_id="r2"))
    assert count_of(engine) == 4
    # As time goes by it is as if it had been kept from the beginning: out at day 33, with the second order's end.
    engine.advance(START + 32 * DAY - 1)
    assert "regular" in standing(engine)[0]
    engine.advance(START + 32 * DAY)
    assert "regular" not in standing(engine)[0]


def test_customers_are_let_in_where_the_event_says_so() -> None:
    engine = OfflineEngine(JOURNEYS)
    order(engine, 20)
    engine.apply(START + 21 * DAY, past_of(1, 2, 3, lets_in=True))
    assert standing(engine) == ({"regular"}, {"regulars"})


def test_who_is_not_known_yet_becomes_a_member_and_enters_nothing() -> None:
    engine = OfflineEngine(JOURNEYS)
    engine.apply(START + 10 * DAY, past_of(1))
    assert standing(engine) == ({"quiet"}, set())
    assert engine.customers["ada"].aggregates[KEYS[SINCE]] == START + DAY


def test_a_passage_whose_exit_condition_holds_by_it_ends() -> None:
    engine = OfflineEngine(JOURNEYS)
    for day in (20, 21, 22):
        order(engine, day)
    assert standing(engine)[1] == {"regulars"}
    engine.journeys = replace(JOURNEYS, resumed={KEYS[COUNT]: 7}, alignment="with a gap")
    engine.bring_in_line(START + 23 * DAY)
    engine.apply(START + 23 * DAY, past_of(1, since=0))
    assert standing(engine) == ({"quiet"}, set()), "what was kept before the gap is gone, and the passage with it"


def test_what_was_kept_before_a_gap_is_forgotten_and_a_past_made_for_other_journeys_is_not_added() -> None:
    engine = OfflineEngine(JOURNEYS)
    order(engine, 20)
    engine.journeys = replace(JOURNEYS, resumed={KEYS[COUNT]: 7}, alignment="with a gap")
    order(engine, 21)
    assert count_of(engine) == 1
    engine.apply(START + 22 * DAY, past_of(1, 2, since=0))
    assert count_of(engine) == 1
    engine.apply(START + 22 * DAY, past_of(1, 2, event_id="r2", since=7))
    assert count_of(engine) == 3
    engine.bring_in_line(START + 23 * DAY)
    assert count_of(engine) == 3


@pytest.mark.parametrize("kept", ["no base64!", encode_kept({"a": 1}), encode_kept(["x"]), encode_kept("text")])
def test_a_past_that_cannot_be_read_is_recorded_and_changes_nothing(kept: str) -> None:
    engine = OfflineEngine(JOURNEYS)
    order(engine, 20)
    parts = [{"key": KEYS[COUNT], "since": 0, "kept": kept}, {"key": "unknown", "since": 0, "kept": kept}]
    effects = engine.apply(START + 21 * DAY, Event(REBUILT, "r1", "ada", {"aggregates": parts}))
    assert [failure.step for failure in effects.failures] == [REBUILT]
    assert count_of(engine) == 1
    assert engine.customers["ada"].histories == {}


def test_a_customer_without_such_aggregates_keeps_a_short_record() -> None:
    assert Customer().histories == {}
