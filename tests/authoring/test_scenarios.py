from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.problem_text import render_text
from orchestrator.authoring.scenario_checks import offset
from orchestrator.authoring.scenario_coverage import coverage
from orchestrator.authoring.scenario_files import Scenarios, load_scenarios
from orchestrator.authoring.scenario_report import render_results
from orchestrator.authoring.scenarios import ScenarioResult, all_live, run_scenario, run_scenarios
from orchestrator.authoring.sources import Sources
from orchestrator.cli.test import command
from orchestrator.model.journey import JourneySet, Status
from orchestrator.resources import journeys_dir, schemas_dir
from tests.journeys.shipped import DAY, HOUR, MINUTE, shipped_journeys, shipped_shapes, shipped_sources

GOLDEN = Path(__file__).parents[1] / "golden" / "scenarios"
HERE = Path(__file__).parent / "scenarios"
CART = "cart_abandonment.scenarios.yaml"

ADA = """
      profile: {email: ada@example.com, first_name: Ada}
      consent: {email: true}"""


def story(*, when: str, then: str, given: str = ADA, name: str = "a story") -> str:
    lines = [f"scenarios:\n  - name: {name}\n    given:{given}\n    when:"]
    lines += [f"      - {line.strip()}" for line in when.strip().splitlines()]
    lines.append("    then:")
    lines += [f"      - {line.strip()}" for line in then.strip().splitlines()]
    return "\n".join(lines) + "\n"


def load(text: str, path: str = CART) -> Scenarios:
    return load_scenarios({path: text}, shipped_journeys(), shipped_shapes())


def play(text: str, journeys: JourneySet | None = None) -> ScenarioResult:
    loaded = load(text)
    assert loaded.problems == (), loaded.problems
    (scenario,) = loaded.scenarios
    return run_scenario(journeys or shipped_journeys(), scenario)


CART_FILLED = "{event: cart_updated, with: {cart_id: k1, value: 20}}"


@pytest.mark.parametrize(
    "line",
    [
        "{at: +1 hour, sent: email}",
        "{sent: email, template: cart_reminder, step: first_reminder, address: ada@example.com, language: default}",
        "{sent: email, contains: [Hello Ada, 20.00 EUR]}",
        "{not_sent: sms}",
        "{at: start, not_sent: anything}",
        "{messages: 2}",
        "{at: +1 hour, messages: 1}",
        "{at: +59 minutes 59 seconds, in_step: think_it_over}",
        "{at: +1 hour, in_step: react, key: k1}",
        "{at: +4 days, inside: false}",
        "{inside: true}",
        "{in_step: think_it_over}",
        "{entered: true}",
        "{at: start, entered: true}",
        "{held_out: false}",
        "{at: +3 days 1 hour, exited: finished}",
        "{goal: missed}",
        "{transition: step, step: worth_an_offer, to: last_call, because: otherwise}",
        "{profile: {first_name: Ada, language: null}}",
        "{consent: {email: true}}",
        "{journey: welcome_series, entered: false}",
    ],
)
def test_an_expectation_that_is_met(line: str) -> None:
    assert play(story(when=CART_FILLED, then=line)).missed == ()


@pytest.mark.parametrize(
    ("line", "happened"),
    [
        ("{at: +2 hours, sent: email}", "email cart_reminder at +1 hour (the time differs)"),
        ("{sent: sms}", "email cart_reminder at +1 hour (the channel differs)"),
        ("{sent: email, template: welcome}", "(the template differs)"),
        ("{sent: email, address: bob@example.com}", "(the address differs)"),
        ("{sent: email, contains: Bob}", 'the content lacks "Bob"'),
        ("{journey: welcome_series, sent: email}", "nothing of the kind"),
        ("{not_sent: anything}", "email cart_reminder at +1 hour"),
        ("{at: +1 hour, not_sent: email}", "email cart_reminder at +1 hour"),
        ("{not_sent: sms, because: capped}", "nothing of the kind"),
        ("{messages: 5}", "2: email cart_reminder at +1 hour"),
        ("{at: +30 minutes, in_step: react}", "in think_it_over"),
        ("{at: +4 days, in_step: react}", "exited done finished at +3 days 1 hour"),
        ("{at: +4 days, inside: true}", "exited done finished at +3 days 1 hour"),
        ("{inside: false}", "in think_it_over"),
        ("{entered: false}", "entered -> think_it_over at start"),
        ("{held_out: true}", "entered -> think_it_over at start"),
        ("{exited: goal}", "exited done finished at +3 days 1 hour"),
        ("{at: +1 hour, exited: finished}", "exited done finished at +3 days 1 hour"),
        ("{goal: reached}", "nothing of the kind"),
        ("{transition: step, step: react, because: email_clicked}", "step react -> worth_an_offer timeout"),
        ("{profile: {first_name: Bob}}", "first_name: Ada"),
        ("{consent: {email: false}}", "email: true"),
    ],
)
def test_an_expectation_that_is_missed_says_what_happened(line: str, happened: str) -> None:
    (missed,) = play(story(when=CART_FILLED, then=line)).missed
    assert happened in missed.happened


