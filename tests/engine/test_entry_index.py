"""Journeys found by what they need of an event: the same that asking each of them finds."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.engine.entry_index import index_of, worth_asking
from orchestrator.model.journey import EntryIndex, Exit, Journey
from orchestrator.model.triggers import Need, Range
from tests.engine.build import journey

ENDS = st.sampled_from([1, 2, 2.5, Decimal(3), 4, float("inf"), float("-inf")])
VALUES = [None, 0, 1, 1.5, Decimal(2), 2.5, 3, 3.5, 4, 9, float("inf"), float("-inf"), float("nan"), Decimal("NaN")]


@st.composite
def needs(draw: st.DrawFn) -> Need:
    """What may be needed of one of two fields."""
    field = draw(st.sampled_from("ab"))
    listed = draw(st.frozensets(ENDS | st.none(), min_size=1, max_size=3))
    if draw(st.booleans()):
        return Need(field, listed)
    ends: list[Any] = [end for end in (float("-inf"), 1, 2, 2.5, 3, 4, float("inf")) if end in listed]
    low, high = (ends[0], ends[-1]) if len(ends) > 1 else (ends[0] if ends else None, None)
    first = Range(low, draw(st.booleans()), high, draw(st.booleans()))
    return Need(field, draw(st.sampled_from([frozenset(), frozenset({None})])), (first,))


def named(number: int, *needed: Need) -> Journey:
    found = journey(Exit("end", "done"), name=f"j{number:04}")
    return replace(found, entry=replace(found.entry, needs=needed))


def meets(value: Any, need: Need) -> bool:
    """Whether the value is what is needed, looked at one by one; NaN may be, since only the condition can say."""
    if value in need.values:
        return True
    if value is None:
        return False
    return any(
        value != value  # noqa: PLR0124 - only NaN is like that
        or (
            (one.low is None or value > one.low or (one.has_low and value == one.low))
            and (one.high is None or value < one.high or (one.has_high and value == one.high))
        )
        for one in need.ranges
    )


def indexed(*needed: tuple[Need, ...]) -> EntryIndex:
    found = index_of(tuple(named(number, *one) for number, one in enumerate(needed)))
    assert found is not None
    return found


def asked(index: EntryIndex, **fields: Any) -> list[int]:
    return [int(found.name[1:]) for found in worth_asking(index, fields)]


@given(
    needed=st.lists(st.lists(needs(), max_size=2).map(tuple), min_size=1, max_size=12),
    a=st.sampled_from(VALUES),
    b=st.sampled_from(VALUES),
)
@settings(max_examples=300, deadline=None)
def test_whoever_may_enter_is_asked_and_each_is_met_by_one_of_its_needs(
    needed: list[tuple[Need, ...]], a: Any, b: Any
) -> None:
    index = index_of(tuple(named(number, *one) for number, one in enumerate(needed)))
    fields = {"a": a, "b": b}
    met = [[meets(fields[need.field], need) for need in one] for one in needed]
    if index is None:
        assert not any(needed)
        return
    found = asked(index, **fields)
    assert found == sorted(set(found))
    assert {number for number, one in enumerate(met) if all(one)} <= set(found)
    assert set(found) <= {number for number, one in enumerate(met) if any(one) or not one}


def test_one_of_a_thousand_ranges_is_found() -> None:
    index = indexed(*((Need("a", ranges=(Range(n, False, n + 1, True),)),) for n in range(1_000)))
    assert asked(index, a=Decimal("40.01")) == [40]
    assert asked(index, a=41) == [40]
    assert asked(index, a=0) == asked(index, a=None) == asked(index, a=1_001) == []


def test_ranges_that_all_overlap_take_little_room() -> None:
    index = indexed(*((Need("a", ranges=(Range(n, True),)),) for n in range(1_000)))
    assert len(asked(index, a=499)) == 500
    assert sum(len(node) for by in index.by_field for node in by.tree) < 1_000 * 22


def test_each_is_found_by_what_the_fewest_others_need() -> None:
    wide = Need("a", ranges=(Range(0, True, 10_000, False),))
    shops = indexed(*((wide, Need("b", frozenset({f"shop{n}"}))) for n in range(100)))
    assert asked(shops, a=5, b="shop7") == [7]
    amounts = indexed(
        *((Need("b", frozenset({"DE"})), Need("a", ranges=(Range(n, True, n, True),))) for n in range(100))
    )
    assert asked(amounts, a=5, b="DE") == [5]
