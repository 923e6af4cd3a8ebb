"""Clocks of the customer: due with the passages' timers, taken away before they fire, never in the way."""

from __future__ import annotations

from orchestrator.engine.clocks import set_clock, take_due_clock
from orchestrator.engine.decide import fire_timers
from orchestrator.model.actions import Effects
from orchestrator.model.customer import NEVER_MS, Customer, decode_customer, encode_customer, wake_at_ms
from tests.engine.build import journeys


def test_the_earliest_clock_wakes_the_customer() -> None:
    customer = Customer()
    set_clock(customer, "segment:b", 20)
    set_clock(customer, "segment:a", 10)
    assert wake_at_ms(customer) == 10
    set_clock(customer, "segment:a", NEVER_MS)
    assert wake_at_ms(decode_customer(encode_customer(customer))) == 20


def test_of_clocks_due_together_the_first_by_name_comes_first() -> None:
    customer = Customer(clocks={"segment:b": 10, "segment:a": 10, "segment:c": 11})
    assert [take_due_clock(customer, 10) for _ in range(3)] == ["segment:a", "segment:b", None]


def test_a_clock_that_nothing_knows_any_more_is_dropped_when_it_is_due() -> None:
    customer = Customer(clocks={"gone:x": 10, "gone:y": 30})
    fire_timers(journeys(), customer, "c1", 20, Effects())
    assert customer.clocks == {"gone:y": 30}
    assert customer.last_at_ms == 10
