"""A case, which is journeys with a log, and what comes of it when it is played."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.sources import Sources
from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.model.actions import ActionCommand, Effects, Transition
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from tests.properties.random_journeys import journey_sets, likely_events
from tests.properties.random_logs import LAST_ACTION, Moment, logs
from tests.properties.shop import EVENT_TYPES, FILES

REFUSED = frozenset({"J330", "J331", "J332", "J334", "J460", "J461", "J462", "J463", "J464", "J714"})
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
    """One moment as it was played: the event if there was one, and what came of it.

    `before` is what the timers did that were due until then, `after` what the event itself did; `was` and `then` are
    the customer's record before and after the event.
    """

    at_ms: int
    customer_id: str
    event: Event | None
    before: Effects
    after: Effects
    was: Customer
    then: Customer


@dataclass(slots=True)
class Played:
    """Everything that came of a case."""

    journeys: JourneySet
    happenings: list[Happening] = field(default_factory=list)
    customers: dict[str, Customer] = field(default_factory=dict)

    def messages(self, customer_id: str) -> list[ActionCommand]:
        """The customer's messages, in order."""
        return [action for action in self.actions(customer_id) if action.kind == "send"]

    def actions(self, customer_id: str) -> list[ActionCommand]:
        """What was asked for, for the customer, in order."""
        return [action for one in self._of(customer_id) for action in (*one.before.actions, *one.after.actions)]

    def transitions(self, customer_id: str) -> list[Transition]:
        """The customer's transitions, in order."""
        return [made for one in self._of(customer_id) for made in (*one.before.transitions, *one.after.transitions)]

    def _of(self, customer_id: str) -> list[Happening]:
        return [one for one in self.happenings if one.customer_id == customer_id]


def play(case: Case) -> Played:
    """Plays the log: at each moment first the timers that are due, then the event."""
    played = Played(compiled(case.files))
    for number, moment in enumerate(case.log):
        customer = played.customers.setdefault(moment.customer_id, Customer())
        before, after = Effects(), Effects()
        event = _event(case, number, played)
        fire_timers(played.journeys, customer, moment.customer_id, moment.at_ms, before)
        was = reopened(customer)
        if event is not None:
            apply_event(played.journeys, customer, event, moment.at_ms, after)
        then = reopened(customer)
        played.happenings.append(Happening(moment.at_ms, moment.customer_id, event, before, after, was, then))
    return played


def _event(case: Case, number: int, played: Played) -> Event | None:
    moment = case.log[number]
    if moment.again:
        earlier = [one for one in played.happenings if one.event is not None and one.customer_id == moment.customer_id]
        return earlier[-moment.again].event if moment.again <= len(earlier) else None
    if not moment.type:
        return None
    fields = {**moment.fields, "event_id": f"e{number}", "customer_id": moment.customer_id, "occurred_at": moment.at_ms}
    if fields.get("action_id") == LAST_ACTION:
        sent = played.messages(moment.customer_id)
        fields["action_id"] = sent[-1].action_id if sent else "none"
    return Event(moment.type, f"e{number}", moment.customer_id, fields)


def reopened(customer: Customer) -> Customer:
    """The record as a worker has it that reads it from its store."""
    record = encode_customer(customer)
    again = decode_customer(record)
    assert again == customer
    assert encode_customer(again) == record
    return again
