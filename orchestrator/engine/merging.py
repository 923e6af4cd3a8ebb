"""Two parts of a customer's past put together: what was kept of the earlier events, and of those after them.

What comes out is what keeping the aggregate from the first of these events on would have kept. With windows it is
exact as long as both parts hold `ENTRIES_MAX` events together; beyond, events of the same slot are joined as they are
when an event comes. Sums of numbers with a point may differ in their last digits, because they are added in another
order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.engine.aggregates import (
    ENTRIES_MAX,
    addition_of,
    better_of,
    first_inside,
    joined_by_slot,
)
from orchestrator.model.types import Kind

Merge = Callable[[Any, Any, int], Any]
"""(kept of the earlier events, kept of the later ones, now) → kept of both; neither of the two is None."""


def merge_of(name: str, of: Kind, window_ms: int | None) -> Merge:
    """How two parts of what the aggregate `name` of values of this kind keeps become one."""
    match name:
        case "first" if window_ms is None:
            return lambda older, _, __: older
        case "last" | "days_since":
            return lambda _, newer, __: newer
        case "min" | "max":
            return _merge_extreme(better_of(name, of), window_ms)
        case "count" | "sum":
            add = addition_of(of if name == "sum" else Kind.INTEGER, is_bounded=window_ms is not None)
            return (lambda older, newer, _: add(older, newer)) if window_ms is None else _merge_window(window_ms, add)
        case "avg":
            total = addition_of(of, is_bounded=window_ms is not None)

            def join(older: Any, newer: Any) -> Any:
                return [older[0] + newer[0], total(older[1], newer[1])]

            return (lambda older, newer, _: join(older, newer)) if window_ms is None else _merge_window(window_ms, join)
        case _:
            return _merge_window(window_ms or 0, lambda older, _: older)


def in_time_order(older: list[Any], newer: list[Any]) -> list[Any]:
    """The pairs of both. An instant of the later events before the last of the earlier ones becomes that one, as it
    would have: for a customer time never runs back.

    >>> in_time_order([10, "a", 30, "b"], [20, "c", 40, "d"])
    [10, 'a', 30, 'b', 30, 'c', 40, 'd']
    """
    last_ms = older[-2] if older else 0
    raised = list(newer)
    for index in range(0, len(raised), 2):
        if raised[index] >= last_ms:
            break
        raised[index] = last_ms
    return older + raised


def _merge_window(window_ms: int, join: Callable[[Any, Any], Any]) -> Merge:
    def merge(older: list[Any], newer: list[Any], now_ms: int) -> list[Any]:
        pairs = in_time_order(older, newer)
        del pairs[: first_inside(pairs, now_ms - window_ms)]
        return joined_by_slot(pairs, window_ms, join) if len(pairs) > 2 * ENTRIES_MAX else pairs

    return merge


def _merge_extreme(better: Callable[[Any, Any], bool], window_ms: int | None) -> Merge:
    if window_ms is None:
        return lambda older, newer, _: older if better(older, newer) else newer
    join = _merge_window(window_ms, lambda older, _: older)

    def merge(older: list[Any], newer: list[Any], now_ms: int) -> Any:
        # The first of the later ones is their extreme: what it surpasses can never be one again.
        end = len(older)
        while newer and end and better(newer[1], older[end - 1]):
            end -= 2
        return join(older[:end], newer, now_ms)

    return merge
