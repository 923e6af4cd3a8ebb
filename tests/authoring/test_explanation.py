"""What is said of a customer: each decision in a sentence, refusals with their reason, personal data masked."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_values import event_from, event_shapes
from orchestrator.authoring.explanation import Explanation, explain, explanation_values, render_explanation
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.engine.ids import address_digest
from orchestrator.model.actions import Transition
from orchestrator.model.customer import Customer
from tests.authoring.cases import GOLDEN, fixture_events, fixture_sources

HOUR_MS = 3_600_000
START_MS = 1_772_442_000_000
NAME = "Adelheid"


def lived(*, status: str = "live") -> tuple[list[Transition], Customer, Any]:
    """A customer who is turned away, then comes in twice, writes nothing back and has had enough messages."""
    cart = fixture_sources().files["cart.yaml"].replace("status: live", f"status: {status}")
    compiled = compile_journeys(
        fixture_sources({"cart.yaml": cart.replace("holdout: 5%\n", "")}), fixture_events().types
    )
    assert compiled.journeys is not None, compiled.problems
    engine = OfflineEngine(compiled.journeys)
    shapes = event_shapes(fixture_events().types)
    events: list[tuple[int, str, dict[str, Any]]] = [
        (0, "customer_registered", {"email": "ada@example.com", "first_name": NAME}),
        (1, "cart_updated", {"cart_id": "c1", "value": 20}),
        (2, "consent_changed", {"channel": "email", "granted": True}),
        (3, "cart_updated", {"cart_id": "c1", "value": 20}),
        (4, "cart_updated", {"cart_id": "c2", "value": 200}),
        (90, "cart_updated", {"cart_id": "c1", "value": 20}),
        (91, "cart_updated", {"cart_id": "c3", "value": 20}),
    ]
    transitions: list[Transition] = []
    for number, (after_hours, name, fields) in enumerate(events, 1):
        at_ms = START_MS + after_hours * HOUR_MS
        written = {"event_id": f"e{number}", "customer_id": "ada", "occurred_at": at_ms, **fields}
        transitions += engine.advance(at_ms - 1).transitions
        transitions += engine.apply(at_ms, event_from(shapes[name], written, fill=True)).transitions
    transitions += engine.advance(START_MS + 93 * HOUR_MS).transitions
    return transitions, engine.customers["ada"], compiled.journeys.versions


def explained(**options: Any) -> Explanation:
    transitions, customer, versions = lived()
    return explain("ada", transitions, customer, versions, **options)


def test_a_customers_story_is_told_as_in_its_golden_file() -> None:
    text = render_explanation(explained(), show_personal_data=False)
    assert f"{text}\n" == (GOLDEN / "explain" / "ada.txt").read_text()


def test_personal_data_is_masked_unless_it_is_asked_for() -> None:
    masked = render_explanation(explained(), show_personal_data=False)
    assert NAME not in masked
    assert "first_name ***" in masked
    assert NAME in render_explanation(explained(), show_personal_data=True)
    values = explanation_values(explained(), show_personal_data=False)
    assert NAME not in str(values)
    assert "entry" not in values["places"][0]
    assert explanation_values(explained(), show_personal_data=True)["profile"]["first_name"] == NAME


def test_what_was_not_done_is_said_with_its_reason() -> None:
    refusals = {(said.decision.kind, said.decision.reason) for said in explained().decisions if said.is_refusal}
    assert ("not_entered", "exit_condition") in refusals
    assert ("not_entered", "reentry") in refusals
    assert ("step", "capped") in refusals


def test_only_one_journey_and_only_what_is_new_is_told_when_asked() -> None:
    assert not explained(journey="other").decisions
    assert not explained(journey="other").places
    since = START_MS + 90 * HOUR_MS
    told = explained(since_ms=since).decisions
    assert told
    assert len(told) < len(explained().decisions)
    assert all(said.decision.at_ms >= since for said in told)


def test_where_the_customer_is_and_what_comes_next_is_told() -> None:
    story = explained()
    (place,) = [place for place in story.places if place.instance.key == "c3"]
    assert 'in step "react" (for c3)' in place.sentence
    assert "waits for email_clicked" in place.sentence
    assert place.timer_at_ms == place.instance.timer_at_ms
    values = explanation_values(story, show_personal_data=False)
    assert values["next_timer_at"] == min(p["timer_at"] or p["goal_until"] for p in values["places"])


def test_an_address_of_no_use_is_told_as_long_as_the_profile_has_it() -> None:
    transitions, customer, versions = lived()
    customer.unreachable["email"] = address_digest("ada@example.com")
    story = explain("ada", transitions, customer, versions)
    assert explanation_values(story, show_personal_data=False)["unreachable"] == ["email"]
    assert "the address is of no use on: email" in render_explanation(story, show_personal_data=False)
    customer.profile["email"] = "ada@example.org"
    assert explanation_values(story, show_personal_data=False)["unreachable"] == []


def test_a_journey_in_shadow_says_that_it_sent_nothing() -> None:
    transitions, customer, versions = lived(status="shadow")
    sentences = [said.sentence for said in explain("ada", transitions, customer, versions).decisions]
    assert any("would have sent a message, but the journey is in shadow" in sentence for sentence in sentences)


def decision(kind: str, reason: str, **more: Any) -> Transition:
    return Transition("ada", "cart", "v1", 1, kind, more.pop("step", "s"), more.pop("to", "t"), reason, 0, None, **more)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (decision("step", "no_consent"), '"s" sent nothing: the customer has not agreed'),
        (decision("step", "unreachable"), '"s" sent nothing: the customer has no address'),
        (decision("step", "template_failed"), '"s" sent nothing: the template failed'),
        (decision("step", "sent", value="sms", action_id="a1"), '"s" sent a message by sms, action a1; then "t"'),
        (decision("step", "skipped_quiet_hours", value="sms"), '"s" sent nothing: it was quiet hours'),
        (decision("waiting", "held", value="sms"), '"s" holds its message by sms until quiet hours end'),
        (decision("migrated", "v0"), 'came from version v0 into version v1, from "s" to "t"'),
        (decision("migrated", "v0", step="", to=""), "came from version v0 into version v1"),
        (decision("waiting", "rebased"), '"s" waits until another moment, because the profile changed'),
        (decision("waiting", "something_new"), '"s" waits on: something_new'),
        (decision("step", "over"), '"s": the condition for waiting did not hold any more; then "t"'),
        (decision("step", "missing"), '"s": there is no date or instant to wait for; then "t"'),
        (decision("step", "past"), '"s": what it waits for is past; then "t"'),
        (decision("step", "timeout"), '"s": nothing that it waited for came in time; then "t"'),
        (decision("step", "case_2"), '"s": condition 2 held; then "t"'),
        (decision("step", "t"), '"s": chance chose; then "t"'),
        (decision("step", "something_new"), '"s": something_new; then "t"'),
        (decision("held_out", ""), "is in the control group: gets nothing, and is measured"),
        (decision("goal", "held_out", value="9.50"), "the goal was reached by the control group, worth 9.50"),
        (decision("exited", "runaway"), 'was stopped: too many steps without a wait at "s"'),
        (decision("exited", "order_placed"), 'left: order_placed at "s"'),
        (decision("failed", "ZeroDivisionError in 1 / 0"), '"s" failed: ZeroDivisionError in 1 / 0'),
        (decision("entered", "date"), 'entered because the date had come and began with "t"'),
        (decision("entered", "schedule"), 'entered by the schedule and began with "t"'),
        (decision("not_entered", "limit"), "did not enter: the customer has entered as often"),
        (decision("not_entered", "limit_of_all"), "did not enter: as many customers have entered"),
        (decision("not_entered", "missing_key"), "did not enter: the event lacks the value"),
        (decision("not_entered", "full"), "did not enter: full"),
    ],
)
def test_each_decision_has_a_sentence_also_without_its_journey(made: Transition, sentence: str) -> None:
    (said,) = explain("ada", [made], None, {}).decisions
    assert said.sentence.startswith(sentence)


def test_of_a_stranger_nothing_is_known() -> None:
    story = explain("nobody", [], None, {})
    assert not story.is_known
    assert "no decision is on record" in render_explanation(story, show_personal_data=False)


def test_passages_of_one_journey_can_be_told_apart() -> None:
    text = render_explanation(explained(), show_personal_data=False)
    assert 'cart #1: entered and began with "pause" (event e4)' in text
    assert 'cart #2: entered and began with "pause" (event e5)' in text
    assert "cart: did not enter" in text
