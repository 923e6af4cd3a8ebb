"""Typed condition -> when the passing of time alone may change what it says.

Of a condition without `now`, time changes only windows that events go out of, and `days_since`. Where one of these is
compared with a fixed number, the instant is known at which it crosses the number; so a customer who ordered yesterday
is looked at for `days_since(order_placed) >= 60` once, in 59 days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.authoring.expression_closures import aggregate_of
from orchestrator.authoring.expression_nodes import Aggregated, Apply, Constant, Typed
from orchestrator.engine.aggregates import DAY_MS, next_expiry_ms, next_fall_ms
from orchestrator.model.customer import NEVER_MS

Horizon = Callable[[Any], int]
SWAPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
DAYS_SINCE = "days_since"


def horizon(node: Typed) -> Horizon | None:
    """The function of a scope that gives the earliest instant after now at which the value may change; NEVER_MS for
    never. None if time alone never changes it.
    """
    parts = tuple(_parts(node))
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    return lambda scope: min([part(scope) for part in parts])


def loose_days_since(node: Typed) -> Iterator[Aggregated]:
    """Every `days_since` that is not compared with a fixed number: it changes every day for ever."""
    if isinstance(node, Aggregated) and node.name == DAYS_SINCE:
        yield node
    elif isinstance(node, Apply):
        compared = _compared(node)
        if compared is None or compared[0].name != DAYS_SINCE:
            for argument in node.arguments:
                yield from loose_days_since(argument)


def _compared(node: Apply) -> tuple[Aggregated, str, Any] | None:
    """The aggregate (with or without a fixed default), how and with what fixed number it is compared."""
    if node.name not in SWAPPED:
        return None
    left, right = node.arguments
    for one, operator, other in ((left, node.name, right), (right, SWAPPED[node.name], left)):
        inner = one
        if isinstance(inner, Apply) and inner.name == "??" and isinstance(inner.arguments[1], Constant):
            inner = inner.arguments[0]
        if isinstance(inner, Aggregated) and isinstance(other, Constant):
            return inner, operator, other.value
    return None


def _levels(operator: str, number: Any) -> tuple[int, ...]:
    """The whole numbers that a whole number must reach, or fall below, for the comparison to say something else."""
    reached, passed = int(-(-number // 1)), int(number // 1) + 1
    if operator in {">=", "<"}:
        return (reached,)
    return (passed,) if operator in {">", "<="} else (reached, passed)


def _parts(node: Typed) -> Iterator[Horizon]:
    if isinstance(node, Apply):
        compared = _compared(node)
        if compared is not None and compared[0].name in {DAYS_SINCE, "count"}:
            yield from _crossings(*compared)
            return
        for argument in node.arguments:
            yield from _parts(argument)
    elif isinstance(node, Aggregated) and node.window_ms is not None:
        yield _expiry(node, node.window_ms)
    elif isinstance(node, Aggregated) and node.name == DAYS_SINCE:
        yield _next_day(aggregate_of(node).key)


def _crossings(node: Aggregated, operator: str, number: Any) -> Iterator[Horizon]:
    key = aggregate_of(node).key
    if number is None:
        # Whether there was such an event at all is not changed by time.
        return
    levels = _levels(operator, number)
    if node.name == DAYS_SINCE:
        yield _days_reached(key, levels)
    elif node.window_ms is not None:
        window_ms = node.window_ms
        yield lambda scope: next_fall_ms(scope.customer.aggregates.get(key), window_ms, levels, scope.now_ms)


def _days_reached(key: str, levels: tuple[int, ...]) -> Horizon:
    delays_ms = tuple(level * DAY_MS for level in sorted(levels))

    def evaluate(scope: Any) -> int:
        since_ms = scope.customer.aggregates.get(key)
        if since_ms is not None:
            for delay_ms in delays_ms:
                if since_ms + delay_ms > scope.now_ms:
                    return int(since_ms + delay_ms)
        return NEVER_MS

    return evaluate


def _next_day(key: str) -> Horizon:
    """When one more day is over: what is compared with more than a fixed number may change every day."""

    def evaluate(scope: Any) -> int:
        since_ms = scope.customer.aggregates.get(key)
        if since_ms is None:
            return NEVER_MS
        return int(since_ms + ((scope.now_ms - since_ms) // DAY_MS + 1) * DAY_MS)

    return evaluate


def _expiry(node: Aggregated, window_ms: int) -> Horizon:
    key = aggregate_of(node).key

    def evaluate(scope: Any) -> int:
        expiry_ms = next_expiry_ms(scope.customer.aggregates.get(key), window_ms, scope.now_ms)
        return NEVER_MS if expiry_ms is None else expiry_ms

    return evaluate
