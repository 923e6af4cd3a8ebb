"""Entries without an event: who is let in by what."""

from __future__ import annotations

from orchestrator.engine.entry import KEYS_MAX, enter
from orchestrator.engine.turn import Turn
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.journey import JourneySet, ReEntry, Status, Wait
from orchestrator.model.triggers import OnCommand, OnEvent, OnSegment
from tests.engine.build import DAY, START, expression, journey, journeys, reachable, send


def turn(given: JourneySet, customer: Customer) -> Turn:
    return Turn(given, customer, "c1", {}, None, START, Effects())


def test_journeys_are_found_by_what_lets_customers_in() -> None:
    by_event = journey(Wait("pause", DAY, "_end"), name="by_event")
    joins = journey(Wait("pause", DAY, "_end"), name="joins", trigger=OnSegment("vip", enters=True))
    leaves = journey(Wait("pause", DAY, "_end"), name="leaves", trigger=OnSegment("vip", enters=False))
    asked = journey(Wait("pause", DAY, "_end"), name="asked", trigger=OnCommand())
    given = journeys(by_event, joins, leaves, asked)
    assert isinstance(by_event.entry.trigger, OnEvent)
    assert given.entries == {"registered": (by_event,)}
    assert given.entries_by_segment == {("vip", True): (joins,), ("vip", False): (leaves,)}


def test_a_customer_enters_without_an_event() -> None:
    asked = journey(Wait("pause", DAY, "_end"), trigger=OnCommand(), status=Status.LIVE)
    customer = Customer()
    it = turn(journeys(asked), customer)
    enter(it, asked)
    assert [(i.journey, i.step, i.entry) for i in customer.instances] == [("welcome", "pause", [])]
    assert [(t.kind, t.event_id) for t in it.effects.transitions] == [("entered", None)]


def test_a_condition_of_an_entry_without_an_event_looks_at_the_customer() -> None:
    agrees = expression(lambda scope: scope.customer.consent.get("email", False))
    asked = journey(Wait("pause", DAY, "_end"), trigger=OnCommand(), where=agrees)
    for consent, entered in (({"email": True}, 1), ({}, 0)):
        customer = Customer(consent=consent)
        enter(turn(journeys(asked), customer), asked)
        assert len(customer.instances) == entered


def test_of_keys_that_may_never_enter_again_the_newest_are_remembered() -> None:
    """A customer's record has a bound, and there is no end to carts."""
    carts, customer = journey(send("hello", "_end"), reentry=ReEntry("never"), name="carts"), reachable()
    customer.entered = {"welcome": START - DAY}
    for number in range(KEYS_MAX + 2):
        enter(turn(journeys(carts), customer), carts, key=f"k{number}")
    customer = decode_customer(encode_customer(customer))
    assert len(customer.entered) == KEYS_MAX + 1
    assert {"carts|k0", "carts|k1"}.isdisjoint(customer.entered)
    assert {"welcome", "carts|k2", f"carts|k{KEYS_MAX + 1}"} <= set(customer.entered)
    again = turn(journeys(carts), customer)
    enter(again, carts, key="k2")
    assert [transition.reason for transition in again.effects.transitions] == ["reentry"]
