"""Sets of the values that pass a condition: intervals between two ends, and whether null and NaN are among them.

What `event.total > 40 and event.total <= 50` lets through is one of them. Nothing here depends on the type of the
values but `is_empty`: a type has values that others have not (there is no whole number between 3 and 4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import Any

from orchestrator.model.types import Kind, Type

WHOLE = frozenset({Kind.INTEGER, Kind.INSTANT, Kind.DATE, Kind.DURATION})

Cut = tuple[int, Any, int]
"""A place between values: (0, value, -1) is just before the value, (0, value, 1) just after it. Cuts are in order."""
FIRST: Cut = (-1, 0, 0)
LAST: Cut = (1, 0, 0)
Span = tuple[Cut, Cut]
"""The values between two cuts, of which the first is the lesser."""


def before(value: Any) -> Cut:
    """The place just before the value."""
    return 0, value, -1


def after(value: Any) -> Cut:
    """The place just after the value."""
    return 0, value, 1


@dataclass(frozen=True, slots=True)
class ValueSet:
    """`spans` are in order and do not touch; `null` and `nan` say whether these two, which have no order, belong to it.

    >>> over_forty = solutions(">", 40)
    >>> (over_forty & solutions("<=", 50)).spans
    (((0, 40, 1), (0, 50, 1)),)
    >>> (over_forty | ~over_forty) == EVERYTHING
    True
    """

    spans: tuple[Span, ...]
    null: bool = False
    nan: bool = False

    def __and__(self, other: ValueSet) -> ValueSet:
        spans = [
            (low, high)
            for one in self.spans
            for two in other.spans
            if (low := max(one[0], two[0])) < (high := min(one[1], two[1]))
        ]
        return ValueSet(tuple(spans), self.null and other.null, self.nan and other.nan)

    def __or__(self, other: ValueSet) -> ValueSet:
        joined: list[Span] = []
        for low, high in sorted((*self.spans, *other.spans)):
            if joined and low <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], high))
            else:
                joined.append((low, high))
        return ValueSet(tuple(joined), self.null or other.null, self.nan or other.nan)

    def __invert__(self) -> ValueSet:
        ends = [FIRST, *(cut for span in self.spans for cut in span), LAST]
        gaps = [(low, high) for low, high in zip(ends[::2], ends[1::2], strict=True) if low < high]
        return ValueSet(tuple(gaps), not self.null, not self.nan)

    def __contains__(self, value: object) -> bool:
        if value is None:
            return self.null
        if value != value:  # noqa: PLR0124 - only NaN is like that
            return self.nan
        return any(low < after(value) and before(value) < high for low, high in self.spans)

    def is_empty(self, of: Type) -> bool:
        """Whether no value of this type belongs to it."""
        if (self.null and of.nullable) or (self.nan and of.kind is Kind.FLOAT):
            return False
        if of.kind in WHOLE:
            return not any(_has_whole_number(span) for span in self.spans)
        return not self.spans

    def points(self) -> frozenset[Any] | None:
        """Its values, null among them, if it is a list of such; None if it is more than that."""
        values = {low[1] for low, high in self.spans if low[0] == 0 and high == after(low[1])}
        if self.nan or len(values) < len(self.spans):
            return None
        return frozenset({*values, None} if self.null else values)


NOTHING = ValueSet(())
EVERYTHING = ValueSet(((FIRST, LAST),), null=True, nan=True)


def values(listed: Iterable[Any]) -> ValueSet:
    """The set of these values, null among them or not."""
    found = set(listed)
    spans = tuple((before(value), after(value)) for value in sorted(value for value in found if value is not None))
    return ValueSet(spans, None in found)


def between(low: Any, high: Any) -> ValueSet:
    """The values from `low` to `high`, both included; None for no end."""
    return ValueSet(((FIRST if low is None else before(low), LAST if high is None else after(high)),))


def solutions(operator: str, value: Any) -> ValueSet:
    """What passes a comparison with this value on its right: null equals null and is in no order."""
    match operator:
        case "==":
            return values([value])
        case "!=":
            return ~values([value])
        case _ if value is None:
            return NOTHING
        case "<":
            return ValueSet(((FIRST, before(value)),))
        case "<=":
            return ValueSet(((FIRST, after(value)),))
        case ">":
            return ValueSet(((after(value), LAST),))
        case ">=":
            return ValueSet(((before(value), LAST),))
        case _:
            raise ValueError(f"{operator} is no comparison")


def _has_whole_number(span: Span) -> bool:
    (_, low, low_side), (_, high, high_side) = span
    if FIRST in span or LAST in span or not (isfinite(low) and isfinite(high)):
        return True
    least = floor(low) + 1 if low_side > 0 else ceil(low)
    most = ceil(high) - 1 if high_side < 0 else floor(high)
    return bool(least <= most)
