from __future__ import annotations

import pytest

from orchestrator.authoring.scenario_coverage import coverage
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenario_report import render_results
from orchestrator.authoring.scenario_values import Scenario
from orchestrator.authoring.scenarios import all_live, run_scenario
from tests.journeys.shipped import shipped_journeys, shipped_shapes, shipped_sources

LOADED = load_scenarios(shipped_sources().files, all_live(shipped_journeys()), shipped_shapes())


def test_the_scenario_files_have_no_problems() -> None:
    assert LOADED.problems == ()


@pytest.mark.parametrize("scenario", LOADED.scenarios, ids=lambda s: f"{s.journey}: {s.name}")
def test_scenario_holds(scenario: Scenario) -> None:
    result = run_scenario(all_live(shipped_journeys()), scenario)
    assert not result.missed, render_results([result])


@pytest.mark.parametrize("name", sorted(shipped_journeys().current))
def test_scenarios_reach_every_step_arm_and_way_out(name: str) -> None:
    journeys = all_live(shipped_journeys())
    own = [scenario for scenario in LOADED.scenarios if scenario.journey == name]
    transitions = [t for scenario in own for t in run_scenario(journeys, scenario).transitions]
    assert coverage(journeys.current[name], transitions).missed == ()
