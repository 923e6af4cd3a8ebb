"""What holds whatever journeys say and whatever customers do."""

from __future__ import annotations

import pytest
from hypothesis import given

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, encode_customer
from orchestrator.model.shared import Shared, decode_shared, encode_shared
from tests.properties.effort import examples
from tests.properties.playing import Case, Played, cases, changing_cases, effects_in, play, reopened
from tests.properties.random_logs import CUSTOMERS
from tests.properties.recount import CHECKS


@pytest.mark.parametrize("partitions", [1, 2])
def test_the_rules_for_all_journeys_hold_and_nothing_fails(partitions: int) -> None:
    @given(case=cases())
    @examples(100)
    def holds(case: Case) -> None:
        played = play(case, partitions=partitions)
        for check in CHECKS:
            check(played)

    holds()


@pytest.mark.parametrize("partitions", [1, 2])
def test_they_hold_also_where_other_journeys_come_into_force_on_the_way(partitions: int) -> None:
    @given(case=changing_cases())
    @examples(50)
    def holds(case: Case) -> None:
        played = play(case, partitions=partitions)
        for check in CHECKS:
            check(played)

    holds()


@given(case=cases(most=15))
@examples(40)
def test_an_event_that_comes_again_changes_nothing(case: Case) -> None:
    played = play(case)
    customers: dict[str, Customer] = {}
    shared: dict[int, Shared] = {}
    for at_ms, customer_id, event in played.log:
        customer = customers.setdefault(customer_id, Customer())
        if event is None:
            fire_timers(
                played.journeys, customer, customer_id, at_ms, effects_in(played.journeys, shared, customer_id, 1)
            )
            continue
        apply_event(played.journeys, customer, event, at_ms, effects_in(played.journeys, shared, customer_id, 1))
        before, effects = (encode_customer(customer), repr(shared)), effects_in(played.journeys, shared, customer_id, 1)
        apply_event(played.journeys, customer, event, at_ms + 1, effects)
        assert (effects.actions, effects.transitions, effects.events) == ([], [], [])
        assert effects.duplicates == (event.type != "customer_erased")
        assert (encode_customer(customer), repr(shared)) == before


@given(case=cases(most=15))
@examples(60)
def test_it_does_not_matter_when_a_worker_starts_again_or_gets_to_a_timer(case: Case) -> None:
    """The same log, with a restart after every moment and no tick of a timer before an event."""
    played = play(case)
    customers: dict[str, Customer] = {}
    shared: dict[int, Shared] = {}
    effects: dict[str, list[Effects]] = {customer_id: [] for customer_id in CUSTOMERS}
    for at_ms, customer_id, event in played.log:
        customer = customers.setdefault(customer_id, Customer())
        now = effects_in(played.journeys, shared, customer_id, 1)
        if event is None or (played.journeys.uses_shared and event.type != "customer_erased"):
            # What customers share makes the order of their timers matter.
            fire_timers(played.journeys, customer, customer_id, at_ms, now)
        if event is not None:
            apply_event(played.journeys, customer, event, at_ms, now)
        effects[customer_id].append(now)
        customers[customer_id] = reopened(customer)
        shared = {0: decode_shared(encode_shared(shared[0]), partition=0, partitions=1)}
    for customer_id in CUSTOMERS:
        assert [made for one in effects[customer_id] for made in one.transitions] == played.transitions(customer_id)
        assert [action for one in effects[customer_id] for action in one.actions] == played.actions(customer_id)
        assert [emitted for one in effects[customer_id] for emitted in one.events] == emitted_in(played, customer_id)
        assert encode_customer(customers[customer_id]) == encode_customer(played.customers.get(customer_id, Customer()))


def emitted_in(played: Played, customer_id: str) -> list[object]:
    """The events that journeys emitted about the customer, in order."""
    return [emitted for one in played.of(customer_id) for emitted in one.effects.events]
