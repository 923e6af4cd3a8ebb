"""The longest that a passage may last."""

from __future__ import annotations

from typing import Any

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.journey import Awaited, Journey, ReEntry, Wait, WaitFor
from tests.engine.build import DAY, START, captured, event, goal, journey, journeys, ordered


def waiting(**changes: Any) -> Journey:
    step = WaitFor("react", (Awaited("clicked", None, "_end"),), None, "_end")
    return journey(step, **{"max_duration_ms": 3 * DAY, "reentry": ReEntry("always"), **changes})


def ends(made: Journey, *events: tuple[int, str]) -> list[tuple[str, int]]:
    """(reason, days after the start) of each exit, of a customer who registers at the start."""
    engine = OfflineEngine(journeys(made))
    effects = [engine.apply(START, event("registered", 1))]
    effects += [engine.apply(START + days * DAY, event(name, days + 2)) for days, name in events]
    customer = engine.customers["c1"]
    assert len(customer.clocks) == bool(made.max_duration_ms) * len(customer.instances), "no clock stays behind"
    effects.append(engine.advance(START + 99 * DAY))
    assert (customer.clocks, customer.instances) == ({}, [])
    return [(t.reason, (t.at_ms - START) // DAY) for one in effects for t in one.transitions if t.kind == "exited"]


def test_who_is_still_inside_leaves_when_the_time_is_over() -> None:
    assert ends(waiting()) == [("expired", 3)]


def test_who_leaves_earlier_takes_the_clock_along() -> None:
    assert ends(waiting(), (1, "clicked")) == [("finished", 1)]
    assert ends(waiting(exits_on=(ordered(),)), (1, "ordered")) == [("ordered", 1)]
    assert ends(waiting(goal=goal()), (1, "ordered")) == [("goal", 1)]


def test_another_passage_has_a_time_of_its_own() -> None:
    assert ends(waiting(), (1, "clicked"), (2, "registered")) == [("finished", 1), ("expired", 5)]


def test_an_expired_passage_is_measured_until_its_goal_can_no_longer_be_reached() -> None:
    engine = OfflineEngine(journeys(waiting(goal=goal(), captured=(captured("sku"),))))
    engine.apply(START, event("registered", 1))
    engine.advance(START + 4 * DAY)
    reached = engine.apply(START + 5 * DAY, event("ordered", 2)).transitions
    assert [(t.kind, t.reason) for t in reached] == [("goal", "treated")]
    assert engine.customers["c1"].clocks == {}


def test_a_step_that_is_due_at_the_same_instant_comes_first() -> None:
    made = journey(Wait("pause", 3 * DAY, "_end"), max_duration_ms=3 * DAY, reentry=ReEntry("always"))
    assert ends(made) == [("finished", 3)]


def test_months_are_those_of_the_calendar() -> None:
    # From 14 November to 14 February.
    assert ends(waiting(max_duration_ms=3 * 28 * DAY, max_duration_months=3)) == [("expired", 92)]
