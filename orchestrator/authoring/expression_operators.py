"""Comparison and arithmetic as closures, one written out for each operator: a call of `operator.gt` and the like would
cost as much again as the comparison itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Evaluate = Callable[[Any], Any]

COMPARE: dict[str, Callable[[Evaluate, Evaluate], Evaluate]] = {
    "==": lambda a, b: lambda scope: a(scope) == b(scope),
    "!=": lambda a, b: lambda scope: a(scope) != b(scope),
    "<": lambda a, b: lambda scope: (x := a(scope)) is not None and (y := b(scope)) is not None and x < y,
    "<=": lambda a, b: lambda scope: (x := a(scope)) is not None and (y := b(scope)) is not None and x <= y,
    ">": lambda a, b: lambda scope: (x := a(scope)) is not None and (y := b(scope)) is not None and x > y,
    ">=": lambda a, b: lambda scope: (x := a(scope)) is not None and (y := b(scope)) is not None and x >= y,
}
"""Any two values; an ordering with null is false."""

COMPARE_FIELD: dict[str, Callable[[str, Any], Evaluate]] = {
    "==": lambda field, value: lambda scope: scope.event.get(field) == value,
    "!=": lambda field, value: lambda scope: scope.event.get(field) != value,
    "<": lambda field, value: lambda scope: (x := scope.event.get(field)) is not None and x < value,
    "<=": lambda field, value: lambda scope: (x := scope.event.get(field)) is not None and x <= value,
    ">": lambda field, value: lambda scope: (x := scope.event.get(field)) is not None and x > value,
    ">=": lambda field, value: lambda scope: (x := scope.event.get(field)) is not None and x >= value,
}
"""A field of the current event with a constant that is not null."""

COMPARE_ENTRY: dict[str, Callable[[str, int], Evaluate]] = {
    "==": lambda field, index: lambda scope: scope.event.get(field) == scope.instance.entry[index],
    "!=": lambda field, index: lambda scope: scope.event.get(field) != scope.instance.entry[index],
    "<": lambda field, index: (
        lambda scope: (
            (x := scope.event.get(field)) is not None and (y := scope.instance.entry[index]) is not None and x < y
        )
    ),
    "<=": lambda field, index: (
        lambda scope: (
            (x := scope.event.get(field)) is not None and (y := scope.instance.entry[index]) is not None and x <= y
        )
    ),
    ">": lambda field, index: (
        lambda scope: (
            (x := scope.event.get(field)) is not None and (y := scope.instance.entry[index]) is not None and x > y
        )
    ),
    ">=": lambda field, index: (
        lambda scope: (
            (x := scope.event.get(field)) is not None and (y := scope.instance.entry[index]) is not None and x >= y
        )
    ),
}
"""A field of the current event with a captured field of the entry event."""

ARITHMETIC: dict[str, Callable[[Evaluate, Evaluate], Evaluate]] = {
    "+": lambda a, b: lambda scope: None if (x := a(scope)) is None or (y := b(scope)) is None else x + y,
    "-": lambda a, b: lambda scope: None if (x := a(scope)) is None or (y := b(scope)) is None else x - y,
    "*": lambda a, b: lambda scope: None if (x := a(scope)) is None or (y := b(scope)) is None else x * y,
    "/": lambda a, b: lambda scope: None if (x := a(scope)) is None or (y := b(scope)) is None else x / y,
    "%": lambda a, b: lambda scope: None if (x := a(scope)) is None or (y := b(scope)) is None else x % y,
}
"""Arithmetic with null is null."""
