"""Where the steps of a journey lead: shared by the checks, the compiler and the graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from orchestrator.authoring.drafts import (
    ActionDraft,
    AwaitedDraft,
    BranchDraft,
    BrokenDraft,
    ExitDraft,
    Formula,
    JourneyDraft,
    MeetExperimentDraft,
    MonthsDraft,
    Ref,
    SendDraft,
    SetDraft,
    SplitDraft,
    StepDraft,
    UntilMomentDraft,
    UntilTimeDraft,
    WaitDraft,
    WaitForDraft,
    WaitWhileDraft,
)

END = "_end"
"""The step after the last one: the journey is finished. No written name starts with an underscore."""
END_REASON = "finished"


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a step to another. `ref` is where the target was written, None for the next step in order.

    `waits` says that whoever goes this way has waited in the step: for time to pass or an event to come.
    """

    target: str
    label: str
    ref: Ref | None
    waits: bool


def step_after(draft: JourneyDraft, index: int) -> str:
    """The name of the step that follows in written order, or END."""
    return draft.steps[index + 1].name.name if index + 1 < len(draft.steps) else END


def edges(step: StepDraft, following: str) -> Iterator[Edge]:
    """Every way on from this step; `following` is the next step in written order."""
    if isinstance(step, ActionDraft):
        yield _edge(step.next, following, "")
        return
    match step:
        case SendDraft() | SetDraft():
            yield _edge(step.next, following, "")
        case WaitDraft() | MonthsDraft() | UntilTimeDraft() | UntilMomentDraft() | WaitForDraft() | WaitWhileDraft():
            yield from _wait_edges(step, following)
        case BranchDraft():
            for case in step.cases:
                yield _edge(case.go, following, _text(case.when))
            yield _edge(step.otherwise, following, "otherwise")
        case SplitDraft():
            for arm, share in step.arms:
                yield _edge(arm, following, f"{float(share * 100):g}%")
        case MeetExperimentDraft():
            for arm, target in step.arms:
                yield _edge(target, following, arm.name)
        case ExitDraft() | BrokenDraft():
            return
        case _:
            assert_never(step)


def _wait_edges(
    step: WaitDraft | MonthsDraft | UntilTimeDraft | UntilMomentDraft | WaitForDraft | WaitWhileDraft, following: str
) -> Iterator[Edge]:
    match step:
        case WaitDraft() | MonthsDraft() | UntilTimeDraft():
            yield _edge(step.next, following, "", waits=True)
        case UntilMomentDraft():
            yield _edge(step.next, following, "", waits=True)
            if step.missing is not None:
                yield _edge(step.missing, following, f"no {_text(step.until)}")
            yield _edge(step.past or step.next, following, "already past")
        case WaitForDraft():
            for awaited in step.awaited:
                yield _edge(awaited.go, following, _event_label(awaited), waits=True)
            if step.timeout is not None or step.on_timeout is not None:
                yield _edge(step.on_timeout, following, "timeout", waits=True)
        case WaitWhileDraft():
            # Nobody waits where the condition does not hold on arrival.
            yield _edge(step.next, following, "as soon as it does not hold")
            if step.timeout is not None:
                yield _edge(step.on_timeout, following, "timeout", waits=True)
        case _:
            assert_never(step)


def _event_label(awaited: AwaitedDraft) -> str:
    if awaited.where is None:
        return awaited.on.name
    return f"{awaited.on.name} where {_text(awaited.where)}"


def _text(formula: Formula) -> str:
    return " ".join(formula.text.split())


def _edge(ref: Ref | None, following: str, label: str, *, waits: bool = False) -> Edge:
    return Edge(following if ref is None else ref.name, label, ref, waits)
