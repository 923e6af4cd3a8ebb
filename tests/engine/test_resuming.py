"""How a passage goes on after a pause: what it missed, one thing after the other, and what it keeps for later steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.authoring.pause_source import with_paused
from orchestrator.engine.keeping import KEPT_MAX
from orchestrator.model.action_steps import StartJourney, StopJourney
from orchestrator.model.customer import ACTIVE, NEVER_MS, PAUSED
from orchestrator.model.journey import (
    Awaited,
    Cap,
    ClockTime,
    ExitOn,
    Expression,
    Goal,
    Journey,
    ProfileRule,
    QuietHours,
    ReEntry,
    Scope,
    SetProfile,
    Step,
    Wait,
    WaitFor,
    WaitUntilMoment,
    WaitUntilTime,
)
from orchestrator.model.pauses import Resume
from orchestrator.model.triggers import OnCommand
from orchestrator.model.types import Kind, Type
from tests.engine.build import DAY, HOUR, START, event, event_field, expression, goal, journey, journeys, ordered, send
from tests.engine.test_migration import Play, migration, newer, over_to
from tests.engine.test_pausing import MOMENT, Story, ms, welcome

ProfileRules = dict[str, tuple[ProfileRule, ...]]
ONE_A_DAY = (Cap("day", None, 1, DAY),)
QUIET_UNTIL_23 = (QuietHours(None, ClockTime(0, 0), ClockTime(23, 0), "UTC", True, None),)


def react(name: str = "react", on: str = "clicked", go: str = "thanks", timeout_ms: int | None = None) -> WaitFor:
    return WaitFor(name, (Awaited(on, None, go),), timeout_ms, "_end")


TWO_WAITS = (Wait("think", HOUR, "more"), Wait("more", HOUR, "react"), react(), send("thanks", "_end"))


def two_waits(**changes: object) -> Story:
    """Paused at half an hour; a click at 5, when both waits would have been over."""
    story = Story(welcome(*TWO_WAITS, **changes))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(5, "clicked")
    return story


def kept(story: Story) -> list[str]:
    pause = story.passage.pause
    return [] if pause is None else [one.event_id for one in pause.kept]


# What was missed, one thing after the other.


@pytest.mark.parametrize("is_moment", [True, False])
def test_what_another_journey_changes_meanwhile_moves_a_wait_that_begins_on_going_on(*, is_moment: bool) -> None:
    """The click starts a journey that changes the profile, and more is kept behind the click."""

    def changed(scope: Scope) -> object:
        return ms(60) if is_moment else "Asia/Kathmandu"

    attribute, kind = ("renewal", Kind.INSTANT) if is_moment else ("timezone", Kind.STRING)
    other = journey(
        SetProfile("set", ((attribute, Expression("x", Type(kind), changed), None),), "_end"),
        name="other",
        trigger=OnCommand(),
        reentry=ReEntry("always"),
    )
    wait: Step = WaitUntilTime("wait", ClockTime(9, 0), frozenset(), None, "_end")
    if is_moment:
        wait = WaitUntilMoment("wait", MOMENT, False, 0, 0, 0, None, None, "_end", "_end", "_end")
    due = []
    for is_paused in (False, True):
        story = Story(welcome(react(go="start"), StartJourney("start", "other", "wait"), wait), other)
        story.engine.customers["c1"].profile.update({"renewal": ms(200)})
        story.at(0, "registered")
        if is_paused:
            story.pause(1)
        story.at(2, "clicked")
        story.at(3, "clicked")
        if is_paused:
            story.resume(4)
        due.append(story.passage.timer_at_ms)
    assert due[0] == due[1] != ms(200)


def test_an_exit_condition_that_one_thing_brings_about_ends_the_passage_before_the_next_one() -> None:
    is_done = expression(lambda scope: scope.customer.profile.get("done") is True)
    mark = SetProfile("mark", (("done", expression(lambda _: True), None),), "react_again")
    story = Story(welcome(react(go="mark"), mark, react("react_again"), send("thanks", "_end"), exits_when=(is_done,)))
    story.at(0, "registered")
    story.pause(1)
    story.at(2, "clicked")
    story.at(3, "clicked")
    story.resume(4)
    assert story.sent == []
    assert story.told("exited") == [("exited", "react_again", "exit_condition", 4)]


@pytest.mark.parametrize(
    "last",
    [
        SetProfile("mark", (("done", expression(lambda _: True), None),), "_end"),
        StopJourney("mark", "welcome", "_end"),
    ],
)
def test_a_journey_that_one_thing_starts_has_its_say_before_the_next_one(last: Step) -> None:
    """The first click starts a journey that ends this passage; the second one would have it send a message."""
    is_done = expression(lambda scope: scope.customer.profile.get("done") is True)
    other = journey(last, name="other", trigger=OnCommand())
    steps = (react(go="start"), StartJourney("start", "other", "again"), react("again"), send("thanks", "_end"))
    reasons = []
    for is_paused in (False, True):
        story = Story(welcome(*steps, exits_when=(is_done,)), other)
        story.at(0, "registered")
        if is_paused:
            story.pause(1)
        story.at(2, "clicked")
        story.at(3, "clicked")
        if is_paused:
            story.resume(4)
        assert story.sent == []
        reasons.append([(step, reason) for _, step, reason, _ in story.told("exited")])
    assert reasons[0] == reasons[1]


# Messages of passages that go on at the same instant.


def test_messages_of_passages_that_go_on_together_go_by_priority() -> None:
    low = journey(Wait("w", HOUR, "m"), send("m", "_end", priority=1), name="a_low")
    high = journey(Wait("w", HOUR, "m"), send("m", "_end", priority=9), name="z_high")
    story = Story(low, high, caps=ONE_A_DAY)
    story.at(0, "registered")
    story.pause(0.5, "a_low", "z_high")
    story.resume(5)
    assert [one.journey for effects in story.all for one in effects.actions] == ["z_high"]
    assert [one.journey for one in story.transitions if one.reason == "capped"] == ["a_low"]


def test_what_a_passage_missed_after_its_message_takes_part_with_the_messages_that_are_left() -> None:
    caps = (Cap("two", None, 2, DAY),)
    low = journey(Wait("w", HOUR, "m"), send("m", "_end", priority=5), name="a_low")
    steps = (Wait("w", HOUR, "m"), send("m", "react", priority=9), react(), send("thanks", "_end", priority=7))
    story = Story(low, journey(*steps, name="z_high"), caps=caps)
    story.at(0, "registered")
    story.pause(0.5, "a_low", "z_high")
    story.at(2, "clicked")
    story.resume(5)
    sent = [(one.journey, one.step) for effects in story.all for one in effects.actions]
    assert sent == [("z_high", "m"), ("z_high", "thanks")], "9 and 7 come before 5"


def test_a_passage_that_goes_on_later_does_not_take_part() -> None:
    low = journey(Wait("w", HOUR, "m"), send("m", "_end", priority=1), name="a_low")
    high = journey(Wait("w", HOUR, "m"), send("m", "_end", priority=9), name="z_high")
    story = Story(low, high, caps=ONE_A_DAY)
    story.at(0, "registered")
    story.pause(0.5, "a_low", "z_high")
    story.live = replace(story.live, current={**story.live.current, "z_high": replace(high, resume=None)})
    story.switch(5, with_paused(story.live, ["z_high"]))
    story.switch(6, story.live)
    assert [one.journey for effects in story.all for one in effects.actions] == ["a_low"]


# A goal and an exit are judged as they come.


def test_an_exit_that_finds_no_room_ends_the_passage_all_the_same() -> None:
    story = Story(welcome(exits_on=(ordered(),)))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(1, "ordered", lines=["y" * 100] * 200)
    assert story.told("dropped") == []
    story.resume(5)
    assert story.sent == []
    exited = story.transitions[-1]
    assert (exited.kind, exited.reason, exited.event_id) == ("exited", "ordered", "e2")


def test_a_goal_that_finds_no_room_counts_with_what_it_is_worth() -> None:
    worth = Goal("ordered", None, 30 * DAY, event_field("total"))
    story = Story(welcome(goal=worth))
    story.at(0, "registered")
    story.pause(0.5)
    for number in range(KEPT_MAX):
        story.at(1 + number / 100, "clicked")
    story.at(2, "ordered", total=12, text="x" * 20_000)
    story.at(3, "ordered", total=99, text="x" * 20_000)
    story.resume(5)
    assert [(one.kind, one.value, one.event_id) for one in story.transitions if one.kind == "goal"] == [
        ("goal", "12", "e66")
    ]
    assert [one.event_id for one in story.transitions if one.kind == "dropped"] == ["e67"], "it is not needed"


@pytest.mark.parametrize("has_room", [True, False])
def test_what_changes_later_does_not_take_an_exit_back(*, has_room: bool) -> None:
    first = expression(lambda scope: scope.customer.profile.get("orders") == 1, "profile.orders == 1")
    rules: ProfileRules = {"ordered": (ProfileRule("ordered", (("orders", event_field("count"), None),), (), True),)}
    story = Story(welcome(exits_on=(ordered(first),)), profile_rules=rules)
    story.at(0, "registered")
    story.pause(0.5)
    story.at(1, "ordered", count=1, text="x" * (1 if has_room else 20_000))
    story.at(2, "ordered", count=2)
    story.resume(5)
    assert story.sent == []
    assert [(one.reason, one.event_id) for one in story.transitions if one.kind == "exited"] == [("ordered", "e2")]


def test_what_the_passage_itself_changes_on_going_on_makes_an_exit_of_what_comes_after_it() -> None:
    sent_first = expression(lambda scope: scope.instance is not None and "first" in scope.instance.results)
    steps = (Wait("think", HOUR, "first"), send("first", "wait"), Wait("wait", HOUR, "second"), send("second", "_end"))
    story = Story(welcome(*steps, exits_on=(ordered(sent_first),)))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(3, "ordered")
    story.resume(10)
    assert story.sent == [("first", 10)]
    assert story.told("exited") == [("exited", "wait", "ordered", 10)]


def test_a_verdict_stands_in_a_version_that_asks_for_the_same() -> None:
    """Judged again it would not be an exit any more: there has been another order meanwhile."""
    first = expression(lambda scope: scope.customer.profile.get("orders") == 1, "profile.orders == 1")
    steps = (Wait("think", HOUR, "first"), send("first", "_end"))
    rules: ProfileRules = {"ordered": (ProfileRule("ordered", (("orders", event_field("count"), None),), (), True),)}
    before = replace(journeys(journey(*steps, exits_on=(ordered(first),))), profile_rules=rules)
    over = over_to(before, newer(*steps, how=migration(), exits_on=(ordered(first),)))
    play = Play(before)
    play.change(with_paused(before, ["welcome"]), START + HOUR // 2)
    for number in (1, 2):
        play.effects.append(play.engine.apply(START + number * HOUR, event("ordered", 1 + number, count=number)))
    play.change(with_paused(over, ["welcome"]), START + 4 * HOUR)
    play.change(over, START + 50 * HOUR)
    play.advance(START + 50 * HOUR)
    assert (play.sent, play.ends) == ([], ["ordered"])


@pytest.mark.parametrize(
    ("rule", "has_room", "ends"),
    [
        (ordered(), True, True),
        (ordered(), False, True),
        (replace(ordered(), on="refunded"), True, False),
        (replace(ordered(), on="refunded"), False, False),
        (ordered(expression(lambda scope: scope.event["count"] == 2, "count == 2")), True, False),
        (ordered(expression(lambda scope: scope.event["count"] == 1, "count == 1")), True, True),
        # Without the event nobody can tell, so nothing is sent.
        (ordered(expression(lambda scope: scope.event["count"] == 2, "count == 2")), False, True),
    ],
)
def test_an_exit_is_judged_anew_by_a_version_that_asks_for_something_else(
    rule: ExitOn, *, has_room: bool, ends: bool
) -> None:
    steps = (Wait("think", HOUR, "first"), send("first", "_end"))
    before = journeys(journey(*steps, exits_on=(ordered(),)))
    made = newer(*steps, how=migration(), exits_on=(rule,))
    over, play = over_to(before, made), Play(before)
    play.change(with_paused(before, ["welcome"]), START + HOUR // 2)
    text = "x" * (1 if has_room else 20_000)
    play.effects.append(play.engine.apply(START + HOUR, event("ordered", 2, count=1, text=text)))
    play.change(with_paused(over, ["welcome"]), START + 2 * HOUR)
    play.change(over, START + 50 * HOUR)
    play.advance(START + 50 * HOUR)
    assert [step for step, _ in play.sent] == ([] if ends else ["first"])


@pytest.mark.parametrize("has_room", [True, False])
def test_a_goal_that_does_not_count_in_another_version_may_be_an_exit(*, has_room: bool) -> None:
    steps = (Wait("think", HOUR, "first"), send("first", "_end"))
    rule = ordered(expression(lambda scope: scope.event.get("count") == 1, "event.count == 1"))
    before = journeys(journey(*steps, exits_on=(rule,), goal=goal()))
    over = over_to(before, newer(*steps, how=migration(), exits_on=(rule,), goal=goal(within_ms=HOUR // 2)))
    play = Play(before)
    play.change(with_paused(before, ["welcome"]), START + HOUR // 2)
    text = "x" * (1 if has_room else 20_000)
    play.effects.append(play.engine.apply(START + HOUR, event("ordered", 2, count=1, text=text)))
    play.change(with_paused(over, ["welcome"]), START + 2 * HOUR)
    play.change(over, START + 50 * HOUR)
    play.advance(START + 50 * HOUR)
    assert (play.sent, play.ends) == ([], ["ordered"])


def test_a_verdict_that_does_not_count_in_another_version_is_no_event_for_its_steps() -> None:
    """Of the order nothing is known but that it was the goal; without its fields it would be a large one."""
    is_large = expression(lambda scope: scope.event.get("size") != "small", 'event.size != "small"')
    steps = (WaitFor("react", (Awaited("ordered", is_large, "thanks"),), 99 * HOUR, "_end"), send("thanks", "_end"))
    before = journeys(journey(*steps, goal=goal()))
    over = over_to(before, newer(*steps, how=migration(), goal=goal(within_ms=HOUR // 2)))
    play = Play(before)
    play.change(with_paused(before, ["welcome"]), START + HOUR // 2)
    play.effects.append(play.engine.apply(START + HOUR, event("ordered", 2, size="small", text="x" * 20_000)))
    play.change(with_paused(over, ["welcome"]), START + 2 * HOUR)
    play.change(over, START + 50 * HOUR)
    play.advance(START + 50 * HOUR)
    assert (play.sent, play.ends) == ([], [])
    told = [(one.reason, one.value) for effects in play.effects for one in effects.transitions if one.kind == "dropped"]
    assert told == [("ordered", "no_room")]


# What is kept for a step that the passage has not come to yet.


def test_an_event_stays_kept_while_the_waits_before_it_are_waited_for() -> None:
    story = two_waits()
    story.resume(10)
    assert (story.passage.state, story.passage.step, kept(story)) == (ACTIVE, "more", ["e2"])
    story.until(50)
    assert story.sent == [("thanks", 11)]
    assert [one.event_id for one in story.transitions if one.reason == "clicked"] == ["e2"]


def test_an_event_stays_kept_while_a_message_is_held() -> None:
    steps = (Wait("think", HOUR, "first"), send("first", "react"), react(), send("thanks", "_end"))
    story = Story(welcome(*steps))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(5, "clicked")
    story.live = replace(story.live, quiet_hours=QUIET_UNTIL_23)
    story.resume(6)
    assert (story.passage.step, kept(story)) == ("first", ["e2"])
    story.until(48)
    free = next(at for _, at in story.sent)
    assert story.sent == [("first", free), ("thanks", free)]


def test_what_is_kept_is_shown_to_a_message_that_competed_and_is_held() -> None:
    """It is an exit as soon as the message before has gone out."""
    sent_first = expression(lambda scope: scope.instance is not None and "first" in scope.instance.results)
    hasty = send("first", "second", message_class="transactional")
    made = welcome(Wait("think", HOUR, "first"), hasty, send("second", "_end"), exits_on=(ordered(sent_first),))
    story = Story(made, journey(Wait("w", 99 * HOUR, "_end"), name="other"), caps=ONE_A_DAY)
    story.at(0, "registered")
    story.pause(0.5)
    story.at(5, "ordered")
    story.live = replace(story.live, quiet_hours=QUIET_UNTIL_23)
    story.resume(6)
    assert story.sent == [("first", 6)]
    assert story.told("exited") == [("exited", "second", "ordered", 6)]


def test_what_would_have_met_a_wait_without_the_pause_meets_it() -> None:
    """Two clicks on the first message: the second one is no click on the message that comes a day later."""
    steps = (
        react(go="day"),
        Wait("day", DAY, "second"),
        send("second", "react_again"),
        react("react_again"),
        send("thanks", "_end"),
    )
    story = Story(welcome(*steps))
    story.at(0, "registered")
    story.pause(1)
    story.at(2, "clicked")
    story.at(3, "clicked")
    story.resume(10)
    story.until(400)
    assert story.sent == [("second", 34)]
    assert story.passage.pause is None


@pytest.mark.parametrize(("clicked_at", "counts"), [(4.5, False), (5, True)])
def test_waits_that_follow_each_other_use_up_what_would_have_come_in_them(clicked_at: float, *, counts: bool) -> None:
    """Without the pause the first wait is over at 1, the second one at 3, and the third one at 5."""
    waits = (Wait("think", HOUR, "second"), Wait("second", 2 * HOUR, "third"), Wait("third", 2 * HOUR, "react"))
    story = Story(welcome(*waits, react(), send("thanks", "_end")))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(clicked_at, "clicked")
    story.resume(10)
    story.until(50)
    assert story.sent == [("thanks", 14)] * counts


def test_what_a_wait_for_another_event_left_is_not_used_up_by_a_message_that_is_held() -> None:
    steps = (
        Wait("think", HOUR, "react"),
        react(timeout_ms=DAY),
        send("thanks", "answer"),
        react("answer", "replied", "again"),
        send("again", "_end"),
    )
    story = Story(welcome(*steps, listens=frozenset({"clicked", "replied"})))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(30, "replied")
    story.at(40, "clicked")
    story.live = replace(story.live, quiet_hours=QUIET_UNTIL_23)
    story.resume(48)
    assert (story.passage.step, kept(story)) == ("thanks", ["e2"])
    story.until(100)
    assert [step for step, _ in story.sent] == ["thanks", "again"]


def test_every_event_that_was_kept_is_seen_however_much_each_of_them_changes() -> None:
    count = Expression("x", Type(Kind.INTEGER), lambda scope: scope.customer.profile.get("clicks", 0) + 1)
    story = Story(welcome(react(go="count"), SetProfile("count", (("clicks", count, None),), "react")))
    story.at(0, "registered")
    story.pause(1)
    for number in range(KEPT_MAX):
        story.at(2 + number / 100, "clicked")
    effects = story.resume(5)
    assert story.engine.customers["c1"].profile["clicks"] == KEPT_MAX
    assert effects.failures == []


def test_an_event_after_the_time_out_stays_kept_for_the_step_that_follows_it() -> None:
    steps = (
        Wait("think", HOUR, "react"),
        replace(react(timeout_ms=DAY), timeout_go="answer"),
        react("answer", "replied"),
        send("thanks", "_end"),
    )
    story = Story(welcome(*steps, listens=frozenset({"clicked", "replied"})))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(20, "replied")
    story.at(30, "replied")
    story.resume(100)
    assert (story.passage.step, kept(story)) == ("react", ["e3"]), "the first one would have met the wait for a click"
    story.until(200)
    assert story.sent == [("thanks", 124)]


def test_an_event_that_is_waited_for_counts_although_it_would_have_come_after_the_time_out() -> None:
    """Without the pause there would have been a reminder by then; now there is no need for it."""
    steps = (Wait("think", HOUR, "buys"), replace(react("buys", "ordered", timeout_ms=DAY), timeout_go="remind"))
    story = Story(welcome(*steps, send("thanks", "_end"), send("remind", "_end")))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(40, "ordered")
    story.resume(100)
    story.until(200)
    assert story.sent == [("thanks", 100)]


def test_an_exit_acts_at_once_on_a_passage_that_still_keeps_something() -> None:
    story = two_waits(exits_on=(ordered(),))
    story.resume(10)
    story.at(10.5, "ordered")
    assert story.told("exited") == [("exited", "more", "ordered", 10.5)]
    story.until(50)
    assert story.sent == []


def test_the_goal_a_stop_and_the_longest_time_act_at_once_too() -> None:
    for changes, event_type, reason in (
        ({"goal": goal()}, "ordered", "goal"),
        ({}, "journey_stop_requested", "removed_by_operator"),
        ({"max_duration_ms": 10 * HOUR + HOUR // 2}, "", "expired"),
    ):
        story = two_waits(**changes)
        story.resume(10)
        if event_type:
            story.at(10.5, event_type, journey="welcome")
        story.until(50)
        assert [(kind, why) for kind, _, why, _ in story.told("exited")] == [("exited", reason)]
        assert story.sent == []


def test_an_event_that_comes_after_going_on_meets_the_step_as_ever() -> None:
    story = Story(welcome(*TWO_WAITS))
    story.at(0, "registered")
    story.pause(0.5)
    story.resume(10)
    story.at(10.5, "clicked")
    story.until(50)
    assert story.sent == []
    assert story.passage.step == "react"


def test_a_second_pause_keeps_what_was_left() -> None:
    story = two_waits()
    story.resume(10)
    story.pause(10.2)
    assert (story.passage.state, kept(story)) == (PAUSED, ["e2"])
    story.at(10.4, "clicked")
    story.resume(10.6)
    assert kept(story) == ["e2"], "the second click came in the wait that began at 10"
    story.pause(10.8)
    assert story.passage.timer_at_ms == NEVER_MS
    story.resume(20)
    assert story.sent == [("thanks", 20)]
    assert [one.event_id for one in story.transitions if one.reason == "clicked"] == ["e2"]


def test_what_was_left_stays_for_the_step_after_the_next_wait_too() -> None:
    waits = (Wait("think", HOUR, "more"), Wait("more", HOUR, "third"), Wait("third", HOUR, "react"))
    story = Story(welcome(*waits, react(), send("thanks", "_end")))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(3, "clicked")
    story.resume(10)
    story.pause(10.5)
    story.resume(20)
    assert (story.passage.step, kept(story)) == ("third", ["e2"])
    story.until(50)
    assert story.sent == [("thanks", 21)]


@pytest.mark.parametrize("restarts", [True, False])
def test_what_is_left_is_seen_by_the_version_that_the_passage_comes_into(*, restarts: bool) -> None:
    steps = (
        Wait("think", HOUR, "more"),
        Wait("more", 2 * HOUR, "note"),
        send("note", "answer"),
        react("answer"),
        send("thanks", "_end"),
    )
    for rule, sent in ((ordered(), ["note", "thanks"]), (replace(ordered(), on="clicked"), [])):
        before = journeys(journey(*TWO_WAITS))
        play = Play(before)
        play.change(with_paused(before, ["welcome"]), START + HOUR // 2)
        play.effects.append(play.engine.apply(START + 5 * HOUR, event("clicked", 2)))
        play.change(before, START + 10 * HOUR)
        play.advance(START + 10 * HOUR)
        over = over_to(before, newer(*steps, how=migration(react="answer", restarts=restarts), exits_on=(rule,)))
        play.change(over, START + 10 * HOUR + 1)
        play.advance(START + 50 * HOUR)
        at_ms = START + (12 * HOUR + 1 if restarts else 11 * HOUR)
        assert play.sent == [(step, at_ms - START) for step in sent]
        assert play.ends == ["finished" if sent else "clicked"]


def test_a_wait_that_a_change_of_the_profile_ends_sees_what_was_left() -> None:
    rules: ProfileRules = {"changed": (ProfileRule("changed", (("renewal", event_field("renewal"), None),), (), True),)}
    wait = WaitUntilMoment("wait", MOMENT, False, 0, 0, 0, None, None, "react", "react", "react")
    story = Story(welcome(Wait("think", HOUR, "wait"), wait, react(), send("thanks", "_end")), profile_rules=rules)
    story.at(0, "changed", renewal=ms(30))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(20, "clicked")
    story.at(35, "clicked")
    story.at(36, "changed", renewal=ms(90))
    story.resume(40)
    assert (story.passage.step, kept(story)) == ("wait", []), "both came before the moment"
    story = Story(welcome(Wait("think", HOUR, "held"), send("held", "wait"), wait, react(), send("thanks", "_end")))
    story.live = replace(story.live, profile_rules=rules)
    story.engine.journeys = story.live
    story.at(0, "changed", renewal=ms(9))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(5, "clicked")
    story.resume(6)
    story.at(7, "changed", renewal=ms(6.5))
    assert story.passage.step == "react"


def test_events_that_are_too_old_are_dropped_before_they_could_stay() -> None:
    story = two_waits()
    story.at(30, "clicked")
    story.resume(30.2, Resume(skip_older_than_ms=30 * HOUR))
    assert story.told("dropped") == []
    assert kept(story) == ["e2", "e3"]
    story.pause(30.3)
    story.resume(36, Resume(skip_older_than_ms=30 * HOUR))
    assert [one.event_id for one in story.transitions if one.kind == "dropped"] == ["e2"]
    assert story.sent == [("thanks", 36)]


def test_journeys_that_are_never_paused_keep_nothing() -> None:
    made: Journey = welcome(*TWO_WAITS)
    story = Story(made)
    story.at(0, "registered")
    story.at(0.2, "clicked")
    assert story.passage.pause is None
