"""Passages that stand still and come into another version of their journey."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.authoring.pause_source import with_paused
from orchestrator.model.actions import Transition
from orchestrator.model.customer import PAUSED
from orchestrator.model.journey import Step, Wait
from orchestrator.model.migrations import Migration
from tests.engine.build import DAY, HOUR, START, event, goal, journey, journeys, ordered, send
from tests.engine.test_migration import Play, migration, newer, over_to
from tests.engine.test_pausing import REACT

OLD = (Wait("think", HOUR, "first"), send("first", "react"), REACT, send("thanks", "_end"), send("second", "_end"))


def taken_along(*steps: Step, after: int = HOUR, how: Migration | None = None) -> Play:
    """Paused half an hour after the entry; an hour later in the new version, still paused; and then going on."""
    before = journeys(journey(*OLD))
    made = newer(*steps, how=how, exits_on=(ordered(),))
    play = Play(before)
    after_ms = START + after
    play.change(with_paused(before, ["welcome"]), after_ms - HOUR // 2)
    play.effects.append(play.engine.apply(after_ms, event("clicked", 2)))
    over = over_to(before, made)
    play.change(with_paused(over, ["welcome"]), after_ms + HOUR)
    assert (play.instance.state, play.instance.version) == (PAUSED, "v2")
    play.change(over, START + 50 * HOUR)
    play.advance(START + 50 * HOUR)
    return play


def told(play: Play, kind: str) -> list[Transition]:
    return [one for effects in play.effects for one in effects.transitions if one.kind == kind]


def test_a_wait_that_was_over_in_the_pause_is_over_in_the_new_version() -> None:
    play = taken_along(Wait("consider", 9 * DAY, "other"), send("other", "_end"), how=migration(think="consider"))
    assert play.sent == [("other", 50 * HOUR)]
    assert [(one.step, one.to) for one in told(play, "migrated")] == [("think", "consider")]


def test_what_was_kept_counts_in_the_new_version() -> None:
    steps = (REACT, send("thanks", "_end"), send("second", "_end"))
    play = taken_along(*steps, after=5 * HOUR)
    assert play.sent == [("first", HOUR), ("thanks", 50 * HOUR)]


def test_a_step_that_is_come_to_anew_is_come_to_on_going_on_before_what_was_kept() -> None:
    play = taken_along(Wait("think", 2 * HOUR, "first"), send("first", "_end"), how=migration(restarts=True))
    assert play.sent == []
    play.advance(START + 60 * HOUR)
    assert play.sent == [("first", 52 * HOUR)]
    clicked = taken_along(REACT, send("thanks", "_end"), send("second", "_end"), how=migration(think="react"))
    assert clicked.sent == [("thanks", 50 * HOUR)]


def test_who_entered_in_the_pause_begins_with_the_first_step_of_the_new_version() -> None:
    before = journeys(journey(*OLD))
    over = over_to(before, newer(send("hello", "_end"), how=migration()))
    play = Play(with_paused(before, ["welcome"]))
    play.change(over, START + HOUR)
    assert play.instance.step == "hello"
    play.advance(START + HOUR)
    assert play.sent == [("hello", HOUR)]


@pytest.mark.parametrize(("within_ms", "counts"), [(20 * HOUR, True), (HOUR // 4, False)])
def test_a_goal_in_the_pause_is_measured_by_the_new_window(within_ms: int, *, counts: bool) -> None:
    before = journeys(journey(*OLD, goal=goal()))
    made = newer(Wait("think", HOUR, "first"), send("first", "_end"), how=migration(), goal=goal(within_ms=within_ms))
    play, over = Play(before), over_to(before, made)
    play.change(with_paused(before, ["welcome"]), START + HOUR // 2)
    play.effects.append(play.engine.apply(START + HOUR, event("ordered", 2)))
    play.change(with_paused(over, ["welcome"]), START + 30 * HOUR)
    play.change(over, START + 50 * HOUR)
    play.advance(START + 50 * HOUR)
    assert [one.reason for one in told(play, "goal")] == ["treated"] * counts
    assert [step for step, _ in play.sent] == ["first"] * (not counts)


def test_who_is_inside_too_long_by_the_new_version_leaves_on_going_on() -> None:
    before = journeys(journey(*OLD))
    made = newer(Wait("think", HOUR, "_end"), how=migration(), max_duration_ms=2 * HOUR)
    play, over = Play(before), over_to(before, made)
    play.change(with_paused(before, ["welcome"]), START + HOUR // 2)
    play.change(with_paused(over, ["welcome"]), START + 30 * HOUR)
    assert play.ends == []
    play.change(over, START + 50 * HOUR)
    play.advance(START + 50 * HOUR)
    assert play.ends == ["expired"]


def test_who_was_taken_to_a_first_step_in_the_pause_does_not_begin_again_in_the_next_version() -> None:
    """The second version begins with the step that the passage is in; the third one has the message before it again."""
    first = journeys(journey(send("hello", "think"), Wait("think", HOUR, "bye"), send("bye", "_end")))
    thinking = (replace(REACT, name="think"), send("thanks", "_end"), send("second", "_end"))
    second = over_to(first, newer(*thinking, how=migration()))
    third = replace(
        over_to(second, journey(send("hello", "think"), *thinking, version="v3", migration=migration())),
        alignment="newest",
    )
    play = Play(first)
    play.change(with_paused(first, ["welcome"]), START + HOUR // 2)
    play.change(with_paused(second, ["welcome"]), START + HOUR)
    play.change(with_paused(third, ["welcome"]), START + 2 * HOUR)
    play.change(third, START + 3 * HOUR)
    play.advance(START + 5 * DAY)
    assert play.sent == [("hello", 0), ("second", 27 * HOUR)]
    assert [one.to for one in told(play, "migrated")] == ["think", "think"]
