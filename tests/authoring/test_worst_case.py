"""The most messages in a week: right on examples that can be counted by hand, and never exceeded on random ways."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.authoring.worst_case import (
    WEEK_MS,
    WorstCase,
    ways_on,
    worst_case,
    worst_case_of_all,
    worst_case_table,
)
from orchestrator.model.journey import Awaited, Branch, Cap, Case, Journey, ReEntry, Step, Wait, WaitFor
from tests.engine.build import DAY, event_field, expression, journey, journeys, send

NEVER = ReEntry("never")
WEEKLY = Cap("weekly", None, 3, 7 * DAY)


def of(*steps: Step, reentry: ReEntry = NEVER, key: bool = False, caps: tuple[Cap, ...] = ()) -> WorstCase:
    made = journey(*steps, reentry=reentry, key=event_field("id") if key else None)
    return worst_case(made, caps)


def test_messages_within_a_week_count_and_one_exactly_a_week_later_does_not() -> None:
    steps = (send("a", "pause"), Wait("pause", 7 * DAY, "b"), send("b", "c"), send("c", "_end"))
    assert of(*steps).promotional == 2
    assert of(steps[0], Wait("pause", 7 * DAY - 1, "b"), *steps[2:]).promotional == 3


def test_a_wait_for_an_event_may_end_at_once_and_its_timeout_takes_its_time() -> None:
    react = WaitFor("react", (Awaited("clicked", None, "b"),), 30 * DAY, "c")
    assert of(send("a", "react"), react, send("b", "_end"), send("c", "_end")).promotional == 2
    late = replace(react, awaited=(Awaited("clicked", None, "_end"),))
    assert of(send("a", "react"), late, send("b", "_end"), send("c", "_end")).promotional == 1


def test_of_two_ways_the_one_with_more_messages_counts() -> None:
    choice = Branch("choice", (Case(expression(lambda _: True), "b"),), "c")
    assert of(send("a", "choice"), choice, send("b", "d"), send("d", "_end"), send("c", "_end")).promotional == 3


def test_a_loop_sends_as_often_as_its_waits_allow() -> None:
    assert of(send("a", "pause"), Wait("pause", 2 * DAY, "a")).promotional == 4
    assert of(send("a", "react"), WaitFor("react", (Awaited("clicked", None, "a"),), None, "a")).promotional is None


def test_caps_limit_what_nothing_else_does() -> None:
    endless = (send("a", "react"), WaitFor("react", (Awaited("clicked", None, "a"),), None, "a"))
    assert of(*endless, caps=(WEEKLY,)) == WorstCase(3, None, 0)
    assert of(*endless, caps=(replace(WEEKLY, per_ms=3 * DAY),)).promotional == 9
    assert of(*endless, caps=(replace(WEEKLY, channels=frozenset({"sms"})),)).promotional is None
    assert of(*endless, caps=(replace(WEEKLY, purposes=frozenset({"news"})),)).promotional is None
    assert of(*endless, caps=(replace(WEEKLY, journeys=frozenset({"other"})),)).promotional is None


def test_channels_that_each_have_a_cap_limit_their_sum() -> None:
    both = (send("a", "b"), send("b", "a2", channels=("sms",)), Wait("a2", DAY, "a"))
    caps = tuple(replace(WEEKLY, name=name, channels=frozenset({name})) for name in ("email", "sms"))
    assert of(*both, caps=caps) == WorstCase(6, 14, 0)


def test_transactional_messages_are_counted_apart() -> None:
    assert of(send("a", "b"), send("b", "_end", message_class="transactional"), caps=(WEEKLY,)) == WorstCase(1, 1, 1)


@pytest.mark.parametrize(
    ("reentry", "key", "expected"),
    [
        (ReEntry("never"), False, 1),
        (ReEntry("never"), True, None),
        (ReEntry("always"), False, None),
        (ReEntry("after", 7 * DAY), False, 2),
        (ReEntry("after", 2 * DAY), False, 5),
    ],
)
def test_entering_again_counts(reentry: ReEntry, key: bool, expected: int | None) -> None:
    assert of(send("a", "_end"), reentry=reentry, key=key).promotional == expected


def test_all_journeys_together_are_limited_by_what_caps_all() -> None:
    made = journeys(
        journey(send("a", "b"), send("b", "_end"), name="one"),
        journey(send("a", "b"), send("b", "_end"), name="two"),
        caps=(WEEKLY,),
    )
    assert worst_case_of_all(made) == WorstCase(3, 4, 0)
    assert worst_case_table(made).splitlines()[-1].split()[-3:] == ["3", "4", "0"]


@st.composite
def random_journeys(draw: st.DrawFn) -> Journey:
    names = [f"s{number}" for number in range(draw(st.integers(1, 6)))]
    target = st.sampled_from([*names, "_end"])
    steps: list[Step] = []
    for name in names:
        kind = draw(st.sampled_from(["send", "wait", "wait_for", "branch"]))
        if kind == "send":
            steps.append(send(name, draw(target)))
        elif kind == "wait":
            steps.append(Wait(name, draw(st.sampled_from([DAY, 3 * DAY, 7 * DAY])), draw(target)))
        elif kind == "wait_for":
            steps.append(WaitFor(name, (Awaited("clicked", None, draw(target)),), 2 * DAY, draw(target)))
        else:
            steps.append(Branch(name, (Case(expression(lambda _: True), draw(target)),), draw(target)))
    return journey(*steps, reentry=NEVER)


@given(random_journeys(), st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, DAY])), max_size=40))
def test_no_way_through_a_journey_exceeds_it(made: Journey, choices: list[tuple[int, int]]) -> None:
    limit = worst_case(made, ()).promotional
    at_ms, name, sent = 0, made.first, list[int]()
    for choice, longer_ms in choices:
        step = made.steps[name]
        if type(step).__name__ == "Send":
            sent.append(at_ms)
        ways = list(ways_on(step))
        if not ways:
            break
        name, least_ms = ways[choice % len(ways)]
        at_ms += least_ms + (longer_ms if least_ms else 0)
    for first_ms in sent:
        assert limit is None or sum(first_ms <= at < first_ms + WEEK_MS for at in sent) <= limit
