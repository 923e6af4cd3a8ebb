"""Journeys told apart by what their entry conditions ask first: nobody is kept out who would come in."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.model.actions import Transition
from orchestrator.model.customer import Customer
from orchestrator.model.shared import Shared
from tests.properties.effort import examples
from tests.properties.playing import Case, cases, effects_in, play
from tests.properties.random_logs import CUSTOMERS


@given(case=cases(most=15))
@examples(40)
def test_asking_every_journey_decides_the_same(case: Case) -> None:
    played = play(case)
    asking_all = replace(played.journeys, entry_indexes={})
    customers = {customer_id: Customer() for customer_id in CUSTOMERS}
    effects: dict[str, list[Transition]] = {customer_id: [] for customer_id in CUSTOMERS}
    shared: dict[int, Shared] = {}
    for at_ms, who, event in played.log:
        now = effects_in(asking_all, shared, who, 1)
        if event is None or event.type != "customer_erased":
            fire_timers(asking_all, customers[who], who, at_ms, now)
        if event is not None:
            apply_event(asking_all, customers[who], event, at_ms, now)
        effects[who] += now.transitions
    for who in CUSTOMERS:
        assert effects[who] == played.transitions(who)
