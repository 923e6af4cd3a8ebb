"""Journeys that are paused: who stands still, what is kept meanwhile, and when each goes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from orchestrator.model.actions import Transition
from orchestrator.model.customer import ACTIVE, NEVER_MS, PAUSED, Customer, Instance
from orchestrator.model.events import Event
from orchestrator.model.pauses import AT_ONCE, Resume, revived, size_of
from tests.properties.playing import Happening, Played
from tests.properties.random_logs import CUSTOMERS
from tests.properties.recount.passages import all_lives

MANY, LARGE = 64, 16_384
ALL_LARGE = 131_072
VERDICT = 300
"""A passage keeps at most so many events, of so many bytes; all passages of a customer keep so many bytes. Each keeps
at most two verdicts of so many bytes beside that.
"""
MEANWHILE = {"entered", "held_out", "not_entered", "paused", "dropped", "migrated", "goal", "exited", "failed"}
"""The kinds of transitions that there can be of a journey that is paused."""
TAKEN_OUT = {"removed_by_operator", "stopped_by_journey", "customer_erased"}
"""Why a passage that stands still may end."""

Missed = list[tuple[int, str, str, dict[str, Any]]]
"""What came for a passage that stands still: when, of which type, the event's id and fields."""


def check_still(played: Played) -> None:
    """Of a journey that is paused nothing is asked for, and nobody in it takes a step or waits for a timer."""
    for one in played.happenings:
        paused = one.journeys.paused
        assert not [action for action in one.effects.actions if action.journey in paused], one
        for made in one.effects.transitions:
            if made.journey in paused:
                assert made.kind in MEANWHILE, made
                assert made.kind != "exited" or made.reason in TAKEN_OUT | {"goal"}, made
        for instance in one.then.instances:
            # Whoever stands still keeps no slot of a channel's rate from others.
            assert instance.state != PAUSED or (instance.pause is not None and not instance.reserved), instance
            if instance.journey in paused and one.then.aligned == one.journeys.alignment:
                assert instance.state != ACTIVE, instance
                assert instance.state != PAUSED or instance.timer_at_ms == NEVER_MS, instance
            if instance.journey not in paused and one.then.aligned == one.journeys.alignment:
                assert instance.state != PAUSED or instance.timer_at_ms < NEVER_MS, instance


def check_passages_that_stand_still(played: Played) -> None:
    """From `paused` to `resumed` a passage only changes its version, or is taken out; then its goal may still count."""
    for life in all_lives(played):
        still: set[int] = set()
        for one in life:
            for made in one.effects.transitions:
                if made.kind == "paused":
                    assert made.instance not in still, made
                    still.add(made.instance)
                elif made.kind == "resumed":
                    assert made.instance in still, made
                    still.remove(made.instance)
                elif made.journey and made.instance in still and made.kind != "not_entered":
                    assert made.kind in {"dropped", "migrated", "exited", "failed"}, made
                    assert made.kind != "exited" or made.reason in TAKEN_OUT, made
                    still -= {made.instance} if made.kind == "exited" else set()
            assert {number for number, _ in _standing(one.then)} <= still


def check_goals_of_those_taken_out(played: Played) -> None:
    """Who reached the goal in the pause, and is then taken out, has reached it."""
    for one in played.happenings:
        standing = dict(_standing(one.was))
        for made in one.effects.transitions:
            goal = played.journeys.versions[made.journey, made.version].goal if made.journey else None
            is_out = made.kind == "exited" and made.reason in TAKEN_OUT - {"customer_erased"}
            if not is_out or made.instance not in standing or goal is None or goal.where is not None:
                continue
            resumed = [each.instance for each in one.effects.transitions if each.kind in {"resumed", "migrated"}]
            instance = standing[made.instance]
            assert instance.pause is not None
            until_ms = instance.entered_at_ms + goal.within_ms if not goal.within_months else 0
            came = [kept for kept in instance.pause.kept if kept.type == goal.on and kept.at_ms < until_ms]
            if came and made.instance not in resumed:
                assert ("goal", made.instance) in {(each.kind, each.instance) for each in one.effects.transitions}, one


def _standing(customer: Customer) -> Iterator[tuple[int, Instance]]:
    return ((instance.number, instance) for instance in customer.instances if instance.state == PAUSED)


def check_kept(played: Played) -> None:
    """What came for a passage that stands still is kept as it was, in order, or is recorded as dropped; within bounds,
    and nothing but for want of room.
    """
    for life in all_lives(played):
        missed: dict[int, Missed] = {}
        for one in life:
            standing = dict(_standing(one.then))
            came = None if one.effects.duplicates else one.event
            for made in one.effects.transitions:
                if made.kind == "resumed":
                    assert made.value == str(len(missed.get(made.instance, ()))), made
            for number, instance in standing.items():
                known = missed.setdefault(number, _left(one.was, number))
                if came is not None and _is_for(one, came, instance):
                    known.append((one.at_ms, came.type, came.event_id, came.fields))
            dropped = [made for made in one.effects.transitions if made.kind == "dropped" and made.instance in standing]
            for made in dropped:
                _check_dropped(one, made, missed[made.instance], standing[made.instance])
            missed = {number: missed[number] for number in standing}
            for number, instance in standing.items():
                assert instance.pause is not None
                # Of what there was no room for, that it ends the passage is kept alone.
                bare = {kept.event_id for kept in instance.pause.kept if kept.is_bare}
                expected = [(*each[:3], {} if each[2] in bare else each[3]) for each in missed[number]]
                assert _left(one.then, number) == expected, (one, expected)
                assert all(kept.verdict for kept in instance.pause.kept if kept.is_bare), instance
            _check_room(one.then)


