"""Rules for all journeys as authors write them, played by scenarios and simulations."""

from __future__ import annotations

from orchestrator.authoring.compiler import compile_journeys, with_pinned
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenarios import run_scenarios
from orchestrator.model.journey import JourneySet
from orchestrator.model.policies import Basis, Purpose
from tests.authoring.cases import fixture_events, fixture_sources

PURPOSES = """
purposes:
  offers: {consent: {sms: sms_offers}}
  service: {legal_basis: contract}
default_purpose: offers
global_holdout: {share: 50%, salt: x}
caps:
  - {name: offers, channels: all, max: 1, per: 1 day, purposes: offers, journeys: cart}
"""


def compiled(**changed: str) -> JourneySet:
    sources = fixture_sources({f"{name}.yaml": text for name, text in changed.items()})
    compilation = compile_journeys(sources, fixture_events().types)
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys


def played(scenarios: str, **changed: str) -> list[str]:
    """What the scenarios expected and did not find."""
    journeys = compiled(**changed)
    loaded = load_scenarios({"cart.scenarios.yaml": scenarios}, journeys, event_shapes(fixture_events().types))
    assert loaded.problems == ()
    return [
        f"{missed.expected}: {missed.happened}"
        for result in run_scenarios(journeys, loaded.scenarios)
        for missed in result.missed
    ]


def test_policies_are_compiled() -> None:
    found = compiled(policies=PURPOSES)
    assert found.purposes["offers"] == Purpose("offers", Basis.CONSENT, "offers", {"sms": "sms_offers"})
    assert found.default_purpose == "offers"
    assert found.caps[0].purposes == frozenset({"offers"})
    assert found.caps[0].journeys == frozenset({"cart"})
    assert found.global_holdout is not None
    assert found.global_holdout.share == 1 << 63


def test_scenarios_state_consent_purposes_and_the_global_holdout() -> None:
    scenario = """
scenarios:
  - name: agreed
    given:
      profile: {email: ada@example.com, phone: "+1"}
      consent: {email: true, sms: true, offers: true, sms_offers: true}
    when: [{event: cart_updated, with: {cart_id: c1, value: 200}}]
    then:
      - {sent: email, template: reminder}
      - {sent: sms, template: offer}
  - name: sms not agreed for offers
    given: {profile: {email: ada@example.com, phone: "+1"}, consent: {email: true, sms: true, offers: true}}
    when: [{event: cart_updated, with: {cart_id: c1, value: 200}}]
    then: [{sent: email, template: offer}]
  - name: reminded of something before
    given:
      profile: {email: ada@example.com}
      consent: {email: true, offers: true}
      sent_before: [{ago: 1 hour, channel: sms, journey: cart}]
    when: [{event: cart_updated, with: {cart_id: c1, value: 200}}]
    then: [{at: +1 hour, not_sent: email, because: capped}, {at: +2 days, messages: 1}]
  - name: left alone
    given: {profile: {email: ada@example.com}, consent: {email: true, offers: true}, global_holdout: true}
    when: [{event: cart_updated, with: {cart_id: c1, value: 200}}]
    then: [{not_sent: email, because: global_holdout}]
"""
    assert played(scenario, policies=PURPOSES) == []


def test_a_purpose_of_the_journey_holds_for_its_steps_unless_they_name_their_own() -> None:
    journey = fixture_sources().files["cart.yaml"]
    journey = journey.replace("holdout: 5%", "purpose: service")
    journey = journey.replace("template: reminder\n", "template: reminder\n    purpose: offers\n")
    journey = journey.replace("template: offer}", "template: offer, class: transactional}")
    steps = compiled(policies=PURPOSES, cart=journey).current["cart"].steps
    assert [getattr(steps[name], "purpose", None) for name in ("remind", "offer")] == ["offers", "service"]


def test_purposes_of_older_versions_stay_known() -> None:
    older, current = compiled(policies=PURPOSES), compiled()
    assert with_pinned(current, [older]).purposes == older.purposes
