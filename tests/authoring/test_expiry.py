"""`max_duration` as authors write it: compiled, drawn, expected in scenarios, checked."""

from __future__ import annotations

import pytest

from orchestrator.authoring.changes import Side, side_of
from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.graph import mermaid
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenarios import run_scenarios
from tests.authoring.cases import fixture_events, fixture_sources

SCENARIO = """
scenarios:
  - name: two days and no more
    given:
      profile: {email: ada@example.com, first_name: Ada}
      consent: {email: true}
    when:
      - {event: cart_updated, with: {cart_id: c1, value: 200}}
    then:
      - {at: +18 hours, exited: expired}
"""


def cart(limit: str) -> str:
    text = fixture_sources().files["cart.yaml"]
    return text.replace("holdout: 5%", f"max_duration: {limit}\nholdout: 5%")


def side(limit: str) -> Side:
    return side_of(fixture_sources({"cart.yaml": cart(limit)}).files, fixture_events().types)


@pytest.mark.parametrize(("limit", "ms", "months"), [("18 hours", 64_800_000, 0), ("2 months", None, 2)])
def test_the_longest_time_is_a_duration_or_months(limit: str, ms: int | None, months: int) -> None:
    made = side(limit).journeys
    assert made is not None
    found = made.current["cart"]
    assert found.max_duration_months == months
    assert found.max_duration_ms > 0
    assert ms in {None, found.max_duration_ms}


def test_it_is_drawn_as_a_way_out_of_every_step() -> None:
    assert 'anytime -.->|"expired after 18 hours"| leave' in mermaid(side("18 hours").drafts["cart"])


def test_a_scenario_expects_it() -> None:
    made = side("18 hours").journeys
    assert made is not None
    shapes = event_shapes(fixture_events().types)
    loaded = load_scenarios({"cart.scenarios.yaml": SCENARIO}, made, shapes)
    assert loaded.problems == ()
    assert [result.missed for result in run_scenarios(made, loaded.scenarios)] == [()]


def test_what_is_no_duration_is_a_mistake() -> None:
    compiled = compile_journeys(fixture_sources({"cart.yaml": cart("soon")}), fixture_events().types)
    assert [problem.code[:2] for problem in compiled.problems] == ["J5"]


def test_a_wait_without_a_time_out_is_no_endless_one_within_it() -> None:
    def problems(limit: str) -> set[str]:
        text = cart(limit) if limit else fixture_sources().files["cart.yaml"]
        text = text.replace("    timeout: 1 day\n", "")
        text = text.replace("goal: {on: order_placed, within: 7 days, value: event.total}\n", "")
        compiled = compile_journeys(fixture_sources({"cart.yaml": text}), fixture_events().types)
        return {problem.code for problem in compiled.problems}

    assert "J304" in problems("")
    assert "J304" not in problems("18 hours")
