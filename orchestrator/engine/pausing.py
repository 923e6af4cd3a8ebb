"""A journey that is paused: its passages stand still and keep what they miss, and each has its turn to go on again.

A passage that stands still is in the state `PAUSED`, which no verb of a decision acts on. Its own timer is put aside,
so that it wakes nobody; what is left in the record's wake-up is the instant at which it goes on again (`resuming.py`),
once the journey runs and the record has been brought in line with that.

Source: decision record 0014, which says what is decided then, and in what order.
"""

from __future__ import annotations

from orchestrator.engine.ids import SCALE, draw
from orchestrator.engine.sending import give_back
from orchestrator.engine.shared import next_slot_us, reserve_slot
from orchestrator.engine.steps import run_steps
from orchestrator.engine.turn import Turn, record, version_of
from orchestrator.model.customer import ACTIVE, NEVER_MS, PAUSED, Instance
from orchestrator.model.journey import Journey, Rate
from orchestrator.model.pauses import AT_ONCE, Pause, Resume

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


def stand_still(turn: Turn, journey: Journey, instance: Instance) -> None:
    """The passage stops where it is. Its slot of a channel's rate is another's: it would be past when it goes on.

    What it still keeps from a pause before, for later steps, it keeps on.
    """
    if instance.reserved:
        give_back(turn, instance)
    before = instance.pause
    pause = Pause(turn.now_ms, has_entered=False)
    if before is not None:
        pause.kept, pause.kept_bytes, pause.shown = before.kept, before.kept_bytes, before.shown
        pause.is_before_step, pause.over_ms = before.is_before_step, before.over_ms
    pause.due_at_ms = None if instance.timer_at_ms == NEVER_MS else instance.timer_at_ms
    instance.state, instance.pause, instance.timer_at_ms = PAUSED, pause, NEVER_MS
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
