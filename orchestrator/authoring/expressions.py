"""Expressions of the journey language: text -> typed -> compiled.

`check_expression` reports every mistake with its place in the text; `compile_checked` turns what it gives into an
`Expression` once it is known which entry fields the journey captures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.authoring.expression_closures import aggregate_of, closure
from orchestrator.authoring.expression_nodes import (
    UNKNOWN,
    Aggregated,
    Attribute,
    AudienceMember,
    ConsentKey,
    EntryField,
    ExperimentArm,
    Names,
    SegmentMember,
    Typed,
    walk,
)
from orchestrator.authoring.expression_syntax import ExpressionProblem, Tree, parse_expression
from orchestrator.authoring.expression_types import Checker
from orchestrator.model.aggregates import Aggregate
from orchestrator.model.journey import Expression
from orchestrator.model.types import Type

__all__ = ["Checked", "ExpressionProblem", "Names", "check_expression", "check_tree", "compile_checked", "uses"]


@dataclass(frozen=True, slots=True)
class Checked:
    """An expression without mistakes, ready to be compiled."""

    text: str
    node: Typed

    @property
    def type(self) -> Type:
        """The type of its value."""
        return self.node.type


@dataclass(frozen=True, slots=True)
class Uses:
    """What an expression refers to."""

    entry: frozenset[str]
    attributes: frozenset[str]
    consents: frozenset[str]
    aggregates: tuple[Aggregate, ...]
    audiences: frozenset[str]
    segments: frozenset[str]
    experiments: frozenset[str]


def check_expression(text: str, names: Names) -> tuple[Checked | None, list[ExpressionProblem]]:
    """The typed expression (None if it has mistakes) and the mistakes."""
    tree = parse_expression(text)
    if isinstance(tree, ExpressionProblem):
        return None, [tree]
    return check_tree(text, tree, names)


def check_tree(text: str, tree: Tree, names: Names) -> tuple[Checked | None, list[ExpressionProblem]]:
    """As `check_expression`, for text that is parsed already."""
    checker = Checker(names)
    node = checker.typed(tree)
    if checker.problems or node.type == UNKNOWN:
        return None, checker.problems
    return Checked(" ".join(text.split()), node), []


def compile_checked(checked: Checked, captured: Mapping[str, int]) -> Expression:
    """The compiled expression. `captured` gives each entry field's place in `Instance.entry`."""
    return Expression(checked.text, checked.type, closure(checked.node, captured))


def uses(node: Typed) -> Uses:
    """What the expression reads."""
    nodes = list(walk(node))
    return Uses(
        entry=frozenset(inner.name for inner in nodes if isinstance(inner, EntryField)),
        attributes=frozenset(inner.name for inner in nodes if isinstance(inner, Attribute)),
        consents=frozenset(inner.name for inner in nodes if isinstance(inner, ConsentKey)),
        aggregates=tuple(aggregate_of(inner) for inner in nodes if isinstance(inner, Aggregated)),
        audiences=frozenset(inner.name for inner in nodes if isinstance(inner, AudienceMember)),
        segments=frozenset(inner.name for inner in nodes if isinstance(inner, SegmentMember)),
        experiments=frozenset(inner.name for inner in nodes if isinstance(inner, ExperimentArm)),
    )
