"""Which arm of an experiment a customer has, and that the customer has met it.

The arm of the first exposure stays, also when shares change later. Nobody is exposed while the experiment does not
run, and nobody of the global holdout, who would not see the difference: they go the way of the control arm.
"""

from __future__ import annotations

from orchestrator.engine.ids import draw
from orchestrator.engine.limits import is_in_global_holdout
from orchestrator.engine.turn import Turn, go_on, record
from orchestrator.model.customer import Instance
from orchestrator.model.experiments import Experiment, MeetExperiment
from orchestrator.model.journey import Journey, Status


def meet(turn: Turn, journey: Journey, instance: Instance, step: MeetExperiment) -> str:
    """Goes on by the customer's arm. Where the experiment runs, the passage is exposed to it, once."""
    name = step.experiment
    arm = instance.exposed.get(name) or turn.customer.exposures.get(name)
    experiment = turn.journeys.experiments.get(name)
    is_exposed = (
        experiment is not None
        and is_running(experiment, turn.now_ms)
        and not is_in_global_holdout(turn.journeys, turn.customer_id)
    )
    if arm not in step.go and experiment is not None and is_exposed:
        arm = arm_of(experiment, turn.customer_id)
    if arm is None or arm not in step.go:
        # A version from before this arm, or nobody's turn: the control arm, of which nothing is to be learned here.
        arm, is_exposed = next(iter(step.go)), False
    if is_exposed:
        expose(turn, journey, instance, step, arm)
    return go_on(turn, journey, instance, step.name, step.go[arm], arm)


def expose(turn: Turn, journey: Journey, instance: Instance, step: MeetExperiment, arm: str) -> None:
    """Keeps the arm, for the customer and the passage; what the passage asks for from here on carries it."""
    name = step.experiment
    if journey.status is not Status.SHADOW and turn.customer.exposures.get(name) != arm:
        known = turn.journeys.experiments
        kept = {other: met for other, met in turn.customer.exposures.items() if other in known}
        turn.customer.exposures = {**kept, name: arm}
        turn.profile_changed = True
    if instance.exposed.get(name) != arm:
        # Commands hold what is there now, so it is replaced and not changed.
        instance.exposed = {**instance.exposed, name: arm}
        record(turn, journey, instance, "exposed", step=step.name, reason=name, value=arm)


def is_running(experiment: Experiment, now_ms: int) -> bool:
    """Whether customers are exposed now.

    >>> [is_running(Experiment("x", "x", (), 10, 20), now_ms) for now_ms in (9, 10, 19, 20)]
    [False, True, True, False]
    """
    return (experiment.from_ms is None or now_ms >= experiment.from_ms) and (
        experiment.until_ms is None or now_ms < experiment.until_ms
    )


def arm_of(experiment: Experiment, customer_id: str) -> str:
    """The arm that the customer's lot falls into."""
    lot = draw(experiment.salt, customer_id)
    return next((name for name, until in experiment.arms if lot < until), experiment.arms[-1][0])
