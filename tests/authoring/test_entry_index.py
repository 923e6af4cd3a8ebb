"""Entry conditions tell journeys apart by what they ask first: an event reaches those alone that it may concern."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.entry_needs import needs_of
from orchestrator.authoring.expression_nodes import Names
from orchestrator.authoring.expressions import check_expression, compile_checked
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.engine.entry_index import index_of, worth_asking
from orchestrator.model.events import Event
from orchestrator.model.journey import Exit, JourneySet, Scope
from orchestrator.model.triggers import Need, Range
from orchestrator.model.types import BOOLEAN, DECIMAL, FLOAT, INTEGER, STRING, EventType, Type
from tests.authoring.cases import fixture_events, fixture_sources
from tests.engine.build import journey

FIELDS: dict[str, Type] = {
    "shop": STRING,
    "floor": replace(INTEGER, nullable=True),
    "is_gift": BOOLEAN,
    "value": DECIMAL,
    "weight": FLOAT,
    "note": replace(STRING, nullable=True),
}


def listed(field: str, *values: object) -> Need:
    return Need(field, frozenset(values))


def above(value: object, *, or_it: bool = False) -> Range:
    return Range(low=value, has_low=or_it)


def below(value: object, *, or_it: bool = False) -> Range:
    return Range(high=value, has_high=or_it)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("event.shop == 'north'", [listed("shop", "north")]),
        ("'north' == event.shop and event.weight > 3", [listed("shop", "north"), Need("weight", ranges=(above(3),))]),
        ("event.floor == 2 and event.is_gift", [listed("floor", 2), listed("is_gift", True)]),
        (
            "event.shop in ['north', 'south'] and event.floor == 1",
            [listed("shop", "north", "south"), listed("floor", 1)],
        ),
        ("event.shop == 'north' or event.shop == 'south'", [listed("shop", "north", "south")]),
        ("event.note == null", [listed("note", None)]),
        ("event.note == 'a' or event.note == null", [listed("note", "a", None)]),
        ("not event.is_gift", [listed("is_gift", False, None)]),
        ("event.value == 3", [listed("value", Decimal(3))]),
        (
            "event.value > 40 and event.value <= 50",
            [Need("value", ranges=(Range(Decimal(40), False, Decimal(50), True),))],
        ),
        ("-3 < event.floor", [Need("floor", ranges=(above(-3),))]),
        ("not (event.floor < 3 or event.floor >= 9)", [Need("floor", frozenset({None}), (Range(3, True, 9, False),))]),
        ("event.floor < 3 or event.floor > 9", [Need("floor", ranges=(below(3), above(9)))]),
        ("(event.floor ?? 0) < 3", [Need("floor", frozenset({None}), (below(3),))]),
        ("event.floor > 1 or event.shop == 'north'", []),
        ("event.shop != 'north'", []),
        ("not (event.shop == 'north')", []),
        ("not (event.floor > 1 and event.shop == 'north')", []),
        ("event.weight != 2", []),
        ("lower(event.shop) == 'north'", []),
        ("event.shop == event.note", []),
        ("event.shop in ['north', event.note]", []),
        # What may fail comes first, and that it failed is recorded: only what is asked before can leave it out.
        ("event.value / event.floor > 1 and event.shop == 'north'", []),
        ("event.shop == 'north' and event.value / event.floor > 1 and event.floor == 1", [listed("shop", "north")]),
        (
            "event.shop == 'north' and event.value / event.floor > 1 or event.shop == 'south'",
            [listed("shop", "north", "south")],
        ),
        (
            "event.shop == 'south' or event.shop == 'north' and event.value / event.floor > 1",
            [listed("shop", "north", "south")],
        ),
    ],
)
def test_what_a_condition_needs_of_the_event(condition: str, expected: list[Need]) -> None:
    checked, problems = check_expression(condition, Names(event=EventType("e", FIELDS, "")))
    assert checked is not None, problems
    assert list(needs_of(checked.node)) == expected


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
    fields = {"cart_id": cart_id, "customer_id": customer_id, "value": Decimal(2)}
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


ATOMS = st.one_of(
    st.builds(
        "{} {} {}".format,
        st.sampled_from(
            ["event.n", "event.whole", "event.amount", "(event.whole ?? 2)", "event.whole / event.n", "-1"]
        ),
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        st.sampled_from(["-1", "0", "1.5", "2", "event.n", "event.amount", "event.whole % event.whole"]),
    ),
    st.sampled_from(
        [
            "event.flag",
            "event.word == 'a'",
            "event.word in ['a', 'b']",
            "event.whole in [1, 2]",
            "event.whole == null",
            "event.word < 'b'",
            "profile.tier == 'gold'",
        ]
    ),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["and", "and", "or"]), inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)
NAMES = Names(
    event=EventType(
        "e",
        {
            "n": FLOAT,
            "whole": replace(INTEGER, nullable=True),
            "amount": DECIMAL,
            "flag": replace(BOOLEAN, nullable=True),
            "word": STRING,
        },
        "",
    ),
    attributes={"tier": replace(STRING, nullable=True)},
)
EVENTS = st.fixed_dictionaries(
    {
        "n": st.sampled_from([0.0, 1.5, 2.0, -7.0, float("nan"), float("inf"), float("-inf")]),
        "whole": st.sampled_from([None, 0, 1, 2, 3]),
        "amount": st.sampled_from([Decimal("-1.00"), Decimal("0.00"), Decimal("1.50"), Decimal("2.01")]),
        "flag": st.sampled_from([None, True, False]),
        "word": st.sampled_from(["a", "b", ""]),
    }
)


@given(conditions=st.lists(CONDITIONS, min_size=1, max_size=6), fields=EVENTS)
@settings(max_examples=200, deadline=None)
def test_who_is_not_asked_would_neither_enter_nor_fail(conditions: list[str], fields: dict[str, Any]) -> None:
    scope = Scope()
    scope.event = fields
    entered = []
    for number, condition in enumerate(conditions):
        checked, _ = check_expression(condition, NAMES)
        if checked is not None:
            one = journey(Exit("end", "done"), name=f"j{number}", where=compile_checked(checked, {}))
            entered.append(replace(one, entry=replace(one.entry, needs=needs_of(checked.node))))
    index = index_of(tuple(entered))
    asked_ones = [one.name for one in (entered if index is None else worth_asking(index, fields))]
    for one in entered:
        if one.name not in asked_ones:
            assert one.entry.where is not None
            # Where it raised, that would have to be recorded.
            assert not one.entry.where.evaluate(scope), (one.entry.where.text, fields)
