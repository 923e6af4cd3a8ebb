"""Journeys that are started and stopped by other journeys, and by events that ask for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.commands import REQUESTED, STOP_REQUESTED
from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.engine.population import with_entries
from orchestrator.model.action_steps import StartJourney, StopJourney
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.journey import Entry, Journey, JourneySet, ReEntry, Status, Step, Wait
from orchestrator.model.triggers import OnCommand
from tests.engine.build import DAY, HOUR, START, event, expression, goal, journey, journeys, reachable, send


def asked_for(name: str, *steps: Step, reentry: str = "never", where: Any = None, **changes: Any) -> Journey:
    made = journey(*steps, name=name, **changes)
    return replace(made, entry=Entry(OnCommand(), where, None, ReEntry(reentry)))


def a_set(*every: Journey) -> JourneySet:
    made = journeys(*every)
    return with_entries(made, [one for one in every if one.status in {Status.LIVE, Status.SHADOW}])


def apply(made: JourneySet, customer: Customer, *events: Any, at_ms: int = START) -> Effects:
    effects = Effects()
    for one in events:
        apply_event(made, customer, one, at_ms, effects)
    return effects


def told(effects: Effects) -> list[tuple[str, str, str]]:
    return [(t.journey, t.kind, t.reason) for t in effects.transitions]


LATER = asked_for("later", Wait("wait", DAY, "mail"), send("mail", "_end"))


def test_a_journey_starts_another_in_the_same_decision_after_its_own_steps() -> None:
    made = a_set(journey(StartJourney("start", "later", "mail"), send("mail", "_end")), LATER)
    customer = reachable()
    effects = apply(made, customer, event("registered"))
    assert told(effects) == [
        ("welcome", "entered", ""),
        ("welcome", "step", "start_asked"),
        ("welcome", "step", "sent"),
        ("welcome", "exited", "finished"),
        ("later", "entered", "journey"),
    ]
    assert {t.at_ms for t in effects.transitions} == {START}
    assert [instance.journey for instance in customer.instances] == ["later"]


def test_the_started_journey_decides_by_its_own_rules() -> None:
    start = journey(StartJourney("start", "later", "_end"), reentry=ReEntry("always"))
    customer = reachable()
    twice = apply(a_set(start, LATER), customer, event("registered"))
    assert ("later", "entered", "journey") in told(twice)
    assert [t for t in told(apply(a_set(start, LATER), customer, event("registered", 2))) if t[0] == "later"] == []
    customer.instances = []
    assert ("later", "not_entered", "reentry") in told(apply(a_set(start, LATER), customer, event("registered", 3)))
    nobody = asked_for("later", Wait("wait", DAY, "_end"), where=expression(lambda _: False))
    assert {t[0] for t in told(apply(a_set(start, nobody), reachable(), event("registered")))} == {"welcome"}
    held = asked_for("later", Wait("wait", DAY, "_end"), holdout=1 << 64, goal=goal())
    assert ("later", "held_out", "journey") in told(apply(a_set(start, held), reachable(), event("registered")))


def test_a_journey_that_nobody_is_let_into_is_not_started() -> None:
    start = journey(StartJourney("start", "later", "_end"))
    retired = asked_for("later", Wait("wait", DAY, "_end"), status=Status.RETIRED)
    for made in (
        a_set(start),
        a_set(start, retired),
        a_set(start, journey(Wait("w", DAY, "_end"), name="later", on="x")),
    ):
        effects = apply(made, reachable(), event("registered"))
        assert ("welcome", "step", "not_running") in told(effects)
        assert {t[0] for t in told(effects)} == {"welcome"}


def test_a_journey_in_shadow_starts_and_stops_nothing() -> None:
    steps = (StopJourney("stop", "later", "start"), StartJourney("start", "later", "_end"))
    made = a_set(journey(*steps, status=Status.SHADOW), LATER)
    customer = reachable()
    apply(made, customer, event(REQUESTED, journey="later"))
    effects = apply(made, customer, event("registered", 2))
    assert [reason for _, kind, reason in told(effects) if kind == "step"] == ["shadow", "shadow"]
    assert [instance.journey for instance in customer.instances] == ["later"]


def test_a_journey_stops_another_whichever_of_the_two_was_entered_first() -> None:
    for names in (("a", "b"), ("b", "a")):
        stopper = journey(StopJourney("stop", names[1], "_end"), name=names[0], on="stopped")
        waiter = journey(Wait("wait", DAY, "late"), send("late", "_end"), name=names[1])
        customer = reachable()
        made = a_set(*sorted((stopper, waiter), key=lambda one: one.name))
        apply(made, customer, event("registered"))
        effects = apply(made, customer, event("stopped", 2), at_ms=START + HOUR)
        assert (names[1], "exited", "stopped_by_journey") in told(effects)
        assert customer.instances == []
        fire_timers(made, customer, "c1", START + 9 * DAY, effects)
        assert effects.actions == []


def test_stopping_and_starting_again_happens_in_the_order_in_which_it_was_asked() -> None:
    again = asked_for("later", Wait("wait", DAY, "_end"), reentry="always")
    steps = (StopJourney("stop", "later", "start"), StartJourney("start", "later", "_end"))
    made = a_set(journey(*steps), again)
    customer = reachable()
    apply(made, customer, event(REQUESTED, journey="later"))
    first = customer.instances[0].number
    effects = apply(made, customer, event("registered", 2))
    assert [t for t in told(effects) if t[0] == "later"] == [
        ("later", "exited", "stopped_by_journey"),
        ("later", "entered", "journey"),
    ]
    assert [instance.number > first for instance in customer.instances] == [True]


def test_an_event_asks_that_a_customer_enter_and_leave() -> None:
    made = a_set(LATER)
    customer = reachable()
    assert told(apply(made, customer, event(REQUESTED, journey="later"))) == [("later", "entered", "command")]
    effects = apply(made, customer, event(STOP_REQUESTED, 2, journey="later"))
    assert told(effects) == [("later", "exited", "removed_by_operator")]
    assert told(apply(made, customer, event(STOP_REQUESTED, 3, journey="nothing"))) == []


def test_the_key_of_the_event_tells_parallel_passages_apart() -> None:
    made = a_set(LATER)
    customer = reachable()
    for number, key in enumerate(["x", "y", "x", None], 1):
        apply(made, customer, event(REQUESTED, number, journey="later", key=key))
    assert [instance.key for instance in customer.instances] == ["x", "y", ""]
    apply(made, customer, event(STOP_REQUESTED, 8, journey="later", key="y"))
    assert [instance.key for instance in customer.instances] == ["x", ""]
    apply(made, customer, event(STOP_REQUESTED, 9, journey="later", key=None))
    assert customer.instances == []


def test_a_request_for_a_journey_that_nobody_can_ask_for_is_a_failure_of_the_event() -> None:
    made = a_set(journey(Wait("wait", DAY, "_end")))
    for name in ("welcome", "nothing"):
        effects = apply(made, reachable(), event(REQUESTED, journey=name))
        assert [failure.step for failure in effects.failures] == [REQUESTED]
        assert effects.transitions == []


def test_a_timer_starts_a_journey_too() -> None:
    made = a_set(journey(Wait("pause", HOUR, "start"), StartJourney("start", "later", "_end")), LATER)
    customer = reachable()
    apply(made, customer, event("registered"))
    effects = Effects()
    fire_timers(made, customer, "c1", START + 3 * DAY, effects)
    assert [action.created_at_ms for action in effects.actions] == [START + HOUR + DAY]


def test_journeys_by_hand_that_start_each_other_come_to_an_end() -> None:
    one = asked_for("one", StartJourney("start", "two", "_end"), reentry="always")
    two = asked_for("two", StartJourney("start", "one", "_end"), reentry="always")
    effects = apply(a_set(one, two), reachable(), event(REQUESTED, journey="one"))
    assert [failure.step for failure in effects.failures] == ["settle"]
    assert len([t for t in effects.transitions if t.kind == "entered"]) == 100


@given(
    st.lists(st.tuples(st.sampled_from(["ask", "stop", "registered", "stopped"]), st.integers(0, 2 * DAY)), max_size=15)
)
def test_whatever_is_started_and_stopped_nobody_is_twice_in_one_passage(story: list[tuple[str, int]]) -> None:
    again = asked_for("later", Wait("wait", DAY, "mail"), send("mail", "_end"), reentry="always")
    made = a_set(
        again,
        journey(StartJourney("start", "later", "_end"), name="starts", reentry=ReEntry("always")),
        journey(StopJourney("stop", "later", "_end"), name="stops", on="stopped", reentry=ReEntry("always")),
    )
    customer, at_ms = reachable(), START
    types = {"ask": REQUESTED, "stop": STOP_REQUESTED}
    entered = left = 0
    for number, (what, after_ms) in enumerate(story):
        at_ms += after_ms
        effects = apply(made, customer, event(types.get(what, what), number, journey="later"), at_ms=at_ms)
        entered += sum(t.journey == "later" and t.kind == "entered" for t in effects.transitions)
        left += sum(t.journey == "later" and t.kind == "exited" for t in effects.transitions)
        inside = [instance for instance in customer.instances if instance.journey == "later"]
        assert len(inside) == entered - left <= 1
        if what in {"stop", "stopped"}:
            assert inside == []
        if what in {"ask", "registered"}:
            assert len(inside) == 1
        assert decode_customer(encode_customer(customer)) == customer
