"""Passages of an older version come into the version in force, as its journey declares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.actions import Effects
from orchestrator.model.customer import HELD_OUT, NEVER_MS, Instance, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import (
    Awaited,
    ClockTime,
    Journey,
    JourneySet,
    QuietHours,
    Rate,
    ReEntry,
    Wait,
    WaitFor,
    WaitMonths,
    WaitWhile,
)
from orchestrator.model.migrations import Migration
from orchestrator.model.types import INTEGER
from tests.engine.build import (
    DAY,
    HOUR,
    MINUTE,
    START,
    captured,
    event,
    expression,
    goal,
    journey,
    journeys,
    reachable,
    send,
)

GONE = expression(lambda scope: "gone" in scope.customer.profile)


def migration(
    versions: tuple[str, ...] | None = None,
    *,
    restarts: bool = False,
    values: dict[str, Any] | None = None,
    **steps: str,
) -> Migration:
    return Migration(versions, steps, restarts, values or {})


def newer(*steps: Any, how: Migration | None = None, **changes: Any) -> Journey:
    return journey(*steps, version="v2", migration=how or migration(), **changes)


def over_to(old: JourneySet, *current: Journey) -> JourneySet:
    """The set in force, with the older versions."""
    made = journeys(*current)
    return replace(
        made,
        versions={**old.versions, **made.versions},
        migrating={one.name: one for one in current if one.migration is not None},
        rates=old.rates,
        uses_shared=old.uses_shared,
        quiet_hours=old.quiet_hours,
        alignment="new",
    )


class Play:
    """A customer who registers at the start under one set, and lives on under others."""

    def __init__(self, old: JourneySet, **fields: Any) -> None:
        self.engine = OfflineEngine(old)
        self.engine.put("c1", reachable(last_at_ms=START - 1))
        self.effects = [self.engine.apply(START, event("registered", 1, **fields))]

    def change(self, journeys: JourneySet, at_ms: int) -> Effects:
        """Everything due by then fires; then the new set comes into force and takes the customer along."""
        self.effects.append(self.engine.advance(at_ms))
        self.engine.journeys = journeys
        effects = self.engine.bring_in_line(at_ms)
        self.effects.append(effects)
        customer = self.engine.customers["c1"]
        assert decode_customer(encode_customer(customer)) == customer
        return effects

    def advance(self, at_ms: int) -> None:
        self.effects.append(self.engine.advance(at_ms))

    @property
    def instance(self) -> Instance:
        (found,) = self.engine.customers["c1"].instances
        return found

    @property
    def sent(self) -> list[tuple[str, int]]:
        return [(a.step, a.created_at_ms - START) for one in self.effects for a in one.actions]

    @property
    def ids(self) -> list[str]:
        return [a.action_id for one in self.effects for a in one.actions]

    @property
    def ends(self) -> list[str]:
        return [t.reason for one in self.effects for t in one.transitions if t.kind == "exited"]


def hello(after: str) -> JourneySet:
    return journeys(journey(send("hello", "pause"), Wait("pause", 2 * DAY, after), send(after, "_end")))


def test_a_passage_goes_on_in_the_new_version_and_its_wait_ends_when_it_would_have() -> None:
    old = hello("bye")
    play = Play(old)
    new = newer(send("hello", "pause"), Wait("pause", 5 * DAY, "farewell"), send("farewell", "_end"))
    effects = play.change(over_to(old, new), START + DAY)
    assert [(t.kind, t.version, t.step, t.to, t.reason) for t in effects.transitions] == [
        ("migrated", "v2", "pause", "pause", "v1")
    ]
    assert (play.instance.version, play.instance.timer_at_ms) == ("v2", START + 2 * DAY)
    play.advance(START + 9 * DAY)
    assert play.sent == [("hello", 0), ("farewell", 2 * DAY)]
    assert play.ends == ["finished"]


def test_restarted_timers_count_from_the_change() -> None:
    old = hello("bye")
    play = Play(old)
    new = newer(
        send("hello", "pause"), Wait("pause", 5 * DAY, "bye"), send("bye", "_end"), how=migration(restarts=True)
    )
    play.change(over_to(old, new), START + DAY)
    assert play.instance.timer_at_ms == START + 6 * DAY
    play.advance(START + 9 * DAY)
    assert play.sent == [("hello", 0), ("bye", 6 * DAY)]


def test_who_is_not_declared_to_come_along_stays() -> None:
    old = hello("bye")
    for how in (None, migration(("v3",))):
        play = Play(old)
        new = replace(newer(send("hello", "pause"), Wait("pause", DAY, "_end")), migration=how)
        assert play.change(over_to(old, new), START + DAY).transitions == []
        play.advance(START + 9 * DAY)
        assert play.sent == [("hello", 0), ("bye", 2 * DAY)]


def test_a_version_that_is_named_comes_along() -> None:
    old = hello("bye")
    play = Play(old)
    new = newer(send("hello", "pause"), Wait("pause", DAY, "_end"), how=migration(("v0", "v1")))
    play.change(over_to(old, new), START + DAY)
    assert play.instance.version == "v2"


def test_it_happens_once_also_for_who_has_an_event_or_a_timer_first() -> None:
    old = hello("bye")
    new = over_to(old, newer(send("hello", "pause"), Wait("pause", 5 * DAY, "later"), send("later", "_end")))
    by_event, by_timer = Play(old), Play(old)
    by_event.engine.journeys = by_timer.engine.journeys = new
    effects = by_event.engine.apply(START + DAY, event("clicked", 2))
    effects.transitions += by_event.engine.bring_in_line(START + DAY).transitions
    assert [t.kind for t in effects.transitions] == ["migrated"]
    effects = by_timer.engine.advance(START + 2 * DAY)
    assert [(t.kind, t.step, t.to) for t in effects.transitions][:2] == [
        ("migrated", "pause", "pause"),
        ("step", "pause", "later"),
    ]
    assert [a.step for a in effects.actions] == ["later"]


def test_a_removed_wait_leads_to_its_target_at_once() -> None:
    old = hello("bye")
    play = Play(old)
    new = newer(send("hello", "bye"), send("bye", "_end"), how=migration(pause="bye"))
    play.change(over_to(old, new), START + DAY)
    assert play.sent == [("hello", 0), ("bye", DAY)]
    assert play.ends == ["finished"]


def test_a_wait_of_another_kind_begins_anew_and_months_are_no_other_kind() -> None:
    old = hello("bye")
    play = Play(old)
    react = WaitFor("pause", (Awaited("clicked", None, "_end"),), 3 * DAY, "_end")
    play.change(over_to(old, newer(send("hello", "pause"), react)), START + DAY)
    assert play.instance.timer_at_ms == START + 4 * DAY
    play = Play(old)
    play.change(over_to(old, newer(send("hello", "pause"), WaitMonths("pause", 1, "_end"))), START + DAY)
    assert play.instance.timer_at_ms == START + 2 * DAY


@pytest.mark.parametrize(("before", "after", "due_ms"), [(None, 3 * DAY, START + 4 * DAY), (DAY, None, NEVER_MS)])
def test_a_time_out_that_only_one_of_the_waits_has_begins_or_ends(
    before: int | None, after: int | None, due_ms: int
) -> None:
    def waiting(timeout_ms: int | None) -> WaitFor:
        return WaitFor("react", (Awaited("clicked", None, "_end"),), timeout_ms, "_end")

    old = journeys(journey(waiting(2 * DAY if before else None)))
    play = Play(old)
    play.change(over_to(old, newer(waiting(after))), START + DAY)
    assert play.instance.timer_at_ms == due_ms


def test_a_condition_that_does_not_hold_in_the_new_version_is_not_waited_for() -> None:
    old = journeys(journey(WaitWhile("hold", expression(lambda _: True), None, "_end", "_end")))
    play = Play(old)
    hold = WaitWhile("hold", expression(lambda _: False), None, "_end", "bye")
    play.change(over_to(old, newer(hold, send("bye", "_end"), waits_while=True)), START + DAY)
    assert play.sent == [("bye", DAY)]


def test_results_carry_over_under_new_names_and_no_id_comes_twice() -> None:
    def looped(name: str) -> tuple[Any, ...]:
        return send(name, "pause"), Wait("pause", DAY, name)

    old = journeys(journey(*looped("remind")))
    play = Play(old)
    second = over_to(old, newer(*looped("nudge"), how=migration(remind="nudge")))
    play.change(second, START + DAY + 1)
    assert play.instance.results["nudge"].visits == 2
    play.advance(START + 2 * DAY)
    third = journey(*looped("remind"), version="v3", migration=migration(nudge="remind"))
    play.change(replace(over_to(second, third), alignment="newest"), START + 2 * DAY + 1)
    play.advance(START + 5 * DAY)
    assert [step for step, _ in play.sent] == ["remind", "remind", "nudge", "remind", "remind", "remind"]
    assert len(set(play.ids)) == 6


def test_a_name_that_comes_back_for_another_step_has_ids_of_its_own() -> None:
    old = journeys(journey(send("x", "pause"), Wait("pause", DAY, "x")))
    play = Play(old)
    second = over_to(old, newer(Wait("pause", DAY, "y"), send("y", "pause")))
    play.change(second, START + 3 * DAY)
    play.advance(START + 4 * DAY)
    third = journey(send("x", "pause"), Wait("pause", DAY, "x"), version="v3", migration=migration(y="x"))
    play.change(replace(over_to(second, third), alignment="newest"), START + 4 * DAY)
    play.advance(START + 5 * DAY)
    assert [step for step, _ in play.sent] == ["x", "x", "x", "x", "y", "x"]
    assert len(set(play.ids)) == 6


def test_the_target_of_a_step_that_is_gone_keeps_its_own_results() -> None:
    react = WaitFor("react", (Awaited("clicked", None, "last"),), None, "_end")
    last = WaitFor("last", (Awaited("clicked", None, "_end"),), None, "_end")
    old = journeys(journey(react, last))
    play = Play(old)
    play.change(over_to(old, newer(last, how=migration(react="last"))), START + DAY)
    assert (play.instance.step, play.instance.results) == ("last", {})


def test_captured_fields_carry_over_by_name() -> None:
    old = journeys(journey(Wait("pause", 2 * DAY, "_end"), captured=(captured("a"), captured("b"), captured("c"))))
    play = Play(old, a="x", b="y", c="z")
    number = replace(captured("c"), type=INTEGER)
    new = newer(
        Wait("pause", DAY, "_end"),
        captured=(captured("b"), number, captured("d"), captured("e")),
        how=migration(values={"b": "not this", "e": "declared"}),
    )
    play.change(over_to(old, new), START + DAY)
    assert play.instance.entry == ["y", None, None, "declared"]


def test_goal_and_longest_duration_count_from_the_entry() -> None:
    old = journeys(journey(Wait("pause", 9 * DAY, "_end"), goal=goal(within_ms=20 * DAY), max_duration_ms=30 * DAY))
    play = Play(old)
    new = newer(Wait("pause", 9 * DAY, "_end"), goal=goal(within_ms=4 * DAY), max_duration_ms=5 * DAY)
    play.change(over_to(old, new), START + DAY)
    assert play.instance.goal_until_ms == START + 4 * DAY
    assert play.engine.customers["c1"].clocks == {"expiry:1": START + 5 * DAY}
    play.advance(START + 9 * DAY)
    assert play.ends == ["expired"]


def test_who_is_inside_for_too_long_already_leaves_and_a_goal_too_long_ago_is_over() -> None:
    old = journeys(journey(Wait("pause", 9 * DAY, "_end"), goal=goal()))
    play = Play(old)
    play.change(over_to(old, newer(Wait("pause", 9 * DAY, "_end"), goal=goal(), max_duration_ms=DAY)), START + 2 * DAY)
    assert play.ends == ["expired"]
    assert play.instance.goal_until_ms == START + 7 * DAY
    play = Play(old)
    play.change(over_to(old, newer(Wait("pause", 9 * DAY, "_end"), goal=goal(within_ms=DAY))), START + 2 * DAY)
    assert play.instance.goal_until_ms == NEVER_MS


def test_the_control_group_comes_along_with_its_goal() -> None:
    old = journeys(journey(send("hello", "_end"), goal=goal(), holdout=1 << 64))
    play = Play(old)
    assert play.instance.state == HELD_OUT
    effects = play.change(over_to(old, newer(send("hello", "_end"), goal=goal(within_ms=3 * DAY))), START + DAY)
    assert [(t.kind, t.step, t.to) for t in effects.transitions] == [("migrated", "", "")]
    assert (play.instance.version, play.instance.goal_until_ms) == ("v2", START + 3 * DAY)
    play = Play(old)
    play.change(over_to(old, newer(send("hello", "_end"))), START + DAY)
    assert play.engine.customers["c1"].instances == []


def test_exits_of_the_new_version_are_looked_at_before_its_steps() -> None:
    old = hello("bye")
    play = Play(old)
    play.engine.customers["c1"].profile["gone"] = True
    play.change(over_to(old, newer(send("bye", "_end"), exits_when=(GONE,), how=migration(pause="bye"))), START + DAY)
    assert (play.sent, play.ends) == ([("hello", 0)], ["exit_condition"])


def test_a_message_that_is_held_is_held_on_or_its_step_is_left() -> None:
    # The start is at 22:13 UTC.
    quiet = QuietHours(None, ClockTime(22, 0), ClockTime(8, 0), "UTC", holds=True, late_after_ms=None)
    old = replace(hello("bye"), quiet_hours=(quiet,))
    play = Play(old)
    held_ms = play.instance.timer_at_ms
    play.change(over_to(old, newer(send("hello", "_end"))), START + MINUTE)
    assert (play.sent, play.instance.timer_at_ms) == ([], held_ms)
    play.advance(held_ms)
    assert [step for step, _ in play.sent] == ["hello"]
    play = Play(old)
    play.change(over_to(old, newer(Wait("pause", HOUR, "_end"), how=migration(hello="pause"))), START + MINUTE)
    play.advance(START + DAY)
    assert (play.sent, play.ends) == ([], ["finished"])


def test_a_slot_that_is_not_waited_for_any_more_is_given_back() -> None:
    rate = Rate("all", None, 60, HOUR)
    old = replace(hello("bye"), rates=(rate,), uses_shared=True)
    play = Play(old)
    play.engine.put("c2", reachable(last_at_ms=START - 1))
    play.engine.apply(START, Event("registered", "e2", "c2", {}))
    other = play.engine.customers["c2"]
    assert (other.instances[0].reserved, other.instances[0].timer_at_ms) == ("email", START + MINUTE)
    used = dict(play.engine.shared.slots)
    kept = over_to(old, newer(send("hello", "pause"), Wait("pause", DAY, "_end")))
    play.change(kept, START + 1)
    assert (other.instances[0].reserved, play.engine.shared.slots) == ("email", used)
    gone = journey(Wait("pause", DAY, "_end"), version="v3", migration=migration(hello="pause"))
    play.change(replace(over_to(kept, gone), alignment="newest"), START + 2)
    assert (other.instances[0].reserved, other.instances[0].timer_at_ms) == ("", START + 2 + DAY)
    assert play.engine.shared.slots == {"all": (START + MINUTE) * 1000}


def test_a_step_without_a_target_keeps_the_passage_where_it_is_and_says_so() -> None:
    old = hello("bye")
    play = Play(old)
    effects = play.change(over_to(old, newer(send("bye", "_end"))), START + DAY)
    assert [(t.kind, t.version, t.step) for t in effects.transitions] == [("failed", "v1", "pause")]
    play.advance(START + 9 * DAY)
    assert play.sent == [("hello", 0), ("bye", 2 * DAY)]


def test_parallel_passages_each_come_along() -> None:
    key = expression(lambda scope: scope.event.get("n"))
    old = journeys(journey(Wait("pause", 2 * DAY, "_end"), key=key, reentry=ReEntry("always")))
    play = Play(old, n=1)
    play.effects.append(play.engine.apply(START + HOUR, event("registered", 2, n=2)))
    new = newer(send("bye", "_end"), key=key, reentry=ReEntry("always"), how=migration(pause="bye"))
    play.change(over_to(old, new), START + DAY)
    assert play.sent == [("bye", DAY), ("bye", DAY)]
    assert len(set(play.ids)) == 2
    assert play.engine.customers["c1"].instances == []
