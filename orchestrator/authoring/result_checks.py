"""Results of steps that cannot be known where they are asked for, because no way leads there from the step."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.authoring.drafts import BrokenDraft, Formula, JourneyDraft
from orchestrator.authoring.expression_nodes import StepField, walk
from orchestrator.authoring.expressions import Checked
from orchestrator.authoring.flow import edges, step_after
from orchestrator.authoring.formulas import step_formulas
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.yaml_source import problem_inside


def check_results(draft: JourneyDraft, checked: Mapping[Formula, Checked], problems: Problems) -> None:
    """Warns of each. Whoever comes along from an older version may bring results of steps that come later here."""
    if draft.migrate is not None or any(isinstance(step, BrokenDraft) for step in draft.steps):
        return
    asked = [
        (step.name.name, formula, node.step)
        for step in draft.steps
        for formula in step_formulas(step)
        if formula in checked
        for node in walk(checked[formula].node)
        if isinstance(node, StepField)
    ]
    if not asked:
        return
    ways = {
        step.name.name: [edge.target for edge in edges(step, step_after(draft, index))]
        for index, step in enumerate(draft.steps)
    }
    behind = {name: _behind(name, ways) for name in {of for _, _, of in asked}}
    for place, formula, of in asked:
        if place not in behind[of]:
            start = max(0, formula.node.value.find(f"steps.{of}"))
            message = f'step "{of}" never comes before "{place}", so nothing is known of it here'
            hint = "ask about a step that comes before, or change the order"
            end = start + len(f"steps.{of}")
            problems.append(problem_inside(formula.node, start, end, "J347", message, hint=hint, severity="warning"))


def _behind(name: str, ways: Mapping[str, list[str]]) -> set[str]:
    """The steps that can be come to from this one, itself among them only if there is a way back."""
    found: set[str] = set()
    ahead = list(ways.get(name, ()))
    while ahead:
        step = ahead.pop()
        if step not in found:
            found.add(step)
            ahead.extend(ways.get(step, ()))
    return found
