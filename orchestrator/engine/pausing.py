"""A journey that is paused: its passages stand still, keep what they miss, and go on in order when it runs again.

A passage that stands still is in the state `PAUSED`, which no verb of a decision acts on. Its own timer is put aside,
so that it wakes nobody; what is left in the record's wake-up is the instant at which it goes on again, once the journey
runs and the record has been brought in line with that.

Source: decision record 0014, which says what is decided then, and in what order.
"""

from __future__ import annotations

from orchestrator.engine.contest import contend
from orchestrator.engine.ids import SCALE, draw
from orchestrator.engine.keeping import TOO_OLD, record_dropped
from orchestrator.engine.passages import apply_to_instance, reach_goal
from orchestrator.engine.sending import give_back
from orchestrator.engine.shared import next_slot_us, reserve_slot
from orchestrator.engine.steps import (
    after_any_event,
    after_timer,
    leave,
    leaves_by_condition,
    run_steps,
    without_moment,
)
from orchestrator.engine.turn import Turn, holds, record, version_of
from orchestrator.engine.waits import clock_due, moment_due
from orchestrator.model.customer import ACTIVE, FINISHED, NEVER_MS, PAUSED, Instance
from orchestrator.model.journey import Journey, Rate, WaitUntilMoment, WaitUntilTime
from orchestrator.model.pauses import AT_ONCE, Kept, Pause, Resume, revived, size_of

EXPIRED = "expired"
"""The reason with which a passage ends that has taken the longest time that it may."""

EXPIRED_IN_PAUSE = "expired_in_pause"
"""The reason with which a passage ends that is not to go on after a pause."""


def align_pauses(turn: Turn) -> None:
    """Stops the passages of journeys that are paused, and says when those go on again whose journeys run."""
    paused = turn.journeys.paused
    for instance in turn.customer.instances:
        if instance.state == ACTIVE and instance.journey in paused:
            stand_still(turn, version_of(turn.journeys, instance), instance)
        elif instance.state == PAUSED and instance.pause is not None:
            if instance.journey not in paused:
                if instance.timer_at_ms == NEVER_MS:
                    instance.timer_at_ms = turn_to_go_on(turn, instance)
            elif instance.timer_at_ms < NEVER_MS:
                # It was about to go on. Its slot is free again; those that were used before it stay used.
                slots = {} if turn.effects.shared is None else turn.effects.shared.slots
                name = _slots_of(instance.journey)
                if name in slots:
                    slots[name] = min(slots[name], instance.timer_at_ms * 1000)
                instance.timer_at_ms = NEVER_MS
                instance.pause.is_over = False


def stand_still(turn: Turn, journey: Journey, instance: Instance) -> None:
    """The passage stops where it is. Its slot of a channel's rate is another's: it would be past when it goes on."""
    due_at_ms = None if instance.timer_at_ms == NEVER_MS else instance.timer_at_ms
    if instance.reserved:
        give_back(turn, instance)
    instance.state, instance.pause, instance.timer_at_ms = (
        PAUSED,
        Pause(turn.now_ms, due_at_ms, has_entered=False),
        NEVER_MS,
    )
    record(turn, journey, instance, "paused", step=instance.step)


def begin(turn: Turn, journey: Journey, instance: Instance) -> None:
    """Runs the first steps of a passage; one that begins in a pause stands still before its first step."""
    if journey.name not in turn.journeys.paused:
        run_steps(turn, journey, instance, journey.first)
        return
    instance.step = journey.first
    pause = Pause(turn.now_ms, turn.now_ms, is_before_step=True, has_entered=True)
    instance.state, instance.pause = PAUSED, pause
    record(turn, journey, instance, "paused", step=instance.step)


