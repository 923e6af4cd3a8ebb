"""How those go on who stood still while a journey was paused: `resume`, read, checked and put into words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orchestrator.authoring.drafts import JourneyDraft
from orchestrator.authoring.durations import MINUTE_MS, SECOND_MS, describe_duration
from orchestrator.authoring.reading import Problems, fields, read_duration, read_number, read_word
from orchestrator.authoring.yaml_source import MappingNode, Node, problem_at
from orchestrator.model.journey import JourneySet, Status
from orchestrator.model.pauses import AT_ONCE, Resume, ResumeRate

RESUME = "resume"
RESUME_WORDS = ("at_once", "expire")
RESUME_KEYS = ("over", "max", "per", "skip_older_than")
RESUME_MAX = 1_000_000_000


def read_resume(node: Node | None, problems: Problems) -> Resume | None:
    """`at_once`, `expire`, or the time or the rate at which those who stood still go on."""
    if node is None:
        return None
    if not isinstance(node, MappingNode):
        word = read_word(node, RESUME_WORDS, problems, what="resume")
        return None if word is None else Resume(expires=word == "expire")
    found = fields(node, RESUME_KEYS, problems, what="resume")
    if found is None:
        return None
    over_ms = read_duration(found.get("over"), problems, what="over")
    most = read_number(found.get("max"), problems, what="max", least=1, most=RESUME_MAX)
    per_ms = read_duration(found.get("per"), problems, what="per")
    skip_ms = read_duration(found.get("skip_older_than"), problems, what="skip_older_than")
    is_halved = ("max" in found) != ("per" in found)
    if not found or is_halved or ("over" in found and "max" in found):
        message = "resume says one thing: over how long those who stand still go on, or how many of them in what time"
        hint = "write resume: {over: 2 hours}, or resume: {max: 500, per: 1 minute}"
        problems.append(problem_at(node, "J185", message, hint=hint))
        return None
    rate = None if most is None or per_ms is None else ResumeRate(most, per_ms)
    return Resume(over_ms or 0, rate, skip_ms)


def check_resume(draft: JourneyDraft, problems: Problems) -> None:
    """Warns of a paused journey that does not say how those go on who stand still."""
    place = next((value for key, value in draft.node.entries if key.value == "status"), None)
    if draft.status is Status.PAUSED and draft.resume is None and place is not None:
        message = "the journey is paused, and nothing says how those who stand still go on: all of them at once"
        hint = "add resume: {over: 2 hours}, or resume: at_once"
        problems.append(problem_at(place, "J325", message, hint=hint, severity="warning"))


def resume_words(resume: Resume | None) -> str:
    """What happens to those who stand still when the journey runs again."""
    how = resume or AT_ONCE
    if how.expires:
        return "leave"
    if how.rate is not None:
        said = f"go on, at most {how.rate.max:,} in {describe_duration(how.rate.per_ms)}"
    elif how.over_ms:
        said = f"go on, spread over {describe_duration(how.over_ms)}"
    else:
        said = "go on at once"
    if how.skip_older_than_ms is None:
        return said
    return f"{said}; those whose step was due more than {describe_duration(how.skip_older_than_ms)} before leave"


def resume_takes_ms(resume: Resume, passages: int) -> int:
    """How long it takes until so many passages have gone on, to the next second, or minute if it is longer."""
    if resume.expires or resume.rate is None:
        return 0 if resume.expires else resume.over_ms
    exact_ms = -(-passages * resume.rate.per_ms // resume.rate.max)
    unit_ms = MINUTE_MS if exact_ms > 2 * MINUTE_MS else SECOND_MS
    return -(-exact_ms // unit_ms) * unit_ms


def with_status(draft: JourneyDraft, text: str, status: Status) -> str:
    """The text of the journey's file with this status, and everything else as it is written."""
    node = next(value for key, value in draft.node.entries if key.value == "status")
    return f"{text[: node.start]}{status.value}{text[node.end :]}"


def with_paused(journeys: JourneySet, names: Iterable[str]) -> JourneySet:
    """The set with these journeys paused and no others, whatever their status."""
    paused = frozenset(names)
    return replace(journeys, paused=paused, alignment=f"{journeys.alignment}+paused:{','.join(sorted(paused))}")
