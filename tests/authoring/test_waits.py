"""Waits as authors write them: what is compiled, refused, drawn, and run by a scenario."""

from __future__ import annotations

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.graph import mermaid
from orchestrator.authoring.scenario_coverage import coverage
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenario_report import render_results
from orchestrator.authoring.scenarios import run_scenario
from orchestrator.model.journey import ClockTime, WaitMonths, WaitUntilMoment, WaitUntilTime, WaitWhile
from orchestrator.model.types import Kind
from tests.authoring.cases import fixture_events, fixture_sources

EVENTS = fixture_events().types
PROFILE = """profile:
  - on: customer_registered
    set: {email: event.email, phone: event.phone, first_name: event.first_name, time_zone: event.first_name}
  - on: customer_registered
    set: {birthday: event.birthday, spent: event.spent}
  - on: order_placed
    set: {ordered_at: event.occurred_at}
  - on: consent_changed
    consent: {key: event.channel, granted: event.granted}
"""
CARE = """journey: care
owner: team@shop.example
status: live
entry: {on: order_placed}
goal: {on: email_clicked, within: 365 days}
steps:
  morning: {wait: {until: "09:05", on: [mon, fri], zone: Asia/Kathmandu}}
  months: {wait: 1 year}
  busy: {wait_while: consent.sms, timeout: 30 days, on_timeout: late}
  birthday: {wait: {until: profile.birthday, offset: -2 weeks, at: "10:30", missing: late, past: now}}
  mail: {send: email, template: offer}
  bye: {exit: finished}
  late: {exit: late}
"""
SCENARIOS = """scenarios:
  - name: the whole way
    given:
      time: 2026-03-02T12:00:00Z
      profile: {email: a@example.com, time_zone: America/New_York, birthday: 2027-04-01}
      consent: {email: true, sms: true}
    when:
      - {event: order_placed, with: {cart_id: c1, total: 5}}
      - {at: +370 days, event: consent_changed, with: {channel: sms, granted: false}}
    then:
      - {at: +3 days 15 hours 20 minutes, transition: step, step: morning, because: waited}
      - {transition: step, step: months, because: waited}
      - {at: +370 days, transition: step, step: busy, because: over}
      - {at: +381 days 2 hours 30 minutes, sent: email, template: offer}
  - name: nothing to wait for
    given: {time: 2026-03-02T12:00:00Z, profile: {email: a@example.com}, consent: {sms: false}}
    when:
      - {event: order_placed, with: {cart_id: c1, total: 5}}
    then:
      - {transition: step, step: birthday, because: missing}
      - {exited: late}
  - name: too late
    given: {profile: {email: a@example.com, birthday: 2020-01-01}, consent: {sms: false}}
    when:
      - {event: order_placed, with: {cart_id: c1, total: 5}}
    then:
      - {transition: step, step: birthday, to: mail, because: past}
  - name: busy for too long
    given: {consent: {sms: true}}
    when:
      - {event: order_placed, with: {cart_id: c1, total: 5}}
    then:
      - {transition: step, step: busy, to: late, because: timeout}
"""


def compiled(care: str = CARE, **more: str):  # type: ignore[no-untyped-def]
    files = {"care.yaml": care, "profile.yaml": PROFILE, **{f"{name}.yaml": text for name, text in more.items()}}
    return compile_journeys(fixture_sources(files), EVENTS)


def codes(care: str) -> list[str]:
    return [problem.code for problem in compiled(care).problems]


def test_waits_become_what_the_engine_executes() -> None:
    compilation = compiled(policies="default_zone: Pacific/Chatham\n")
    assert compilation.problems == ()
    assert compilation.journeys.default_zone == "Pacific/Chatham"
    journey = compilation.journeys.current["care"]
    steps = journey.steps
    assert steps["morning"] == WaitUntilTime("morning", ClockTime(9, 5), frozenset({1, 5}), "Asia/Kathmandu", "months")
    assert steps["months"] == WaitMonths("months", 12, "busy")
    busy, birthday = steps["busy"], steps["birthday"]
    assert isinstance(busy, WaitWhile)
    assert (busy.timeout_ms, busy.timeout_go, busy.next) == (30 * 86_400_000, "late", "birthday")
    assert isinstance(birthday, WaitUntilMoment)
    assert (birthday.is_date, birthday.days, birthday.at) == (True, -14, ClockTime(10, 30))
    assert (birthday.missing, birthday.past, birthday.next) == ("late", "mail", "mail")
    assert birthday.until.type.kind is Kind.DATE
    assert journey.waits_while
    assert {"customer_registered", "consent_changed"} <= journey.listens


