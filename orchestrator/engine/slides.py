"""Passages whose conditions the passing of time alone can change: exits, and waits while a condition holds.

Where such a condition asks for past events in a window, or how long ago the last one was, the customer has a clock for
the passage (`slide:NUMBER`), set to the earliest instant at which what it says may change. It is set anew at the end of
every decision. Clocks of the same instant fire in name order: segments have changed before, schedules tick after.
"""

from __future__ import annotations

from orchestrator.engine.clocks import FIRE
from orchestrator.engine.steps import after_any_event, leaves_by_condition
from orchestrator.engine.turn import Turn, version_of
from orchestrator.model.customer import ACTIVE, NEVER_MS, Instance
from orchestrator.model.journey import Journey, WaitWhile

CLOCK = "slide"
"""The kind of the clocks; what follows is the passage's number."""


def set_slides(turn: Turn) -> None:
    """Sets the clocks of all passages, by what is kept of past events now. One that is due already stays, and fires."""
    clocks = turn.customer.clocks
    due: dict[str, int] = {}
    for instance in turn.customer.instances:
        if instance.state == ACTIVE:
            name = f"{CLOCK}:{instance.number}"
            due_ms = clocks.get(name, NEVER_MS)
            if due_ms > turn.now_ms:
                due_ms = _next_change(turn, version_of(turn.journeys, instance), instance)
            if due_ms < NEVER_MS:
                due[name] = due_ms
    for name in [name for name in clocks if name.startswith(f"{CLOCK}:") and name not in due]:
        del clocks[name]
    clocks.update(due)


def fire_slide(turn: Turn, number: str) -> None:
    """Something has gone out of a window, or so many days are over: looks at the passage again."""
    for instance in turn.customer.instances:
        if str(instance.number) == number and instance.state == ACTIVE:
            journey = version_of(turn.journeys, instance)
            turn.instance = instance
            if not leaves_by_condition(turn, journey, instance) and journey.waits_while:
                after_any_event(turn, journey, instance)
            return


def slides(journey: Journey) -> bool:
    """Whether time alone can change what passages of this version wait or exit for."""
    waits = (step for step in journey.steps.values() if isinstance(step, WaitWhile))
    return bool(journey.exits_change) or any(step.next_change is not None for step in waits)


def _next_change(turn: Turn, journey: Journey, instance: Instance) -> int:
    due_ms = NEVER_MS
    for next_change in journey.exits_change:
        due_ms = min(due_ms, next_change(turn))
    step = journey.steps.get(instance.step)
    if isinstance(step, WaitWhile) and step.next_change is not None:
        due_ms = min(due_ms, step.next_change(turn))
    return due_ms


FIRE[CLOCK] = fire_slide
