"""What is kept of past events: exact while they are few, bounded however many they are, the same after a restart."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.engine.aggregates import (
    DAY_MS,
    ENTRIES_MAX,
    INTEGER_MAX,
    SLOTS,
    TEXT_MAX,
    fold_of,
    next_expiry_ms,
    read_of,
    update_aggregates,
)
from orchestrator.engine.distinct import VALUES_MAX, fold_distinct, hash_of, read_distinct
from orchestrator.engine.merging import merge_of
from orchestrator.engine.turn import Turn
from orchestrator.model.actions import Effects
from orchestrator.model.aggregates import Aggregate
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.types import Kind
from tests.engine.build import START, journeys

WINDOW = 1_000
Past = list[tuple[int, Any]]
"""(instant, value) in time order."""


def kept_of(name: str, of: Kind, window_ms: int | None, past: Past) -> Any:
    """What is kept after these events, with a restart after each."""
    fold = fold_of(name, of, window_ms)
    customer = Customer()
    for at_ms, value in past:
        customer.aggregates["k"] = fold(customer.aggregates.get("k"), value, at_ms)
        customer = decode_customer(encode_customer(customer))
    return customer.aggregates.get("k")


def by_hand(name: str, values: list[Any], zero: Any) -> Any:
    match name:
        case "count":
            return len(values)
        case "sum":
            return sum(values, zero)
        case "avg":
            return sum(values, zero) / len(values) if values else None
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)
        case "first":
            return values[0] if values else None
        case _:
            return values[-1] if values else None


def pasts(most: int) -> st.SearchStrategy[Past]:
    steps = st.lists(st.tuples(st.integers(0, 400), st.integers(-50, 50)), max_size=most)
    return steps.map(lambda pairs: [(START + sum(d for d, _ in pairs[: i + 1]), v) for i, (_, v) in enumerate(pairs)])


@pytest.mark.parametrize("name", ["count", "sum", "avg", "min", "max", "first", "last"])
@pytest.mark.parametrize("window_ms", [WINDOW, None])
@pytest.mark.parametrize("of", [Kind.INTEGER, Kind.DECIMAL])
@settings(max_examples=50)
@given(past=pasts(30), later_ms=st.integers(0, 2_000))
def test_it_says_what_counting_through_the_whole_past_says(
    name: str, window_ms: int | None, of: Kind, past: Past, later_ms: int
) -> None:
    make = Decimal if of is Kind.DECIMAL else int
    exact = [(at_ms, make(value)) for at_ms, value in past]
    now_ms = (past[-1][0] if past else START) + later_ms
    inside = [value for at_ms, value in exact if window_ms is None or at_ms > now_ms - window_ms]
    said = read_of(name, of, window_ms)(kept_of(name, of, window_ms, exact), now_ms)
    assert said == by_hand(name, inside, make(0))
    assert type(said) is type(by_hand(name, inside, make(0)))


@pytest.mark.parametrize("name", ["count", "sum", "avg", "min", "max", "first", "last"])
@settings(max_examples=25)
@given(gaps=st.lists(st.integers(0, 40), min_size=ENTRIES_MAX, max_size=300), data=st.data())
def test_beyond_the_bound_an_event_counts_at_most_a_slot_longer(
    name: str, gaps: list[int], data: st.DataObject
) -> None:
    """Against the true numbers for each window length between the exact one and one slot more."""
    past = [(START + sum(gaps[: i + 1]), i % 7) for i in range(len(gaps))]
    kept = kept_of(name, Kind.INTEGER, WINDOW, past)
    now_ms = past[-1][0] + data.draw(st.integers(0, WINDOW))
    said = read_of(name, Kind.INTEGER, WINDOW)(kept, now_ms)
    slot = -(-WINDOW // SLOTS)
    possible = [
        by_hand(name, [value for at_ms, value in past if at_ms > now_ms - WINDOW - more], 0) for more in range(slot + 1)
    ]
    if name == "avg":
        # Slots leave one by one, so the mean is that of some window in between.
        shares = [p for p in possible if p is not None]
        assert said is None if not shares else said in possible or min(shares) <= said <= max(shares)
    else:
        assert said in possible
    assert len(kept) <= 2 * ENTRIES_MAX


@pytest.mark.parametrize("name", ["count", "sum", "avg", "min", "max", "first", "last"])
def test_no_number_of_events_makes_a_record_grow_without_end(name: str) -> None:
    falling = [(START + i, 100_000 - i) for i in range(5_000)]
    kept = kept_of(name, Kind.INTEGER, 100_000, falling)
    assert not isinstance(kept, list) or len(kept) <= 2 * ENTRIES_MAX
    rising = [(START + i, i) for i in range(5_000)]
    kept = kept_of(name, Kind.INTEGER, 100_000, rising)
    assert not isinstance(kept, list) or len(kept) <= 2 * ENTRIES_MAX


def test_an_event_exactly_a_window_ago_is_out() -> None:
    kept = kept_of("count", Kind.INTEGER, WINDOW, [(START, None)])
    read = read_of("count", Kind.INTEGER, WINDOW)
    assert (read(kept, START + WINDOW - 1), read(kept, START + WINDOW)) == (1, 0)
    assert next_expiry_ms(kept, WINDOW, START) == START + WINDOW
    assert next_expiry_ms(kept, WINDOW, START + WINDOW) is None
    assert next_expiry_ms(None, WINDOW, START) is None


def test_a_day_since_an_event_is_over_after_24_hours() -> None:
    read = read_of("days_since", Kind.INTEGER, None)
    kept = kept_of("days_since", Kind.INTEGER, None, [(START, None)])
    assert [read(kept, START + at) for at in (0, DAY_MS - 1, DAY_MS, 60 * DAY_MS)] == [0, 0, 1, 60]
    assert read(None, START) is None


def test_sums_of_decimals_lose_no_digit() -> None:
    past = [
        (START + i, Decimal("0.01") if i % 2 else Decimal("12345678901234567890123456789012345.67")) for i in range(90)
    ]
    total = sum((value for _, value in past), Decimal(0))
    exact = Decimal("555555550555555555055555555505555555.60")
    assert total != exact, "which is what plain addition makes of it"
    for window_ms in (None, 10_000):
        kept = kept_of("sum", Kind.DECIMAL, window_ms, past)
        assert read_of("sum", Kind.DECIMAL, window_ms)(kept, START + 90) == exact


def test_a_long_text_is_kept_up_to_a_bound() -> None:
    assert kept_of("last", Kind.STRING, None, [(START, "x" * 10_000)]) == "x" * TEXT_MAX
    assert kept_of("first", Kind.STRING, WINDOW, [(START, "x" * 10_000)]) == [START, "x" * TEXT_MAX]


def updated(aggregate: Aggregate, *events: dict[str, Any]) -> tuple[Customer, Effects]:
    customer, effects = Customer(), Effects()
    for number, fields in enumerate(events):
        turn = Turn(journeys(), customer, "c1", fields, f"e{number}", START + number, effects)
        update_aggregates(turn, (aggregate,))
    return customer, effects


def test_null_and_what_is_no_number_are_left_out() -> None:
    total = Aggregate(
        "k",
        "sum(e.x)",
        "e",
        None,
        lambda s: s.event["x"],
        fold_of("sum", Kind.FLOAT, None),
        merge_of("sum", Kind.FLOAT, None),
    )
    events = [{"x": value} for value in (1.5, None, float("nan"), float("inf"), 2.0)]
    customer, effects = updated(total, *events)
    assert customer.aggregates == {"k": 3.5}
    assert effects.failures == []


def test_an_overflow_is_recorded_and_changes_nothing() -> None:
    total = Aggregate(
        "k",
        "sum(e.x)",
        "e",
        None,
        lambda s: s.event["x"],
        fold_of("sum", Kind.INTEGER, None),
        merge_of("sum", Kind.INTEGER, None),
    )
    customer, effects = updated(total, {"x": INTEGER_MAX}, {"x": 1})
    assert customer.aggregates == {"k": INTEGER_MAX}
    assert [failure.detail for failure in effects.failures] == ["OverflowError in sum(e.x)"]


def test_a_sum_of_a_window_that_is_out_of_range_does_not_end_the_decision() -> None:
    past = [(START + i, INTEGER_MAX) for i in range(3 * ENTRIES_MAX)]
    kept = kept_of("sum", Kind.INTEGER, 100_000, past)
    with pytest.raises(OverflowError):
        read_of("sum", Kind.INTEGER, 100_000)(kept, START + 3 * ENTRIES_MAX)


def distinct_kept(window_ms: int | None, past: Past) -> Any:
    """What is kept of different values after these events, with a restart after each."""
    fold = fold_distinct(window_ms)
    customer = Customer()
    for at_ms, value in past:
        customer.aggregates["k"] = fold(customer.aggregates.get("k"), value, at_ms)
        customer = decode_customer(encode_customer(customer))
    return customer.aggregates.get("k")


@pytest.mark.parametrize("window_ms", [WINDOW, None])
@settings(max_examples=50)
@given(past=pasts(60), later_ms=st.integers(0, 2_000))
def test_different_values_are_counted_exactly_up_to_a_bound(window_ms: int | None, past: Past, later_ms: int) -> None:
    now_ms = (past[-1][0] if past else START) + later_ms
    inside = {value for at_ms, value in past if window_ms is None or at_ms > now_ms - window_ms}
    assert read_distinct(window_ms)(distinct_kept(window_ms, past), now_ms) == len(inside)


@pytest.mark.parametrize("window_ms", [100_000, None])
@pytest.mark.parametrize("many", [65, 200, 1_000, 5_000])
def test_beyond_the_bound_different_values_are_estimated(window_ms: int | None, many: int) -> None:
    past = [(START + number % many + number // many, f"sku-{number % many}") for number in range(2 * many)]
    past.sort()
    kept = distinct_kept(window_ms, past)
    said = read_distinct(window_ms)(kept, past[-1][0])
    assert abs(said - many) <= 0.2 * many
    assert type(said) is int
    assert len(encode_customer(Customer(aggregates={"k": kept}))) < (6_200 if window_ms else 700)


def test_values_of_slots_that_have_gone_out_of_the_window_do_not_count_and_then_all_is_exact_again() -> None:
    window_ms = 32_000
    past = [(START + number * 100, f"sku-{number}") for number in range(1_000)]
    kept = distinct_kept(window_ms, past)
    read, end_ms = read_distinct(window_ms), past[-1][0]
    for later_ms in (0, 8_000, 16_000, 24_000):
        inside = sum(1 for at_ms, _ in past if at_ms > end_ms + later_ms - window_ms)
        assert abs(read(kept, end_ms + later_ms) - inside) <= 0.2 * inside + 10
    assert next_expiry_ms(kept, window_ms, end_ms) is not None
    assert read(kept, end_ms + window_ms) == 0
    again = fold_distinct(window_ms)(kept, "sku-1", end_ms + window_ms)
    assert again == [end_ms + window_ms, hash_of("sku-1")]


def test_a_repeated_value_counts_by_its_latest_event_and_takes_no_room() -> None:
    fold = fold_distinct(WINDOW)
    kept: Any = None
    for number in range(10 * VALUES_MAX):
        kept = fold(kept, "same", START + number)
    assert kept == [START + 10 * VALUES_MAX - 1, hash_of("same")]
    assert hash_of(Decimal("2.00")) == hash_of(Decimal(2))
