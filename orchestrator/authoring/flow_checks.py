"""Checks of where steps lead: targets that exist, steps that can be reached, loops that wait."""

from __future__ import annotations

from orchestrator.authoring.drafts import (
    BranchDraft,
    BrokenDraft,
    JourneyDraft,
    StepDraft,
    WaitForDraft,
    WaitWhileDraft,
)
from orchestrator.authoring.flow import END, edges, step_after
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.engine.erasure import ERASED

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
        if is_endless and draft.max_duration is None:
            message = f'step "{step.name.name}" may wait for ever: it has no timeout, and the journey no max_duration'
            hint = "add timeout: 7 days"
            problems.append(problem_at(step.name.node, "J304", message, hint=hint, severity="warning"))
        if isinstance(step, BranchDraft):
            _check_choice(step, targets, problems)
    if is_whole:
        _check_reachable(draft, ways, problems)
    _check_loops(steps, at_once, problems)


def check_forgotten(draft: JourneyDraft, problems: Problems) -> None:
    """Warns of what is to happen with the event with which everything about the customer is forgotten."""
    places = [draft.entry.event, None if draft.goal is None else draft.goal.on]
    for step in draft.steps:
        if isinstance(step, WaitForDraft):
            places += [awaited.on for awaited in step.awaited]
    for place in places:
        if place is not None and place.name == ERASED:
            message = f"nothing follows from {ERASED}: all passages end with it, and nobody enters"
            hint = "whoever has to know of erasures reads the event from its topic"
            problems.append(problem_at(place.node, "J348", message, hint=hint, severity="warning"))


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
    names = [step.name.name for step in draft.steps]
    first = _first_unreached(names, reached, ways)
    for index, step in enumerate(draft.steps):
        if step.name.name in first:
            above = names[index - 1]
            hint = f'go to it from another step, or delete it: step "{above}" above it always goes elsewhere'
            message = f'no way leads to step "{step.name.name}"'
            problems.append(problem_at(step.name.node, "J301", message, hint=hint))


def _first_unreached(names: list[str], reached: set[str], ways: dict[str, list[str]]) -> set[str]:
    """Of the steps that no way leads to, those that do not just come after another one of them."""
    behind = {name: [target for target in ways.get(name, ()) if target != name] for name in names}
    after = {target for name in names if name not in reached for target in behind[name]}
    roots = [name for name in names if name not in reached and name not in after]
    first: set[str] = set()
    # Where such steps only lead to each other in a circle, the one that is written first stands for it.
    for name in [*roots, *names]:
        if name in reached:
            continue
        first.add(name)
        ahead = [name]
        while ahead:
            seen = ahead.pop()
            if seen not in reached:
                reached.add(seen)
                ahead.extend(behind.get(seen, ()))
    return first


def _check_choice(step: BranchDraft, targets: list[str], problems: Problems) -> None:
    """Warns of a branch that is none."""
    if len(set(targets)) == 1 and len(targets) > 1:
        message = f'branch "{step.name.name}" goes to "{targets[0]}" in any case'
        hint = "add {otherwise: STEP} for those for whom no case holds, or delete the branch"
        problems.append(problem_at(step.name.node, "J346", message, hint=hint, severity="warning"))


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
