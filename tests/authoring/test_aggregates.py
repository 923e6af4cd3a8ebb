"""Aggregates as authors write them: what they mean in a journey, what is kept for them, and what they cost others."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orchestrator.authoring.compiler import compile_journeys, with_pinned
from orchestrator.authoring.durations import DAY_MS
from orchestrator.authoring.expressions import Names, check_expression, compile_checked, uses
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.tracking import listed_aggregates
from orchestrator.engine.aggregates import update_aggregates
from orchestrator.engine.turn import Turn
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.types import Kind
from tests.authoring.cases import fixture_events, fixture_sources
from tests.engine.build import journeys as hand_made

EVENTS = fixture_events().types
NAMES = Names(event=EVENTS["cart_updated"], event_types=EVENTS)
START = 1_772_442_000_000


def after_orders(text: str, *orders: tuple[int, str], now_ms: int) -> Any:
    """What the expression says at `now_ms` after orders at these instants, with these totals."""
    checked, problems = check_expression(text, NAMES)
    assert checked is not None, problems
    customer = Customer()
    turn = Turn(hand_made(), customer, "c1", {}, None, now_ms, Effects())
    for at_ms, total in orders:
        turn.now_ms, turn.event = at_ms, {"total": Decimal(total), "currency": "EUR", "cart_id": "c1"}
        update_aggregates(turn, tuple(one for one in uses(checked.node).aggregates if one.on == "order_placed"))
    turn.now_ms, turn.event = now_ms, {"value": Decimal(3)}
    return compile_checked(checked, {}).evaluate(turn)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count(order_placed)", 3),
        ("count(order_placed, 30 days)", 2),
        ("count(order_placed where event.total > 50)", 2),
        ("count(order_placed where event.total > 50 and event.currency == 'EUR', 30 days)", 1),
        ("sum(order_placed.total)", Decimal("160.50")),
        ("sum(order_placed.total, 30 days)", Decimal("100.50")),
        ("avg(order_placed.total, 30 days)", Decimal("50.25")),
        ("min(order_placed.total)", Decimal("20.00")),
        ("max(order_placed.total, 30 days)", Decimal("80.50")),
        ("max(order_placed.total where event.total > 1000)", None),
        ("first(order_placed.total)", Decimal("60.00")),
        ("last(order_placed.total, 5 days)", None),
        ("last(order_placed.currency)", "EUR"),
        ("days_since(order_placed)", 10),
        ("distinct(order_placed.total)", 3),
        ("distinct(order_placed.currency, 30 days)", 1),
        ("distinct(order_placed.currency where event.total > 1000)", 0),
        ("days_since(cart_updated)", None),
        ("min(event.value, 5)", Decimal(3)),
        ("sum(order_placed.total) / count(order_placed) > 50", True),
        ("days_since(cart_updated) >= 3", False),
    ],
)
def test_an_aggregate_says_what_the_orders_were(text: str, expected: Any) -> None:
    orders = ((START, "60.00"), (START + 20 * DAY_MS, "20.00"), (START + 30 * DAY_MS, "80.50"))
    assert after_orders(text, *orders, now_ms=START + 40 * DAY_MS) == expected


@pytest.mark.parametrize(
    ("text", "kind", "is_nullable"),
    [
        ("count(order_placed, 1 day)", Kind.INTEGER, False),
        ("sum(order_placed.total)", Kind.DECIMAL, False),
        ("sum(cart_updated.pieces)", Kind.INTEGER, False),
        ("avg(cart_updated.pieces)", Kind.FLOAT, True),
        ("last(order_placed.currency)", Kind.STRING, True),
        ("days_since(order_placed)", Kind.INTEGER, True),
    ],
)
def test_an_aggregate_has_a_type(text: str, kind: Kind, is_nullable: bool) -> None:
    checked, problems = check_expression(text, NAMES)
    assert checked is not None, problems
    assert (checked.type.kind, checked.type.nullable) == (kind, is_nullable)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("count(order_plced)", ["J201"]),
        ("sum(order_placed.totl)", ["J202"]),
        ("count(order_placed.total)", ["J440"]),
        ("count()", ["J440"]),
        ("count(order_placed, 1 day, 2 days)", ["J440"]),
        ("count(1 + 2)", ["J440"]),
        ("distinct(cart_updated.items)", ["J441"]),
        ("last(cart_updated.items)", ["J441"]),
        ("min(order_placed.total, 5)", ["J442"]),
        ("count(order_placed where event.total)", ["J401"]),
        ("count(order_placed where event.totl > 1)", ["J202"]),
        ("count(order_placed where entry.x == 1, 5)", ["J241", "J442"]),
        ("order_placed.total > 5", ["J210"]),
        ("count(order_placed) == 'many'", ["J402"]),
    ],
)
def test_what_is_wrong_with_an_aggregate_is_said(text: str, codes: list[str]) -> None:
    checked, problems = check_expression(text, NAMES)
    assert checked is None
    assert sorted(problem.code for problem in problems) == codes


def test_a_profile_rule_knows_no_past() -> None:
    profile = "profile:\n  - on: order_placed\n    set: {orders: count(order_placed)}\n"
    found = compile_journeys(fixture_sources({"profile.yaml": profile}), EVENTS).problems
    assert "J242" in {problem.code for problem in found}


def compiled(changes: dict[str, str], journey: str = "cart.yaml") -> JourneySet:
    text = fixture_sources().files[journey]
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    compilation = compile_journeys(fixture_sources({journey: text}), EVENTS)
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys


def test_the_same_aggregate_is_kept_once_however_it_is_written() -> None:
    journeys = compiled(
        {
            "where: event.value > 0": "where: count(order_placed  where (event.total>50), 14 days) < 3",
            "when: not consent.email": "when: count(order_placed where event.total > 50, 2 weeks) > 5",
        }
    )
    assert list(listed_aggregates(journeys)) == ["count(order_placed where event.total > 50, 14 days)"]


def test_what_only_drafts_ask_for_is_not_kept() -> None:
    asked = {"where: event.value > 0": "where: count(email_clicked, 14 days) < 3"}
    assert list(listed_aggregates(compiled(asked))) == ["count(email_clicked, 14 days)"]
    assert listed_aggregates(compiled({**asked, "status: live": "status: draft"})) == {}
    assert compiled({}).tracked is None


def test_the_event_of_the_moment_counts_already() -> None:
    journeys = compiled({"where: event.value > 0": "where: count(cart_updated where event.value > 5) == 2"})
    engine = OfflineEngine(journeys)
    engine.put("ada", Customer(consent={"email": True}))
    entered = []
    for number in range(1, 4):
        fields = {"cart_id": f"k{number}", "value": Decimal(10), "occurred_at": START}
        effects = engine.apply(START + number, Event("cart_updated", f"e{number}", "ada", fields))
        entered += [number for t in effects.transitions if t.kind in {"entered", "held_out"}]
    assert entered == [2]


def test_customers_inside_an_older_version_keep_what_it_reads() -> None:
    older = compiled({"when: not consent.email": "when: count(order_placed, 7 days) > 5"})
    current = compiled({"when: not consent.email": "when: days_since(email_clicked) > 5"})
    both = with_pinned(current, [older])
    assert list(listed_aggregates(both)) == ["count(order_placed, 7 days)", "days_since(email_clicked)"]
    assert {"order_placed", "email_clicked"} <= both.wanted
