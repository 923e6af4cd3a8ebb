"""Messages of one decision compete for the room under the caps: by priority, not by who entered first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.engine.decide import apply_event, fire_timers, give_room, settle
from orchestrator.engine.turn import Turn
from orchestrator.model.actions import Effects
from orchestrator.model.customer import NEVER_MS, decode_customer, encode_customer, wake_at_ms
from orchestrator.model.journey import Awaited, Cap, ClockTime, Journey, QuietHours, ReEntry, Wait, WaitFor
from tests.engine.build import DAY, HOUR, START, event, expression, goal, journey, journeys, reachable, send

ONE_A_DAY = Cap("daily", None, 1, DAY)
TWO_A_DAY = Cap("daily", None, 2, DAY)


def greets(name: str, priority: int, **changes: Any) -> Journey:
    return journey(send("hello", "_end", priority=priority), name=name, **changes)


def waits(name: str, priority: int, **changes: Any) -> Journey:
    return journey(Wait("pause", HOUR, "hello"), send("hello", "_end", priority=priority), name=name, **changes)


def sent_by(effects: Effects) -> list[str]:
    return [action.journey for action in effects.actions]


def outcomes(effects: Effects) -> list[tuple[str, str]]:
    return [(t.journey, t.reason) for t in effects.transitions if t.kind == "step" and t.step == "hello"]


def test_of_journeys_entered_with_one_event_the_most_important_message_goes() -> None:
    made = journeys(greets("a", 1), greets("b", 9), greets("c", 5), caps=(TWO_A_DAY,))
    effects = Effects()
    apply_event(made, reachable(), event("registered"), START, effects)
    assert outcomes(effects) == [("b", "sent"), ("c", "sent"), ("a", "capped")]


def test_of_timers_due_at_the_same_instant_too() -> None:
    made = journeys(waits("a", 1), waits("b", 9), waits("c", 9), caps=(ONE_A_DAY,))
    customer, effects = reachable(), Effects()
    apply_event(made, customer, event("registered"), START, effects)
    fire_timers(made, customer, "c1", START + DAY, effects)
    assert outcomes(effects) == [("b", "sent"), ("c", "capped"), ("a", "capped")]
    assert {t.at_ms for t in effects.transitions if t.kind == "step"} == {START + HOUR}
    assert wake_at_ms(customer) == NEVER_MS


def test_timers_of_different_instants_do_not_compete() -> None:
    early = journey(Wait("pause", HOUR - 1, "hello"), send("hello", "_end", priority=0), name="early")
    made = journeys(early, waits("late", 9), caps=(ONE_A_DAY,))
    customer, effects = reachable(), Effects()
    apply_event(made, customer, event("registered"), START, effects)
    fire_timers(made, customer, "c1", START + DAY, effects)
    assert outcomes(effects) == [("early", "sent"), ("late", "capped")]


def test_messages_that_quiet_hours_held_compete_when_they_end() -> None:
    night = QuietHours(None, ClockTime(22, 0), ClockTime(8, 0), None, True, None)
    made = replace(journeys(greets("a", 1), greets("b", 9), caps=(ONE_A_DAY,)), quiet_hours=(night,))
    customer, effects = reachable(), Effects()
    apply_event(made, customer, event("registered"), START, effects)
    customer = decode_customer(encode_customer(customer))
    fire_timers(made, customer, "c1", START + DAY, effects)
    assert outcomes(effects) == [("b", "sent"), ("a", "capped")]


def test_what_a_passage_comes_to_later_takes_part_with_what_is_left() -> None:
    twice = journey(send("hello", "more", priority=5), send("more", "_end", priority=9), name="twice")
    made = journeys(twice, greets("once", 7), caps=(TWO_A_DAY,))
    effects = Effects()
    apply_event(made, reachable(), event("registered"), START, effects)
    assert [(a.journey, a.step) for a in effects.actions] == [("once", "hello"), ("twice", "hello")]
    assert effects.transitions[-2].reason == "capped"


def test_transactional_messages_do_not_compete_and_without_caps_nobody_does() -> None:
    urgent = journey(send("hello", "_end", priority=0, message_class="transactional"), name="urgent")
    effects = Effects()
    apply_event(journeys(urgent, greets("a", 9), caps=(ONE_A_DAY,)), reachable(), event("registered"), START, effects)
    assert sent_by(effects) == ["urgent", "a"]
    effects = Effects()
    apply_event(journeys(greets("a", 1), greets("b", 9)), reachable(), event("registered"), START, effects)
    assert sent_by(effects) == ["a", "b"]


def test_a_passage_that_ends_with_the_event_may_be_followed_by_another_one() -> None:
    again = journey(
        WaitFor("wait", (Awaited("registered", None, "hello"),), None, "_end"),
        send("hello", "_end"),
        name="again",
        reentry=ReEntry("always"),
    )
    made = journeys(again, caps=(ONE_A_DAY,))
    customer, effects = reachable(), Effects()
    apply_event(made, customer, event("registered", 1), START, effects)
    made = replace(made, versions={("again", "v1"): replace(again, listens=frozenset({"registered"}))})
    apply_event(made, customer, event("registered", 2), START + 1, effects)
    assert [t.kind for t in effects.transitions] == ["entered", "step", "step", "exited", "entered"]
    assert [(instance.number, instance.step) for instance in customer.instances] == [(2, "wait")]


def test_a_message_of_a_passage_that_left_meanwhile_is_not_sent() -> None:
    made = journeys(
        journey(
            Wait("pause", HOUR, "hello"),
            send("hello", "_end", priority=1),
            name="a",
            exits_when=(expression(lambda scope: not scope.customer.consent.get("email")),),
            goal=goal(),
        ),
        waits("b", 9),
        caps=(TWO_A_DAY,),
    )
    customer, effects = reachable(), Effects()
    apply_event(made, customer, event("registered"), START, effects)
    # Both are due at the instant at which this event comes: they are decided before it.
    apply_event(made, customer, event("consented", 2, channel="email", granted=False), START + HOUR, effects)
    assert sent_by(effects) == ["b", "a"]
    assert customer.instances[0].state == 2


def test_journeys_entered_with_one_change_of_a_segment_compete_too() -> None:
    """Each comes to its message alone at first: the other is let in only after it."""
    made = journeys(greets("a", 1), greets("b", 9), caps=(ONE_A_DAY,))
    made = replace(made, entries={}, entries_by_segment={("vip", True): tuple(made.current.values())})
    effects = Effects()
    turn = Turn(made, reachable(), "c1", {}, None, START, effects)
    turn.has_entries = False
    turn.segment_changes = [("vip", True)]
    settle(turn)
    give_room(turn)
    assert outcomes(effects) == [("b", "sent"), ("a", "capped")]


PLANS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(1, 3)),
    min_size=1,
    max_size=6,
)


@given(plans=PLANS, most=st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_no_message_is_capped_while_a_less_important_one_of_the_same_instant_goes_out(
    plans: list[tuple[int, int, int]], most: int
) -> None:
    every = []
    for number, (priority, hours, messages) in enumerate(plans):
        steps: list[Any] = [Wait("pause", hours * HOUR or 1, "hello0")]
        names = [*(f"hello{n}" for n in range(messages)), "_end"]
        steps += [send(names[n], names[n + 1], priority=priority) for n in range(messages)]
        every.append(journey(*steps, name=f"j{number}"))
    made = journeys(*every, caps=(Cap("cap", None, most, 10 * DAY),))
    customer, effects = reachable(), Effects()
    apply_event(made, customer, event("registered"), START, effects)
    fire_timers(made, customer, "c1", START + DAY, effects)
    assert customer.instances == []
    assert len(effects.actions) == min(most, sum(messages for _, _, messages in plans))
    results = [(t.at_ms, plans[int(t.journey[1:])][0], t.reason) for t in effects.transitions if "hello" in t.step]
    results = [one for one in results if one[2] in {"sent", "capped"}]
    for at_ms, priority, reason in results:
        if reason == "capped":
            assert not any(other == "sent" and when == at_ms and less < priority for when, less, other in results)
