"""Entry conditions tell journeys apart by what they ask first: an event reaches those alone that it may concern."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.expression_nodes import Names
from orchestrator.authoring.expressions import asked_first, check_expression
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.engine.entry import worth_asking
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.types import BOOLEAN, DECIMAL, INTEGER, STRING, EventType, Type
from tests.authoring.cases import fixture_events, fixture_sources

FIELDS: dict[str, Type] = {
    "shop": STRING,
    "floor": INTEGER,
    "is_gift": BOOLEAN,
    "value": DECIMAL,
    "note": replace(STRING, nullable=True),
}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("event.shop == 'north'", ("shop", {"north"})),
        ("'north' == event.shop and event.value > 3", ("shop", {"north"})),
        ("(event.floor == 2 and event.is_gift) and event.value / 0.5 > 1", ("floor", {2})),
        ("event.shop in ['north', 'south'] and event.floor == 1", ("shop", {"north", "south"})),
        ("event.note == null", ("note", {None})),
        ("event.shop != 'north'", None),
        ("not (event.shop == 'north')", None),
        ("event.shop == 'north' or event.floor == 2", None),
        ("event.value > 3 and event.shop == 'north'", None),
        ("event.value == 3", None),
        ("lower(event.shop) == 'north'", None),
        ("event.shop == event.note", None),
        ("event.shop in ['north', event.note]", None),
        ("event.is_gift", None),
    ],
)
def test_what_a_condition_asks_for_first(condition: str, expected: object) -> None:
    checked, problems = check_expression(condition, Names(event=EventType("e", FIELDS, "")))
    assert checked is not None, problems
    assert asked_first(checked.node) == expected


def shops(*conditions: str) -> JourneySet:
    """Journeys a, b, c, … that a cart with this condition lets customers into."""
    files = {
        f"{name}.yaml": f"""\
journey: {name}
owner: o@shop.example
status: live
entry: {{on: cart_updated, where: "{condition}"}}
steps: {{rest: {{wait: 1 day}}}}
"""
        for name, condition in zip("abcdef", conditions, strict=False)
    }
    found = compile_journeys(fixture_sources(files), fixture_events().types)
    assert found.journeys is not None, found.problems
    return found.journeys


MIXED = (
    "event.cart_id == 'x'",
    "event.value > 1",
    "event.customer_id in ['ann', 'bob']",
    "event.cart_id in ['x', 'y']",
    "event.cart_id == 'y' and event.value > 1",
)


def asked(journeys: JourneySet, cart_id: str, customer_id: str) -> str:
    fields = {"cart_id": cart_id, "customer_id": customer_id}
    found = worth_asking(journeys.entry_indexes["cart_updated"], fields)
    return "".join(journey.name for journey in found if len(journey.name) == 1)


def test_journeys_are_asked_in_name_order_and_none_that_the_event_cannot_concern() -> None:
    journeys = shops(*MIXED)
    assert asked(journeys, "x", "ann") == "abcd"
    assert asked(journeys, "y", "eve") == "bde"
    assert asked(journeys, "z", "eve") == "b"


def test_it_makes_no_difference_to_what_is_decided() -> None:
    journeys = shops(*MIXED)
    asking_all = replace(journeys, entry_indexes={})
    for number, (cart_id, customer_id) in enumerate((c, who) for c in "xyz" for who in ("ann", "eve")):
        fields = {"cart_id": cart_id, "customer_id": customer_id, "value": 2, "items": []}
        event = Event("cart_updated", f"e{number}", customer_id, fields)
        results = [OfflineEngine(each).apply(1_000, event).transitions for each in (journeys, asking_all)]
        assert results[0] == results[1] != []


def test_a_condition_that_fails_is_recorded_under_the_number_that_the_passage_would_have() -> None:
    journeys = shops("event.value / (event.value - event.value) > 1")
    event = Event("cart_updated", "e1", "ann", {"cart_id": "x", "customer_id": "ann", "value": 2, "items": []})
    effects = OfflineEngine(journeys).apply(1_000, event)
    failed = [made for made in effects.transitions if made.journey == "a"]
    assert [(made.kind, made.instance, made.step) for made in failed] == [("failed", 1, "entry")]
    assert len(effects.failures) == 1
