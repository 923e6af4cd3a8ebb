"""Addresses that lead nowhere: what receipts say about them, and until when it holds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import msgpack

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.engine.decide import apply_event
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from tests.authoring.cases import fixture_events, fixture_sources

CHANNELS = """channels:
  email:
    address: email
    consent: email
    unreachable_on: {on: email_clicked, where: event.url == 'bounced', address: event.action_id}
    reachable_on: {on: email_clicked, where: event.url == 'fine'}
  sms: {address: phone, consent: sms}
"""
"""The fixtures have no receipts: a click on `bounced` stands for one, its action id for the address."""


def compiled(channels: str = CHANNELS) -> JourneySet:
    found = compile_journeys(fixture_sources({"channels.yaml": channels}), fixture_events().types)
    assert found.journeys is not None, found.problems
    return found.journeys


JOURNEYS = compiled()


def after(*events: Event, customer: Customer | None = None) -> Customer:
    """The customer after these events, with the record encoded in between."""
    known = Customer(profile={"email": "ada@example.com", "phone": "1"}) if customer is None else customer
    for number, event in enumerate(events, 1):
        apply_event(JOURNEYS, known, event, number * 1_000, Effects())
        known = decode_customer(encode_customer(known))
    return known


def clicked(number: int, url: str, about: str = "ada@example.com") -> Event:
    fields: dict[str, Any] = {"event_id": f"e{number}", "customer_id": "ada", "occurred_at": 1}
    return Event("email_clicked", f"e{number}", "ada", {**fields, "action_id": about, "url": url})


def test_a_bounce_holds_for_the_address_and_for_no_other() -> None:
    assert list(after(clicked(1, "bounced")).unreachable) == ["email"]
    assert list(after(clicked(1, "bounced", "ADA@Example.com ")).unreachable) == ["email"]
    assert after(clicked(1, "bounced", "old@example.com")).unreachable == {}
    assert after(clicked(1, "other")).unreachable == {}


def test_an_empty_address_in_the_receipt_means_the_profile_s() -> None:
    assert list(after(clicked(1, "bounced", "")).unreachable) == ["email"]


def test_it_is_taken_back_by_an_event_that_says_so() -> None:
    assert after(clicked(1, "bounced"), clicked(2, "fine")).unreachable == {}
    assert after(clicked(1, "fine")).unreachable == {}


def test_who_has_no_address_is_not_cut_off_from_it() -> None:
    assert after(clicked(1, "bounced", ""), customer=Customer()).unreachable == {}


def test_records_from_before_there_were_receipts_are_read() -> None:
    place = Customer.__struct_fields__.index("unreachable")
    older = msgpack.decode(encode_customer(Customer(profile={"email": "a"}))[9:])[:place]
    record = encode_customer(Customer())[:9] + msgpack.encode(older)
    assert decode_customer(record).unreachable == {}


def test_only_who_can_be_asked_on_the_channel_gets_another_version() -> None:
    plain = "channels:\n  email: {address: email, consent: email}\n  sms: {address: phone, consent: sms}\n"
    before, now = compiled(plain), JOURNEYS
    changed = {name for name, journey in now.current.items() if journey.version != before.current[name].version}
    sending = {
        name
        for name, journey in now.current.items()
        if any("email" in getattr(step, "channels", ()) for step in journey.steps.values())
    }
    assert changed == sending
    assert sending


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("{on: nothing_known}", "J201"),
        ("{on: email_clicked, where: event.urll == 'x'}", "J202"),
        ("{on: email_clicked, where: event.url}", "J4"),
        ("{on: email_clicked, address: event.occurred_at}", "J418"),
        ("{on: email_clicked, wher: 'true'}", "J1"),
        ("{where: 'true'}", "J1"),
    ],
)
def test_a_wrong_rule_is_refused(rule: str, code: str) -> None:
    channels = CHANNELS.replace("{on: email_clicked, where: event.url == 'fine'}", rule)
    found = compile_journeys(fixture_sources({"channels.yaml": channels}), fixture_events().types)
    errors = [problem for problem in found.problems if problem.severity == "error"]
    assert found.journeys is None
    assert errors
    assert all(problem.code.startswith(code) and problem.path == "channels.yaml" for problem in errors), errors
