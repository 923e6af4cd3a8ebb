"""A journey that is paused: nobody moves, nothing is lost, and those who stood still go on in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.pause_source import with_paused
from orchestrator.engine.keeping import CUSTOMER_BYTES_MAX, KEPT_MAX
from orchestrator.engine.population import with_entries
from orchestrator.model.actions import Effects, Transition
from orchestrator.model.customer import NEVER_MS, PAUSED, Instance, decode_customer, encode_customer
from orchestrator.model.journey import (
    Awaited,
    Cap,
    Expression,
    Journey,
    JourneySet,
    ProfileRule,
    Rate,
    ReEntry,
    Scope,
    Wait,
    WaitFor,
    WaitUntilMoment,
    WaitWhile,
)
from orchestrator.model.pauses import Resume, ResumeRate
from orchestrator.model.shared import Shared
from orchestrator.model.triggers import OnSegment
from orchestrator.model.types import Kind, Type
from tests.engine.build import DAY, HOUR, START, event, event_field, expression, goal, journey, journeys, ordered, send
from tests.engine.build import reachable as known

REACT = WaitFor("react", (Awaited("clicked", None, "thanks"),), DAY, "second")
STEPS = (Wait("think", HOUR, "first"), send("first", "react"), REACT, send("thanks", "_end"), send("second", "_end"))


def welcome(*steps: Any, **changes: Any) -> Journey:
    return journey(*(steps or STEPS), **{"reentry": ReEntry("always"), **changes})


class Story:
    """One customer under a set whose journey `welcome` is paused and runs again."""

    def __init__(self, *every: Journey, **rules: Any) -> None:
        made = journeys(*(every or (welcome(),)))
        self.live: JourneySet = replace(with_entries(made, made.current.values()), **rules)
        self.engine = OfflineEngine(self.live)
        self.engine.put("c1", known())
        self.all: list[Effects] = []
        self.number = 0

    def at(self, hours: float, event_type: str, **fields: Any) -> Effects:
        self.number += 1
        return self.keep(self.engine.apply(ms(hours), event(event_type, self.number, **fields)))

    def until(self, hours: float) -> Effects:
        return self.keep(self.engine.advance(ms(hours)))

    def pause(self, hours: float, *names: str) -> Effects:
        return self.switch(hours, with_paused(self.live, names or ("welcome",)))

    def resume(self, hours: float, resume: Resume | None = None) -> Effects:
        """The journeys run again; the customer is brought in line, and what is due then is done."""
        current = {name: replace(one, resume=resume) for name, one in self.live.current.items()}
        self.live = replace(self.live, current=current, uses_shared=resume is not None and resume.rate is not None)
        return self.switch(hours, self.live)

    def switch(self, hours: float, made: JourneySet) -> Effects:
        self.until(hours)
        self.engine.journeys = made
        self.keep(self.engine.bring_in_line(ms(hours)))
        return self.until(hours)

    def keep(self, effects: Effects) -> Effects:
        customer = self.engine.customers["c1"]
        assert decode_customer(encode_customer(customer)) == customer
        self.all.append(effects)
        return effects

    @property
    def transitions(self) -> list[Transition]:
        return [one for effects in self.all for one in effects.transitions]

    @property
    def sent(self) -> list[tuple[str, float]]:
        return [(one.step, hours_of(one.created_at_ms)) for effects in self.all for one in effects.actions]

    def told(self, *kinds: str) -> list[tuple[str, str, str, float]]:
        return [(one.kind, one.step, one.reason, hours_of(one.at_ms)) for one in self.transitions if one.kind in kinds]

    @property
    def passage(self) -> Instance:
        return next(one for one in self.engine.customers["c1"].instances if one.journey == "welcome")


def ms(hours: float) -> int:
    return START + round(hours * HOUR)


def hours_of(at_ms: int) -> float:
    return round((at_ms - START) / HOUR, 3)


def test_a_timer_that_falls_due_in_the_pause_wakes_nobody_and_fires_at_the_resume() -> None:
    story = Story()
    story.at(0, "registered")
    story.pause(0.5)
    assert story.engine.next_wake() is None
    assert story.until(48).actions == []
    story.resume(50)
    assert story.sent == [("first", 50)]
    assert story.told("paused", "resumed") == [("paused", "think", "", 0.5), ("resumed", "think", "", 50)]
    assert story.passage.timer_at_ms == ms(74), "the next wait begins at the resume"
    story.until(200)
    assert story.sent == [("first", 50), ("second", 74)]


def test_a_timer_that_is_due_later_keeps_its_time() -> None:
    story = Story(welcome(Wait("think", 10 * HOUR, "first"), send("first", "_end")))
    story.at(0, "registered")
    story.pause(1)
    story.resume(5)
    story.until(20)
    assert story.sent == [("first", 10)]


def test_an_event_in_the_pause_is_kept_and_moves_the_passage_on_when_it_goes_on() -> None:
    story = Story()
    story.at(0, "registered")
    story.until(2)
    story.pause(3)
    assert story.at(4, "clicked").transitions == []
    story.until(100)
    story.resume(100)
    # The click came before the time-out, so the time-out does not count.
    assert story.sent == [("first", 1), ("thanks", 100)]
    clicked = next(one for one in story.transitions if one.reason == "clicked")
    assert clicked.event_id == "e2"


def test_an_event_after_the_time_out_comes_too_late() -> None:
    story = Story()
    story.at(0, "registered")
    story.until(2)
    story.pause(3)
    story.at(26, "clicked")
    story.resume(100)
    assert story.sent == [("first", 1), ("second", 100)]


def test_an_event_of_the_step_after_the_one_that_was_due_counts_for_it() -> None:
    story = Story()
    story.at(0, "registered")
    story.pause(0.5)
    story.at(2, "clicked")
    story.resume(100)
    # The wait was over at 1, the click came at 2: as it would have been, all of it at the resume.
    assert story.sent == [("first", 100), ("thanks", 100)]


def test_who_met_an_exit_in_the_pause_gets_nothing_more() -> None:
    story = Story(welcome(exits_on=(ordered(),)))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(2, "ordered")
    story.resume(100)
    assert story.sent == []
    assert story.told("exited") == [("exited", "think", "ordered", 100)]
    exited = story.transitions[-1]
    assert (exited.kind, exited.event_id) == ("exited", "e2")


def test_a_goal_in_the_pause_counts_if_its_window_was_open_then() -> None:
    for ordered_at, expected in ((10, ["goal", "exited"]), (30, ["step", "step"])):
        story = Story(welcome(goal=goal(within_ms=DAY)))
        story.at(0, "registered")
        story.pause(0.5)
        story.at(ordered_at, "ordered")
        story.until(90)
        after = story.resume(100)
        kinds = [one.kind for one in after.transitions if one.kind != "resumed"]
        assert kinds == expected, ordered_at


def test_a_goal_after_the_exit_in_the_same_pause_is_measured() -> None:
    story = Story(welcome(goal=goal(within_ms=DAY), exits_on=(replace(ordered(), on="stopped"),)))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(2, "stopped")
    story.at(3, "ordered")
    story.resume(100)
    assert story.told("exited", "goal") == [("exited", "think", "stopped", 100), ("goal", "think", "treated", 100)]
    assert story.engine.customers["c1"].instances == []


def test_the_control_group_and_finished_passages_are_measured_in_the_pause() -> None:
    story = Story(welcome(Wait("think", HOUR, "_end"), goal=goal()))
    story.at(0, "registered")
    story.until(2)
    story.pause(3)
    assert [one.kind for one in story.at(4, "ordered").transitions] == ["goal"]


def test_an_exit_condition_that_holds_at_the_resume_ends_the_passage() -> None:
    no_consent = expression(lambda scope: not scope.customer.consent.get("email"))
    story = Story(welcome(exits_when=(no_consent,)))
    story.at(0, "registered")
    story.pause(0.5)
    assert story.at(2, "consented", channel="email", granted=False).transitions == []
    story.resume(100)
    assert story.told("exited") == [("exited", "think", "exit_condition", 100)]
    assert story.sent == []


def test_who_enters_in_the_pause_stands_before_the_first_step() -> None:
    story = Story(welcome(send("hello", "wait"), Wait("wait", HOUR, "_end"), reentry=ReEntry("never")))
    story.pause(0)
    story.at(1, "registered")
    assert story.told("entered", "paused") == [("entered", "", "", 1), ("paused", "hello", "", 1)]
    story.at(2, "registered")
    assert story.sent == []
    story.resume(5)
    story.until(50)
    assert story.sent == [("hello", 5)]
    assert [one.kind for one in story.transitions].count("entered") == 1


def test_a_segment_lets_customers_in_while_the_journey_is_paused() -> None:
    made = welcome(send("hello", "_end"), trigger=OnSegment("vip", True))
    story = Story(made)
    story.pause(0)
    assert story.engine.journeys.entries_by_segment


def test_the_longest_time_that_a_passage_may_take_goes_on() -> None:
    story = Story(welcome(max_duration_ms=5 * HOUR, exits_on=(ordered(),)))
    story.at(0, "registered")
    story.pause(0.5)
    story.until(8)
    assert story.engine.next_wake() is None
    story.at(9, "ordered")
    story.resume(20)
    assert story.told("exited") == [("exited", "think", "expired", 20)]
    assert story.engine.customers["c1"].clocks == {}


def test_a_stop_that_is_asked_for_works_in_the_pause_and_counts_a_goal_before() -> None:
    story = Story(welcome(goal=goal(within_ms=3 * HOUR)))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(1, "ordered")
    story.until(4)
    story.at(5, "journey_stop_requested", journey="welcome")
    assert story.told("exited", "goal") == [
        ("exited", "think", "removed_by_operator", 5),
        ("goal", "think", "treated", 5),
    ]
    assert story.engine.customers["c1"].instances == []


def test_an_erasure_works_in_the_pause() -> None:
    story = Story()
    story.at(0, "registered")
    story.pause(0.5)
    story.at(1, "clicked")
    story.at(2, "customer_erased")
    assert story.told("exited") == [("exited", "think", "customer_erased", 2)]
    assert story.engine.customers["c1"].instances == []


def test_those_who_stood_still_go_on_over_the_time_that_was_declared() -> None:
    story = Story()
    story.at(0, "registered")
    story.pause(0.5)
    story.resume(10, Resume(over_ms=4 * HOUR))
    goes_on = hours_of(story.passage.timer_at_ms)
    assert 10 < goes_on < 14
    story.until(goes_on - 0.01)
    assert story.sent == []
    assert story.at(goes_on - 0.005, "clicked").transitions == [], "it goes on keeping events until then"
    story.until(20)
    assert story.sent == [("first", goes_on), ("thanks", goes_on)]


def test_lots_of_customers_are_spread_evenly() -> None:
    made = replace(journeys(replace(welcome(), resume=Resume(over_ms=10 * HOUR))), alignment="live")
    engine = OfflineEngine(made)
    ids = [f"c{number}" for number in range(400)]
    for name in ids:
        engine.apply(START, replace_customer(name))
    engine.journeys = with_paused(made, ["welcome"])
    engine.bring_in_line(START)
    engine.journeys = made
    engine.bring_in_line(START)
    by_hour = [0] * 10
    for name in ids:
        by_hour[(engine.customers[name].instances[0].timer_at_ms - START) // HOUR] += 1
    assert min(by_hour) > 20
    assert sum(by_hour) == 400


def replace_customer(name: str) -> Any:
    made = event("registered")
    return type(made)(made.type, f"of {name}", name, {})


def test_a_rate_is_held_exactly_by_each_partition() -> None:
    made = replace(journeys(replace(welcome(), resume=Resume(rate=ResumeRate(8, HOUR)))), uses_shared=True)
    engine = OfflineEngine(made, partition=0, partitions=4)
    for number in range(5):
        engine.apply(START, replace_customer(f"c{number}"))
    engine.journeys = with_paused(made, ["welcome"])
    engine.bring_in_line(START)
    engine.journeys = made
    engine.bring_in_line(START)
    turns = sorted(hours_of(one.instances[0].timer_at_ms) for one in engine.customers.values())
    assert turns == [0, 0.5, 1, 1.5, 2]


def test_pausing_again_in_the_middle_gives_slots_back() -> None:
    made = replace(journeys(replace(welcome(), resume=Resume(rate=ResumeRate(1, HOUR)))), uses_shared=True)
    engine = OfflineEngine(made)
    for number in range(5):
        engine.apply(START, replace_customer(f"c{number}"))
    for paused in (True, False, True, False):
        engine.journeys = with_paused(made, ["welcome"]) if paused else made
        engine.bring_in_line(START + HOUR)
    turns = sorted(hours_of(one.instances[0].timer_at_ms) for one in engine.customers.values())
    assert turns == [1, 2, 3, 4, 5]


def test_pausing_again_before_the_turn_has_come_stops_the_passage() -> None:
    story = Story()
    story.at(0, "registered")
    story.pause(0.5)
    story.at(0.7, "clicked")
    story.resume(10, Resume(over_ms=4 * HOUR))
    story.pause(10)
    story.at(12, "clicked")
    assert story.until(100).transitions == []
    assert story.passage.state == PAUSED
    assert story.engine.next_wake() is None
    story.resume(200)
    # The first click came before the first message, and the second one after it.
    assert story.sent == [("first", 200), ("thanks", 200)]


def test_expire_ends_those_who_stand_still_and_counts_goals_first() -> None:
    for goal_at, expected in ((None, "expired_in_pause"), (2, "goal")):
        story = Story(welcome(goal=goal()))
        story.at(0, "registered")
        story.pause(0.5)
        if goal_at is not None:
            story.at(goal_at, "ordered")
        story.resume(10, Resume(expires=True))
        assert story.sent == []
        assert [one.reason for one in story.transitions if one.kind == "exited"] == [expected]


def test_who_is_due_too_long_leaves_and_old_events_are_dropped() -> None:
    for resumed_at, expected in ((10, [("first", 10.0)]), (50, [])):
        story = Story()
        story.at(0, "registered")
        story.pause(0.5)
        story.resume(resumed_at, Resume(skip_older_than_ms=DAY))
        assert story.sent == expected
    assert story.told("exited") == [("exited", "think", "expired_in_pause", 50)]
    story = Story(welcome(WaitFor("react", (Awaited("clicked", None, "_end"),), 90 * HOUR, "_end")))
    story.at(0, "registered")
    story.pause(1)
    story.at(2, "clicked")
    story.resume(60, Resume(skip_older_than_ms=DAY))
    assert story.told("dropped") == [("dropped", "react", "clicked", 60)]
    assert [one.value for one in story.transitions if one.kind == "dropped"] == ["too_old"]
    assert story.passage.timer_at_ms == ms(90)


def test_what_is_kept_is_bounded_and_that_something_was_dropped_is_recorded() -> None:
    story = Story(welcome(exits_on=(ordered(),)))
    story.at(0, "registered")
    story.pause(0.5)
    for number in range(KEPT_MAX + 1):
        story.at(1 + number / 100, "clicked")
    assert story.told("dropped") == [("dropped", "think", "clicked", 1.64)]
    story.at(3, "ordered", text="x")
    pause = story.passage.pause
    assert pause is not None
    assert (len(pause.kept), pause.kept[-1].fields) == (KEPT_MAX + 1, {}), "that it is an exit is kept beyond that"
    story.at(4, "ordered")
    assert story.told("dropped")[1:] == [("dropped", "think", "ordered", 4)], "one exit is enough"
    assert pause.kept_bytes < 16_384
    story.resume(100)
    assert story.told("exited") == [("exited", "think", "ordered", 100)]


def test_kept_fields_are_what_they_were() -> None:
    large = expression(lambda scope: isinstance(scope.event["total"], Decimal) and scope.event["total"] > 5)
    story = Story(welcome(WaitFor("react", (Awaited("clicked", large, "_end"),), None, "_end")))
    story.at(0, "registered")
    story.pause(1)
    story.at(2, "clicked", total=Decimal("5.50"))
    story.engine.put("c1", decode_customer(encode_customer(story.engine.customers["c1"])))
    story.resume(3)
    assert story.told("exited") == [("exited", "_end", "finished", 3)]


def test_a_redelivered_event_is_kept_once() -> None:
    story = Story()
    story.at(0, "registered")
    story.pause(0.5)
    story.at(1, "clicked")
    story.number -= 1
    assert story.at(2, "clicked").duplicates == 1
    assert story.passage.pause is not None
    assert len(story.passage.pause.kept) == 1


MOMENT = Expression("profile.renewal", Type(Kind.INSTANT), lambda scope: scope.customer.profile.get("renewal"))
RULES = {"changed": (ProfileRule("changed", (("renewal", event_field("renewal"), None),), (), True),)}


@pytest.mark.parametrize(
    ("renewal_h", "expected"),
    [
        (None, [("missing", 40)]),
        (60, [("waited", 60)]),
        (20, [("waited", 40)]),
        (0.5, [("past", 40)]),
        ("unchanged", [("waited", 40)]),
    ],
)
def test_a_moment_that_moved_in_the_pause_is_looked_at_as_it_is_at_the_resume(
    renewal_h: float | str | None, expected: list[tuple[str, float]]
) -> None:
    step = WaitUntilMoment("wait", MOMENT, False, 0, 0, 0, None, None, "_end", "_end", "_end")
    story = Story(welcome(step), profile_rules=RULES)
    story.at(0, "changed", renewal=ms(30))
    story.at(0, "registered")
    story.pause(1)
    if renewal_h != "unchanged":
        story.at(2, "changed", renewal=ms(renewal_h) if isinstance(renewal_h, int | float) else None)
    story.resume(40)
    story.until(100)
    assert [(reason, at) for _, _, reason, at in story.told("step")] == expected


def test_a_wait_while_a_condition_holds_is_over_if_it_does_not_hold_any_more() -> None:
    agreed = expression(lambda scope: bool(scope.customer.consent.get("email")))
    story = Story(welcome(WaitWhile("wait", agreed, 5 * HOUR, "_end", "_end"), waits_while=True))
    story.at(0, "registered")
    story.pause(1)
    story.at(2, "consented", channel="email", granted=False)
    story.resume(40)
    assert story.told("step") == [("step", "wait", "over", 40)]


def test_a_slot_of_a_rate_that_passed_in_the_pause_is_not_used() -> None:
    story = Story(welcome(send("first", "_end")), rates=(Rate("r", None, 1, HOUR),), uses_shared=True)
    shared = Shared()
    story.engine.shared = shared
    shared.slots["r"] = ms(2) * 1000
    story.at(0, "registered")
    assert story.passage.reserved == "email"
    story.pause(1)
    shared.slots["r"] = ms(50) * 1000
    story.switch(40, replace(story.live, uses_shared=True))
    assert story.sent == []
    assert story.passage.timer_at_ms == ms(50)


def test_messages_that_compete_for_a_cap_are_decided_before_what_was_missed_after_them() -> None:
    caps = (Cap("one", None, 1, 30 * DAY),)
    other = journey(Wait("think", 30 * HOUR, "news"), send("news", "_end"), name="other")
    story = Story(welcome(), other, caps=caps)
    story.at(0, "registered")
    story.pause(0.5)
    story.at(2, "clicked")
    story.resume(10)
    story.until(50)
    assert story.sent == [("first", 10)]
    assert ("step", "thanks", "capped", 10) in story.told("step")


def test_another_journey_is_not_touched() -> None:
    other = journey(*STEPS, name="other")

    def of_other(story: Story) -> list[Transition]:
        return [one for one in story.transitions if one.journey == "other"]

    def play(*, pauses: bool) -> Story:
        story = Story(welcome(), other)
        story.at(0, "registered")
        if pauses:
            story.pause(0.5)
        story.at(2, "clicked")
        story.until(30)
        if pauses:
            story.resume(40)
        story.until(100)
        return story

    assert of_other(play(pauses=True)) == of_other(play(pauses=False)) != []


def test_a_journey_that_is_gone_from_the_set_goes_on_at_once() -> None:
    story = Story()
    story.at(0, "registered")
    story.pause(0.5)
    without = replace(with_entries(story.live, []), current={}, alignment="gone")
    story.switch(10, without)
    assert story.sent == [("first", 10)]


def test_a_condition_can_see_the_present_and_the_event_that_was_kept() -> None:
    seen: list[tuple[int, Any]] = []

    def look(scope: Scope) -> bool:
        seen.append((scope.now_ms, scope.event.get("sku")))
        return True

    story = Story(welcome(WaitFor("react", (Awaited("clicked", expression(look), "_end"),), None, "_end")))
    story.at(0, "registered")
    story.pause(1)
    story.at(2, "clicked", sku="a")
    story.resume(9)
    assert seen == [(ms(9), "a")]


def test_nothing_of_it_wakes_the_customer() -> None:
    story = Story(welcome(goal=goal(within_ms=DAY), max_duration_ms=2 * DAY))
    story.at(0, "registered")
    story.pause(0.5)
    fired: Iterable[int] = [story.until(hours).timers_fired for hours in (24, 48, 1000)]
    assert list(fired) == [1, 1, 0], "the goal's window and the longest time end, once each"
    assert story.passage.timer_at_ms == NEVER_MS


def test_events_that_do_not_end_the_passage_leave_room_for_the_one_that_does() -> None:
    mine = expression(lambda scope: scope.event.get("cart") == "mine")
    story = Story(welcome(exits_on=(ordered(mine),)))
    story.at(0, "registered")
    story.pause(0.5)
    for number in range(KEPT_MAX):
        story.at(1 + number / 100, "ordered", cart="another")
    story.at(3, "ordered", cart="mine")
    story.resume(5)
    assert story.sent == []
    assert story.told("exited") == [("exited", "think", "ordered", 5)]
    assert story.told("dropped") == []


def test_what_all_passages_of_a_customer_keep_is_bounded() -> None:
    names = [f"welcome_{number}" for number in range(20)]
    story = Story(*(welcome(name=name, exits_on=(ordered(),)) for name in names))
    story.at(0, "registered")
    story.pause(0.5, *names)
    for number in range(2):
        story.at(2 + number / 100, "clicked", text="x" * 8_000)
    kept = [one.pause.kept_bytes for one in story.engine.customers["c1"].instances if one.pause is not None]
    assert len(kept) == 20
    assert CUSTOMER_BYTES_MAX - 9_000 < sum(kept) <= CUSTOMER_BYTES_MAX
    assert {one.value for one in story.transitions if one.kind == "dropped"} == {"no_room"}
    story.at(3, "ordered")
    story.resume(5)
    assert [one[2] for one in story.told("exited")] == ["ordered"] * 20, "there is room for what ends a passage"


def test_a_second_pause_does_not_let_more_go_on_than_the_rate_says() -> None:
    made = replace(journeys(replace(welcome(), resume=Resume(rate=ResumeRate(1, HOUR)))), uses_shared=True)
    engine = OfflineEngine(made)
    for number in range(3):
        engine.apply(START, replace_customer(f"c{number}"))
    for hours, is_paused in ((0.5, True), (10, False), (10.2, True), (10.3, False)):
        engine.advance(ms(hours))
        engine.journeys = with_paused(made, ["welcome"]) if is_paused else made
        engine.bring_in_line(ms(hours))
        engine.advance(ms(hours))
    turns = sorted(
        hours_of(one.instances[0].timer_at_ms) for one in engine.customers.values() if one.instances[0].pause
    )
    assert turns == [11, 12, 13], "the slot at 10 was used; who went on with it stands still again"
