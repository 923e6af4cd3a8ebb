"""Steps that ask for something other than a message, or change what is known about the customer."""

from __future__ import annotations

from typing import assert_never

from orchestrator.engine.audiences import change_audiences
from orchestrator.engine.turn import Turn, record, value_of
from orchestrator.model.action_steps import ActionStep, ChangeAudience, Increment
from orchestrator.model.customer import Instance
from orchestrator.model.journey import Journey


def act(turn: Turn, journey: Journey, instance: Instance, step: ActionStep) -> str:
    """Does what the step says; gives the step that follows."""
    match step:
        case Increment():
            return increment(turn, journey, instance, step)
        case ChangeAudience():
            return change_audiences(turn, journey, instance, step)
        case _:
            assert_never(step)


def increment(turn: Turn, journey: Journey, instance: Instance, step: Increment) -> str:
    """Adds to profile attributes. A sum that is null or cannot be computed leaves its attribute as it is."""
    profile = turn.customer.profile
    for attribute, expression, store in step.sums:
        total = value_of(turn, expression, journey, instance, step.name)
        if total is None:
            continue
        kept = total if store is None else store(total)
        if profile.get(attribute) != kept:
            profile[attribute] = kept
            turn.profile_changed = True
    record(turn, journey, instance, "step", step=step.name, to=step.next, reason="incremented")
    return step.next
