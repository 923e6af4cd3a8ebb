"""experiments.yaml and the steps in which customers meet experiments: read, checked and compiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from orchestrator.authoring.drafts import (
    ExperimentDraft,
    JourneyDraft,
    LocalMoment,
    MeetExperimentDraft,
    Ref,
    StepDraft,
)
from orchestrator.authoring.entry_bounds import read_moment
from orchestrator.authoring.reading import Problems, fields, read_pairs, read_percent, read_ref, read_text
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.yaml_source import Node, problem_at
from orchestrator.engine.local_time import at_time_of_day, zone_called
from orchestrator.model.experiments import Experiment, MeetExperiment

EXPERIMENT_KEYS = ("arms", "salt", "owner", "hypothesis", "from", "until")
EXPERIMENT_REQUIRED = ("arms",)
SCALE = 1 << 64


def read_experiments(root: Node, problems: Problems) -> tuple[ExperimentDraft, ...]:
    """The experiments; appends what is wrong."""
    found = fields(root, ("experiments",), problems, what="experiments.yaml", required=("experiments",))
    if found is None:
        return ()
    read = [_read(name, node, problems) for name, node in read_pairs(found.get("experiments"), problems, what="it")]
    return tuple(experiment for experiment in read if experiment is not None)


def _read(name: Ref, node: Node, problems: Problems) -> ExperimentDraft | None:
    what = f'experiment "{name.name}"'
    found = fields(node, EXPERIMENT_KEYS, problems, what=what, required=EXPERIMENT_REQUIRED)
    if found is None:
        return None
    arms: list[tuple[Ref, Fraction]] = []
    pairs = read_pairs(found.get("arms"), problems, what="arms")
    for arm, value in pairs:
        share = read_percent(value, problems, what=f'the share of "{arm.name}"')
        if share is not None:
            arms.append((arm, share))
    for key in ("owner", "hypothesis"):
        read_text(found.get(key), problems, what=key)
    starts, ends = (read_moment(found.get(key), problems, what=key) for key in ("from", "until"))
    if not arms or len(arms) != len(pairs):
        return None
    total = sum((share for _, share in arms), Fraction(0))
    if total != 1:
        message = f"the shares of {what} add up to {float(total * 100):g}%"
        problems.append(problem_at(name.node, "J711", message, hint="they must add up to 100%"))
    if len(arms) == 1:
        message = f"{what} has one arm, and nothing to compare it with"
        problems.append(problem_at(name.node, "J712", message, hint="add a control arm"))
    salt = read_text(found.get("salt"), problems, what="salt")
    return ExperimentDraft(name, tuple(arms), salt or name.name, starts, ends)


def _instant(moment: LocalMoment | None, zone: str) -> int | None:
    """Milliseconds since the epoch; without a zone of its own, in this one."""
    return None if moment is None else at_time_of_day(moment.day, moment.at, zone_called(moment.zone or zone))


def read_meeting(name: Ref, found: Mapping[str, Node], problems: Problems) -> StepDraft | None:
    """A step in which customers meet an experiment."""
    experiment = read_ref(found["experiment"], problems, what="experiment")
    if "arms" not in found:
        message = f'step "{name.name}" does not say where each arm goes'
        problems.append(problem_at(name.node, "J109", message, hint="add arms: {control: STEP, ...}"))
        return None
    pairs = [
        (arm, read_ref(value, problems, what=f'"{arm.name}"'))
        for arm, value in read_pairs(found["arms"], problems, what="arms")
    ]
    arms = tuple((arm, target) for arm, target in pairs if target is not None)
    return (
        None
        if experiment is None or not arms or len(arms) != len(pairs)
        else MeetExperimentDraft(name, experiment, arms)
    )


def check_experiments(
    experiments: Mapping[str, ExperimentDraft],
    journeys: Iterable[JourneyDraft],
    zone: str,
    problems: Problems,
    *,
    is_complete: bool,
) -> None:
    """Checks when experiments run, and that some journey uses each; `is_complete`: every journey could be read."""
    used = {step.experiment.name for draft in journeys for step in draft.steps if isinstance(step, MeetExperimentDraft)}
    for name, draft in experiments.items():
        starts_ms, ends_ms = _instant(draft.starts, zone), _instant(draft.ends, zone)
        if starts_ms is not None and ends_ms is not None and ends_ms <= starts_ms:
            message = f'experiment "{name}" ends before it begins'
            place = draft.name if draft.ends is None else draft.ends
            problems.append(problem_at(place.node, "J713", message, hint="give a later date"))
        # Where a journey names one that does not exist, it may be this one that is meant.
        if is_complete and name not in used and used <= experiments.keys():
            message = f'no journey uses experiment "{name}"'
            hint = f"add a step: {{experiment: {name}, arms: {{...}}}}"
            problems.append(problem_at(draft.name.node, "J262", message, hint=hint, severity="warning"))


def check_meeting(step: MeetExperimentDraft, experiments: Mapping[str, ExperimentDraft], problems: Problems) -> None:
    """Checks that the experiment exists, and that each of its arms has a way."""
    experiment = experiments.get(step.experiment.name)
    if experiment is None:
        hint = did_you_mean(step.experiment.name, experiments, otherwise="experiments.yaml names the experiments")
        message = f'there is no experiment "{step.experiment.name}"'
        problems.append(problem_at(step.experiment.node, "J263", message, hint=hint))
        return
    known = {arm.name for arm, _ in experiment.arms}
    for arm, _ in step.arms:
        if arm.name not in known:
            message = f'experiment "{step.experiment.name}" has no arm "{arm.name}"'
            problems.append(problem_at(arm.node, "J264", message, hint=did_you_mean(arm.name, known)))
    missing = sorted(known - {arm.name for arm, _ in step.arms})
    if missing:
        message = f'step "{step.name.name}" has no way for arm {", ".join(missing)}'
        problems.append(problem_at(step.name.node, "J265", message, hint=f"add {missing[0]}: STEP to arms"))


def lower_experiment(draft: ExperimentDraft, zone: str) -> Experiment:
    """The experiment as the engine looks at it."""
    arms: list[tuple[str, int]] = []
    total = Fraction(0)
    for arm, share in draft.arms:
        total += share
        arms.append((arm.name, int(total * SCALE)))
    return Experiment(
        draft.name.name,
        f"experiment/{draft.salt}",
        tuple(arms),
        _instant(draft.starts, zone),
        _instant(draft.ends, zone),
    )


def lower_meeting(step: MeetExperimentDraft, experiment: ExperimentDraft) -> MeetExperiment:
    """The step as the engine executes it; the control arm first."""
    targets = {arm.name: target.name for arm, target in step.arms}
    return MeetExperiment(
        step.name.name, step.experiment.name, {arm.name: targets[arm.name] for arm, _ in experiment.arms}
    )
