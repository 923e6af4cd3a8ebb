"""What a passage keeps of the events that come while it stands still: a bounded number, in stored form.

What comes first is kept. When there is no room any more, an event that is the passage's goal or ends it takes the
place of the latest one that does not; that an event was dropped is recorded.
"""

from __future__ import annotations

from orchestrator.engine.turn import Turn, record
from orchestrator.model.customer import NEVER_MS, Instance
from orchestrator.model.journey import Journey
from orchestrator.model.pauses import Kept, size_of, stored

KEPT_MAX = 64
KEPT_BYTES_MAX = 16_384
CUSTOMER_BYTES_MAX = 131_072
"""A passage keeps at most so many events, of so many bytes in all, and all passages of a customer keep so many bytes,
twice that with exits and goals: however many there are, the record stays far below the size that a broker takes."""

NO_ROOM, TOO_OLD = "no_room", "too_old"
"""Why an event was dropped: the value of the transition."""


def keep(turn: Turn, journey: Journey, instance: Instance, event_type: str) -> None:
    """Keeps the turn's event for when the passage goes on, or records that there is no room for it."""
    pause = instance.pause
    if pause is None or turn.event_id is None:
        return
    is_decisive = _is_decisive(turn, journey, instance, event_type)
    fields = {name: stored(value) for name, value in turn.event.items()}
    new = Kept(turn.now_ms, event_type, turn.event_id, fields, is_decisive)
    size = size_of(new)
    by_others = sum(one.pause.kept_bytes for one in turn.customer.instances if one.pause is not None) - pause.kept_bytes
    # What others keep leaves no passage without room for what ends it.
    in_all = CUSTOMER_BYTES_MAX * 2 if is_decisive else CUSTOMER_BYTES_MAX
    room = min(KEPT_BYTES_MAX, in_all - by_others)
    # Earlier releases did not tell whether the events that they kept are decisive, so of those the type says it.
    types = decisive_types(journey)
    while len(pause.kept) >= KEPT_MAX or pause.kept_bytes + size > room:
        at = next((i for i in reversed(range(len(pause.kept))) if not _counts(pause.kept[i], types)), None)
        if not is_decisive or at is None or size > room:
            record_dropped(turn, journey, instance, new, NO_ROOM)
            return
        dropped = pause.kept[at]
        pause.kept = [*pause.kept[:at], *pause.kept[at + 1 :]]
        pause.kept_bytes -= size_of(dropped)
        record_dropped(turn, journey, instance, dropped, NO_ROOM)
    pause.kept = [*pause.kept, new]
    pause.kept_bytes += size


def _is_decisive(turn: Turn, journey: Journey, instance: Instance, event_type: str) -> bool:
    """Whether the event is the passage's goal, or ends it, as things are now. What cannot be evaluated does not hold;
    that is recorded where the event is applied.
    """
    rules = [rule.where for rule in journey.exits_on if rule.on == event_type]
    if journey.goal is not None and journey.goal.on == event_type and instance.goal_until_ms < NEVER_MS:
        rules.append(journey.goal.where)
    for where in rules:
        try:
            if where is None or where.evaluate(turn):
                return True
        except ArithmeticError:
            continue
    return False


def _counts(event: Kept, types: frozenset[str]) -> bool:
    """Whether the kept event is decisive."""
    return event.type in types if event.is_decisive is None else event.is_decisive


def decisive_types(journey: Journey) -> frozenset[str]:
    """The event types that can be the passage's goal, or end it."""
    goal = () if journey.goal is None else (journey.goal.on,)
    return frozenset((*goal, *(rule.on for rule in journey.exits_on)))


def record_dropped(turn: Turn, journey: Journey, instance: Instance, event: Kept, why: str) -> None:
    """Records that the passage will not see the event."""
    now_event_id, turn.event_id = turn.event_id, event.event_id
    record(turn, journey, instance, "dropped", step=instance.step, reason=event.type, value=why)
    turn.event_id = now_event_id
