"""Two parts of a past put together say what the whole says."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.engine.aggregates import ENTRIES_MAX, INTEGER_MAX, SLOTS, fold_of, read_of
from orchestrator.engine.distinct import VALUES_MAX, fold_distinct, merge_distinct, read_distinct
from orchestrator.engine.merging import merge_of
from orchestrator.model.aggregates import decode_kept, encode_kept
from orchestrator.model.types import Kind
from tests.engine.build import START
from tests.engine.test_aggregates import WINDOW, Past, by_hand, kept_of, pasts

NAMES = ["count", "sum", "avg", "min", "max", "first", "last"]


def stored(kept: Any) -> Any:
    """What is kept, on its way through a record."""
    return decode_kept(encode_kept(kept))


def in_two_parts(name: str, of: Kind, window_ms: int | None, past: Past, cut: int, now_ms: int) -> Any:
    older = kept_of(name, of, window_ms, past[:cut])
    newer = kept_of(name, of, window_ms, past[cut:])
    if older is None or newer is None:
        return newer if older is None else stored(older)
    return merge_of(name, of, window_ms)(stored(older), newer, now_ms)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("window_ms", [WINDOW, None])
@pytest.mark.parametrize("of", [Kind.INTEGER, Kind.DECIMAL])
@settings(max_examples=40)
@given(past=pasts(40), cut=st.integers(0, 40), waits=st.lists(st.integers(0, 1_200), min_size=1, max_size=4))
def test_both_parts_say_what_the_whole_says_now_and_later(
    name: str, window_ms: int | None, of: Kind, past: Past, cut: int, waits: list[int]
) -> None:
    make = Decimal if of is Kind.DECIMAL else int
    exact = [(at_ms, make(value)) for at_ms, value in past]
    now_ms = (past[-1][0] if past else START) + waits[0]
    kept = in_two_parts(name, of, window_ms, exact, cut, now_ms)
    fold, read = fold_of(name, of, window_ms), read_of(name, of, window_ms)
    whole = kept_of(name, of, window_ms, exact)
    for wait in waits:
        now_ms += wait
        assert read(kept, now_ms) == read(whole, now_ms)
        # Events go on coming, and are taken in by what was put together as by the whole.
        kept, whole = (fold(copy.deepcopy(one), make(wait), now_ms) for one in (kept, whole))
        assert read(kept, now_ms) == read(whole, now_ms)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(gaps=st.lists(st.integers(0, 40), min_size=ENTRIES_MAX, max_size=300), cut=st.integers(0, 300), data=st.data())
def test_beyond_the_bound_an_event_counts_at_most_a_slot_longer(
    name: str, gaps: list[int], cut: int, data: st.DataObject
) -> None:
    past = [(START + sum(gaps[: i + 1]), i % 7) for i in range(len(gaps))]
    now_ms = past[-1][0] + data.draw(st.integers(0, WINDOW))
    kept = in_two_parts(name, Kind.INTEGER, WINDOW, past, cut, past[-1][0])
    said = read_of(name, Kind.INTEGER, WINDOW)(kept, now_ms)
    slot = -(-WINDOW // SLOTS)
    possible = [
        by_hand(name, [value for at_ms, value in past if at_ms > now_ms - WINDOW - more], 0) for more in range(slot + 1)
    ]
    if name == "avg":
        shares = [p for p in possible if p is not None]
        assert said is None if not shares else said in possible or min(shares) <= said <= max(shares)
    else:
        assert said in possible
    assert len(kept) <= 2 * ENTRIES_MAX


@pytest.mark.parametrize("window_ms", [WINDOW, None])
@settings(max_examples=60)
@given(past=pasts(60), cut=st.integers(0, 60), later_ms=st.integers(0, 2_000))
def test_different_values_of_both_parts_are_counted_once(
    window_ms: int | None, past: Past, cut: int, later_ms: int
) -> None:
    kept = distinct_in_two_parts(window_ms, past, cut)
    now_ms = (past[-1][0] if past else START) + later_ms
    inside = {value for at_ms, value in past if window_ms is None or at_ms > now_ms - window_ms}
    assert read_distinct(window_ms)(kept, now_ms) == len(inside)


@pytest.mark.parametrize("window_ms", [100_000, None])
@pytest.mark.parametrize("cut", [10, 300, 590])
def test_many_different_values_of_both_parts_are_estimated_as_those_of_the_whole(
    window_ms: int | None, cut: int
) -> None:
    past: Past = [(START + 100 * i, i % 400) for i in range(600)]
    kept = distinct_in_two_parts(window_ms, past, cut)
    said = read_distinct(window_ms)(kept, past[-1][0])
    assert abs(said - 400) <= 0.13 * 400
    assert cut != 10 or type(kept) is not list or len(kept) <= 2 * VALUES_MAX


def distinct_in_two_parts(window_ms: int | None, past: Past, cut: int) -> Any:
    fold = fold_distinct(window_ms)
    parts: list[Any] = [None, None]
    for index, (at_ms, value) in enumerate(past):
        parts[index >= cut] = fold(parts[index >= cut], value, at_ms)
    older, newer = parts
    if older is None or newer is None:
        return newer if older is None else stored(older)
    return merge_distinct(window_ms)(stored(older), newer, past[-1][0])


def test_days_since_are_those_since_the_later_event() -> None:
    assert merge_of("days_since", Kind.INTEGER, None)(START, START + 5, START + 9) == START + 5


def test_later_events_never_lie_before_earlier_ones() -> None:
    """A type that nobody decided about before did not bring the customer's time on."""
    merged = merge_of("count", Kind.INTEGER, WINDOW)([START, 1, START + 50, 1], [START + 20, 1, START + 70, 1], START)
    assert merged == [START, 1, START + 50, 1, START + 50, 1, START + 70, 1]


def test_a_sum_out_of_range_is_an_arithmetic_error() -> None:
    with pytest.raises(OverflowError):
        merge_of("sum", Kind.INTEGER, None)(INTEGER_MAX, 1, START)
