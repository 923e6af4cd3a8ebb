"""What an event, and how things stand, mean for one passage: its goal, its exits, the wait of its step."""

from __future__ import annotations

from orchestrator.engine.keeping import keep
from orchestrator.engine.limits import measured_globally
from orchestrator.engine.steps import after_any_event, after_event, leave, leaves_by_condition, remove
from orchestrator.engine.turn import Turn, holds, record, value_of, version_of
from orchestrator.model.customer import ACTIVE, HELD_OUT, NEVER_MS, PAUSED, Instance
from orchestrator.model.journey import Journey


def apply_to_instance(turn: Turn, instance: Instance, event_type: str) -> None:
    """What the event means for one passage: goal, exit, exit condition, or a step on."""
    # Looked up here, since it is done for each passage at each event; what is missing is told by `version_of`.
    journey = turn.journeys.versions.get((instance.journey, instance.version)) or version_of(turn.journeys, instance)
    turn.instance = instance
    if event_type in journey.listens:
        if instance.state == PAUSED:
            keep(turn, journey, instance, event_type)
            return
        goal = journey.goal
        if (
            goal is not None
            and goal.on == event_type
            and instance.goal_until_ms < NEVER_MS
            and holds(turn, goal.where, journey, instance, "goal")
        ):
            reach_goal(turn, journey, instance)
            return
        if instance.state == ACTIVE:
            for rule in journey.exits_on:
                if rule.on == event_type and holds(turn, rule.where, journey, instance, "exit"):
                    leave(turn, journey, instance, event_type)
                    return
            if not leaves_by_condition(turn, journey, instance):
                after_event(turn, journey, instance, event_type)
    elif (journey.exits_when or journey.waits_while) and instance.state == ACTIVE:
        # Asked here first, without a call in between, as nearly every event comes this way and nearly nobody leaves.
        for condition in journey.exits_when:
            try:
                is_over = condition.evaluate(turn)
            except ArithmeticError:
                is_over = True
            if is_over:
                if leaves_by_condition(turn, journey, instance):
                    return
                break
        if journey.waits_while:
            after_any_event(turn, journey, instance)


def reach_goal(turn: Turn, journey: Journey, instance: Instance) -> None:
    """Records the goal with what it is worth; a passage that is still under way ends with it."""
    goal = journey.goal
    value = None
    if goal is not None and goal.value is not None:
        worth = value_of(turn, goal.value, journey, instance, "goal")
        value = None if worth is None else str(worth)
    reason = "held_out" if instance.state == HELD_OUT else "treated"
    if (
        turn.journeys.global_holdout is not None
        and reason == "treated"
        and measured_globally(turn.journeys, journey, turn.customer_id)
    ):
        reason = "global_holdout"
    record(turn, journey, instance, "goal", step=instance.step, reason=reason, value=value)
    if instance.state == ACTIVE:
        record(turn, journey, instance, "exited", step=instance.step, reason="goal")
    remove(turn, instance)