def test_a_scenario_goes_on_until_nothing_is_due_or_until_it_says() -> None:
    text = story(when=CART_FILLED, then="{messages: 2}")
    assert play(text).missed == ()
    assert (
        "1: email cart_reminder" in play(text.replace("    then:", "    until: +1 hour\n    then:")).missed[0].happened
    )


@pytest.mark.parametrize(
    ("expected", "holds"), [("12.5", True), ("12.50", True), ("12", False), ("12.500", True), ("null", False)]
)
def test_amounts_of_the_profile_are_compared_as_amounts(expected: str, holds: bool) -> None:
    sources = shipped_sources().files
    rule = "profile:\n  - {on: order_placed, set: {last_total: event.total}}\n"
    files = {**sources, "profile.yaml": sources["profile.yaml"].replace("profile:\n", rule, 1)}
    journeys = compile_journeys(Sources(files), load_event_types(schemas_dir() / "events")).journeys
    assert journeys is not None
    text = story(
        when="{event: order_placed, with: {total: 12.50}}",
        then=f"{{at: +1 minute, profile: {{last_total: {expected}}}}}",
    )
    loaded = load_scenarios({CART: text}, journeys, shipped_shapes())
    assert loaded.problems == ()
    assert (run_scenario(journeys, loaded.scenarios[0]).missed == ()) is holds


def test_a_goal_is_reached_and_worth_an_amount() -> None:
    when = f"{CART_FILLED}\n{{at: +5 minutes, event: order_placed, with: {{cart_id: k1, total: 20}}}}"
    assert play(story(when=when, then="{goal: reached}\n{goal: 20}\n{at: +5 minutes, goal: 20.00}")).missed == ()
    missed = play(story(when=when, then="{goal: missed}\n{goal: 21}")).missed
    assert [one.happened for one in missed] == ["goal think_it_over treated 20.00 at +5 minutes"] * 2


def test_a_state_is_looked_at_after_everything_that_happens_at_its_instant() -> None:
    when = f"{CART_FILLED}\n{{at: +1 hour, event: order_placed, with: {{cart_id: k1}}}}"
    # The reminder is due at the very instant of the order, and fires before it.
    then = "{at: +1 hour, sent: email}\n{at: +1 hour, inside: false}\n{at: +1 hour, exited: goal}"
    assert play(story(when=when, then=then)).missed == ()


def test_chance_is_decided_by_choosing_a_customer() -> None:
    for arm in ("free_shipping", "ten_percent"):
        given_ = f"{ADA}\n      split: {{choose_offer: {arm}}}"
        text = story(
            given=given_, when="{event: cart_updated, with: {value: 150}}", then=f"{{sent: email, step: {arm}}}"
        )
        assert play(text).missed == ()


def test_the_control_group_is_entered_only_where_the_scenario_says_so() -> None:
    assert play(story(when=CART_FILLED, then="{held_out: false}")).missed == ()
    assert play(story(given=f"{ADA}\n      held_out: true", when=CART_FILLED, then="{held_out: true}")).missed == ()


def test_an_event_can_carry_the_id_of_a_message_that_was_sent() -> None:
    click = "{at: +2 hours, event: email_clicked, with: {action_id: {action_of: first_reminder}}}"
    assert play(story(when=f"{CART_FILLED}\n{click}", then="{in_step: back_in_the_shop}")).missed == ()


def test_an_id_of_a_message_that_was_not_sent_fails_at_the_event() -> None:
    click = "{at: +2 minutes, event: email_clicked, with: {action_id: {action_of: first_reminder}}}"
    result = play(story(when=f"{CART_FILLED}\n{click}", then="{in_step: back_in_the_shop}"))
    assert [(m.expected, m.happened) for m in result.missed] == [
        ("step first_reminder to have sent a message by +2 minutes", "it has sent none")
    ]


def test_drafts_can_be_tried_and_shadow_journeys_send() -> None:
    journeys = shipped_journeys()
    for status in (Status.DRAFT, Status.SHADOW, Status.RETIRED):
        cart = replace(journeys.current["cart_abandonment"], status=status)
        quiet = replace(journeys, current={**journeys.current, cart.name: cart}, entries={}, versions={})
        assert play(story(when=CART_FILLED, then="{at: +1 hour, sent: email}"), all_live(quiet)).missed == ()


def test_events_that_no_journey_asks_for_are_in_the_trace() -> None:
    when = "{event: page_viewed, with: {page: home}}"
    assert play(story(when=when, then="{entered: false}")).trace[0].text == "event page_viewed: no journey asks for it"


