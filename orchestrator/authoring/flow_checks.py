"""Checks of where steps lead: targets that exist, steps that can be reached, loops that wait."""

from __future__ import annotations

from orchestrator.authoring.drafts import BrokenDraft, JourneyDraft, StepDraft, WaitForDraft, WaitWhileDraft
from orchestrator.authoring.flow import END, edges, step_after
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.yaml_source import problem_at

LIKE_AN_EXIT = frozenset({"exit", "end", "stop", "finish", "finished", "done", "leave", "quit"})
"""Targets that no step has, written by those who want the journey to end there."""


def check_flow(draft: JourneyDraft, problems: Problems) -> None:
    """Appends what is wrong with the ways between the journey's steps."""
    steps = {step.name.name: step for step in draft.steps}
    ways: dict[str, list[str]] = {}
    at_once: dict[str, list[str]] = {}
    is_whole = not any(isinstance(step, BrokenDraft) for step in draft.steps)
    for index, step in enumerate(draft.steps):
        targets = ways.setdefault(step.name.name, [])
        for edge in edges(step, step_after(draft, index)):
            if edge.target in steps or edge.target == END:
                targets.append(edge.target)
                if not edge.waits:
                    at_once.setdefault(step.name.name, []).append(edge.target)
            elif edge.ref is not None:
                is_whole = False
                problems.append(
                    problem_at(
                        edge.ref.node,
                        "J203",
                        f'step "{step.name.name}" goes to unknown step "{edge.target}"',
                        hint=_target_hint(edge.target, steps),
                    )
                )
        is_endless = isinstance(step, WaitForDraft | WaitWhileDraft) and step.timeout is None
        if is_endless and draft.goal is None and draft.max_duration is None:
            problems.append(
                problem_at(
                    step.name.node,
                    "J304",
                    f'step "{step.name.name}" may wait for ever: it has no timeout and the journey has no goal',
                    hint="add timeout: 7 days",
                    severity="warning",
                )
            )
    if is_whole:
        _check_reachable(draft, ways, problems)
    _check_loops(steps, at_once, problems)


def _target_hint(target: str, steps: dict[str, StepDraft]) -> str:
    if target in LIKE_AN_EXIT:
        return f"every target is a step: add one, such as {target}: {{exit: finished}}"
    return did_you_mean(target, steps)


def _check_reachable(draft: JourneyDraft, ways: dict[str, list[str]], problems: Problems) -> None:
    reached: set[str] = set()
    ahead = [draft.steps[0].name.name]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead.extend(ways.get(name, ()))
    for step in draft.steps:
        if step.name.name not in reached:
            problems.append(
                problem_at(
                    step.name.node,
                    "J301",
                    f'no way leads to step "{step.name.name}"',
                    hint="go to it from another step, or delete it",
                )
            )


def _check_loops(steps: dict[str, StepDraft], at_once: dict[str, list[str]], problems: Problems) -> None:
    """Reports each loop that can be gone round without waiting: a customer would go round it without end."""
    finished: set[str] = set()
    for start in steps:
        if start in finished:
            continue
        path: list[str] = [start]
        open_ways = [iter(at_once.get(start, ()))]
        while path:
            target = next(open_ways[-1], None)
            if target is None:
                finished.add(path.pop())
                open_ways.pop()
            elif target in path:
                loop = [*path[path.index(target) :], target]
                _report_loop(steps, loop, problems)
            elif target in steps and target not in finished:
                path.append(target)
                open_ways.append(iter(at_once.get(target, ())))


def _report_loop(steps: dict[str, StepDraft], loop: list[str], problems: Problems) -> None:
    problems.append(
        problem_at(
            steps[loop[0]].name.node,
            "J302",
            f"this loop never waits: {' -> '.join(loop)}",
            hint="put a wait into it, or leave it by a branch",
        )
    )
