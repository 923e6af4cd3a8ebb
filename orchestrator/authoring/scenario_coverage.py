"""Which steps, arms and ways out of a journey its scenarios have been through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.model.actions import Transition
from orchestrator.model.experiments import MeetExperiment
from orchestrator.model.journey import Branch, Journey, Split, WaitFor, WaitUntilMoment, WaitWhile


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of one journey: the places there are, in the journey's order, and those that no scenario came to."""

    journey: str
    places: tuple[str, ...]
    missed: tuple[str, ...]


def coverage(journey: Journey, transitions: Iterable[Transition]) -> Coverage:
    """How much of the journey these transitions went through."""
    taken: set[str] = set()
    for transition in transitions:
        # A scenario may begin in an older version, whose steps are not looked for.
        if (transition.journey, transition.version) == (journey.name, journey.version):
            taken |= _taken(transition)
    places = tuple(dict.fromkeys(_places(journey)))
    return Coverage(journey.name, places, tuple(place for place in places if place not in taken))


def _places(journey: Journey) -> list[str]:
    places = ["held out"] if journey.holdout else []
    for name, step in journey.steps.items():
        places.append(name)
        match step:
            case WaitFor():
                places += [_arm(name, awaited.on, awaited.go) for awaited in step.awaited]
                if step.timeout_ms is not None:
                    places.append(_arm(name, "timeout", step.timeout_go))
            case WaitUntilMoment():
                if step.until.type.nullable:
                    places.append(_arm(name, "missing", step.missing))
                places += [_arm(name, "past", step.past), _arm(name, "waited", step.next)]
            case WaitWhile():
                places.append(_arm(name, "over", step.next))
                if step.timeout_ms is not None:
                    places.append(_arm(name, "timeout", step.timeout_go))
            case Branch():
                places += [_arm(name, f"case_{number}", case.go) for number, case in enumerate(step.cases, 1)]
                places.append(_arm(name, "otherwise", step.otherwise))
            case Split():
                places += [_arm(name, arm.go, arm.go) for arm in step.arms]
            case MeetExperiment():
                places += [_arm(name, arm, go) for arm, go in step.go.items()]
            case _:
                pass
    places += [_exit(rule.on) for rule in journey.exits_on]
    if journey.exits_when:
        places.append(_exit("exit_condition"))
    if journey.max_duration_ms:
        places.append(_exit("expired"))
    if journey.goal is not None:
        places.append("goal")
    return places


def _taken(transition: Transition) -> set[str]:
    match transition.kind:
        case "entered" | "migrated":
            return {transition.to}
        case "step":
            return {transition.step, transition.to, _arm(transition.step, transition.reason, transition.to)}
        case "exited":
            return {transition.step, _exit(transition.reason)}
        case "held_out":
            return {"held out"}
        case "goal":
            return {"goal"}
        case _:
            return set()


def _arm(step: str, outcome: str, go: str) -> str:
    return f"{step}: {go}" if outcome == go else f"{step}: {outcome} -> {go}"


def _exit(reason: str) -> str:
    return f"exit: {reason}"
