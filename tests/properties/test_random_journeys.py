"""What holds whatever journeys say and whatever customers do."""

from __future__ import annotations

from hypothesis import given

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, encode_customer
from tests.properties.effort import examples
from tests.properties.playing import Case, cases, play, reopened
from tests.properties.random_logs import CUSTOMERS
from tests.properties.recount import CHECKS


@given(case=cases())
@examples(100)
def test_the_rules_for_all_journeys_hold_and_nothing_fails(case: Case) -> None:
    played = play(case)
    for check in CHECKS:
        check(played)


@given(case=cases(most=15))
@examples(40)
def test_an_event_that_comes_again_changes_nothing(case: Case) -> None:
    played = play(case)
    customers: dict[str, Customer] = {}
    for one in played.happenings:
        customer = customers.setdefault(one.customer_id, Customer())
        if one.event is None:
            fire_timers(played.journeys, customer, one.customer_id, one.at_ms, Effects())
            continue
        apply_event(played.journeys, customer, one.event, one.at_ms, Effects())
        before, effects = encode_customer(customer), Effects()
        apply_event(played.journeys, customer, one.event, one.at_ms + 1, effects)
        assert (effects.actions, effects.transitions, effects.duplicates) == ([], [], 1)
        assert encode_customer(customer) == before


@given(case=cases(most=15))
@examples(60)
def test_it_does_not_matter_when_a_worker_starts_again_or_gets_to_a_timer(case: Case) -> None:
    """The same log, with a restart after every moment and no tick of a timer before an event."""
    played = play(case)
    customers: dict[str, Customer] = {}
    effects = {customer_id: Effects() for customer_id in CUSTOMERS}
    for one in played.happenings:
        customer = customers.setdefault(one.customer_id, Customer())
        if one.event is None:
            fire_timers(played.journeys, customer, one.customer_id, one.at_ms, effects[one.customer_id])
        else:
            apply_event(played.journeys, customer, one.event, one.at_ms, effects[one.customer_id])
        customers[one.customer_id] = reopened(customer)
    for customer_id in CUSTOMERS:
        assert effects[customer_id].transitions == played.transitions(customer_id)
        assert effects[customer_id].actions == played.actions(customer_id)
        assert encode_customer(customers[customer_id]) == encode_customer(played.customers[customer_id])
