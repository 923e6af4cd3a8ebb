"""Conditions that can never hold, and ways that can never be gone, as far as this is certain from the text alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator.authoring.condition_checks import check_condition, check_conditions
from orchestrator.authoring.drafts import AwaitedDraft, BranchDraft, Formula, JourneyDraft, WaitForDraft
from orchestrator.authoring.expression_nodes import (
    Apply,
    Attribute,
    Constant,
    EntryField,
    EventField,
    StepField,
    Typed,
    walk,
)
from orchestrator.authoring.expression_text import text_of, written_value
from orchestrator.authoring.expressions import Checked
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.model.types import Kind

_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
Comparison = tuple[str, Any]
"""An operator and the constant on its right side."""


def check_contradictions(draft: JourneyDraft, formulas: Iterable[tuple[Formula, Checked]], problems: Problems) -> None:
    """Appends the conditions that never hold, and the cases and awaited events that an earlier one always takes."""
    sound = {formula: checked for formula, checked in formulas if not check_formula(formula, checked, problems)}
    known = len(problems)
    for step in draft.steps:
        if isinstance(step, BranchDraft):
            _check_cases(step, problems)
        elif isinstance(step, WaitForDraft):
            _check_awaited(step, problems)
    if len(problems) == known:
        # Repeated conditions were found by their text; what they cover is the same once more.
        check_conditions(draft, sound, problems)


def check_formula(formula: Formula, checked: Checked, problems: Problems) -> bool:
    """Appends what always or never holds in the formula; whether there is something."""
    found = next(contradictions(checked.node), None)
    if found is None:
        return check_condition(formula, checked, problems)
    hint = "join the two with or, or correct one of them"
    problems.append(problem_at(formula.node, "J460", f"this never holds: {found}", hint=hint))
    return True


def _check_cases(step: BranchDraft, problems: Problems) -> None:
    seen: set[str] = set()
    for case in step.cases:
        text = _plain(case.when)
        if text in seen:
            message = f'this case of "{step.name.name}" is never reached: an earlier one has the same condition'
            problems.append(
                problem_at(case.when.node, "J330", message, hint="change the condition, or delete the case")
            )
        seen.add(text)


def _check_awaited(step: WaitForDraft, problems: Problems) -> None:
    earlier: list[AwaitedDraft] = []
    for awaited in step.awaited:
        for other in earlier:
            if other.on.name == awaited.on.name and _takes_all_of(other, awaited):
                message = f'"{awaited.on.name}" is never awaited here: an earlier line takes every such event'
                hint = "put the line with the narrower condition first, or delete one of them"
                problems.append(problem_at(awaited.on.node, "J331", message, hint=hint, severity="warning"))
                break
        earlier.append(awaited)


def _takes_all_of(other: AwaitedDraft, awaited: AwaitedDraft) -> bool:
    if other.where is None:
        return True
    return awaited.where is not None and _plain(awaited.where) == _plain(other.where)


def _plain(formula: Formula) -> str:
    return " ".join(formula.text.split())


def contradictions(node: Typed) -> Iterator[str]:
    """What never holds together, for each `and` within the condition."""
    inner = {id(part) for one in walk(node) if isinstance(one, Apply) and one.name == "and" for part in one.arguments}
    for one in walk(node):
        if isinstance(one, Apply) and one.name == "and" and id(one) not in inner:
            yield from _never_together(one)


def _never_together(node: Apply) -> Iterator[str]:
    known: dict[str, list[Comparison]] = {}
    for part in _joined(node):
        compared = _compared(part)
        if compared is None:
            continue
        name, operator, value = compared
        for earlier, bound in known.get(name, ()):
            if _exclude((earlier, bound), (operator, value)):
                yield f"{name} {earlier} {written_value(bound)} and {name} {operator} {written_value(value)}"
        known.setdefault(name, []).append((operator, value))


def _joined(node: Typed) -> Iterator[Typed]:
    if isinstance(node, Apply) and node.name == "and":
        for argument in node.arguments:
            yield from _joined(argument)
    else:
        yield node


def _compared(node: Typed) -> tuple[str, str, Any] | None:
    """(name, operator, constant) of a comparison of a name with a constant that is not null."""
    if not isinstance(node, Apply) or node.name not in _TURNED:
        return None
    left, right = node.arguments
    operator = node.name
    if isinstance(left, Constant):
        left, right, operator = right, left, _TURNED[operator]
    name = _named(left)
    if name is None or not isinstance(right, Constant) or right.value is None or left.type.kind is Kind.NULL:
        return None
    return name, operator, right.value


def _named(node: Typed) -> str | None:
    return text_of(node) if isinstance(node, EventField | EntryField | Attribute | StepField) else None


def _exclude(one: Comparison, other: Comparison) -> bool:
    """Whether no value at all passes both comparisons."""
    if other[0] == "==":
        one, other = other, one
    (first, a), (second, b) = one, other
    if first == "==":
        return not {"==": a == b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[second]
    if first[0] == second[0]:
        return False
    low, high = (a, b) if first[0] == ">" else (b, a)
    return bool(low > high or (low == high and not (first.endswith("=") and second.endswith("="))))