def _left(customer: Customer, number: int) -> Missed:
    """What the passage keeps: from a pause before, if it does not stand still."""
    pauses = [instance.pause for instance in customer.instances if instance.number == number]
    kept = [one for pause in pauses if pause is not None for one in pause.kept]
    return [(one.at_ms, one.type, one.event_id, revived(one.fields)) for one in kept]


def _is_for(one: Happening, event: Event, instance: Instance) -> bool:
    """Whether the event came for the passage: its journey asks for such, and it was there before."""
    journey = one.journeys.versions[instance.journey, instance.version]
    entered = any(made.kind == "entered" and made.instance == instance.number for made in one.effects.transitions)
    return event.type in journey.listens and not entered


def _check_dropped(one: Happening, made: Transition, missed: Missed, instance: Instance) -> None:
    """Only what there is no room for is dropped, and what ends a passage only if another such is kept."""
    place = next(number for number, each in enumerate(missed) if each[2] == made.event_id)
    assert (made.value, made.reason) == ("no_room", missed[place][1]), made
    event = missed.pop(place)
    if any(other.kind == "migrated" and other.instance == made.instance for other in one.effects.transitions):
        return
    assert instance.pause is not None
    sizes = instance.pause.kept_bytes + len(repr(event))
    assert len(missed) >= MANY or sizes > LARGE or len(one.then.instances) > ALL_LARGE // LARGE, made
    journey = one.journeys.versions[instance.journey, instance.version]
    exits = {rule.on for rule in journey.exits_on if rule.where is None}
    assert event[1] not in exits or any(kept.verdict for kept in instance.pause.kept), made


def _check_room(customer: Customer) -> None:
    sizes = []
    for _, instance in _standing(customer):
        assert instance.pause is not None
        whole = [kept for kept in instance.pause.kept if not kept.is_bare]
        bare = [kept for kept in instance.pause.kept if kept.is_bare]
        sizes.append(sum(map(size_of, whole)))
        assert len(whole) <= MANY
        assert len(bare) <= len({kept.verdict for kept in bare})
        assert sizes[-1] <= LARGE
        assert sum(map(size_of, bare)) <= 2 * VERDICT
        assert sizes[-1] + sum(map(size_of, bare)) == instance.pause.kept_bytes
    assert sum(sizes) <= ALL_LARGE


def check_turns(played: Played) -> None:
    """Each goes on at its turn: at once, or within the time over which they are spread."""
    for _, given, resume, going in _turns(played):
        if resume.rate is None or resume.expires:
            assert given <= going.at_ms <= given + resume.over_ms, (given, going)


def check_rates_of_turns(played: Played) -> None:
    """No more go on in any window than the partition's share of the rate."""
    turns: dict[tuple[int, str, Resume], list[int]] = defaultdict(list)
    for partition, _, resume, going in _turns(played):
        if resume.rate is not None and not resume.expires:
            turns[partition, going.journey, resume].append(going.at_ms)
    for (partition, _, resume), listed in turns.items():
        assert resume.rate is not None
        most, window_ms, every = resume.rate.max, resume.rate.per_ms, played.partitions
        # Less than one for each partition is one in so many windows.
        share = most // every + (partition < most % every) if most >= every else 1
        least_ms = window_ms if most >= every else window_ms * every // most
        times = sorted(listed)
        assert all(later - earlier >= least_ms for earlier, later in zip(times, times[share:], strict=False)), times


def _turns(played: Played) -> Iterator[tuple[int, int, Resume, Transition]]:
    """(partition, when its turn was given, by what, how the passage went on) for each passage that did."""
    for life in all_lives(played):
        given: dict[int, tuple[int, Resume]] = {}
        for one in life:
            for instance in (*one.was.instances, *one.then.instances):
                # Of whoever goes on in the very decision, no record tells that the turn was given.
                is_new = instance.number not in given and instance.journey not in one.journeys.paused
                if instance.state == PAUSED and is_new and one.then.aligned == one.journeys.alignment:
                    given[instance.number] = (one.at_ms, _policy(one, instance.journey))
            for made in one.effects.transitions:
                if made.kind == "resumed":
                    at_ms, resume = given.pop(made.instance)
                    yield CUSTOMERS.index(one.customer_id) % played.partitions, at_ms, resume, made
            stopped = {number for number, each in _standing(one.then) if each.timer_at_ms == NEVER_MS}
            given = {number: each for number, each in given.items() if number not in stopped}


def _policy(one: Happening, journey: str) -> Resume:
    current = one.journeys.current.get(journey)
    return AT_ONCE if current is None or current.resume is None else current.resume


CHECKS = (
    check_still,
    check_passages_that_stand_still,
    check_goals_of_those_taken_out,
    check_kept,
    check_turns,
    check_rates_of_turns,
)
