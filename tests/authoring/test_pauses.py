"""Journeys that are paused, as authors write them, in the compiler, scenarios, graph, plan and explain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from orchestrator.authoring.changes import Side, changes_between, side_of
from orchestrator.authoring.compiler import Compilation, compile_journeys, with_pinned
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.explanation import explain, explanation_values, render_explanation
from orchestrator.authoring.graph import mermaid
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.pause_source import resume_words, with_paused
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenarios import ScenarioResult, in_play, run_scenario
from orchestrator.authoring.sources import Sources
from orchestrator.cli._plan import Plan, plan_values, render_plan
from orchestrator.model.customer import Customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.pauses import Resume, ResumeRate
from orchestrator.runtime.places import Place, Places
from tests.authoring.cases import fixture_events, fixture_sources

CART = fixture_sources().files["cart.yaml"]
HOUR = 3_600_000
START = 1_700_000_000_000


def cart(status: str, resume: str | None = None) -> dict[str, str]:
    said = f"status: {status}\n" + (f"resume: {resume}\n" if resume is not None else "")
    return {"cart.yaml": CART.replace("status: live\n", said)}


def compiled(status: str = "live", resume: str | None = None, *, files: Mapping[str, str] | None = None) -> Compilation:
    sources = fixture_sources(cart(status, resume)) if files is None else Sources(files=dict(files))
    return compile_journeys(sources, fixture_events().types)


def journeys(status: str = "live", resume: str | None = None) -> JourneySet:
    found = compiled(status, resume).journeys
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "expected", "words"),
    [
        ("at_once", Resume(), "go on at once"),
        ("expire", Resume(expires=True), "leave"),
        ("{over: 2 hours}", Resume(over_ms=2 * HOUR), "go on, spread over 2 hours"),
        ("{max: 500, per: 1 minute}", Resume(rate=ResumeRate(500, 60_000)), "go on, at most 500 in 1 minute"),
        (
            "{skip_older_than: 1 day}",
            Resume(skip_older_than_ms=24 * HOUR),
            "go on at once; those whose step was due more than 1 day before leave",
        ),
    ],
)
def test_what_is_written_is_what_is_done(text: str, expected: Resume, words: str) -> None:
    made = journeys("paused", text)
    assert made.current["cart"].resume == expected
    assert resume_words(expected) == words
    assert made.uses_shared == (expected.rate is not None)
    assert compiled("paused", text).problems == compiled().problems


@pytest.mark.parametrize("text", ["{}", "{max: 5}", "{per: 1 day}", "{over: 1 day, max: 5, per: 1 day}"])
def test_half_a_resume_is_refused(text: str) -> None:
    assert "J185" in {problem.code for problem in compiled("paused", text).problems}


def test_pausing_makes_no_new_version_and_brings_every_record_in_line() -> None:
    live, paused, changed = journeys(), journeys("paused", "{over: 1 day}"), journeys("live", "expire")
    versions = {one.current["cart"].version for one in (live, paused, changed)}
    assert len(versions) == 1
    assert (sorted(live.paused), sorted(paused.paused)) == ([], ["cart"])
    assert live.alignment == changed.alignment != paused.alignment
    assert [one.name for one in paused.entries["cart_updated"]] == ["cart"]
    assert journeys("retired").current["cart"].version not in versions


def test_a_pause_holds_for_older_versions_too() -> None:
    text = CART.replace("wait: 1 hour", "wait: 2 hours")
    older = compile_journeys(fixture_sources({"cart.yaml": text}), fixture_events().types).journeys
    assert older is not None
    engine = OfflineEngine(older)
    engine.put("ada", Customer(profile={"email": "a@example.com"}, consent={"email": True}))
    engine.apply(START, event("cart_updated", 1))
    engine.journeys = with_pinned(journeys("paused", "at_once"), [older])
    engine.bring_in_line(START + HOUR)
    assert engine.advance(START + 99 * HOUR).actions == []
    assert engine.next_wake() is not None, "the goal's window"
    engine.journeys = with_pinned(journeys(), [older])
    engine.bring_in_line(START + 99 * HOUR)
    actions = engine.advance(START + 99 * HOUR).actions
    assert [(action.step, action.version) for action in actions] == [("remind", older.current["cart"].version)]


def event(kind: str, number: int) -> Event:
    fields = {"event_id": f"e{number}", "customer_id": "ada", "cart_id": "k1", "value": 20, "total": 5, "items": []}
    return Event(kind, f"e{number}", "ada", fields)


STORY = """scenarios:
  - name: it stands still and goes on
    given: {profile: {email: ada@example.com}, consent: {email: true}}
    when:
      - {event: cart_updated, with: {cart_id: k1, value: 20}}
      - {at: +30 minutes, pause: cart}
      - {at: +2 days, resume: cart}
    then:
      - {at: +1 day, in_step: pause}
      - {at: +2 days, sent: email, template: reminder}
      - {at: +30 minutes, transition: paused, step: pause}
      - {at: +2 days, transition: resumed}
      - {messages: 1}
