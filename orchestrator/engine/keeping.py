"""What a passage keeps of the events that come while it stands still: a bounded number, in stored form.

What comes first is kept. An event that is the passage's goal or ends it is judged as it comes, and when there is no
room for it any more, the verdict is kept without the event. That an event was dropped is recorded.
"""

from __future__ import annotations

from typing import Any

from orchestrator.engine.goals import worth_of
from orchestrator.engine.turn import Turn, record
from orchestrator.model.customer import NEVER_MS, Instance
from orchestrator.model.journey import Expression, Journey
from orchestrator.model.pauses import EXIT, GOAL, Kept, Pause, size_of, stored, with_verdict, without_fields

KEPT_MAX = 64
KEPT_BYTES_MAX = 16_384
CUSTOMER_BYTES_MAX = 131_072
"""A passage keeps at most so many events, of so many bytes in all, and all passages of a customer keep so many bytes:
however many there are, the record stays far below the size that a broker takes. Beyond that each passage keeps the
verdicts of one goal and one exit, of some hundred bytes: the first of either ends it, and no other is needed."""

NO_ROOM, TOO_OLD = "no_room", "too_old"
"""Why an event was dropped: the value of the transition."""


def keep(turn: Turn, journey: Journey, instance: Instance, event_type: str) -> None:
    """Keeps the turn's event for when the passage goes on, or records that there is no room for it."""
    pause = instance.pause
    if pause is None or turn.event_id is None:
        return
    verdict = _verdict(turn, journey, instance, event_type)
    worth = worth_of(turn, journey, instance) if verdict == GOAL else None
    fields = {name: stored(value) for name, value in turn.event.items()}
    new = Kept(turn.now_ms, event_type, turn.event_id, fields, bool(verdict), verdict, worth)
    if not _has_room(turn, pause, size_of(new)):
        if not verdict or any(one.verdict == verdict for one in pause.kept):
            record_dropped(turn, journey, instance, new, NO_ROOM)
            return
        new = without_fields(new)
    pause.kept = [*pause.kept, new]
    pause.kept_bytes += size_of(new)


def judge_anew(turn: Turn, old: Journey, journey: Journey, instance: Instance, pause: Pause) -> None:
    """The passage comes into another version: what it kept is judged by that, if the version asks for something else.

    That is done as it goes on. Of a verdict without its event only the type can be asked for then: it stands.
    """
    kept: list[Kept] = []
    for event in pause.kept:
        if _rules(old, event.type) == _rules(journey, event.type):
            kept.append(event)
        elif not event.is_bare:
            kept.append(with_verdict(event, None))
        else:
            is_goal = journey.goal is not None and journey.goal.on == event.type
            is_exit = any(rule.on == event.type for rule in journey.exits_on)
            if is_goal and (event.verdict == GOAL or not is_exit):
                kept.append(with_verdict(event, GOAL))
            elif is_exit:
                kept.append(with_verdict(event, EXIT))
            else:
                record_dropped(turn, journey, instance, event, NO_ROOM)
    pause.kept = kept
    pause.kept_bytes = sum(size_of(event) for event in kept)


def record_dropped(turn: Turn, journey: Journey, instance: Instance, event: Kept, why: str) -> None:
    """Records that the passage will not see the event."""
    now_event_id, turn.event_id = turn.event_id, event.event_id
    record(turn, journey, instance, "dropped", step=instance.step, reason=event.type, value=why)
    turn.event_id = now_event_id


def _has_room(turn: Turn, pause: Pause, size: int) -> bool:
    in_all = sum(one.pause.kept_bytes for one in turn.customer.instances if one.pause is not None)
    return (
        len(pause.kept) < KEPT_MAX and pause.kept_bytes + size <= KEPT_BYTES_MAX and in_all + size <= CUSTOMER_BYTES_MAX
    )


def _verdict(turn: Turn, journey: Journey, instance: Instance, event_type: str) -> str:
    """Whether the event is the passage's goal, or ends it, as things are now; "" for neither. What cannot be evaluated
    does not hold; that is recorded where the event is applied.
    """
    goal = journey.goal
    if goal is not None and goal.on == event_type and instance.goal_until_ms < NEVER_MS and _is_met(turn, goal.where):
        return GOAL
    if any(rule.on == event_type and _is_met(turn, rule.where) for rule in journey.exits_on):
        return EXIT
    return ""


def _is_met(turn: Turn, where: Expression | None) -> bool:
    try:
        return where is None or bool(where.evaluate(turn))
    except ArithmeticError:
        return False


def _rules(journey: Journey, event_type: str) -> tuple[Any, ...]:
    """What the version's goal and exits ask of events of this type."""
    goal = journey.goal
    of_goal = (_text(goal.where), _text(goal.value)) if goal is not None and goal.on == event_type else None
    return of_goal, *(_text(rule.where) for rule in journey.exits_on if rule.on == event_type)


def _text(expression: Expression | None) -> str | None:
    return None if expression is None else expression.text