def test_only_scenarios_with_the_text_in_journey_or_name_run() -> None:
    text = story(name="first", when=CART_FILLED, then="{entered: true}")
    text += story(name="Second", when=CART_FILLED, then="{entered: true}").removeprefix("scenarios:\n")
    scenarios = load(text).scenarios
    assert [r.scenario.name for r in run_scenarios(shipped_journeys(), scenarios, only="sec")] == ["Second"]
    assert len(run_scenarios(shipped_journeys(), scenarios, only="CART_ABANDON")) == 2


def test_coverage_names_what_no_scenario_reached() -> None:
    result = play(story(when=CART_FILLED, then="{at: +1 hour, in_step: react}"))
    found = coverage(shipped_journeys().current["cart_abandonment"], result.transitions)
    assert "first_reminder" not in found.missed
    assert {"goal", "held out", "free_shipping", "react: email_clicked -> back_in_the_shop"} <= set(found.missed)


def golden(name: str, text: str) -> None:
    assert text.rstrip("\n") + "\n" == (GOLDEN / f"{name}.txt").read_text(), text


def test_a_failure_shows_place_expectation_event_and_trace() -> None:
    click = "{at: +2 hours, event: email_clicked, with: {action_id: {action_of: first_reminder}}}"
    then = "{at: +1 hour, sent: sms, template: cart_reminder}\n{at: +2 hours, in_step: react}"
    text = story(name="a story that goes wrong", when=f"{CART_FILLED}\n{click}", then=then)
    golden("failure", render_results([play(text)], root="journeys"))


@pytest.mark.parametrize("file", sorted(HERE.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_mistake_in_a_scenario_file_has_a_code_a_place_and_a_hint(file: Path) -> None:
    text = file.read_text()
    path = text.splitlines()[0].removeprefix("# ") if text.startswith("# ") else CART
    problems = load(text, path).problems
    assert {problem.code for problem in problems} == {file.stem.partition("_")[0]}
    golden(file.stem, render_text(problems, Sources(files={path: text}, root="journeys")))


def test_every_code_of_scenario_problems_is_shown_by_a_file() -> None:
    here = Path(load_scenarios.__code__.co_filename).parent
    codes = {code for file in here.glob("scenario*.py") for code in re.findall(r"J8\d\d", file.read_text())}
    assert {file.stem.partition("_")[0] for file in HERE.glob("*.yaml")} == codes


@pytest.mark.parametrize(
    ("after_ms", "text"),
    [
        (0, "start"),
        (HOUR, "+1 hour"),
        (2 * DAY + 3 * HOUR + MINUTE, "+2 days 3 hours 1 minute"),
        (1_500, "+1 second 500 ms"),
    ],
)
def test_times_are_shown_as_they_are_written(after_ms: int, text: str) -> None:
    assert offset(after_ms) == text


NAMES = st.sampled_from(
    ["name", "given", "when", "then", "until", "at", "event", "with", "sent", "in_step", "profile", "split", "goal"]
)
VALUES: st.SearchStrategy[object] = st.recursive(
    st.sampled_from(
        ["email", "+1 hour", "start", "cart_updated", "finished", "true", "null", "7", "''", "{action_of: x}"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def flow(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {flow(inner)}" for name, inner in value.items()) + "}"
    return str(value)


@given(scenario=st.dictionaries(NAMES, VALUES, max_size=5))
def test_whatever_is_written_is_a_scenario_or_a_problem(scenario: Mapping[str, object]) -> None:
    loaded = load(f"scenarios: [{flow(scenario)}]")
    assert loaded.problems or len(loaded.scenarios) == 1
    for one in loaded.scenarios:
        run_scenario(shipped_journeys(), one)


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, [*arguments, "--schemas", str(schemas_dir())], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.output


def test_the_command_ends_with_0_when_all_scenarios_hold() -> None:
    code, output = invoke(str(journeys_dir()), "--coverage")
    assert (code, "all hold" in output, "not reached" in output) == (0, True, False)


def test_the_command_ends_with_1_and_the_trace_when_one_fails(tmp_path: Path) -> None:
    shutil.copytree(journeys_dir(), tmp_path / "journeys")
    file = tmp_path / "journeys" / CART
    file.write_text(story(when=CART_FILLED, then="{at: +1 hour, in_step: think_it_over}"))
    code, output = invoke(str(file))
    assert code == 1
    assert f"{CART}:9:9: failed: a story" in output
    assert "+1 hour         cart_abandonment: think_it_over -> first_reminder (timeout)" in output
    code, output = invoke(str(file), "--format", "json")
    assert (code, '"happened": "in react"' in output) == (1, True)
    file.write_text("scenarios: 7\n")
    code, output = invoke(str(tmp_path / "journeys"))
    assert (code, "error[J801]" in output) == (1, True)


def test_a_filter_that_fits_nothing_is_a_usage_error() -> None:
    with pytest.raises(click.UsageError, match="no scenario has"):
        invoke(str(journeys_dir()), "--filter", "nothing like it")
