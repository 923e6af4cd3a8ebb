"""Which journeys may let a customer in at an event: found by the event's fields, not by asking each journey.

Each journey is found by that of its needs which the fewest other journeys share, so that an event reaches few that it
does not concern, whatever their conditions have in common. Whoever is found is asked as before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.model.journey import EntryIndex, Journey
from orchestrator.model.triggers import FieldIndex, Need, Range


def worth_asking(index: EntryIndex, fields: Mapping[str, Any]) -> tuple[Journey, ...]:
    """The journeys whose entry conditions may hold, or fail, for an event with these fields, in name order."""
    found: tuple[int, ...] = ()
    for by in index.by_field:
        value = fields.get(by.field)
        found += by.by_value.get(value, ())
        if by.ranged and value is not None:
            found += _within(by, value)
    if not found:
        return index.others
    entered = index.entered
    return tuple([entered[place] for place in sorted(found + index.other_places)])


def _within(by: FieldIndex, value: Any) -> tuple[int, ...]:
    """Those in one of whose ranges the value is; everyone if it has no place in an order."""
    if value != value:  # noqa: PLR0124 - only NaN is like that; what is said of it is for each condition to say
        return by.ranged
    tree = by.tree
    node = len(tree) // 2 + _place(by.ends, value)
    found: tuple[int, ...] = ()
    while node:
        found += tree[node]
        node >>= 1
    return found


def _place(ends: tuple[Any, ...], value: Any) -> int:
    """The number of the value's place: 0 before the first end, 1 at it, 2 between it and the second, and so on."""
    at = bisect_left(ends, value)
    return 2 * at + (at < len(ends) and ends[at] == value)


def index_of(entered: tuple[Journey, ...]) -> EntryIndex | None:
    """The index of the journeys of one event type, given in name order; None if nothing can be told apart."""
    if not any(journey.entry.needs for journey in entered):
        return None
    crowds = _Crowds([need for journey in entered for need in journey.entry.needs])
    chosen: dict[str, dict[int, Need]] = {}
    for place, journey in enumerate(entered):
        if journey.entry.needs:
            least = min(journey.entry.needs, key=crowds.around)
            chosen.setdefault(least.field, {})[place] = least
    others = [place for place, journey in enumerate(entered) if not journey.entry.needs]
    return EntryIndex(
        entered,
        tuple(_field_index(field, needs) for field, needs in chosen.items()),
        tuple(entered[place] for place in others),
        tuple(others),
    )


def _field_index(field: str, needs: Mapping[int, Need]) -> FieldIndex:
    by_value: dict[Any, list[int]] = {}
    for place, need in needs.items():
        for value in need.values:
            by_value.setdefault(value, []).append(place)
    ends = _ends(needs.values())
    size = 2 * len(ends) + 1
    tree: list[list[int]] = [[] for _ in range(2 * size)]
    for place, need in needs.items():
        for one in need.ranges:
            low, high = _places(ends, one)
            # The nodes that make up the range exactly: two on each level at most, which bounds what is kept.
            low, high = low + size, high + size
            while low < high:
                if low & 1:
                    tree[low].append(place)
                    low += 1
                if high & 1:
                    high -= 1
                    tree[high].append(place)
                low, high = low >> 1, high >> 1
    ranged = tuple(place for place, need in needs.items() if need.ranges)
    told_apart = {value: tuple(places) for value, places in by_value.items()}
    return FieldIndex(field, told_apart, ends, tuple(tuple(node) for node in tree), ranged)


def _ends(needs: Iterable[Need]) -> tuple[Any, ...]:
    ends = {end for need in needs for one in need.ranges for end in (one.low, one.high) if end is not None}
    return tuple(sorted(ends))


def _places(ends: tuple[Any, ...], one: Range) -> tuple[int, int]:
    """The first place that belongs to the range, and the first after it that does not."""
    low = 0 if one.low is None else _place(ends, one.low) + (not one.has_low)
    high = 2 * len(ends) + 1 if one.high is None else _place(ends, one.high) + one.has_high
    return low, high


class _Crowds:
    """How many journeys need about the same, for each field."""

    def __init__(self, needs: list[Need]) -> None:
        self.of_value = Counter((need.field, value) for need in needs for value in need.values)
        self.ends = {field: _ends(n for n in needs if n.field == field) for field in {n.field for n in needs}}
        self.sums: dict[str, list[int]] = {}
        changes = {field: [0] * (2 * len(ends) + 2) for field, ends in self.ends.items()}
        for need in needs:
            for one in need.ranges:
                low, high = _places(self.ends[need.field], one)
                changes[need.field][low] += 1
                changes[need.field][high] -= 1
        for field, change in changes.items():
            met, sums = 0, [0]
            for one_more in change:
                met += one_more
                sums.append(sums[-1] + met)
            self.sums[field] = sums

    def around(self, need: Need) -> float:
        """How many journeys, on the average over its ranges and at worst over its values, are met with it."""
        most = float(max((self.of_value[need.field, value] for value in need.values), default=0))
        sums, cells, met = self.sums[need.field], 0, 0
        for one in need.ranges:
            low, high = _places(self.ends[need.field], one)
            cells += high - low
            met += sums[high] - sums[low]
        return max(most, met / cells if cells else 0.0)
