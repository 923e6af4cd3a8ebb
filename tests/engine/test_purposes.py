"""Consent by channel and purpose, caps of purposes and journeys, and those whom all journeys leave alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.engine.ids import draw
from orchestrator.engine.limits import has_agreed
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, Sent, decode_customer, encode_customer
from orchestrator.model.journey import Cap, Channel, JourneySet, Wait
from orchestrator.model.policies import Basis, GlobalHoldout, Purpose
from tests.engine.build import DAY, HOUR, START, event, goal, journey, journeys, reachable, send

EMAIL = Channel("email", "email", "email", "actions.email")
MARKETING = Purpose("marketing", Basis.CONSENT, "marketing")
SERVICE = Purpose("service", Basis.CONTRACT, "service")
RESEARCH = Purpose("research", Basis.LEGITIMATE_INTEREST, "research")
OFFERS = Purpose("offers", Basis.CONSENT, "offers", {"sms": "sms_offers"})
PURPOSES = {purpose.name: purpose for purpose in (MARKETING, SERVICE, RESEARCH, OFFERS)}
HALF = 1 << 63


@pytest.mark.parametrize(
    ("purpose", "consent", "expected"),
    [
        (None, {"email": True}, True),
        (None, {}, False),
        (MARKETING, {"email": True, "marketing": True}, True),
        (MARKETING, {"email": True}, False),
        (MARKETING, {"marketing": True}, False),
        (MARKETING, {"email": True, "marketing": False}, False),
        (RESEARCH, {}, True),
        (RESEARCH, {"research": False}, False),
        (RESEARCH, {"email": False}, False),
        (SERVICE, {"email": False}, True),
    ],
)
def test_the_channel_and_the_purpose_are_both_looked_at(
    purpose: Purpose | None, consent: dict[str, bool], expected: bool
) -> None:
    assert has_agreed(Customer(consent=consent), EMAIL, purpose) is expected


def with_purposes(*steps: Any, **changes: Any) -> JourneySet:
    return replace(journeys(journey(*steps)), purposes=PURPOSES, **changes)


def outcome_of(given: JourneySet, customer: Customer, customer_id: str = "c1") -> str:
    effects = Effects()
    happened = event("registered")
    apply_event(given, customer, type(happened)("registered", "e1", customer_id, {}), START, effects)
    return next(t.reason for t in effects.transitions if t.kind in {"step", "waiting"})


def test_a_purpose_has_keys_of_its_own_on_single_channels() -> None:
    given = with_purposes(send("a", "_end", channels=("sms",), purpose="offers"))
    assert outcome_of(given, reachable(consent={"sms": True, "offers": True})) == "no_consent"
    assert outcome_of(given, reachable(consent={"sms": True, "sms_offers": True})) == "sent"


def test_the_default_purpose_is_that_of_promotional_messages_only() -> None:
    promotional = with_purposes(send("a", "_end"), default_purpose="marketing")
    transactional = with_purposes(send("a", "_end", message_class="transactional"), default_purpose="marketing")
    assert outcome_of(promotional, reachable()) == "no_consent"
    assert outcome_of(transactional, reachable()) == "sent"
    assert outcome_of(transactional, reachable(consent={})) == "no_consent"
    contract = with_purposes(send("a", "_end", message_class="transactional", purpose="service"))
    assert outcome_of(contract, reachable(consent={})) == "sent"


def test_nothing_is_sent_for_a_purpose_that_nobody_describes() -> None:
    assert outcome_of(with_purposes(send("a", "_end", purpose="gone")), reachable()) == "no_consent"


def test_consent_that_is_withdrawn_stops_the_next_message_of_the_purpose_at_once() -> None:
    steps = (send("a", "pause"), Wait("pause", HOUR, "b"), send("b", "_end"))
    given = with_purposes(*steps, default_purpose="marketing")
    customer = reachable(consent={"email": True, "marketing": True})
    effects = Effects()
    apply_event(given, customer, event("registered"), START, effects)
    apply_event(given, customer, event("consented", 2, channel="marketing", granted=False), START + 1, effects)
    fire_timers(given, customer, "c1", START + DAY, effects)
    assert [t.reason for t in effects.transitions if t.kind == "step"] == ["sent", "waited", "no_consent"]


def test_caps_count_purposes_and_journeys_apart() -> None:
    one_offer = Cap("offers", None, 1, DAY, purposes=frozenset({"offers"}))
    one_of_welcome = Cap("welcome", None, 2, DAY, journeys=frozenset({"welcome", "other"}))
    steps = (
        send("a", "b", purpose="offers"),
        send("b", "c", purpose="offers"),
        send("c", "d", purpose="marketing"),
        send("d", "_end", purpose="marketing"),
    )
    given = with_purposes(*steps, caps=(one_offer, one_of_welcome))
    customer = reachable(consent={"email": True, "offers": True, "marketing": True})
    effects = Effects()
    apply_event(given, customer, event("registered"), START, effects)
    assert [t.reason for t in effects.transitions if t.kind == "step"] == ["sent", "capped", "sent", "capped"]
    assert customer.sends == [Sent(START, "email", "welcome", "offers"), Sent(START, "email", "welcome", "marketing")]
    assert decode_customer(encode_customer(customer)) == customer


def test_the_history_keeps_what_some_cap_counts_and_nothing_else() -> None:
    only_sms = Cap("sms", frozenset({"sms"}), 2, HOUR)
    given = replace(journeys(journey(send("a", "_end"))), caps=(only_sms,))
    customer = reachable()
    assert outcome_of(given, customer) == "sent"
    assert customer.sends == []


def test_a_record_from_before_purposes_is_read() -> None:
    old = encode_customer(Customer()).replace(b"\x90\x80\x90", b"\x90\x80\x91\x92\x05\xa3sms", 1)
    assert decode_customer(old).sends == [Sent(5, "sms")]


def globally(given: JourneySet, excepted: frozenset[str] = frozenset()) -> JourneySet:
    return replace(given, global_holdout=GlobalHoldout(HALF, "2026h2", excepted))


IN = next(f"c{n}" for n in range(99) if draw("global_holdout/2026h2", f"c{n}") < HALF)
OUT = next(f"c{n}" for n in range(99) if draw("global_holdout/2026h2", f"c{n}") >= HALF)


def test_the_global_holdout_gets_no_promotional_message() -> None:
    agreed = {"email": True, "marketing": True}
    promotional = globally(with_purposes(send("a", "_end")))
    assert outcome_of(promotional, reachable(), IN) == "global_holdout"
    assert outcome_of(promotional, reachable(), OUT) == "sent"
    transactional = globally(with_purposes(send("a", "_end", message_class="transactional")))
    assert outcome_of(transactional, reachable(), IN) == "sent"
    excepted = globally(with_purposes(send("a", "_end", purpose="marketing")), frozenset({"marketing"}))
    assert outcome_of(excepted, reachable(consent=agreed), IN) == "sent"


def goal_reason(given: JourneySet, customer_id: str) -> list[tuple[str, str]]:
    effects = Effects()
    customer = reachable()
    happened = event("registered")
    for number, name in enumerate(("registered", "ordered")):
        apply_event(given, customer, type(happened)(name, f"e{number}", customer_id, {}), START + number, effects)
    return [
        (t.kind, t.reason if t.kind == "goal" else t.value or "")
        for t in effects.transitions
        if t.kind in {"entered", "held_out", "goal"}
    ]


def test_the_goal_of_the_global_holdout_is_measured_apart_and_before_the_journeys_own() -> None:
    steps = (send("a", "pause"), Wait("pause", DAY, "_end"))
    given = globally(journeys(journey(*steps, goal=goal(), holdout=1 << 64)))
    assert goal_reason(given, IN) == [("entered", "global_holdout"), ("goal", "global_holdout")]
    assert goal_reason(given, OUT) == [("held_out", ""), ("goal", "held_out")]
    treated = globally(journeys(journey(*steps, goal=goal())))
    assert goal_reason(treated, OUT) == [("entered", ""), ("goal", "treated")]


def test_a_journey_that_withholds_nothing_is_measured_as_usual() -> None:
    steps = (send("a", "pause", message_class="transactional"), Wait("pause", DAY, "_end"))
    given = globally(journeys(journey(*steps, goal=goal())))
    assert goal_reason(given, IN) == [("entered", ""), ("goal", "treated")]
