"""Aggregates over a customer's past events: `count(order_placed where event.total > 50, 30 days)`, checked and typed.

What an aggregate counts is an event type; what it takes from each event is a field of it. The condition after `where`
sees the past event alone, so what is kept depends on nothing else, and everybody who writes the same shares it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.authoring.durations import describe_duration
from orchestrator.authoring.expression_functions import COMPARABLE, NUMBER
from orchestrator.authoring.expression_names import ROOTS, typed_name
from orchestrator.authoring.expression_nodes import UNKNOWN, Aggregated, Constant, Names, Typed
from orchestrator.authoring.expression_syntax import (
    Call,
    ExpressionProblem,
    Filtered,
    ListOf,
    Literal,
    Name,
    Operation,
    Tree,
)
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.model.types import FLOAT, INTEGER, Kind, Type

SCALAR = COMPARABLE | {Kind.STRING, Kind.BOOLEAN}
ONLY_EVENT = "the condition of an aggregate is about its own event"


@dataclass(frozen=True, slots=True)
class Form:
    """What an aggregate takes: `kinds` of the field (None: the event alone), and how it is written."""

    kinds: frozenset[Kind] | None
    example: str
    has_window: bool = True


AGGREGATES: dict[str, Form] = {
    "count": Form(None, "count(order_placed, 30 days)"),
    "sum": Form(NUMBER, "sum(order_placed.total, 365 days)"),
    "avg": Form(NUMBER, "avg(order_placed.total, 90 days)"),
    "min": Form(COMPARABLE, "min(order_placed.total, 90 days)"),
    "max": Form(COMPARABLE, "max(order_placed.total, 90 days)"),
    "first": Form(SCALAR, "first(product_viewed.sku)"),
    "last": Form(SCALAR, "last(product_viewed.sku)"),
    "distinct": Form(SCALAR, "distinct(product_viewed.category, 7 days)"),
    "days_since": Form(None, "days_since(order_placed)", has_window=False),
}
ALSO_FUNCTIONS = frozenset({"min", "max"})
"""Names that are functions too: they are aggregates where the first argument names an event."""


def is_aggregate(tree: Call, names: Names) -> bool:
    """Whether the call is an aggregate over past events."""
    if tree.name not in AGGREGATES:
        return False
    if tree.name not in ALSO_FUNCTIONS or not tree.arguments:
        return tree.name not in ALSO_FUNCTIONS
    first = tree.arguments[0]
    if isinstance(first, Filtered):
        return True
    return isinstance(first, Name) and first.parts[0][0] not in ROOTS and first.parts[0][0] in names.event_types


class AggregateChecker:
    """Types one aggregate; `condition` types what stands after `where`."""

    def __init__(
        self, names: Names, problems: list[ExpressionProblem], condition: Callable[[Tree, Names], Typed]
    ) -> None:
        self.names = names
        self.problems = problems
        self.condition = condition

    def typed(self, tree: Call) -> Typed:
        """The aggregate with its type, or a constant of type UNKNOWN after what is wrong is reported."""
        form = AGGREGATES[tree.name]
        if self.names.no_past:
            message = f'"{tree.name}" is about past events, which are not known here: {self.names.no_past}'
            hint = "compare fields of the event" if self.names.only_event else "use it in a journey or in segments.yaml"
            return self._report(_start_of(tree), "J242", message, hint)
        if not 1 <= len(tree.arguments) <= 2:
            message = f'"{tree.name}" does not take {len(tree.arguments)} values'
            return self._report(tree, "J440", message, f"write {form.example}")
        before = len(self.problems)
        first = tree.arguments[0]
        counted = first.of if isinstance(first, Filtered) else first
        value = self._value(tree, form, counted)
        window_ms = self._window(tree, form)
        where = None
        if isinstance(first, Filtered) and isinstance(counted, Name):
            event = self.names.event_types.get(counted.parts[0][0])
            # The condition is typed even if the rest is wrong, so that all mistakes are reported at once.
            where = self.condition(first.where, Names(event=event, no_past=ONLY_EVENT, only_event=ONLY_EVENT))
        if len(self.problems) > before or not isinstance(counted, Name):
            return Constant(UNKNOWN, None)
        on = counted.parts[0][0]
        text = _canonical(tree.name, counted, first.where if isinstance(first, Filtered) else None, window_ms)
        return Aggregated(_result(tree.name, value), tree.name, on, value, where, window_ms, text)

    def _report(self, place: Tree, code: str, message: str, hint: str) -> Constant:
        self.problems.append(ExpressionProblem(code, place.start, place.end, message, hint))
        return Constant(UNKNOWN, None)

    def _value(self, tree: Call, form: Form, counted: Tree) -> Typed | None:
        """What is taken from each event; None if nothing is, or after reporting what is wrong."""
        if not isinstance(counted, Name):
            message = f'"{tree.name}" is about the events of one type'
            self._report(counted, "J440", message, f"write {form.example}")
            return None
        (on, start, end), *path = counted.parts
        event = self.names.event_types.get(on)
        if event is None:
            place = Literal(start, end, None, INTEGER, on)
            self._report(place, "J201", f'there is no event type "{on}"', did_you_mean(on, self.names.event_types))
            return None
        if form.kinds is None:
            if path:
                message = f'"{tree.name}" takes an event, not one of its fields'
                self._report(counted, "J440", message, f"write {tree.name}({on})")
            return None
        if not path:
            message = f'"{tree.name}" takes a field of an event'
            self._report(counted, "J440", message, f"name one: {tree.name}({on}.field)")
            return None
        of_event = Name(start, counted.end, (("event", start, end), *path))
        value = typed_name(of_event, Names(event=event), self.problems)
        if value.type != UNKNOWN and value.type.kind not in form.kinds:
            wanted = {NUMBER: "a number", COMPARABLE: "a number or a time", SCALAR: "a single value"}[form.kinds]
            message = f'"{tree.name}" takes {wanted}, and {on}.{".".join(p[0] for p in path)} is {value.type}'
            self._report(counted, "J441", message, f"write {form.example}")
        return value

    def _window(self, tree: Call, form: Form) -> int | None:
        if len(tree.arguments) < 2:
            return None
        window = tree.arguments[1]
        if not form.has_window:
            self._report(window, "J443", f'"{tree.name}" has no window', f"write {form.example}")
            return None
        if isinstance(window, Literal) and window.type.kind is Kind.DURATION:
            return int(window.value)
        self._report(window, "J442", "the window of an aggregate is a duration", f"write {form.example}")
        return None


def _start_of(tree: Call) -> Literal:
    return Literal(tree.start, tree.start + len(tree.name), None, INTEGER, tree.name)


def _result(name: str, value: Typed | None) -> Type:
    """The type of what the aggregate says. Counts and sums of nothing are 0; all else of nothing is null."""
    if value is None:
        return INTEGER if name == "count" else replace(INTEGER, nullable=True)
    if name == "distinct":
        return INTEGER
    if name == "sum":
        return replace(value.type, nullable=False)
    if name == "avg" and value.type.kind is Kind.INTEGER:
        return replace(FLOAT, nullable=True)
    return replace(value.type, nullable=True)


def _canonical(name: str, counted: Name, where: Tree | None, window_ms: int | None) -> str:
    """The aggregate as all write it who mean the same: `count(order_placed where event.total > 50, 30 days)`."""
    text = ".".join(part[0] for part in counted.parts)
    if where is not None:
        text += f" where {written(where)}"
    if window_ms is not None:
        text += f", {describe_duration(window_ms)}"
    return f"{name}({text})"


def written(tree: Tree) -> str:
    """The expression with one blank where blanks may be, and brackets where they are needed or might be."""
    match tree:
        case Literal():
            return repr(tree.value) if isinstance(tree.value, str) else " ".join(tree.text.split())
        case Name():
            return ".".join(part[0] for part in tree.parts)
        case ListOf():
            return f"[{', '.join(written(item) for item in tree.items)}]"
        case Call():
            return f"{tree.name}({', '.join(written(argument) for argument in tree.arguments)})"
        case Filtered():
            return f"{written(tree.of)} where {written(tree.where)}"
        case Operation():
            parts = [f"({written(o)})" if isinstance(o, Operation) else written(o) for o in tree.operands]
            return f"{tree.operator} {parts[0]}" if len(parts) == 1 else f"{parts[0]} {tree.operator} {parts[1]}"
