"""Typed nodes -> text, as an author would write them: for messages about a part of an expression."""

from __future__ import annotations

from typing import Any, assert_never

from orchestrator.authoring.expression_nodes import (
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

_POWERS = {"or": 1, "and": 2, **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 4)}
_POWERS |= {"+": 5, "-": 5, "*": 6, "/": 6, "%": 6, "??": 8}
"""How strongly operators that stand between their operands bind these."""
_JOINED = 2
"""Up to this, the order in which operands are joined does not matter."""


def text_of(node: Typed) -> str:
    """The expression, with brackets where they may be needed."""
    match node:
        case Constant():
            return node.text or written_value(node.value)
        case EventField():
            return f"event.{node.name}"
        case EntryField():
            return f"entry.{node.name}"
        case Attribute():
            return f"profile.{node.name}"
        case ConsentKey():
            return f"consent.{node.name}"
        case AudienceMember():
            return f"audience.{node.name}"
        case SegmentMember():
            return f"segment.{node.name}"
        case ExperimentArm():
            return f"experiment.{node.name}"
        case StepField():
            return f"steps.{node.step}.{node.name}"
        case Ambient():
            return node.name
        case Member():
            return f"{text_of(node.of)}.{node.name}"
        case Apply():
            return _applied(node)
        case Aggregated():
            return node.text
        case _:
            assert_never(node)


def written_value(value: Any) -> str:
    """The constant as it is written."""
    if isinstance(value, str):
        return f"'{value}'"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _applied(node: Apply) -> str:
    parts = [text_of(argument) for argument in node.arguments]
    power = _POWERS.get(node.name)
    if power is not None:
        weaker = [isinstance(one, Apply) and _binds_less(one, node.name) for one in node.arguments]
        parts = [f"({part})" if is_weaker else part for part, is_weaker in zip(parts, weaker, strict=True)]
        return f" {node.name} ".join(parts)
    match node.name:
        case "not":
            return f"not ({parts[0]})"
        case "neg":
            return f"-{parts[0]}"
        case "list":
            return f"[{', '.join(parts)}]"
        case _:
            return f"{node.name}({', '.join(parts)})"


def _binds_less(inner: Apply, operator: str) -> bool:
    """Whether an operand needs brackets; several joined by the same word do not."""
    if inner.name == "not":
        return operator not in {"and", "or"}
    power = _POWERS.get(inner.name)
    return power is not None and (power < _POWERS[operator] or (power == _POWERS[operator] and power > _JOINED))
