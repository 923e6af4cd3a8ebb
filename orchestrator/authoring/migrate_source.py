"""The `migrate` of a journey file -> its draft, checked against the journey that it stands in, and compiled.

What only the older versions can tell is in `migration_proof.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from orchestrator.authoring.drafts import Formula, JourneyDraft, MigrateDraft, Ref
from orchestrator.authoring.expression_closures import closure, stored
from orchestrator.authoring.expression_nodes import Apply, Constant, Names
from orchestrator.authoring.expression_types import described
from orchestrator.authoring.expressions import check_tree
from orchestrator.authoring.reading import (
    Problems,
    expression_problem,
    fields,
    one_or_many,
    read_assignments,
    read_pairs,
    read_ref,
    read_word,
)
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.world import World
from orchestrator.authoring.yaml_source import MappingNode, Node, problem_at
from orchestrator.model.journey import Captured, Scope
from orchestrator.model.migrations import Migration
from orchestrator.model.types import NUMBERS, Kind, Type

MIGRATE_KEYS = ("from", "steps", "timers", "entry")
MIGRATE_REQUIRED = ("from",)
ANY = "any"
TIMER_WAYS = ("keep", "restart")
PREFIX_PATTERN = "[0-9a-f]{6,16}"
"""A version as `plan` and `versions` print it, or so much of its beginning."""


def read_migrate(node: Node | None, problems: Problems) -> MigrateDraft | None:
    """How older versions come along; None if nothing is said, or too little of it is right."""
    if node is None:
        return None
    found = fields(node, MIGRATE_KEYS, problems, what="migrate", required=MIGRATE_REQUIRED)
    if found is None or not isinstance(node, MappingNode):
        return None
    versions = _versions(found.get("from"), problems)
    timers = read_word(found.get("timers"), TIMER_WAYS, problems, what="timers")
    steps = _steps(found.get("steps"), problems)
    entry = read_assignments(found.get("entry"), problems, what="the values of entry fields")
    if "from" not in found:
        return None
    place = next(key for key, _ in node.entries if key.value == "from")
    return MigrateDraft(node, place, versions, steps, timers == "restart", entry)


def _versions(node: Node | None, problems: Problems) -> tuple[Ref, ...] | None:
    """The prefixes; None for any version."""
    refs = [read_ref(item, problems, what="from") for item in one_or_many(node, problems, what="from")]
    listed = tuple(ref for ref in refs if ref is not None)
    if [ref.name for ref in listed] == [ANY]:
        return None
    for ref in listed:
        if re.fullmatch(PREFIX_PATTERN, ref.name, re.ASCII) is None:
            message = f'"{ref.name}" is not a version'
            hint = "write any, or versions as orchestrator plan shows them, at least six digits of each"
            problems.append(problem_at(ref.node, "J180", message, hint=hint))
    return listed


def _steps(node: Node | None, problems: Problems) -> tuple[tuple[Ref, Ref], ...]:
    found: list[tuple[Ref, Ref]] = []
    for name, value in read_pairs(node, problems, what="the steps to migrate"):
        target = read_ref(value, problems, what=f'the step in place of "{name.name}"')
        if target is not None and target.name == name.name:
            message = f'step "{name.name}" keeps its name anyway'
            problems.append(problem_at(name.node, "J181", message, hint="leave it out"))
        elif target is not None:
            found.append((name, target))
    return tuple(found)


def check_migrate(draft: JourneyDraft, world: World, entry_fields: frozenset[str], problems: Problems) -> None:
    """Reports targets that are no steps, and values that no entry field can have. `entry_fields` are those of the entry
    event that the journey refers to.
    """
    migrate = draft.migrate
    if migrate is None:
        return
    steps = [step.name.name for step in draft.steps]
    for _, target in migrate.steps:
        if target.name not in steps:
            hint = did_you_mean(target.name, steps)
            problems.append(problem_at(target.node, "J270", f'there is no step "{target.name}" to go to', hint=hint))
    event = None if draft.entry.event is None else world.event_types.get(draft.entry.event.name)
    known = {} if event is None else event.fields
    for name, formula in migrate.entry:
        if name.name not in known:
            message = f'the entry event has no field "{name.name}"'
            problems.append(problem_at(name.node, "J271", message, hint=did_you_mean(name.name, known)))
        elif name.name not in entry_fields:
            message = f"nothing in the journey refers to entry.{name.name}"
            problems.append(problem_at(name.node, "J272", message, hint="leave it out"))
        else:
            _declared(formula, known[name.name], problems)


@dataclass(frozen=True, slots=True)
class _Value:
    value: Any


def _declared(formula: Formula, of: Type, problems: Problems) -> _Value | None:
    """The constant as a value of this type."""
    found, mistakes = check_tree(formula.text, formula.tree, Names())
    problems.extend(expression_problem(formula.node, mistake) for mistake in mistakes)
    if found is None:
        return None
    node = found.node
    is_constant = isinstance(node, Constant) or (
        isinstance(node, Apply) and node.name == "neg" and isinstance(node.arguments[0], Constant)
    )
    value = closure(node, {})(Scope()) if is_constant else None
    fits = _fitted(value, found.type, of)
    if fits is None:
        message = f"the field is {described(of)}, and this is not a constant of that kind"
        hint = "write a number, true or false, or a text in its own quotes: \"'EUR'\""
        problems.append(problem_at(formula.node, "J273", message, hint=hint))
    return fits


def _fitted(value: Any, given: Type, of: Type) -> _Value | None:
    if value is None:
        return None
    if of.kind is Kind.DECIMAL and given.kind in NUMBERS:
        return _Value(Decimal(str(value)))
    if of.kind is Kind.FLOAT and given.kind in NUMBERS:
        return _Value(float(value))
    if given.kind is not of.kind or (of.symbols and value not in of.symbols):
        return None
    return _Value(value)


def lower_migrate(draft: MigrateDraft | None, captured: Mapping[str, Captured]) -> Migration | None:
    """The declaration as the engine executes it."""
    if draft is None:
        return None
    values: dict[str, Any] = {}
    for name, formula in draft.entry:
        of = captured[name.name].type
        declared = _declared(formula, of, [])
        store = stored(of)
        if declared is not None:
            values[name.name] = declared.value if store is None else store(declared.value)
    return Migration(
        versions=None if draft.versions is None else tuple(ref.name for ref in draft.versions),
        steps={name.name: target.name for name, target in draft.steps},
        restarts=draft.restarts,
        values=values,
    )
