"""What lets customers into a journey: as it is written, checked and compiled."""

from __future__ import annotations

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.sources import Sources
from orchestrator.model.journey import Journey
from orchestrator.model.triggers import OnCommand
from tests.authoring.cases import fixture_events, fixture_sources

EVENTS = fixture_events().types
GREETING = """journey: greeting
owner: team@shop.example
status: live
entry: {entry}
steps:
  pause: {{wait: 1 hour}}
  look:
    branch:
      - {{when: {when}, go: done}}
  done: {{exit: finished}}
"""


def sources(entry: str, when: str = "consent.email") -> Sources:
    return fixture_sources({"greeting.yaml": GREETING.format(entry=entry, when=when)})


def greeting(entry: str, when: str = "consent.email") -> Journey:
    compilation = compile_journeys(sources(entry, when), EVENTS)
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys.current["greeting"]


def codes(entry: str, when: str = "consent.email") -> list[tuple[str, str]]:
    compilation = compile_journeys(sources(entry, when), EVENTS)
    return [(problem.code, problem.hint) for problem in compilation.problems if problem.path == "greeting.yaml"]


def test_a_journey_that_is_only_asked_for() -> None:
    journey = greeting("{command: true, where: consent.email and profile.first_name == 'Ada', reentry: always}")
    assert journey.entry.trigger == OnCommand()
    assert journey.captured == ()


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("{command: maybe}", "J115"),
        ("{on: cart_updated, command: true}", "J160"),
        ("{reentry: always}", "J160"),
        ("{command: true, when: enters}", "J107"),
        ("{segment: vip, when: joins}", "J115"),
        ("{segment: vip}", "J109"),
        ("on_command", "J108"),
    ],
)
def test_an_entry_that_cannot_be_read_is_refused(entry: str, code: str) -> None:
    assert code in {found for found, _ in codes(entry)}


def test_without_an_entry_event_its_fields_are_refused_and_the_instant_of_entry_is_there() -> None:
    hint = "use profile.*; entry.at is when the customer entered"
    assert codes("{command: true}", when="entry.value > 5") == [("J212", hint)]
    assert codes("{command: true, where: event.value > 5}") == [("J212", hint)]
    assert codes("{command: true, where: now - entry.at > 1 day}") != []
    assert codes("{command: true}", when="now - entry.at > 1 day") == []


def test_with_an_entry_event_at_is_one_of_its_fields() -> None:
    assert [code for code, _ in codes("{on: cart_updated}", when="entry.at < now")] == ["J202"]