def test_scenarios_go_every_way_of_every_wait() -> None:
    compilation = compiled()
    assert compilation.journeys is not None, compilation.problems
    loaded = load_scenarios({"care.scenarios.yaml": SCENARIOS}, compilation.journeys, event_shapes(EVENTS))
    assert loaded.problems == ()
    results = [run_scenario(compilation.journeys, scenario) for scenario in loaded.scenarios]
    assert not any(result.missed for result in results), render_results(results)
    transitions = [transition for result in results for transition in result.transitions]
    assert coverage(compilation.journeys.current["care"], transitions).missed == ("goal",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (", past: now}}", "}}", ["J512"]),
        ("missing: late, ", "", ["J512"]),
        ("until: profile.birthday", "until: profile.birthday ?? profile.birthday", ["J511"]),
        ("until: profile.birthday", "until: now", ["J511"]),
        ("offset: -2 weeks", "offset: -2", ["J501"]),
        ("offset: -2 weeks", "offset: 0 months", ["J503"]),
        ("offset: -2 weeks", "offset: -200 months", ["J504"]),
        ("offset: -2 weeks", "on: [mon]", ["J510"]),
        ('at: "10:30"', "at: noon", ["J507"]),
        ("[mon, fri]", "[mon, freitag]", ["J115"]),
        ("1 year", "0 years", ["J503"]),
        ("1 year", "11 years", ["J504"]),
        ("missing: late", "missing: later", ["J203"]),
        ("past: now", "past: later", ["J203"]),
        ("timeout: 30 days, on_timeout", "on_timeout", ["J506"]),
        ("wait_while: consent.sms", "wait_while: 1", ["J401"]),
        # What may be over on arrival does not interrupt a loop.
        ("template: offer}", "template: offer, next: birthday}", ["J302", "J301"]),
        ("template: offer}", "template: offer, next: busy}", ["J302", "J301"]),
    ],
)
def test_what_a_wait_cannot_be_is_refused(old: str, new: str, expected: list[str]) -> None:
    assert old in CARE
    assert sorted(codes(CARE.replace(old, new))) == sorted(expected)


def test_a_loop_around_a_time_of_day_or_months_is_a_loop_that_waits() -> None:
    for step in ("morning", "months"):
        changed = CARE.replace("template: offer}", f"template: offer, next: {step}}}").replace("past: now", "past: bye")
        assert codes(changed) == []


def test_a_graph_says_what_a_wait_waits_for() -> None:
    draft = next(draft for draft in compiled().drafts if draft.name.name == "care")
    text = mermaid(draft)
    for said in (
        "wait until 09:05 on mon or fri<br/>in Asia/Kathmandu",
        "wait 1 year",
        "wait while consent.sms<br/>at most 30 days",
        "wait until profile.birthday -2 weeks<br/>at 10:30",
        "no profile.birthday",
        "already past",
    ):
        assert said in text


QUIET = """default_zone: America/New_York
quiet_hours:
  - {channels: [sms, email], from: "21:00", to: "08:30", then: hold, late_after: 12 hours}
  - {channels: all, from: "12:00", to: "13:00", zone: Asia/Kathmandu, then: skip}
"""
NOTE = """journey: note
owner: team@shop.example
status: live
entry: {on: order_placed}
steps:
  mail: {send: email, template: offer}
"""
QUIET_SCENARIOS = """scenarios:
  - name: held over night
    given: {time: 2026-03-03T03:00:00Z, profile: {email: a@example.com}, consent: {email: true}}
    when: [{event: order_placed, with: {cart_id: c1, total: 5}}]
    then:
      - {at: start, transition: waiting, step: mail, because: held}
      - {at: +10 hours 30 minutes, sent: email}
  - name: consent is withdrawn over night
    given: {time: 2026-03-03T03:00:00Z, profile: {email: a@example.com}, consent: {email: true}}
    when:
      - {event: order_placed, with: {cart_id: c1, total: 5}}
      - {at: +1 hour, event: consent_changed, with: {channel: email, granted: false}}
    then:
      - {at: +10 hours 30 minutes, not_sent: email, because: no_consent}
"""


def test_quiet_hours_are_compiled_and_hold_in_scenarios() -> None:
    journeys = compiled(policies=QUIET, note=NOTE).journeys
    assert [(quiet.channels, quiet.zone, quiet.holds, quiet.late_after_ms) for quiet in journeys.quiet_hours] == [
        (frozenset({"sms", "email"}), None, True, 12 * 3_600_000),
        (None, "Asia/Kathmandu", False, None),
    ]
    loaded = load_scenarios({"note.scenarios.yaml": QUIET_SCENARIOS}, journeys, event_shapes(EVENTS))
    assert loaded.problems == ()
    results = [run_scenario(journeys, scenario) for scenario in loaded.scenarios]
    assert not any(result.missed for result in results), render_results(results)


def test_quiet_hours_of_an_unknown_channel_are_refused() -> None:
    problems = compiled(policies=QUIET.replace("[sms, email]", "[sms, emial]")).problems
    assert [problem.code for problem in problems] == ["J205"]
