"""A case, which is journeys with a log, and what comes of it when it is played."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.sources import Sources
from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.engine.erasure import ERASED
from orchestrator.model.actions import ActionCommand, Effects, Transition
from orchestrator.model.customer import Customer, decode_customer, encode_customer, wake_at_ms
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.shared import Shared
from tests.properties.random_journeys import journey_sets, likely_events
from tests.properties.random_logs import CUSTOMERS, LAST_ACTION, Moment, logs
from tests.properties.shop import EVENT_TYPES, FILES

REFUSED = frozenset({"J239", "J330", "J331", "J460", "J714"})
"""What is refused for what it means, not for how it is written: a random case may be like that, and is left out."""


@dataclass(frozen=True, slots=True)
class Case:
    """Journeys (path -> text) and the log that they meet. What Hypothesis prints of a failing one is its text."""

    files: dict[str, str]
    log: tuple[Moment, ...]

    def __repr__(self) -> str:
        own = {path: text for path, text in self.files.items() if FILES.get(path) != text}
        texts = [f"--- {path}\n{text}" for path, text in sorted(own.items())]
        lines = [f"  {number:3} {moment}" for number, moment in enumerate(self.log)]
        return "\n".join(["", *texts, "--- log", *lines, ""])

    def _repr_pretty_(self, printer: Any, _is_cycle: bool) -> None:
        printer.text(repr(self))


@st.composite
def cases(draw: st.DrawFn, *, most: int = 25) -> Case:
    """A random case."""
    files = draw(journey_sets())
    return Case(files, draw(logs(likely_events(files), most=most)))


def compiled(files: dict[str, str]) -> JourneySet:
    """The journeys of the files, which must be valid."""
    found = compile_journeys(Sources(files), EVENT_TYPES)
    wrong = [problem for problem in found.problems if problem.severity == "error"]
    if wrong and all(problem.code in REFUSED for problem in wrong):
        reject()
    assert found.journeys is not None, wrong
    return found.journeys


@dataclass(frozen=True, slots=True)
class Happening:
    """One decision as it was made: the event, or None for timers that were due at this instant; and what came of it.

    `was` and `then` are the customer's record before and after.
    """

    at_ms: int
    customer_id: str
    event: Event | None
    effects: Effects
    was: Customer
    then: Customer


LogEntry = tuple[int, str, Event | None]
"""When, about whom, and the event; None where only time has come so far."""


@dataclass(slots=True)
class Played:
    """Everything that came of a case. `log` holds the events that came, those that journeys emitted among them."""

    journeys: JourneySet
    partitions: int = 1
    happenings: list[Happening] = field(default_factory=list)
    log: list[LogEntry] = field(default_factory=list)
    customers: dict[str, Customer] = field(default_factory=dict)
    shared: dict[int, Shared] = field(default_factory=dict)

    def of(self, customer_id: str) -> list[Happening]:
        """What happened to the customer, in order."""
        return [one for one in self.happenings if one.customer_id == customer_id]

    def actions(self, customer_id: str) -> list[ActionCommand]:
        """What was asked for, for the customer, in order."""
        return [action for one in self.of(customer_id) for action in one.effects.actions]

    def transitions(self, customer_id: str) -> list[Transition]:
        """The customer's transitions, in order."""
        return [made for one in self.of(customer_id) for made in one.effects.transitions]

    def fresh_effects(self, customer_id: str) -> Effects:
        """Effects with what the customer's partition shares, where some rule looks at it."""
        return effects_in(self.journeys, self.shared, customer_id, self.partitions)


def effects_in(journeys: JourneySet, shared: dict[int, Shared], customer_id: str, partitions: int) -> Effects:
    """Effects with what the customer's partition shares; the customers are spread over the partitions in turn."""
    partition = CUSTOMERS.index(customer_id) % partitions
    kept = shared.setdefault(partition, Shared(partition, partitions))
    return Effects(shared=kept if journeys.uses_shared else None)


def play(case: Case, *, partitions: int = 1) -> Played:
    """Plays the log: at each moment first the timers that are due, each at its time, then the event. What journeys emit
    comes back right after the decision.
    """
    played = Played(compiled(case.files), partitions)
    for number, moment in enumerate(case.log):
        customer = played.customers.setdefault(moment.customer_id, Customer())
        event = _event(case, number, played)
        # Of somebody who is to be forgotten nothing is done any more that was due.
        while (event is None or event.type != ERASED) and (due_ms := wake_at_ms(customer)) <= moment.at_ms:
            assert customer.last_at_ms <= due_ms
            _decide(played, due_ms, moment.customer_id, None)
        played.log.append((moment.at_ms, moment.customer_id, event))
        if event is not None:
            _decide(played, moment.at_ms, moment.customer_id, event)
    return played


def _decide(played: Played, at_ms: int, customer_id: str, event: Event | None) -> None:
    """Makes one decision, and those about the events that come of it."""
    customer = played.customers[customer_id]
    effects, was = played.fresh_effects(customer_id), reopened(customer)
    if event is None:
        fire_timers(played.journeys, customer, customer_id, at_ms, effects)
        assert wake_at_ms(customer) > at_ms
    else:
        apply_event(played.journeys, customer, event, at_ms, effects)
    played.happenings.append(Happening(at_ms, customer_id, event, effects, was, reopened(customer)))
    for emitted in effects.events:
        assert emitted.at_ms == at_ms
        if emitted.event.type in played.journeys.wanted:
            played.log.append((at_ms, customer_id, emitted.event))
            _decide(played, at_ms, customer_id, emitted.event)


def _event(case: Case, number: int, played: Played) -> Event | None:
    moment = case.log[number]
    if moment.again:
        earlier = [event for _, who, event in played.log if event is not None and who == moment.customer_id]
        return earlier[-moment.again] if moment.again <= len(earlier) else None
    if not moment.type:
        return None
    fields = {**moment.fields, "event_id": f"e{number}", "customer_id": moment.customer_id, "occurred_at": moment.at_ms}
    if fields.get("action_id") == LAST_ACTION:
        wanted = "task" if moment.type == "task_completed" else "send"
        sent = [action.action_id for action in played.actions(moment.customer_id) if action.kind == wanted]
        fields["action_id"] = sent[-1] if sent else "none"
    return Event(moment.type, f"e{number}", moment.customer_id, fields)


def reopened(customer: Customer) -> Customer:
    """The record as a worker has it that reads it from its store."""
    record = encode_customer(customer)
    again = decode_customer(record)
    assert again == customer
    assert encode_customer(again) == record
    return again
