"""Where the steps of a journey lead: shared by the checks, the compiler and the graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from orchestrator.authoring.drafts import (
    AwaitedDraft,
    BranchDraft,
    BrokenDraft,
    ExitDraft,
    JourneyDraft,
    Ref,
    SendDraft,
    SetDraft,
    SplitDraft,
    StepDraft,
    WaitDraft,
    WaitForDraft,
)

END = "_end"
"""The step after the last one: the journey is finished. No written name starts with an underscore."""
END_REASON = "finished"


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a step to another. `ref` is where the target was written, None for the next step in order."""

    target: str
    label: str
    ref: Ref | None


def step_after(draft: JourneyDraft, index: int) -> str:
    """The name of the step that follows in written order, or END."""
    return draft.steps[index + 1].name.name if index + 1 < len(draft.steps) else END


def edges(step: StepDraft, following: str) -> Iterator[Edge]:
    """Every way on from this step; `following` is the next step in written order."""
    match step:
        case WaitDraft() | SendDraft() | SetDraft():
            yield _edge(step.next, following, "")
        case WaitForDraft():
            for awaited in step.awaited:
                yield _edge(awaited.go, following, _event_label(awaited))
            if step.timeout_ms is not None or step.on_timeout is not None:
                yield _edge(step.on_timeout, following, "timeout")
        case BranchDraft():
            for case in step.cases:
                yield _edge(case.go, following, " ".join(case.when.text.split()))
            yield _edge(step.otherwise, following, "otherwise")
        case SplitDraft():
            for arm, share in step.arms:
                yield _edge(arm, following, f"{float(share * 100):g}%")
        case ExitDraft() | BrokenDraft():
            return
        case _:
            assert_never(step)


def _event_label(awaited: AwaitedDraft) -> str:
    if awaited.where is None:
        return awaited.on.name
    return f"{awaited.on.name} where {' '.join(awaited.where.text.split())}"


def _edge(ref: Ref | None, following: str, label: str) -> Edge:
    return Edge(following if ref is None else ref.name, label, ref)


def is_waiting(step: StepDraft) -> bool:
    """Whether time passes or an event comes before the step ends."""
    return isinstance(step, WaitDraft | WaitForDraft | BrokenDraft)
