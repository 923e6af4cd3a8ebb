"""What a passage keeps of the events that come while it stands still: a bounded number, in stored form.

What comes first is kept. When there is no room any more, an event that could be the passage's goal or end it takes the
place of the latest one that could not; that an event was dropped is recorded.
"""

from __future__ import annotations

from orchestrator.engine.turn import Turn, record
from orchestrator.model.customer import Instance
from orchestrator.model.journey import Journey
from orchestrator.model.pauses import Kept, size_of, stored

KEPT_MAX = 64
KEPT_BYTES_MAX = 16_384
"""A passage keeps at most so many events, of so many bytes in all: a record of ten such passages stays far below the
size that a broker takes."""

NO_ROOM, TOO_OLD = "no_room", "too_old"
"""Why an event was dropped: the value of the transition."""


def keep(turn: Turn, journey: Journey, instance: Instance, event_type: str) -> None:
    """Keeps the turn's event for when the passage goes on, or records that there is no room for it."""
    pause = instance.pause
    if pause is None or turn.event_id is None:
        return
    new = Kept(turn.now_ms, event_type, turn.event_id, {name: stored(value) for name, value in turn.event.items()})
    size = size_of(new)
    decisive = decisive_types(journey) if size <= KEPT_BYTES_MAX else frozenset()
    while len(pause.kept) >= KEPT_MAX or pause.kept_bytes + size > KEPT_BYTES_MAX:
        at = next((i for i in reversed(range(len(pause.kept))) if pause.kept[i].type not in decisive), None)
        if event_type not in decisive or at is None:
            record_dropped(turn, journey, instance, new, NO_ROOM)
            return
        dropped = pause.kept[at]
        pause.kept = [*pause.kept[:at], *pause.kept[at + 1 :]]
        pause.kept_bytes -= size_of(dropped)
        record_dropped(turn, journey, instance, dropped, NO_ROOM)
    pause.kept = [*pause.kept, new]
    pause.kept_bytes += size


def decisive_types(journey: Journey) -> frozenset[str]:
    """The event types that can be the passage's goal, or end it."""
    goal = () if journey.goal is None else (journey.goal.on,)
    return frozenset((*goal, *(rule.on for rule in journey.exits_on)))


def record_dropped(turn: Turn, journey: Journey, instance: Instance, event: Kept, why: str) -> None:
    """Records that the passage will not see the event."""
    now_event_id, turn.event_id = turn.event_id, event.event_id
    record(turn, journey, instance, "dropped", step=instance.step, reason=event.type, value=why)
    turn.event_id = now_event_id
