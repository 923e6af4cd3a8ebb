"""Rules for all journeys as authors write them, played by scenarios and simulations."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
from rich.console import Console

from orchestrator.authoring.compiler import compile_journeys, with_pinned
from orchestrator.authoring.durations import HOUR_MS
from orchestrator.authoring.event_files import EventLine
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.intervals import wilson
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenarios import run_scenarios
from orchestrator.authoring.simulate import simulate
from orchestrator.authoring.simulation_report import report_tables, report_values
from orchestrator.engine.experiments import arm_of
from orchestrator.model.events import Event
from orchestrator.model.experiments import Experiment, MeetExperiment
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


EXPERIMENTS = """
experiments:
  subject:
    arms: {control: 50%, short: 50%}
    owner: lifecycle@shop.example
    hypothesis: a short subject line is opened more often
    from: 2026-03-01
    until: 2026-03-20 09:00
"""
MEETING = """
  subject:
    experiment: subject
    arms: {control: remind, short: note}
  remind:
"""


def experimental() -> dict[str, str]:
    journey = fixture_sources().files["cart.yaml"].replace("holdout: 5%\n", "").replace("\n  remind:\n", MEETING)
    journey = journey.replace("when: entry.value >= 100,", "when: experiment.subject == 'control',")
    journey = journey.replace("with: {value: entry.value}", "with: {value: experiment.subject ?? 'none'}")
    return {
        "experiments": EXPERIMENTS,
        "cart": journey,
        "policies": "default_zone: Europe/Berlin\ncaps: [{name: weekly, channels: all, max: 3, per: 7 days}]\n",
    }


def test_an_experiment_is_compiled_with_the_shops_dates() -> None:
    found = compiled(**experimental())
    assert found.experiments["subject"] == Experiment(
        "subject",
        "experiment/subject",
        (("control", 1 << 63), ("short", 1 << 64)),
        from_ms=1_772_319_600_000,
        until_ms=1_773_993_600_000,
    )
    assert found.current["cart"].steps["subject"] == MeetExperiment(
        "subject", "subject", {"control": "remind", "short": "note"}
    )


def test_scenarios_choose_arms_and_expect_exposures() -> None:
    scenario = """
scenarios:
  - name: control
    given: {profile: {email: ada@example.com}, consent: {email: true}, experiment: {subject: control}}
    when: [{event: cart_updated, with: {cart_id: c1, value: 20}}]
    then:
      - {at: +1 hour, transition: exposed, step: subject, because: subject}
      - {sent: email, template: reminder, contains: control}
      - {sent: email, template: offer}
  - name: short
    given: {profile: {email: ada@example.com}, consent: {email: true}, experiment: {subject: short}}
    when: [{event: cart_updated, with: {cart_id: c1, value: 20}}]
    then: [{messages: 0}, {at: +1 hour, profile: {wants_discount: true}}]
  - name: after its end
    given:
      time: "2026-03-21T09:00:00Z"
      profile: {email: ada@example.com}
      consent: {email: true}
      experiment: {subject: short}
    when: [{event: cart_updated, with: {cart_id: c1, value: 20}}]
    then: [{sent: email, template: reminder, contains: none}]
"""
    assert played(scenario, **experimental()) == []


def test_a_simulation_compares_the_arms_with_their_intervals() -> None:
    journeys = compiled(**experimental())
    shapes = event_shapes(fixture_events().types)
    lines: list[EventLine] = []

    def add(name: str, after_ms: int, customer: str, **fields: object) -> None:
        at_ms = 1_772_500_000_000 + after_ms
        given = {"event_id": f"e{len(lines)}", "customer_id": customer, "occurred_at": at_ms, **fields}
        lines.append(EventLine(len(lines), at_ms, Event(name, f"e{len(lines)}", customer, given)))

    assert {"cart_updated", "order_placed"} <= shapes.keys()
    for number in range(200):
        add("consent_changed", 0, f"c{number}", channel="email", granted=True)
    for number in range(200):
        add("cart_updated", 1, f"c{number}", cart_id="k", value=Decimal(20), items=[])
    for number in range(0, 200, 4):
        if arm_of(journeys.experiments["subject"], f"c{number}") == "short":
            add("order_placed", 3 * HOUR_MS, f"c{number}", cart_id="other", total=Decimal("2.50"))
    result = simulate(journeys, lines)
    arms = result.journeys["cart"].experiments
    assert sum(arm.passages for arm in arms.values()) == 200
    assert arms["subject", "control"].converted == 0
    short = arms["subject", "short"]
    assert short.converted == sum(line.event.type == "order_placed" for line in lines)
    assert short.value == Decimal("2.50") * short.converted
    values = report_values(result, ["cart"], seconds=1.0)["journeys"]["cart"]["experiments"]["subject"]["short"]
    low, high = wilson(short.converted, short.passages)
    assert values["interval"] == {"confidence": 0.95, "low": round(low, 6), "high": round(high, 6)}
    out = io.StringIO()
    Console(file=out, width=200).print(report_tables(result, journeys, ["cart"], seconds=1.0))
    assert f"subject: short  {short.passages}" in " ".join(out.getvalue().split()).replace("short ", "short  ")


def test_a_wilson_interval_holds_the_share_and_narrows() -> None:
    for found, of in ((0, 10), (10, 10), (3, 10), (300, 1000)):
        low, high = wilson(found, of)
        assert 0 <= low <= found / of <= high <= 1
    narrow, wide = wilson(300, 1000), wilson(3, 10)
    assert narrow[1] - narrow[0] < wide[1] - wide[0]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("{channels: all, from: '00:00', to: '23:59'}", []),
        ("{channels: all, from: '20:00', to: '12:00'}, {channels: email, from: '12:00', to: '20:00'}", ["J714"]),
        ("{channels: sms, from: '20:00', to: '12:00'}, {channels: email, from: '12:00', to: '20:00'}", []),
        (
            "{channels: all, from: '20:00', to: '12:00', zone: UTC}, {channels: all, from: '12:00', to: '20:00'}",
            [],
        ),
        (
            "{channels: all, from: '16:00', to: '08:00'}, {channels: sms, from: '07:00', to: '16:00', then: skip}",
            ["J714"],
        ),
    ],
)
def test_quiet_hours_leave_some_time_free(rules: str, expected: list[str]) -> None:
    sources = fixture_sources({"policies.yaml": f"quiet_hours: [{rules}]"})
    found = compile_journeys(sources, fixture_events().types).problems
    assert [problem.code for problem in found] == expected
