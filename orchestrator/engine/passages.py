"""What an event, and how things stand, mean for one passage: its goal, its exits, the wait of its step."""

from __future__ import annotations

from orchestrator.engine.goals import reach_goal, worth_of
from orchestrator.engine.keeping import keep
from orchestrator.engine.steps import after_any_event, after_event, leave, leaves_by_condition
from orchestrator.engine.turn import Turn, holds, version_of
from orchestrator.model.customer import ACTIVE, NEVER_MS, PAUSED, Instance


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
            reach_goal(turn, journey, instance, worth_of(turn, journey, instance))
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
