"""The engine without Kafka: customer records in a dict, timers in a heap.

Scenarios, simulations and replays run on it. It keeps the order of `docs/architecture.md` ("Time") with code of its
own, so that comparing its actions with the worker's proves something.
"""

from __future__ import annotations

from heapq import heappop, heappush

from orchestrator.engine.decide import apply_event, bring_in_line, fire_timers, realign
from orchestrator.engine.erasure import ERASED
from orchestrator.model.actions import Effects
from orchestrator.model.customer import NEVER_MS, Customer, wake_at_ms
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.shared import Shared


class OfflineEngine:
    """Customers and their timers under one journey set, as one of so many partitions has them. Instants are
    milliseconds since the epoch, UTC.

    Events that journeys emit are applied as soon as the decision that emits them is made, at its time; without
    `returns_emitted` they are not, for a log that holds them already.

    `journeys` may be exchanged between calls: customers inside stay with their version, which the new set must hold.
    """

    def __init__(
        self, journeys: JourneySet, *, partition: int = 0, partitions: int = 1, returns_emitted: bool = True
    ) -> None:
        self.journeys = journeys
        self._returns_emitted = returns_emitted
        self.shared = Shared(partition, partitions)
        self.customers: dict[str, Customer] = {}
        self._wakes: dict[bytes, int] = {}
        # Entries of the heap that differ from `_wakes` are out of date; they are skipped when they come up.
        self._heap: list[tuple[int, bytes]] = []

    def apply(self, at_ms: int, event: Event) -> Effects:
        """What one event leads to, the customer's own timers due at or before it included."""
        effects = self._effects()
        customer = self.customers.get(event.customer_id)
        if customer is None:
            customer = self.customers[event.customer_id] = Customer()
        # Of a customer who is to be forgotten nothing that was due is done any more.
        if self._returns_emitted and self.journeys.emits and event.type != ERASED:
            self._catch_up(customer, event.customer_id, at_ms, effects)
        apply_event(self.journeys, customer, event, at_ms, effects)
        self._return_emitted(customer, effects, 0)
        self._set_wake(event.customer_id.encode(), wake_at_ms(customer))
        return effects

    def advance(self, until_ms: int, until_customer: bytes | None = None) -> Effects:
        """What all timers due at or before the bound lead to, in (due, customer id) order.

        The bound is (until_ms, until_customer), itself included; without a customer, everything due at `until_ms`.
        """
        effects = self._effects()
        while (wake := self.next_wake()) is not None:
            due_ms, key = wake
            if due_ms > until_ms or (due_ms == until_ms and until_customer is not None and key > until_customer):
                break
            self._fire(due_ms, key, effects)
        return effects

    def bring_in_line(self, at_ms: int, after: bytes = b"", until: bytes | None = None) -> Effects:
        """Brings customers in (after, until], all if nothing is said, in line with the journey set, in key order.

        Timers due at or before `at_ms` must have fired.
        """
        effects = self._effects()
        keys = sorted(key for name in self.customers if (key := name.encode()) > after)
        for key in keys if until is None else (key for key in keys if key <= until):
            customer_id = key.decode()
            customer = self.customers[customer_id]
            if bring_in_line(self.journeys, customer, customer_id, at_ms, effects):
                self._set_wake(key, wake_at_ms(customer))
        return effects

    def next_wake(self) -> tuple[int, bytes] | None:
        """The earliest (due, customer id) of all pending timers, or None."""
        heap = self._heap
        while heap:
            due_ms, key = heap[0]
            if self._wakes.get(key) == due_ms:
                return due_ms, key
            heappop(heap)
        return None

    def put(self, customer_id: str, customer: Customer) -> None:
        """Makes this the customer's record, its timers included."""
        self.customers[customer_id] = customer
        self._set_wake(customer_id.encode(), wake_at_ms(customer))

    def _effects(self) -> Effects:
        return Effects(shared=self.shared if self.journeys.uses_shared else None)

    def align(self, customer_id: str, at_ms: int) -> Effects:
        """Brings the customer's record in line with the journeys."""
        effects = self._effects()
        customer = self.customers[customer_id]
        realign(self.journeys, customer, customer_id, at_ms, effects)
        self._return_emitted(customer, effects, 0)
        self._set_wake(customer_id.encode(), wake_at_ms(customer))
        return effects

    def _fire(self, due_ms: int, key: bytes, effects: Effects) -> None:
        customer_id = key.decode()
        customer = self.customers[customer_id]
        emitted = len(effects.events)
        fire_timers(self.journeys, customer, customer_id, due_ms, effects)
        self._return_emitted(customer, effects, emitted)
        next_ms = wake_at_ms(customer)
        if next_ms <= due_ms:
            raise AssertionError(f"a timer due at {due_ms} is still pending after it fired")
        self._set_wake(key, next_ms)

    def _catch_up(self, customer: Customer, customer_id: str, until_ms: int, effects: Effects) -> None:
        """Fires the customer's timers due before one after the other: what one emits is applied before the next one."""
        while (due_ms := wake_at_ms(customer)) < until_ms:
            emitted = len(effects.events)
            fire_timers(self.journeys, customer, customer_id, due_ms, effects)
            self._return_emitted(customer, effects, emitted)

    def _return_emitted(self, customer: Customer, effects: Effects, first: int) -> None:
        """Applies the events that were emitted since the first of these, in order, and what they emit in turn."""
        while self._returns_emitted and first < len(effects.events):
            emitted = effects.events[first]
            first += 1
            if emitted.event.type in self.journeys.wanted:
                apply_event(self.journeys, customer, emitted.event, emitted.at_ms, effects)

    def _set_wake(self, key: bytes, due_ms: int) -> None:
        if due_ms == NEVER_MS:
            self._wakes.pop(key, None)
        elif self._wakes.get(key) != due_ms:
            self._wakes[key] = due_ms
            heappush(self._heap, (due_ms, key))
