"""Journeys told apart by what their entry conditions ask first: nobody is kept out who would come in."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer
from tests.properties.effort import examples
from tests.properties.playing import Case, cases, play
from tests.properties.random_logs import CUSTOMERS


@given(case=cases(most=15))
@examples(40)
def test_asking_every_journey_decides_the_same(case: Case) -> None:
    played = play(case)
    asking_all = replace(played.journeys, entry_indexes={})
    customers = {customer_id: Customer() for customer_id in CUSTOMERS}
    effects = {customer_id: Effects() for customer_id in CUSTOMERS}
    for one in played.happenings:
        who = one.customer_id
        fire_timers(asking_all, customers[who], who, one.at_ms, effects[who])
        if one.event is not None:
            apply_event(asking_all, customers[who], one.event, one.at_ms, effects[who])
    for who in CUSTOMERS:
        assert effects[who].transitions == played.transitions(who)
