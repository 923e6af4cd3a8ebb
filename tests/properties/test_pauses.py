"""What holds where journeys are paused and run again, whatever they say and whatever customers do meanwhile."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given

from orchestrator.engine.decide import apply_event, bring_in_line, fire_timers
from orchestrator.model.actions import Effects, Transition
from orchestrator.model.customer import Customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.shared import Shared, decode_shared, encode_shared
from tests.properties.effort import examples
from tests.properties.playing import Case, InForce, Played, effects_in, pausing_cases, play, reopened
from tests.properties.random_logs import CUSTOMERS
from tests.properties.recount import CHECKS


@given(case=pausing_cases())
@examples(40)
def test_the_rules_for_all_journeys_hold_where_they_are_paused(case: Case) -> None:
    """Where customers are of two partitions; `test_reach` has them in one."""
    played = play(case, partitions=2)
    for check in CHECKS:
        check(played)


class Again:
    """A log once more, decision by decision, by workers of which each starts again after every decision."""

    def __init__(self, played: Played) -> None:
        self.journeys: JourneySet = played.first
        self.customers: dict[str, Customer] = {}
        self.shared: dict[int, Shared] = {}
        self.made: dict[str, list[Effects]] = {customer_id: [] for customer_id in CUSTOMERS}

    def effects(self, customer_id: str) -> Effects:
        found = effects_in(self.journeys, self.shared, customer_id, 1)
        self.made[customer_id].append(found)
        return found

    def take_up(self, change: InForce) -> None:
        """What is due by then is done under the set before."""
        for customer_id in sorted(self.customers) if change.sweeps else ():
            self.fire(customer_id, change.at_ms)
        self.journeys = change.journeys
        for customer_id in sorted(self.customers) if change.sweeps else ():
            customer = self.customers[customer_id]
            bring_in_line(self.journeys, customer, customer_id, change.at_ms, self.effects(customer_id))
            self.start_again(customer_id)

    def fire(self, customer_id: str, until_ms: int) -> None:
        fire_timers(self.journeys, self.customers[customer_id], customer_id, until_ms, self.effects(customer_id))
        self.start_again(customer_id)

    def apply(self, at_ms: int, event: Event) -> None:
        customer = self.customers[event.customer_id]
        apply_event(self.journeys, customer, event, at_ms, self.effects(event.customer_id))
        self.start_again(event.customer_id)

    def start_again(self, customer_id: str) -> None:
        self.customers[customer_id] = reopened(self.customers[customer_id])
        self.shared = {0: decode_shared(encode_shared(self.shared[0]), partition=0, partitions=1)}

    def needs_ticks(self, customer_id: str) -> bool:
        """Whether it matters which of the customer's timers and of the events is done first: where customers share
        something, and before the record is in line.
        """
        is_in_line = self.customers[customer_id].aligned == self.journeys.alignment
        return self.journeys.uses_shared or not is_in_line


@given(case=pausing_cases(most=15))
@examples(40)
def test_it_does_not_matter_when_a_worker_starts_again_in_a_pause_or_gets_to_a_timer(case: Case) -> None:
    played = play(case)
    again, coming = Again(played), list(played.changes)
    for number, (at_ms, customer_id, event) in enumerate(played.log):
        while coming and coming[0].at <= number:
            again.take_up(coming.pop(0))
        again.customers.setdefault(customer_id, Customer())
        if event is None or (again.needs_ticks(customer_id) and event.type != "customer_erased"):
            again.fire(customer_id, at_ms)
        if event is not None:
            again.apply(at_ms, event)
    for customer_id in CUSTOMERS:
        made = again.made[customer_id]
        assert [each for one in made for each in one.transitions] == played.transitions(customer_id)
        assert [each for one in made for each in one.actions] == played.actions(customer_id)
        kept, known = again.customers.get(customer_id), played.customers.get(customer_id)
        assert encode_customer(kept or Customer()) == encode_customer(known or Customer())
    assert again.shared.get(0) == played.shared.get(0)


@given(case=pausing_cases(most=15))
@examples(40)
def test_an_event_that_comes_again_in_a_pause_changes_nothing(case: Case) -> None:
    for one in play(case).happenings:
        if one.event is not None and one.event.type != "customer_erased":
            again, effects = reopened(one.then), Effects(shared=Shared())
            apply_event(one.journeys, again, one.event, one.at_ms + 1, effects)
            assert (effects.actions, effects.transitions, effects.events) == ([], [], [])
            assert effects.duplicates == 1
            assert again == one.then


@given(case=pausing_cases(most=20, apart=True))
@examples(40)
def test_journeys_that_share_nothing_with_a_paused_one_are_not_touched(case: Case) -> None:
    with_pauses, without = play(case), play(_never_paused(case))
    touched = {name for journeys in with_pauses.sets() for name in journeys.paused}
    for customer_id in CUSTOMERS:
        assert _told(with_pauses, customer_id, touched) == _told(without, customer_id, touched)


def _never_paused(case: Case) -> Case:
    changes = (replace(one, files={path: _live(text) for path, text in one.files.items()}) for one in case.changes)
    return replace(case, changes=tuple(changes))


def _live(text: str) -> str:
    return re.sub(r"^status: paused$", "status: live", text, flags=re.MULTILINE)


def _told(played: Played, customer_id: str, touched: set[str]) -> list[tuple[object, ...]]:
    """What happened to the customer in other journeys. Passages have other numbers, and so have messages."""
    return [_without_number(made) for made in played.transitions(customer_id) if made.journey not in touched]


def _without_number(made: Transition) -> tuple[object, ...]:
    return made.journey, made.kind, made.step, made.to, made.reason, made.value, made.at_ms, made.event_id
