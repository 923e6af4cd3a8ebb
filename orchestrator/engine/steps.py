"""One function per step kind: run a step for an instance, say where it goes next, or that it waits."""

from __future__ import annotations

from typing import assert_never

from orchestrator.engine.actions import act
from orchestrator.engine.clocks import EXPIRY
from orchestrator.engine.experiments import meet
from orchestrator.engine.ids import draw
from orchestrator.engine.sending import send
from orchestrator.engine.turn import Turn, come_to_a_step, go_on, holds, note, record, takes_part
from orchestrator.engine.waits import clock_due, later, moment_due, months_due
from orchestrator.model.action_steps import (
    ChangeAudience,
    Emit,
    Increment,
    StartJourney,
    StopJourney,
    Task,
    Webhook,
)
from orchestrator.model.customer import ACTIVE, FINISHED, NEVER_MS, PAUSED, Instance
from orchestrator.model.experiments import MeetExperiment
from orchestrator.model.journey import (
    Branch,
    Exit,
    Journey,
    Send,
    SetProfile,
    Split,
    Wait,
    WaitFor,
    WaitMonths,
    WaitUntilMoment,
    WaitUntilTime,
    WaitWhile,
)

STEPS_PER_DECISION_MAX = 100
"""A passage that takes more steps than this without waiting is stopped with the reason `runaway`."""


def run_steps(turn: Turn, journey: Journey, instance: Instance, name: str) -> None:
    """Runs steps from `name` until the instance waits or leaves."""
    turn.instance = instance
    instance.timer_at_ms = NEVER_MS
    if instance.pause is not None:
        come_to_a_step(turn, instance, instance.pause)
    steps = journey.steps
    for _ in range(STEPS_PER_DECISION_MAX):
        step = steps[name]
        instance.step = name
        match step:
            case Wait():
                instance.timer_at_ms = turn.now_ms + step.duration_ms
                return
            case WaitFor():
                if step.timeout_ms is not None:
                    instance.timer_at_ms = later(turn, step.timeout_ms, step.timeout_months)
                return
            case Send():
                following = None if takes_part(turn, journey, instance, step) else send(turn, journey, instance, step)
                if following is None:
                    return
                name = following
            case Branch():
                name = branch(turn, journey, instance, step)
            case Split() | MeetExperiment():
                name = by_chance(turn, journey, instance, step)
            case Exit():
                leave(turn, journey, instance, step.reason)
                return
            case WaitUntilTime() | WaitMonths() | WaitUntilMoment() | WaitWhile():
                following = begin_wait(turn, journey, instance, step)
                if following is None:
                    return
                name = following
            case (
                SetProfile()
                | Increment()
                | ChangeAudience()
                | Task()
                | Webhook()
                | Emit()
                | StartJourney()
                | StopJourney()
            ):
                name = act(turn, journey, instance, step)
            case _:
                assert_never(step)
    leave(turn, journey, instance, "runaway")


def begin_wait(
    turn: Turn,
    journey: Journey,
    instance: Instance,
    step: WaitUntilTime | WaitMonths | WaitUntilMoment | WaitWhile,
) -> str | None:
    """None if the instance waits here; otherwise where it goes on to at once."""
    match step:
        case WaitUntilTime():
            instance.timer_at_ms = clock_due(turn, step)
        case WaitMonths():
            instance.timer_at_ms = months_due(turn, step)
        case WaitUntilMoment():
            due_ms = moment_due(turn, journey, instance, step)
            if due_ms is None or due_ms <= turn.now_ms:
                return without_moment(turn, journey, instance, step, due_ms)
            instance.timer_at_ms = due_ms
        case WaitWhile():
            if not holds(turn, step.condition, journey, instance, step.name):
                return go_on(turn, journey, instance, step.name, step.next, "over")
            if step.timeout_ms is not None:
                instance.timer_at_ms = later(turn, step.timeout_ms, step.timeout_months)
        case _:
            assert_never(step)
    return None


def after_timer(turn: Turn, journey: Journey, instance: Instance) -> None:
    """The timer of the instance's waiting step is due: goes on from there."""
    step = journey.steps[instance.step]
    match step:
        case Wait() | WaitUntilTime() | WaitMonths():
            go = step.next
            if step.keeps_result:
                note(instance, step.name, turn.now_ms, "waited")
            record(turn, journey, instance, "step", step=step.name, to=go, reason="waited")
        case WaitUntilMoment():
            go = go_on(turn, journey, instance, step.name, step.next, "waited")
        case Send():
            # Held in quiet hours or for a slot: whether and on what channel it is sent is decided again.
            go = step.name
        case WaitFor() | WaitWhile():
            go = go_on(turn, journey, instance, step.name, step.timeout_go, "timeout")
        case _:
            raise AssertionError(f"step {step.name} has no timer")
    run_steps(turn, journey, instance, go)


