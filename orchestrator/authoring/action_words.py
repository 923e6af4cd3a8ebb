"""Steps that ask for something other than a message, in words: for drawings."""

from __future__ import annotations

from typing import assert_never

from orchestrator.authoring.drafts import (
    ActionDraft,
    ChangeAudienceDraft,
    EmitDraft,
    IncrementDraft,
    StartDraft,
    StopDraft,
    TaskDraft,
    WebhookDraft,
)
from orchestrator.authoring.durations import describe_duration


def action_words(step: ActionDraft) -> list[str]:
    """What the step does, line by line."""
    match step:
        case IncrementDraft():
            return [
                f"add {' '.join(formula.text.split())} to {attribute.name}" for attribute, formula in step.increments
            ]
        case ChangeAudienceDraft():
            way = "add to" if step.is_add else "remove from"
            return [f"{way} {ref.name}" for ref in step.audiences]
        case TaskDraft():
            due = [] if step.due_ms is None else [f"due in {describe_duration(step.due_ms)}"]
            return [f"task for {step.queue.name}: {step.template.name}", *due]
        case WebhookDraft():
            return [f"call {step.webhook.name}"]
        case EmitDraft():
            return [f"emit {step.event.name}"]
        case StartDraft():
            return [f"start {step.journey.name}"]
        case StopDraft():
            return [f"stop {step.journey.name}"]
        case _:
            assert_never(step)
