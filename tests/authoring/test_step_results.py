"""How steps ended: known of every kind of step that something asks about, in words that the checker knows."""

from __future__ import annotations

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.outcomes import outcomes_of
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenario_report import render_results
from orchestrator.authoring.scenarios import all_live, run_scenario
from orchestrator.model.action_steps import Increment
from orchestrator.model.journey import JourneySet, SetProfile, Wait
from orchestrator.resources import schemas_dir
from tests.authoring.cases import fixture_events, fixture_sources
from tests.journeys.shipped import shipped_journeys, shipped_shapes, shipped_sources

EVENTS = fixture_events().types
ROUNDS = """journey: rounds
owner: team@shop.example
status: live
entry: {on: order_placed}
max_duration: 365 days
steps:
  pause: {wait: 1 day}
  morning: {wait: {until: "09:00"}}
  month: {wait: 1 month}
  mark: {set: {wants_discount: true}}
  sum: {increment: {rounds: 1}}
  enough: {branch: [{when: CONDITION, go: pause}, {otherwise: mail}]}
  mail: {send: email, template: offer}
"""
SCENARIO = """scenarios:
  - name: a second round and no third
    given: {profile: {email: a@b.example}, consent: {email: true}}
    when: [{event: order_placed, with: {cart_id: c1, total: 5}}]
    then:
      - {messages: 1}
      - {profile: {rounds: 2}, at: +90 days}
"""


def rounds(condition: str) -> JourneySet:
    text = ROUNDS.replace("CONDITION", condition)
    compilation = compile_journeys(fixture_sources({"rounds.yaml": text}), EVENTS)
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys


@pytest.mark.parametrize("step", ["pause", "morning", "month", "mark", "sum"])
def test_visits_of_steps_that_end_in_one_way_are_counted(step: str) -> None:
    journeys = rounds(f"steps.{step}.visits < 2")
    loaded = load_scenarios({"rounds.scenarios.yaml": SCENARIO}, journeys, event_shapes(EVENTS))
    assert loaded.problems == ()
    (result,) = [run_scenario(journeys, scenario) for scenario in loaded.scenarios]
    assert not result.missed, render_results([result])


def test_a_result_that_nothing_asks_about_is_not_kept() -> None:
    steps = rounds("steps.pause.visits < 2").current["rounds"].steps
    kept = {n for n, s in steps.items() if isinstance(s, Wait | SetProfile | Increment) and s.keeps_result}
    assert kept == {"pause"}


def test_every_outcome_that_the_engine_records_is_known_to_the_checker() -> None:
    sources = shipped_sources()
    journeys = all_live(shipped_journeys())
    compilation = compile_journeys(sources, load_event_types(schemas_dir() / "events"))
    drafts = {draft.name.name: draft for draft in compilation.drafts}
    loaded = load_scenarios(sources.files, journeys, shipped_shapes())
    seen: set[tuple[str, str]] = set()
    for scenario in loaded.scenarios:
        for made in run_scenario(journeys, scenario).transitions:
            if made.kind == "step":
                steps = {step.name.name: step for step in drafts[made.journey].steps}
                assert made.reason in outcomes_of(steps[made.step]), (made.journey, made.step, made.reason)
                seen.add((type(steps[made.step]).__name__, made.reason))
    assert len(seen) >= 15