def after_event(turn: Turn, journey: Journey, instance: Instance, event_type: str) -> None:
    """Goes on if the instance waits for this event and the condition holds; the first match in order counts."""
    step = journey.steps[instance.step]
    if not isinstance(step, WaitFor):
        if journey.waits_while:
            after_any_event(turn, journey, instance)
        return
    for awaited in step.awaited:
        if awaited.on == event_type and holds(turn, awaited.where, journey, instance, step.name):
            go_on(turn, journey, instance, step.name, awaited.go, event_type)
            run_steps(turn, journey, instance, awaited.go)
            return


def after_any_event(turn: Turn, journey: Journey, instance: Instance) -> None:
    """Goes on if the instance waits while a condition holds, and it does not hold any more."""
    step = journey.steps[instance.step]
    if isinstance(step, WaitWhile) and not holds(turn, step.condition, journey, instance, step.name):
        go_on(turn, journey, instance, step.name, step.next, "over")
        run_steps(turn, journey, instance, step.next)


def without_moment(turn: Turn, journey: Journey, instance: Instance, step: WaitUntilMoment, due_ms: int | None) -> str:
    """Where to go from a wait whose moment is missing (None) or past."""
    if due_ms is None:
        return go_on(turn, journey, instance, step.name, step.missing, "missing")
    return go_on(turn, journey, instance, step.name, step.past, "past")


def branch(turn: Turn, journey: Journey, instance: Instance, step: Branch) -> str:
    """The first case that holds."""
    go, reason = step.otherwise, "otherwise"
    for number, case in enumerate(step.cases, 1):
        if holds(turn, case.when, journey, instance, step.name):
            go, reason = case.go, f"case_{number}"
            break
    return go_on(turn, journey, instance, step.name, go, reason)


def by_chance(turn: Turn, journey: Journey, instance: Instance, step: Split | MeetExperiment) -> str:
    """The way that chance chose for this customer, once and for all."""
    if isinstance(step, MeetExperiment):
        return meet(turn, journey, instance, step)
    return split(turn, journey, instance, step)


def split(turn: Turn, journey: Journey, instance: Instance, step: Split) -> str:
    """The arm that this customer's lot falls into."""
    lot = draw(step.salt, turn.customer_id)
    go = next((arm.go for arm in step.arms if lot < arm.until), step.arms[-1].go)
    return go_on(turn, journey, instance, step.name, go, go)


def leave(turn: Turn, journey: Journey, instance: Instance, reason: str) -> None:
    """Ends the passage. Until its goal can no longer be reached the instance is kept, so that treated customers and
    the control group are measured over the same window.
    """
    record(turn, journey, instance, "exited", step=instance.step, reason=reason)
    if instance.state in {ACTIVE, PAUSED} and turn.now_ms < instance.goal_until_ms < NEVER_MS:
        instance.state = FINISHED
        instance.pause = None
        drop_expiry(turn, instance)
        instance.step = ""
        instance.timer_at_ms = NEVER_MS
        instance.results = {}
    else:
        remove(turn, instance)


def leaves_by_condition(turn: Turn, journey: Journey, instance: Instance) -> bool:
    """Whether an exit condition holds; if so the passage ends here."""
    if journey.exits_when and instance.state == ACTIVE:
        turn.instance = instance
        for condition in journey.exits_when:
            if holds(turn, condition, journey, instance, "exit"):
                leave(turn, journey, instance, "exit_condition")
                return True
    return False


def remove(turn: Turn, instance: Instance) -> None:
    """Forgets the instance."""
    instances = turn.customer.instances
    drop_expiry(turn, instance)
    turn.customer.instances = [other for other in instances if other is not instance]
    instance.timer_at_ms = instance.goal_until_ms = NEVER_MS


def drop_expiry(turn: Turn, instance: Instance) -> None:
    """The passage needs to be ended by no clock any more."""
    if turn.customer.clocks:
        turn.customer.clocks.pop(f"{EXPIRY}:{instance.number}", None)
