"""What a condition is made of: atoms, each about one subject, joined by `and`, `or` and `not`.

The subject of an atom is a value that is the same wherever it stands in a condition: a field, an attribute, an
aggregate, `days_between(profile.born, now)`. The atom says which of its values pass. Two subjects that are compared
with each other are one subject too: how the first stands to the second.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.authoring.expression_closures import closure
from orchestrator.authoring.expression_nodes import (
    UNKNOWN,
    Aggregated,
    Ambient,
    Apply,
    Attribute,
    AudienceMember,
    ConsentKey,
    Constant,
    EntryField,
    EventField,
    ExperimentArm,
    Member,
    SegmentMember,
    StepField,
    Typed,
)
from orchestrator.authoring.value_sets import NOTHING, ValueSet, solutions, values
from orchestrator.model.types import Kind, Type

TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
NEVER_FAILING = frozenset({"==", "!=", "<", "<=", ">", ">=", "and", "or", "not", "in", "list", "??"})
"""What fails for no values at all, with an exception for decimals (`cannot_fail`)."""
NEVER_FAILING_FUNCTIONS = frozenset({"lower", "upper", "contains", "starts_with", "ends_with", "length"})
COUNTS = frozenset({"count", "distinct", "days_since"})

BOTH_NULL, NOT_IN_ORDER = 2, 3
STANDING = {
    "==": values([0, BOTH_NULL]),
    "!=": values([-1, 1, NOT_IN_ORDER]),
    "<": values([-1]),
    "<=": values([-1, 0]),
    ">": values([1]),
    ">=": values([0, 1]),
}
"""How two subjects stand to each other: less (-1), equal (0), greater (1), both null, or in no order otherwise."""


@dataclass(frozen=True, slots=True)
class Atom:
    """The values of `subject` that pass."""

    subject: Typed
    passing: ValueSet


def folded(node: Typed) -> Constant | None:
    """The constant that the node is or always amounts to; None if it is not always the same, or could not be typed."""
    if isinstance(node, Constant):
        return None if node.type == UNKNOWN else node
    if not isinstance(node, Apply) or node.name == "list":
        return None
    for argument in node.arguments:
        if folded(argument) is None:
            return None
    try:
        return Constant(node.type, closure(node, {})(None))
    except ArithmeticError:
        return None


def atom_of(node: Typed) -> Atom | bool:
    """The atom that a condition is, if it is not joined; True or False if it always, or never, holds."""
    constant = folded(node)
    if constant is not None:
        return bool(constant.value)
    if not isinstance(node, Apply) or any(_is_untyped(argument) for argument in node.arguments):
        # What is compared with an attribute whose type is not known may be of several types.
        return Atom(node, values([True]))
    if node.name in TURNED:
        return _comparison(node)
    if node.name == "in":
        item, where = node.arguments
        if isinstance(where, Apply) and where.name == "list":
            constants = [folded(one) for one in where.arguments]
            known = [one.value for one in constants if one is not None]
            if len(known) == len(constants):
                return _solved(item, values(known))
    return Atom(node, values([True]))


def _is_untyped(node: Typed) -> bool:
    return node.type.kind is Kind.NULL and folded(node) is None


def _comparison(node: Apply) -> Atom | bool:
    left, right = node.arguments
    operator = node.name
    constant = folded(right)
    if constant is None and (turned := folded(left)) is not None:
        left, operator, constant = right, TURNED[operator], turned
    if constant is not None:
        return _solved(left, solutions(operator, constant.value))
    if left == right:
        return Atom(left, _of_itself(operator))
    if repr(left) > repr(right):
        left, right, operator = right, left, TURNED[operator]
    nullable = left.type.nullable or right.type.nullable
    return Atom(Apply(Type(Kind.INTEGER, nullable), "compare", (left, right)), STANDING[operator])


def _of_itself(operator: str) -> ValueSet:
    """The values that pass a comparison with themselves: NaN equals nothing, and null is in no order."""
    if operator in {"<", ">"}:
        return NOTHING
    if operator == "!=":
        return ValueSet((), nan=True)
    everyone = ~NOTHING
    return ValueSet(everyone.spans, null=operator == "==")


def _solved(node: Typed, passing: ValueSet) -> Atom:
    """The atom of those values of a subject that lead to one of `passing`; the node's type is known."""
    if isinstance(node, Apply) and node.name == "??":
        default = folded(node.arguments[1])
        if default is not None:
            return _solved(node.arguments[0], ValueSet(passing.spans, null=default.value in passing, nan=passing.nan))
    return Atom(node, passing)


def possible(subject: Typed) -> ValueSet:
    """The values that a subject can have, and perhaps others."""
    if isinstance(subject, Apply) and subject.name == "compare":
        return _possible_standings(subject)
    of = subject.type
    everyone = ~NOTHING
    spans = everyone.spans
    if of.kind is Kind.BOOLEAN:
        spans = values([False, True]).spans
    elif isinstance(subject, EventField | EntryField) and of.symbols:
        spans = values(of.symbols).spans
    else:
        least, most = _bounds(subject)
        if least is not None:
            spans = solutions(">=", least).spans
        if most is not None:
            spans = (ValueSet(spans) & solutions("<=", most)).spans
    return ValueSet(spans, null=of.nullable, nan=of.kind is Kind.FLOAT)


def _possible_standings(subject: Apply) -> ValueSet:
    left, right = (one.type for one in subject.arguments)
    standings = [-1, 0, 1]
    if left.nullable and right.nullable:
        standings.append(BOTH_NULL)
    if left.nullable or right.nullable or not {left.kind, right.kind} <= _ORDERED:
        standings.append(NOT_IN_ORDER)
    return values(standings)


_ORDERED = frozenset({Kind.STRING, Kind.INTEGER, Kind.DECIMAL, Kind.INSTANT, Kind.DATE, Kind.DURATION, Kind.BOOLEAN})


def _bounds(subject: Typed) -> tuple[int | None, int | None]:
    """The least and the greatest value that the subject can have by what it counts."""
    match subject:
        case Aggregated(name=name) if name in COUNTS:
            return 0, None
        case StepField(name="visits") | Apply(name="length" | "abs"):
            return 0, None
        case Apply(name="weekday"):
            return 1, 7
        case Apply(name="month"):
            return 1, 12
        case Apply(name="day"):
            return 1, 31
        case _:
            return None, None


def cannot_fail(node: Typed) -> bool:
    """Whether evaluating it cannot raise ArithmeticError, for any values that there can be.

    Decimals of events are never NaN, which is the only value that cannot be compared; what is computed may be.
    """
    match node:
        case Constant() | EventField() | EntryField() | ConsentKey() | AudienceMember() | SegmentMember():
            return True
        case ExperimentArm() | StepField() | Ambient() | Attribute():
            return True
        case Member():
            return cannot_fail(node.of)
        case Aggregated():
            return node.name in COUNTS
        case Apply() if folded(node) is not None:
            return True
        case Apply():
            if not all(cannot_fail(argument) for argument in node.arguments):
                return False
            if node.name in NEVER_FAILING:
                return not _may_order_nan(node)
            return node.name in NEVER_FAILING_FUNCTIONS


def _may_order_nan(node: Apply) -> bool:
    """Whether a decimal is put into order that may not be a number, as one that was computed from a float."""
    if node.name not in {"<", "<=", ">", ">="}:
        return False
    kinds = {argument.type.kind for argument in node.arguments}
    is_exact = all(isinstance(one, EventField | EntryField | Constant) for one in node.arguments)
    return Kind.DECIMAL in kinds and (Kind.FLOAT in kinds or not is_exact)
