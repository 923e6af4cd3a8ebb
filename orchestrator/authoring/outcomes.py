"""How each kind of step can end: what `steps.STEP.outcome` and `steps.STEP.channel` can be.

The engine records these words; docs/language.md lists them for authors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from orchestrator.authoring.drafts import (
    BranchDraft,
    BrokenDraft,
    ChangeAudienceDraft,
    EmitDraft,
    ExitDraft,
    IncrementDraft,
    JourneyDraft,
    MeetExperimentDraft,
    MonthsDraft,
    SendDraft,
    SetDraft,
    SplitDraft,
    StartDraft,
    StepDraft,
    StopDraft,
    TaskDraft,
    UntilMomentDraft,
    UntilTimeDraft,
    WaitDraft,
    WaitForDraft,
    WaitWhileDraft,
    WebhookDraft,
)

OF_A_MESSAGE = (
    "sent",
    "unreachable",
    "no_consent",
    "capped",
    "global_holdout",
    "skipped_quiet_hours",
    "rate_limited",
    "template_failed",
    "shadow",
)


def outcomes_of(step: StepDraft) -> tuple[str, ...]:  # noqa: C901 - one line for each kind
    """Every outcome that the step can have; none of a step that leaves the journey or could not be read."""
    match step:
        case SendDraft():
            return OF_A_MESSAGE
        case WaitDraft() | MonthsDraft() | UntilTimeDraft():
            return ("waited",)
        case UntilMomentDraft():
            return ("waited", "missing", "past")
        case WaitForDraft():
            return (*dict.fromkeys(awaited.on.name for awaited in step.awaited), "timeout")
        case WaitWhileDraft():
            return ("over", "timeout")
        case BranchDraft():
            return (*(f"case_{number}" for number in range(1, len(step.cases) + 1)), "otherwise")
        case SplitDraft():
            return tuple(arm.name for arm, _ in step.arms)
        case MeetExperimentDraft():
            return tuple(arm.name for arm, _ in step.arms)
        case SetDraft():
            return ("set",)
        case IncrementDraft():
            return ("incremented",)
        case ChangeAudienceDraft():
            return ("added", "already_in", "unreachable", "no_consent", "removed", "not_in", "shadow")
        case TaskDraft():
            return ("asked", "template_failed", "shadow")
        case WebhookDraft():
            return ("asked", "shadow")
        case EmitDraft():
            return ("emitted", "invalid_event", "too_many_events", "shadow")
        case StartDraft():
            return ("start_asked", "not_running", "shadow")
        case StopDraft():
            return ("stop_asked", "shadow")
        case ExitDraft() | BrokenDraft():
            return ()
        case _:
            assert_never(step)


def known_results(draft: JourneyDraft) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """(step, result) -> every value that the result can have, where that is known.

    Whoever comes along from an older version may bring an outcome of what the step was before.
    """
    if draft.migrate is not None:
        return {}
    known = {(step.name.name, "outcome"): outcomes_of(step) for step in draft.steps}
    for step in draft.steps:
        if isinstance(step, SendDraft):
            known[step.name.name, "channel"] = tuple(channel.name for channel in step.channels)
    return known