def turn_to_go_on(turn: Turn, instance: Instance) -> int:
    """When a passage goes on whose journey runs again: by its lot, or at the next slot of the rate."""
    resume = policy_of(turn, instance)
    shared = turn.effects.shared
    if resume.rate is not None and not resume.expires:
        if shared is None:
            raise LookupError("a rate is kept in the partition's shared state, and there is none")
        rates = (Rate(_slots_of(instance.journey), None, resume.rate.max, resume.rate.per_ms),)
        slot_us = next_slot_us(shared, rates, turn.now_ms)
        reserve_slot(shared, rates, slot_us)
        return -(-slot_us // 1000)
    lot = draw(f"resume/{instance.journey}/{instance.number}", turn.customer_id)
    return turn.now_ms + resume.over_ms * lot // SCALE


def _slots_of(journey: str) -> str:
    """What the slots are kept under at which passages of the journey go on."""
    return f"resume:{journey}"


def policy_of(turn: Turn, instance: Instance) -> Resume:
    """How passages of this journey go on, whatever version they are in, by the journeys that are in force."""
    current = turn.journeys.current.get(instance.journey)
    return AT_ONCE if current is None or current.resume is None else current.resume


def close_goal(instance: Instance) -> None:
    """The goal cannot be reached any more, but for one that a passage that stands still reached before."""
    if instance.pause is not None:
        instance.pause.goal_closed_at_ms = instance.goal_until_ms
    instance.goal_until_ms = NEVER_MS


def take_up(turn: Turn, journey: Journey, instance: Instance) -> None:
    """The passage goes on: first by how things stand, then by one thing after the other that it missed.

    Each call applies one of them, so that what follows from it is decided before the next one. As long as more is left
    the passage stands still, and its timer stays due.
    """
    pause, goes_on_at_ms = instance.pause, instance.timer_at_ms
    if pause is None:
        return
    instance.state, instance.pause = ACTIVE, None
    instance.timer_at_ms = NEVER_MS if pause.due_at_ms is None else pause.due_at_ms
    turn.instance = instance
    if pause.is_over:
        _apply_next(turn, journey, instance, pause)
    else:
        pause.is_over = True
        record(turn, journey, instance, "resumed", step=instance.step, value=str(len(pause.kept)))
        if not _ends(turn, journey, instance, pause):
            _look_again(turn, journey, instance, pause)
            _drop_old(turn, journey, instance, pause)
    if _has_missed(turn, instance, pause):
        if turn.contenders is not None and any(one.instance is instance for one in turn.contenders):
            # What it missed may concern the step after the message, so whether that is sent is decided first.
            contend(turn)
        if _has_missed(turn, instance, pause):
            pause.due_at_ms = None if instance.timer_at_ms == NEVER_MS else instance.timer_at_ms
            instance.state, instance.pause, instance.timer_at_ms = PAUSED, pause, goes_on_at_ms


def leave_in_pause(turn: Turn, journey: Journey, instance: Instance, pause: Pause, reason: str) -> None:
    """Ends a passage that stands still. A goal that it reached before is counted."""
    _leave(turn, journey, instance, pause, reason, pause.kept)


def _has_missed(turn: Turn, instance: Instance, pause: Pause) -> bool:
    """Whether the passage is still under way and has missed something that is not applied yet."""
    return _is_under_way(turn, instance) and (bool(pause.kept) or instance.timer_at_ms <= turn.now_ms)


def _is_under_way(turn: Turn, instance: Instance) -> bool:
    return instance.state == ACTIVE and any(one is instance for one in turn.customer.instances)


def _ends(turn: Turn, journey: Journey, instance: Instance, pause: Pause) -> bool:
    """Whether the passage ends here: who reached the goal or met an exit in the pause gets nothing more."""
    expired_at_ms = pause.expired_at_ms
    for number, event in enumerate(pause.kept):
        if expired_at_ms is not None and expired_at_ms <= event.at_ms:
            _leave(turn, journey, instance, pause, EXPIRED, pause.kept[number:])
            return True
        if _is_reached(turn, journey, instance, pause, event):
            return True
        if _is_exit(turn, journey, instance, event):
            _leave(turn, journey, instance, pause, event.type, pause.kept[number + 1 :], because_of=event)
            return True
    if expired_at_ms is not None:
        leave(turn, journey, instance, EXPIRED)
        return True
    if policy_of(turn, instance).expires:
        leave(turn, journey, instance, EXPIRED_IN_PAUSE)
        return True
    return leaves_by_condition(turn, journey, instance)


def _leave(
    turn: Turn,
    journey: Journey,
    instance: Instance,
    pause: Pause,
    reason: str,
    kept_after: list[Kept],
    *,
    because_of: Kept | None = None,
) -> None:
    """Ends the passage; that its goal came after that, and was counted still, is not forgotten."""
    before = turn.event, turn.event_id
    if because_of is not None:
        _show(turn, because_of)
    leave(turn, journey, instance, reason)
    turn.event, turn.event_id = before
    if journey.goal is not None:
        for event in kept_after:
            if _is_reached(turn, journey, instance, pause, event, state=FINISHED):
                return


def _is_exit(turn: Turn, journey: Journey, instance: Instance, event: Kept) -> bool:
    """Whether the kept event ends the passage."""
    before = turn.event, turn.event_id
    _show(turn, event)
    is_exit = any(
        rule.on == event.type and holds(turn, rule.where, journey, instance, "exit") for rule in journey.exits_on
    )
    turn.event, turn.event_id = before
    return is_exit


def _is_reached(
    turn: Turn, journey: Journey, instance: Instance, pause: Pause, event: Kept, *, state: int = ACTIVE
) -> bool:
    """Whether the kept event was the passage's goal, within the goal's window as it came; if so that is recorded."""
    goal, closed_at_ms = journey.goal, pause.goal_closed_at_ms
    is_open = instance.goal_until_ms < NEVER_MS or (closed_at_ms is not None and event.at_ms < closed_at_ms)
    if goal is None or goal.on != event.type or not is_open:
        return False
    before = turn.event, turn.event_id
    _show(turn, event)
    is_goal = holds(turn, goal.where, journey, instance, "goal")
    if is_goal:
        instance.state = state
        reach_goal(turn, journey, instance)
    turn.event, turn.event_id = before
    return is_goal


def _look_again(turn: Turn, journey: Journey, instance: Instance, pause: Pause) -> None:
    """What the passage waits for, by the profile as it is now: a moment may have moved, a condition may not hold."""
    if pause.is_before_step:
        return
    step = journey.steps[instance.step]
    if isinstance(step, WaitUntilTime):
        if instance.timer_at_ms > turn.now_ms:
            instance.timer_at_ms = clock_due(turn, step)
    elif isinstance(step, WaitUntilMoment):
        due_ms = moment_due(turn, journey, instance, step)
        if due_ms is None or (due_ms < pause.since_ms and due_ms != pause.due_at_ms):
            run_steps(turn, journey, instance, without_moment(turn, journey, instance, step, due_ms))
        else:
            instance.timer_at_ms = due_ms
    else:
        after_any_event(turn, journey, instance)


def _drop_old(turn: Turn, journey: Journey, instance: Instance, pause: Pause) -> None:
    """Ends a passage whose step was due too long ago, and drops events that are too old."""
    older_than_ms = policy_of(turn, instance).skip_older_than_ms
    if older_than_ms is None or not _is_under_way(turn, instance):
        return
    least_ms = turn.now_ms - older_than_ms
    if instance.timer_at_ms < least_ms:
        leave(turn, journey, instance, EXPIRED_IN_PAUSE)
        return
    while pause.kept and pause.kept[0].at_ms < least_ms:
        record_dropped(turn, journey, instance, _take_kept(pause), TOO_OLD)


def _apply_next(turn: Turn, journey: Journey, instance: Instance, pause: Pause) -> None:
    """The earliest thing that the passage missed; at the same instant its timer comes before an event, as ever."""
    due_ms = instance.timer_at_ms
    if due_ms <= turn.now_ms and (not pause.kept or due_ms <= pause.kept[0].at_ms):
        if leaves_by_condition(turn, journey, instance):
            return
        if pause.is_before_step:
            pause.is_before_step = False
            run_steps(turn, journey, instance, instance.step)
        else:
            after_timer(turn, journey, instance)
    elif pause.kept:
        event = _take_kept(pause)
        before = turn.event, turn.event_id
        _show(turn, event)
        apply_to_instance(turn, instance, event.type)
        turn.event, turn.event_id = before


def _take_kept(pause: Pause) -> Kept:
    event, pause.kept = pause.kept[0], pause.kept[1:]
    pause.kept_bytes -= size_of(event)
    return event


def _show(turn: Turn, event: Kept) -> None:
    """Makes the kept event the one that is decided about; `now` is the present."""
    turn.event = {name: revived(value) for name, value in event.fields.items()}
    turn.event_id = event.event_id
