"""What is kept of a customer's past events, and what it says at an instant: counts, sums, the last value, windows.

An event at `t` is in a window at `now` if `t > now - window`: one exactly `window` ago is out. Instants are those of
decisions, so they never run backwards for a customer.

What an aggregate with a window keeps is a flat list `[instant, value, instant, value, ...]` in time order. It is
exact up to `ENTRIES_MAX` events. Beyond, events of the same slot (`window / SLOTS` long) are joined under the instant
of the latest: from then on an event may count up to one slot longer than the window, and never shorter. So no customer
keeps more than `ENTRIES_MAX` pairs for one aggregate, however many events come.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any

from orchestrator.engine.turn import Turn
from orchestrator.model.actions import Failure
from orchestrator.model.aggregates import Aggregate
from orchestrator.model.customer import NEVER_MS
from orchestrator.model.types import Kind

ENTRIES_MAX = 64
"""How many events of a window are kept one by one; a pair takes 10 to 20 bytes in the customer record."""
SLOTS = 32
"""Into how many parts a window is divided when it holds more events than that."""
TEXT_MAX = 256
"""How many characters of a text are kept."""
DAY_MS = 86_400_000
INTEGER_MAX = (1 << 63) - 1

Fold = Callable[[Any, Any, int], Any]
Read = Callable[[Any, int], Any]

_EXACT = Context(prec=400)
"""Sums of decimals lose nothing: each has a few dozen digits at most."""


def update_aggregates(turn: Turn, aggregates: tuple[Aggregate, ...]) -> None:
    """Adds the turn's event to the aggregates. A null value, or one that is no finite number, leaves them as they are.

    An aggregate that cannot be evaluated is recorded as failed and stays as it was.
    """
    kept = turn.customer.aggregates
    for aggregate in aggregates:
        try:
            if aggregate.where is not None and not aggregate.where(turn):
                continue
            value = None
            if aggregate.value is not None:
                value = aggregate.value(turn)
                if value is None or (type(value) is float and value - value != 0):
                    continue
            kept[aggregate.key] = aggregate.fold(kept.get(aggregate.key), value, turn.now_ms)
        except ArithmeticError as error:
            turn.effects.failures.append(Failure("", "aggregate", f"{type(error).__name__} in {aggregate.text}"))


def fold_of(name: str, of: Kind, window_ms: int | None) -> Fold:
    """How the aggregate `name` of values of this kind takes an event in."""
    if window_ms is None:
        return _fold_for_ever(name, of)
    if name == "last":
        return lambda _, value, now_ms: [now_ms, stored_value(value)]
    if name in {"min", "max"}:
        return _fold_extreme(window_ms, better_of(name, of))
    if name == "count":
        return _fold_window(window_ms, lambda _: 1, lambda older, newer: older + newer)
    if name == "avg":
        add = addition_of(of, is_bounded=True)
        return _fold_window(
            window_ms, lambda value: [1, stored_value(value)], lambda one, two: [one[0] + two[0], add(one[1], two[1])]
        )
    return _fold_window(
        window_ms, stored_value, addition_of(of, is_bounded=True) if name == "sum" else lambda older, _: older
    )


def read_of(name: str, of: Kind, window_ms: int | None) -> Read:
    """What the aggregate `name` says, given what is kept (None: nothing yet) and the instant."""
    match name:
        case "count":
            return _read_count(window_ms)
        case "sum":
            return _read_sum(of, window_ms)
        case "avg":
            return _read_average(of, window_ms)
        case "days_since":
            return lambda kept, now_ms: None if kept is None else (now_ms - kept) // DAY_MS
        case _:
            return _read_one(of, window_ms)


def next_expiry_ms(kept: Any, window_ms: int, now_ms: int) -> int | None:
    """When the earliest event that is still in the window goes out of it; None if there is none."""
    start = 0 if kept is None else first_inside(kept, now_ms - window_ms)
    return None if kept is None or start >= len(kept) else int(kept[start]) + window_ms


def next_fall_ms(kept: Any, window_ms: int, levels: tuple[int, ...], now_ms: int) -> int:
    """When a count over a window next falls below one of the levels, as events go out of it; NEVER_MS if never."""
    if not kept:
        return NEVER_MS
    start = first_inside(kept, now_ms - window_ms)
    left = sum(kept[start + 1 :: 2])
    level = max([level for level in levels if 0 < level <= left], default=0)
    for index in range(start, len(kept) if level else start, 2):
        left -= kept[index + 1]
        if left < level:
            return int(kept[index]) + window_ms
    return NEVER_MS


def first_inside(kept: list[Any], since_ms: int) -> int:
    """The index of the first pair later than this instant.

    >>> first_inside([10, 1, 20, 1, 30, 1], 20)
    4
    """
    index, end = 0, len(kept)
    while index < end and kept[index] <= since_ms:
        index += 2
    return index


def stored_value(value: Any) -> Any:
    """The value as it is kept."""
    if type(value) is Decimal:
        return str(value)
    return value[:TEXT_MAX] if type(value) is str else value


def _load(of: Kind) -> Callable[[Any], Any] | None:
    return Decimal if of is Kind.DECIMAL else None


def addition_of(of: Kind, *, is_bounded: bool = False) -> Callable[[Any, Any], Any]:
    """How two sums of values of this kind, in stored form, are added up."""
    if of is Kind.DECIMAL:
        return lambda one, two: str(_EXACT.add(Decimal(one), Decimal(two)))
    if of is Kind.INTEGER and not is_bounded:
        return lambda one, two: _whole(one + two)
    if of is Kind.INTEGER:
        # Joining what is kept must not fail: the sum over the window will say that it is out of range.
        return lambda one, two: max(-INTEGER_MAX, min(INTEGER_MAX, one + two))
    return lambda one, two: one + two


def _whole(value: int) -> int:
    if -INTEGER_MAX <= value <= INTEGER_MAX:
        return value
    raise OverflowError("whole number out of range")


def better_of(name: str, of: Kind) -> Callable[[Any, Any], bool]:
    """Whether the first value is at least as good as the second."""
    load = _load(of)
    if load is not None:
        read = load
        if name == "min":
            return lambda one, other: bool(read(one) <= read(other))
        return lambda one, other: bool(read(one) >= read(other))
    if name == "min":
        return lambda one, other: bool(one <= other)
    return lambda one, other: bool(one >= other)


def _fold_for_ever(name: str, of: Kind) -> Fold:
    match name:
        case "count":
            return lambda kept, _, __: 1 if kept is None else kept + 1
        case "sum":
            add = addition_of(of)
            return lambda kept, value, _: stored_value(value) if kept is None else add(kept, stored_value(value))
        case "avg":
            join = addition_of(of)
            return lambda kept, value, _: (
                [1, stored_value(value)] if kept is None else [kept[0] + 1, join(kept[1], stored_value(value))]
            )
        case "min" | "max":
            better = better_of(name, of)
            return lambda kept, value, _: (
                kept if kept is not None and better(kept, stored_value(value)) else stored_value(value)
            )
        case "first":
            return lambda kept, value, _: stored_value(value) if kept is None else kept
        case "last":
            return lambda _, value, __: stored_value(value)
        case _:
            return lambda _, __, now_ms: now_ms


def _fold_window(window_ms: int, made: Callable[[Any], Any], join: Callable[[Any, Any], Any]) -> Fold:
    def fold(kept: Any, value: Any, now_ms: int) -> Any:
        if kept is None:
            return [now_ms, made(value)]
        if kept and kept[0] <= now_ms - window_ms:
            del kept[: first_inside(kept, now_ms - window_ms)]
        kept += (now_ms, made(value))
        if len(kept) > 2 * ENTRIES_MAX:
            return joined_by_slot(kept, window_ms, join)
        return kept

    return fold


def _fold_extreme(window_ms: int, better: Callable[[Any, Any], bool]) -> Fold:
    """Keeps only the events that can still become the extreme one: what a later event surpasses cannot."""

    def fold(kept: Any, value: Any, now_ms: int) -> Any:
        if kept is None:
            return [now_ms, stored_value(value)]
        if kept and kept[0] <= now_ms - window_ms:
            del kept[: first_inside(kept, now_ms - window_ms)]
        while kept and better(stored_value(value), kept[-1]):
            del kept[-2:]
        kept += (now_ms, stored_value(value))
        if len(kept) > 2 * ENTRIES_MAX:
            return joined_by_slot(kept, window_ms, lambda older, _: older)
        return kept

    return fold


def joined_by_slot(kept: list[Any], window_ms: int, join: Callable[[Any, Any], Any]) -> list[Any]:
    """The pairs with those of one slot joined into one, under the instant of the latest."""
    width = -(-window_ms // SLOTS)
    joined: list[Any] = []
    slot = None
    for index in range(0, len(kept), 2):
        at_ms, value = kept[index], kept[index + 1]
        if at_ms // width == slot:
            joined[-2] = at_ms
            joined[-1] = join(joined[-1], value)
        else:
            joined += (at_ms, value)
            slot = at_ms // width
    return joined


def _inside(kept: list[Any], window_ms: int, now_ms: int) -> list[Any]:
    """The values that are in the window, in time order."""
    since_ms = now_ms - window_ms
    if kept and kept[0] > since_ms:
        return kept[1::2]
    return kept[first_inside(kept, since_ms) + 1 :: 2]


def _read_count(window_ms: int | None) -> Read:
    if window_ms is None:
        return lambda kept, _: kept or 0
    window = window_ms
    return lambda kept, now_ms: sum(_inside(kept, window, now_ms)) if kept else 0


def _sum(of: Kind) -> Callable[[list[Any]], Any]:
    if of is Kind.DECIMAL:

        def exact(values: list[Any]) -> Decimal:
            total = Decimal(0)
            for value in values:
                total = _EXACT.add(total, Decimal(value))
            return total

        return exact
    if of is Kind.INTEGER:
        return lambda values: _whole(sum(values))
    return lambda values: sum(values, 0.0)


def _read_sum(of: Kind, window_ms: int | None) -> Read:
    add_up = _sum(of)
    if window_ms is not None:
        window = window_ms
        return lambda kept, now_ms: add_up(_inside(kept, window, now_ms) if kept else [])
    return lambda kept, _: add_up([] if kept is None else [kept])


def _read_average(of: Kind, window_ms: int | None) -> Read:
    add_up = _sum(of)

    def read(kept: Any, now_ms: int) -> Any:
        if not kept:
            return None
        pairs = [kept] if window_ms is None else _inside(kept, window_ms, now_ms)
        return add_up([total for _, total in pairs]) / sum(count for count, _ in pairs) if pairs else None

    return read


def _read_one(of: Kind, window_ms: int | None) -> Read:
    """Of the pairs of a window, `min`, `max` and `first` are the first one's value; of `last` there is one only."""
    load = _load(of)

    def read(kept: Any, now_ms: int) -> Any:
        if kept is None:
            return None
        if window_ms is not None:
            index = first_inside(kept, now_ms - window_ms) + 1
            if index >= len(kept):
                return None
            kept = kept[index]
        return kept if load is None else load(kept)

    return read
