"""The expressions of a journey, by the place where they stand."""

from __future__ import annotations

from orchestrator.authoring.drafts import (
    BranchDraft,
    EmitDraft,
    Formula,
    IncrementDraft,
    JourneyDraft,
    OnDateDraft,
    SendDraft,
    SetDraft,
    StepDraft,
    TaskDraft,
    UntilMomentDraft,
    WaitForDraft,
    WaitWhileDraft,
    WebhookDraft,
)


def journey_formulas(draft: JourneyDraft) -> list[Formula]:
    """Every expression of the journey."""
    found: list[Formula | None] = [draft.entry.where, draft.entry.key]
    if isinstance(draft.entry.trigger, OnDateDraft):
        found.append(draft.entry.trigger.date)
    for rule in draft.exits:
        found += [rule.where, rule.when]
    if draft.goal is not None:
        found += [draft.goal.where, draft.goal.value]
    for step in draft.steps:
        found += step_formulas(step)
    return [formula for formula in found if formula is not None]


def step_formulas(step: StepDraft) -> list[Formula]:
    """Every expression of the step."""
    found: list[Formula | None] = []
    match step:
        case WaitForDraft():
            found += [awaited.where for awaited in step.awaited]
        case UntilMomentDraft():
            found.append(step.until)
        case WaitWhileDraft():
            found.append(step.condition)
        case BranchDraft():
            found += [case.when for case in step.cases]
        case SetDraft():
            found += [formula for _, formula in step.assignments]
        case IncrementDraft():
            found += [formula for _, formula in step.increments]
        case SendDraft() | TaskDraft() | WebhookDraft() | EmitDraft():
            found += [formula for _, formula in step.variables]
        case _:
            pass
    return [formula for formula in found if formula is not None]
