"""Scenarios that begin under an older form of their journey."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.earlier import Earlier, earlier_sets
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.scenario_coverage import coverage
from orchestrator.authoring.scenario_files import Scenarios, load_scenarios
from orchestrator.authoring.scenario_report import render_results
from orchestrator.authoring.scenarios import run_scenarios
from orchestrator.authoring.sources import Sources
from orchestrator.cli.main import run
from orchestrator.model.journey import JourneySet
from tests.authoring.cases import FIXTURES, fixture_events, fixture_sources

CART = fixture_sources().files["cart.yaml"]
OLD = CART.replace("  react:\n", "  await_click:\n")
EARLIER = "cart.march.earlier.yaml"
MIGRATE = "migrate: {from: any, steps: {await_click: react}}\nsteps:\n"
SCENARIOS = """
scenarios:
  - name: who waits for a click goes on waiting for it
    given:
      under: cart.march.earlier.yaml
      profile: {email: ada@example.com, first_name: Ada}
      consent: {email: true}
    when:
      - {event: cart_updated, with: {cart_id: c1, value: 20}}
      - {at: +2 hours, change_over: true}
      - {at: +3 hours, event: email_clicked, with: {action_id: {action_of: remind}}}
    then:
      - {at: +1 hour, sent: email, step: remind}
      - {at: +1 hour, in_step: await_click}
      - {at: +2 hours, in_step: react}
      - {at: +2 hours, transition: migrated, step: await_click, to: react}
      - {messages: 1}
      - {exited: finished}
  - name: time goes on after the change
    given:
      under: cart.march.earlier.yaml
      profile: {email: ada@example.com, first_name: Ada}
      consent: {email: true}
    when:
      - {event: cart_updated, with: {cart_id: c1, value: 20}}
      - {at: +2 hours, change_over: true}
    then:
      - {at: +25 hours, exited: finished}
"""


def loaded(**changed: str) -> tuple[JourneySet, Earlier, Scenarios]:
    new = CART.replace("steps:\n", MIGRATE, 1)
    files = {"cart.yaml": new, EARLIER: OLD, "cart.scenarios.yaml": SCENARIOS, **changed}
    sources, types = fixture_sources(files), fixture_events().types
    journeys = compile_journeys(sources, types).journeys
    assert journeys is not None
    earlier = earlier_sets(sources, types)
    return journeys, earlier, load_scenarios(sources.files, journeys, event_shapes(types), earlier.sets)


def test_a_scenario_begins_in_the_older_form_and_goes_on_in_that_of_today() -> None:
    journeys, earlier, found = loaded()
    assert (earlier.problems, found.problems) == ((), ())
    results = run_scenarios(journeys, found.scenarios)
    assert [result.missed for result in results] == [(), ()], render_results(results)
    texts = [line.text for line in results[0].trace]
    assert "the journeys change to those of today" in texts
    old, new = (one.current["cart"].version for one in (earlier.sets[EARLIER], journeys))
    assert f"cart: from version {old} to {new}: await_click -> react" in texts


def test_without_a_word_the_customer_stays_in_the_older_form() -> None:
    journeys, _, found = loaded(**{"cart.yaml": CART})
    results = run_scenarios(journeys, found.scenarios)
    assert [len(result.missed) for result in results] == [2, 0]
    assert any("cart: await_click -> done" in line.text for line in results[0].trace)


def test_steps_of_the_older_form_are_no_coverage_of_that_of_today() -> None:
    journeys, _, found = loaded()
    transitions = [t for result in run_scenarios(journeys, found.scenarios) for t in result.transitions]
    missed = coverage(journeys.current["cart"], transitions).missed
    assert {"pause", "remind"} <= set(missed)
    assert "react" not in missed


def test_the_older_form_decides_nothing_and_is_proved() -> None:
    sources = fixture_sources({EARLIER: OLD})
    assert sources.set_id == fixture_sources().set_id
    assert list(compile_journeys(sources, fixture_events().types).journeys.current) == ["cart"]  # type: ignore[union-attr]
    _, earlier, _ = loaded(**{"cart.yaml": CART.replace("steps:\n", "migrate: {from: any}\nsteps:\n", 1)})
    assert [problem.code for problem in earlier.problems] == ["J312"]


def test_mistakes_stand_where_they_are() -> None:
    _, earlier, found = loaded(**{EARLIER: OLD.replace("template: reminder", "template: remainder")})
    assert [(problem.path, problem.code) for problem in earlier.problems] == [(EARLIER, "J204")]
    assert [problem.code for problem in found.problems] == ["J805"] * len(found.problems)
    wrong = SCENARIOS.replace("change_over: true", "change_over: false", 1)
    _, _, found = loaded(**{"cart.scenarios.yaml": wrong})
    assert [problem.code for problem in found.problems] == ["J183"]
    nobody = SCENARIOS.replace(f"under: {EARLIER}", "under: cart.april.earlier.yaml", 1)
    _, _, found = loaded(**{"cart.scenarios.yaml": nobody})
    assert [problem.code for problem in found.problems] == ["J805"] * 3


def test_the_command_runs_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journeys = Path(shutil.copytree(FIXTURES / "journeys", tmp_path / "journeys"))
    (journeys / EARLIER).write_text(OLD)
    (journeys / "cart.yaml").write_text(CART.replace("steps:\n", MIGRATE, 1))
    (journeys / "cart.scenarios.yaml").write_text(SCENARIOS)
    schemas = ["--schemas", str(FIXTURES / "schemas")]
    assert run(["test", str(journeys), *schemas]) == 0
    assert run(["test", str(journeys / "cart.scenarios.yaml"), *schemas]) == 0
    assert run(["validate", str(journeys), *schemas]) == 0
    (journeys / "cart.yaml").write_text(CART.replace("steps:\n", "migrate: {from: any}\nsteps:\n", 1))
    capsys.readouterr()
    assert run(["test", str(journeys), *schemas, "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"][0]["code"] == "J312"


def test_an_older_form_alone_is_no_journey() -> None:
    problems = compile_journeys(Sources({EARLIER: OLD}), fixture_events().types).problems
    assert [problem.code for problem in problems] == ["J125"]
