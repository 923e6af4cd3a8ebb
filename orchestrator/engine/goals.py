"""A passage that reaches its journey's goal: what that is worth, and for whom it counts."""

from __future__ import annotations

from orchestrator.engine.limits import measured_globally
from orchestrator.engine.steps import remove
from orchestrator.engine.turn import Turn, record, value_of
from orchestrator.model.customer import ACTIVE, HELD_OUT, Instance
from orchestrator.model.journey import Journey


def worth_of(turn: Turn, journey: Journey, instance: Instance) -> str | None:
    """What the goal is worth that the turn's event is; None if the journey does not say, or it cannot be computed."""
    goal = journey.goal
    if goal is None or goal.value is None:
        return None
    worth = value_of(turn, goal.value, journey, instance, "goal")
    return None if worth is None else str(worth)


def reach_goal(turn: Turn, journey: Journey, instance: Instance, worth: str | None) -> None:
    """Records the goal with what it is worth; a passage that is still under way ends with it."""
    reason = "held_out" if instance.state == HELD_OUT else "treated"
    if (
        turn.journeys.global_holdout is not None
        and reason == "treated"
        and measured_globally(turn.journeys, journey, turn.customer_id)
    ):
        reason = "global_holdout"
    record(turn, journey, instance, "goal", step=instance.step, reason=reason, value=worth)
    if instance.state == ACTIVE:
        record(turn, journey, instance, "exited", step=instance.step, reason="goal")
    remove(turn, instance)
