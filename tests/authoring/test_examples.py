"""A copy of a journey: renamed throughout, the rest untouched; and scenarios that drafts do not disturb."""

from __future__ import annotations

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.examples import copy_of, example_names, is_journey_name
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenarios import all_live, in_play, run_scenarios
from orchestrator.authoring.sources import Sources
from orchestrator.model.journey import Status
from orchestrator.resources import schemas_dir
from tests.authoring.cases import fixture_sources
from tests.journeys.shipped import shipped_shapes, shipped_sources

FILES = dict(shipped_sources().files)
SHIPPED = example_names(FILES)


def test_the_examples_are_the_journeys_and_neither_rules_nor_scenarios() -> None:
    assert {"welcome_series", "cart_abandonment"} <= set(SHIPPED)
    assert not {"profile", "channels", "policies", "welcome_series.scenarios"} & set(SHIPPED)


def test_a_copy_differs_from_its_example_in_names_and_status_only() -> None:
    copied = copy_of("cart", "basket", fixture_sources().files)
    assert set(copied) == {
        "basket.yaml",
        "basket.scenarios.yaml",
        "templates/basket_reminder/email.liquid",
        "templates/basket_offer/email.liquid",
        "templates/basket_offer/sms.liquid",
    }
    example = fixture_sources().files["cart.yaml"]
    expected = example.replace("journey: cart\n", "journey: basket\n").replace("status: live", "status: draft")
    expected = expected.replace("template: reminder", "template: basket_reminder")
    assert copied["basket.yaml"] == expected.replace("template: offer", "template: basket_offer")
    assert "template: basket_reminder" in copied["basket.scenarios.yaml"]


def test_another_journey_that_a_scenario_names_keeps_its_name() -> None:
    files = {
        "a.yaml": "journey: a\nstatus: live\nsteps: {s: {send: email, template: t}}\n",
        "a.scenarios.yaml": "scenarios: [{then: [{entered: true, journey: a}, {entered: true, journey: b}]}]\n",
    }
    copied = copy_of("a", "c", files)["c.scenarios.yaml"]
    assert "journey: c}, {entered: true, journey: b}" in copied


@pytest.mark.parametrize("name", ["../x", "X", "a b", "", "profile", "channels", "9x", "a" * 61])
def test_what_cannot_be_a_journeys_name_is_no_name(name: str) -> None:
    assert not is_journey_name(name)


def test_small_letters_digits_and_underscores_are_a_name() -> None:
    assert is_journey_name("spring_2027")


@pytest.mark.parametrize("example", SHIPPED)
def test_a_copy_beside_its_example_compiles_and_all_scenarios_of_both_hold(example: str) -> None:
    files = FILES | copy_of(example, "copied", FILES)
    compilation = compile_journeys(Sources(files), load_event_types(schemas_dir() / "events"))
    assert compilation.problems == ()
    journeys = compilation.journeys
    assert journeys is not None
    assert journeys.current["copied"].status is Status.DRAFT
    chosen = {path: files[path] for path in (f"{example}.scenarios.yaml", "copied.scenarios.yaml")}
    loaded = load_scenarios(chosen, all_live(journeys), shipped_shapes())
    assert loaded.problems == ()
    assert {scenario.journey for scenario in loaded.scenarios} == {example, "copied"}
    assert [r.scenario.name for r in run_scenarios(journeys, loaded.scenarios) if r.missed] == []


@pytest.mark.parametrize("example", ["cart_abandonment", "welcome_series"])
def test_a_live_copy_takes_messages_from_its_example_for_both_count_for_the_same_caps(example: str) -> None:
    files = FILES | copy_of(example, "copied", FILES)
    journeys = compile_journeys(Sources(files), load_event_types(schemas_dir() / "events")).journeys
    assert journeys is not None
    live = all_live(journeys)
    chosen = {path: files[path] for path in (f"{example}.scenarios.yaml", "copied.scenarios.yaml")}
    assert any(r.missed for r in run_scenarios(live, load_scenarios(chosen, live, shipped_shapes()).scenarios))


def test_a_draft_is_played_alone_and_a_live_journey_with_all_but_drafts() -> None:
    files = FILES | copy_of("welcome_series", "copied", FILES)
    journeys = compile_journeys(Sources(files), load_event_types(schemas_dir() / "events")).journeys
    assert journeys is not None
    loaded = load_scenarios(files, all_live(journeys), shipped_shapes()).scenarios
    of = {scenario.journey: scenario for scenario in loaded}
    assert set(in_play(journeys, of["copied"]).current) == {"copied"}
    assert set(in_play(journeys, of["welcome_series"]).current) == set(SHIPPED)
    assert {j.status for j in in_play(journeys, of["copied"]).current.values()} == {Status.LIVE}
