"""Journeys that are started and stopped: by a step of another journey, or by an event that asks for it.

Both only ask. What was asked for follows when the decision is made, in the order in which it was asked, so that it does
not matter in which order the customer's passages were looked at.
"""

from __future__ import annotations

from orchestrator.engine.contest import contend_first
from orchestrator.engine.entry import enter
from orchestrator.engine.histories import REBUILT, take_rebuilt
from orchestrator.engine.resuming import leave_in_pause
from orchestrator.engine.segments import update_segments
from orchestrator.engine.steps import leave
from orchestrator.engine.turn import Request, Turn, ask, version_of
from orchestrator.model.actions import Failure
from orchestrator.model.customer import ACTIVE, PAUSED

REQUESTED = "journey_requested"
STOP_REQUESTED = "journey_stop_requested"
COMMAND_EVENTS = frozenset({REQUESTED, STOP_REQUESTED, REBUILT})
"""The event types that ask for it, or for the past to be added; whoever may publish events may ask."""

REMOVED = "removed_by_operator"
"""The reason with which a passage ends that an event stops."""


def take_command(turn: Turn, event_type: str) -> None:
    """Asks for what the event says; a journey that nobody can ask for is noted as a failure of the event."""
    if event_type == REBUILT:
        add_the_past(turn)
        return
    journey, key = turn.event.get("journey"), turn.event.get("key")
    if not isinstance(journey, str):
        return
    is_start = event_type == REQUESTED
    if is_start and journey not in turn.journeys.entries_by_command:
        detail = "no journey of this name is entered by command"
        turn.effects.failures.append(Failure("", event_type, detail))
        return
    reason = "command" if is_start else REMOVED
    ask(turn, Request(journey, is_start, reason, key if isinstance(key, str) and key else None))


def add_the_past(turn: Turn) -> None:
    """Adds what was before aggregates were kept, and looks at all segments again.

    Whoever comes into a segment or goes out of one by it is a member, or is not, without entering a journey, unless the
    event says that journeys let in; passages are looked at with every event anyway.
    """
    tracked = turn.journeys.tracked
    if take_rebuilt(turn) and tracked is not None:
        update_segments(turn, tracked.segments)
    if not turn.event.get("lets_in"):
        turn.segment_changes = None


def answer(turn: Turn, request: Request) -> None:
    """Lets the customer in by the journey's entry rules, or ends the passages."""
    if request.is_start:
        journey = turn.journeys.entries_by_command.get(request.journey)
        if journey is not None:
            contend_first(turn, journey)
            enter(turn, journey, request.reason, request.key or "")
        return
    for instance in turn.customer.instances:
        is_meant = instance.journey == request.journey and request.key in {None, instance.key}
        if is_meant and instance.state in {ACTIVE, PAUSED}:
            turn.instance = instance
            journey = version_of(turn.journeys, instance)
            if instance.state == PAUSED and instance.pause is not None:
                leave_in_pause(turn, journey, instance, instance.pause, request.reason)
            else:
                leave(turn, journey, instance, request.reason)