"""


def played(text: str, status: str = "live", resume: str | None = None) -> ScenarioResult:
    made = journeys(status, resume)
    loaded = load_scenarios({"cart.scenarios.yaml": text}, made, event_shapes(fixture_events().types))
    assert loaded.problems == ()
    (scenario,) = loaded.scenarios
    return run_scenario(in_play(made, scenario), scenario)


def test_a_scenario_pauses_and_resumes() -> None:
    assert played(STORY).missed == ()
    assert played(STORY, "paused", "at_once").missed == (), "a journey that is paused is live in scenarios"
    late = played(STORY.replace("{at: +2 days, sent", "{at: +1 hour, sent"))
    assert [missed.happened for missed in late.missed] == ["email reminder at +2 days (the time differs)"]
    assert any("journey cart: paused" in line.text for line in late.trace)


def test_a_scenario_resumes_as_the_journey_says() -> None:
    then = "- {at: +2 days, exited: expired_in_pause}\n      - {messages: 0}"
    text = f"{STORY.partition('    then:')[0]}    then:\n      {then}\n"
    assert played(text, resume="expire").missed == ()
    assert played(text, resume="{skip_older_than: 1 day}").missed == ()
    assert len(played(text, resume="{skip_older_than: 3 days}").missed) == 2


def test_a_graph_says_that_nobody_goes_on() -> None:
    draft = next(one for one in compiled("paused", "{over: 2 hours}").drafts if one.name.name == "cart")
    assert "PAUSED: nobody goes on<br/>later all go on, spread over 2 hours" in mermaid(draft)


def side(status: str, resume: str | None = None) -> Side:
    return side_of(fixture_sources(cart(status, resume)).files, fixture_events().types)


def planned(before: Side, after: Side) -> Plan:
    assert before.journeys is not None
    version = before.journeys.current["cart"].version
    places = Places(
        9, Counter({Place("cart", version, "active", "pause"): 2, Place("cart", version, "paused", "react"): 7})
    )
    return Plan("a", "b", changes_between(before, after), places)


def test_a_plan_says_how_many_will_stand_still_and_how_they_go_on() -> None:
    live, paused = side("live"), side("paused", "{max: 500, per: 1 minute}")
    pausing = render_plan(planned(live, paused), is_coloured=False, shows_diff=False)
    assert pausing.startswith("~ journey cart (live -> paused), version ")
    assert "    from then on 9 passages stand still" in pausing.splitlines()
    assert "react (paused)" in pausing
    after = planned(paused, side("live", "{over: 2 hours}"))
    resuming = render_plan(after, is_coloured=False, shows_diff=False)
    assert "    7 passages stood still: all go on, spread over 2 hours" in resuming.splitlines()
    values = plan_values(after)["journeys"][0]
    assert (values["paused"], values["resume"]["over_ms"]) == (7, 2 * HOUR)
    slowly = render_plan(planned(paused, side("live", "{max: 2, per: 1 minute}")), is_coloured=False, shows_diff=False)
    assert "    7 passages stood still: all go on, at most 2 in 1 minute, which takes 4 minutes" in slowly.splitlines()
    gone = changes_between(paused, side_of({"channels.yaml": ""}, {})).journeys[0]
    assert (gone.kind, gone.resume) == ("removed", Resume())


def test_explain_says_since_when_what_is_kept_and_what_happened() -> None:
    engine = OfflineEngine(journeys())
    engine.put("ada", Customer(profile={"email": "a@example.com"}, consent={"email": True}))
    told = engine.apply(START, event("cart_updated", 1)).transitions
    paused = journeys("paused", "{over: 2 hours}")
    engine.journeys = paused
    told += engine.bring_in_line(START + HOUR // 2).transitions
    told += engine.apply(START + HOUR, event("email_clicked", 2)).transitions
    text = render_explanation(explain("ada", told, engine.customers["ada"], paused.versions), show_personal_data=False)
    assert 'cart #1: stands still at "pause": the journey is paused' in text
    assert 'stands still in step "pause" since 2023-11-14 22:43:20 UTC, because the journey is paused' in text
    assert "has kept 1 email_clicked" in text
    engine.journeys = journeys("live", "{over: 2 hours}")
    told += engine.bring_in_line(START + 2 * HOUR).transitions
    found = explain("ada", told, engine.customers["ada"], paused.versions)
    assert "; goes on at 2023-11-1" in render_explanation(found, show_personal_data=False)
    place = explanation_values(found, show_personal_data=False)["places"][0]
    assert (place["state"], place["kept_events"]) == ("paused", {"email_clicked": 1})
    assert "e2" not in str(place)
    told += engine.advance(START + 9 * HOUR).transitions
    said = [one.sentence for one in explain("ada", told, engine.customers["ada"], paused.versions).decisions]
    assert 'goes on from "pause" with 1 kept events: the journey runs again' in said


def test_explain_says_what_is_kept_for_later_steps() -> None:
    files = {
        **fixture_sources().files,
        "cart.yaml": CART.replace("  remind:\n", "  more: {wait: 1 hour}\n  remind:\n", 1),
    }
    live = compiled(files=files).journeys
    assert live is not None
    engine = OfflineEngine(live)
    engine.put("ada", Customer(profile={"email": "a@example.com"}, consent={"email": True}))
    told = engine.apply(START, event("cart_updated", 1)).transitions
    engine.journeys = with_paused(live, ["cart"])
    told += engine.bring_in_line(START + HOUR // 2).transitions
    told += engine.apply(START + 5 * HOUR, event("email_clicked", 2)).transitions
    engine.journeys = live
    told += engine.bring_in_line(START + 9 * HOUR).transitions
    told += engine.advance(START + 9 * HOUR).transitions
    found = explain("ada", told, engine.customers["ada"], live.versions)
    text = render_explanation(found, show_personal_data=False)
    assert 'in step "more"' in text
    assert "still has 1 email_clicked from a pause, for steps that it comes to" in text
    place = explanation_values(found, show_personal_data=False)["places"][0]
    assert (place["state"], place["kept_events"]) == ("active", {"email_clicked": 1})
    assert "paused_since" not in place
