"""Many passages that go on after a pause at the same instant, with much that they kept: the bounds of a decision are
for what may have no end, and this has one.
"""

from __future__ import annotations

import pytest

from orchestrator.engine.keeping import KEPT_MAX
from orchestrator.model.action_steps import StartJourney
from orchestrator.model.customer import ACTIVE
from orchestrator.model.journey import Awaited, Branch, Cap, Journey, ReEntry, Wait, WaitFor
from orchestrator.model.triggers import OnCommand
from tests.engine.build import DAY, HOUR, journey, send
from tests.engine.test_pausing import Story

ROOM = (Cap("most", None, 500, DAY),)
"""So that messages compete, and all of them go out."""


def details(story: Story) -> list[str]:
    return [failure.detail for effects in story.all for failure in effects.failures]


@pytest.mark.parametrize("number", [3, 40, KEPT_MAX - 1])
def test_what_many_passages_are_shown_and_keep_takes_nothing_from_the_last_one(number: int) -> None:
    """Two passages keep many clicks for a step after a day's wait; the third one waits for something else."""

    def slow(name: str) -> Journey:
        steps = (Wait("think", HOUR, "first"), send("first", "more"), Wait("more", DAY, "react"))
        react = WaitFor("react", (Awaited("clicked", None, "thanks"),), DAY, "_end")
        return journey(*steps, react, send("thanks", "_end"), name=name)

    answered = WaitFor("react", (Awaited("stopped", None, "thanks"),), DAY, "reminder")
    begin = (Wait("think", HOUR, "first"), send("first", "react"))
    asked = journey(*begin, answered, send("thanks", "_end"), send("reminder", "_end"), name="c")
    story = Story(slow("a"), slow("b"), asked, caps=ROOM)
    story.at(0, "registered")
    story.pause(0.5, "a", "b", "c")
    for one in range(number):
        story.at(30 + one / 100, "clicked")
    story.at(31, "stopped")
    story.resume(100)
    story.until(200)
    assert details(story) == []
    assert [step for step, _ in story.sent].count("reminder") == 0
    thanked = [(one.journey, one.reason) for one in story.transitions if one.step == "react" and one.kind == "step"]
    assert thanked == [("c", "stopped"), ("a", "clicked"), ("b", "clicked")]


def test_an_event_that_moves_many_passages_on_shows_each_what_it_kept() -> None:
    """One passage for each key; the click takes all of them to a wait at once."""
    react = WaitFor("react", (Awaited("clicked", None, "more"),), HOUR, "_end")
    again = WaitFor("again", (Awaited("ordered", None, "thanks"),), HOUR, "_end")
    steps = (Wait("think", DAY, "react"), react, Wait("more", 2 * DAY, "again"), again, send("thanks", "_end"))
    story = Story(*(journey(*steps, name=name) for name in "abc"))
    story.at(0, "registered")
    story.pause(0.5, "a", "b", "c")
    for one in range(KEPT_MAX):
        story.at(90 + one / 100, "ordered")
    story.resume(91)
    assert {one.step for one in story.engine.customers["c1"].instances} == {"react"}
    story.at(91.5, "clicked")
    assert details(story) == []
    pauses = [one.pause for one in story.engine.customers["c1"].instances]
    assert [None if pause is None else (pause.shown, len(pause.kept)) for pause in pauses] == [(KEPT_MAX,) * 2] * 3
    story.until(200)
    assert [step for step, _ in story.sent] == ["thanks"] * 3


def test_a_message_for_each_kept_event_throws_nobody_out() -> None:
    """More than a hundred messages in one decision, but no more than what was kept."""
    react = WaitFor("react", (Awaited("clicked", None, "hello"),), None, "_end")
    story = Story(journey(send("hello", "react"), react, name="a"), journey(send("hello", "react"), react, name="b"))
    story.live = story.engine.journeys = Story(*story.live.current.values(), caps=ROOM).live
    story.at(0, "registered")
    story.pause(0.5, "a", "b")
    for one in range(60):
        story.at(30 + one / 100, "clicked")
    story.resume(100)
    assert story.told("exited") == []
    assert len(story.sent) == 2 * 61


def test_who_begins_at_the_instant_at_which_others_find_no_end_begins_all_the_same() -> None:
    """Two journeys start each other for ever, which the bound stops; a passage behind them entered in the pause."""
    always = ReEntry("always")
    story = Story(
        journey(send("hello", "_end"), name="a"),
        journey(StartJourney("start", "y", "_end"), name="b"),
        journey(Branch("first", (), "think"), Wait("think", DAY, "_end"), name="c"),
        journey(StartJourney("start", "y", "_end"), name="x", reentry=always, trigger=OnCommand()),
        journey(StartJourney("start", "x", "_end"), name="y", reentry=always, trigger=OnCommand()),
        caps=ROOM,
    )
    story.pause(0, "a", "b", "c")
    story.at(1, "registered")
    story.resume(5)
    assert details(story) == ["passages open and end each other without end"]
    assert [(one.journey, one.step, one.state) for one in story.engine.customers["c1"].instances] == [
        ("c", "think", ACTIVE)
    ]
