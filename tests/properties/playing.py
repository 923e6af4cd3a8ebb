"""A case, which is journeys with a log, and what comes of it when it is played."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from orchestrator.authoring.compiler import Compilation, compile_journeys, with_pinned
from orchestrator.authoring.migration_proof import prove
from orchestrator.authoring.sources import Sources
from orchestrator.engine.decide import apply_event, bring_in_line, fire_timers
from orchestrator.engine.erasure import ERASED
from orchestrator.model.actions import ActionCommand, Effects, Transition
from orchestrator.model.customer import Customer, decode_customer, encode_customer, wake_at_ms
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.shared import Shared
from tests.properties.random_journeys import (
    SetSource,
    changed_sources,
    files_of,
    journey_sets,
    likely_events,
    sources_of_sets,
)
from tests.properties.random_logs import CUSTOMERS, LAST_ACTION, Moment, logs
from tests.properties.random_pauses import crowded, dense_logs, likely_in_pauses, next_sources, sources_that_wait
from tests.properties.shop import EVENT_TYPES, FILES

REFUSED = frozenset({"J239", "J330", "J331", "J332", "J334", "J460", "J461", "J462", "J463", "J464", "J714"})
"""What is refused for what it means, not for how it is written: a random case may be like that, and is left out."""


@dataclass(frozen=True, slots=True)
class Change:
    """Other files come into force before the log's moment `at`; `sweeps` says whether all customers are brought in line
    then, or each with the next decision.
    """

    at: int
    files: dict[str, str]
    sweeps: bool


@dataclass(frozen=True, slots=True)
class Case:
    """Journeys (path -> text) and the log that they meet. What Hypothesis prints of a failing one is its text."""

    files: dict[str, str]
    log: tuple[Moment, ...]
    changes: tuple[Change, ...] = ()

    def __repr__(self) -> str:
        lines = ["", *_texts(self.files, FILES), "--- log", *(f"  {n:3} {one}" for n, one in enumerate(self.log))]
        before = self.files
        for change in self.changes:
            swept = "for everybody at once" if change.sweeps else "for each with the next decision"
            lines += [f"--- before {change.at}, {swept}, this comes into force:", *_texts(change.files, before)]
            before = change.files
        return "\n".join([*lines, ""])

    def _repr_pretty_(self, printer: Any, _is_cycle: bool) -> None:
        printer.text(repr(self))


def _texts(files: Mapping[str, str], known: Mapping[str, str]) -> list[str]:
    return [f"--- {path}\n{text}" for path, text in sorted(files.items()) if known.get(path) != text]


@st.composite
def cases(draw: st.DrawFn, *, most: int = 25) -> Case:
    """A random case."""
    files = draw(journey_sets())
    return Case(files, draw(logs(likely_events(files), most=most)))


@st.composite
def changing_cases(draw: st.DrawFn, *, most: int = 25) -> Case:
    """A random case in which other journeys come into force on the way."""
    sources = draw(sources_of_sets())
    files = files_of(sources)
    log = draw(logs(likely_events(files), most=most))
    changed = files_of(draw(changed_sources(sources)))
    return Case(files, log, (Change(draw(st.integers(2, len(log) - len(CUSTOMERS))), changed, draw(st.booleans())),))


@st.composite
def pausing_cases(draw: st.DrawFn, *, most: int = 20, apart: bool = False) -> Case:
    """A random case in which journeys are paused and run again. If they are `apart`, they have nothing in common."""
    source = draw(sources_that_wait(apart=apart))
    files = files_of(source)
    is_dense = draw(st.booleans())
    log, places = draw(dense_logs(source) if is_dense else _log_with_places(source, most))
    changes = []
    for number, at in enumerate(places):
        turns = ("paused", "live")[number % 2] if is_dense or number == 0 else ""
        source = draw(next_sources(source, turns=turns))
        changes.append(Change(at, files_of(source), apart or draw(st.booleans())))
    return Case(files, log, tuple(changes))


@st.composite
def _log_with_places(draw: st.DrawFn, source: SetSource, most: int) -> tuple[tuple[Moment, ...], list[int]]:
    """A log of anything, and two or three places in it; the first is soon after somebody may have entered."""
    log = draw(logs(likely_in_pauses(source), most=most))
    entered = [journey["entry"].get("on") for journey in source.journeys.values()]
    places = [number + 1 for number, one in enumerate(log[: 1 - len(CUSTOMERS)]) if number and one.type in entered]
    first = draw(st.sampled_from(places) if places else st.integers(2, len(log) - len(CUSTOMERS)))
    log = draw(crowded(log, first))
    last = len(log) - len(CUSTOMERS)
    return log, [first, *sorted(draw(st.integers(min(first + 2, last), last)) for _ in range(draw(st.integers(1, 2))))]


def compiled(files: dict[str, str]) -> JourneySet:
    """The journeys of the files, which must be valid."""
    found = _compilation(files).journeys
    assert found is not None
    return found


def compiled_after(files: dict[str, str], older: Sequence[JourneySet]) -> JourneySet:
    """The journeys of the files, not yet able to decide for customers inside older versions, as they come into force
    after others. Those that cannot take customers along, as is proved beforehand, leave them in their versions.
    """
    found = _compilation(files)
    assert found.journeys is not None
    others = [one for one in older if one.set_id != found.journeys.set_id]
    if any(problem.severity == "error" for problem in prove(found.drafts, found.journeys, others)):
        pinning = {path: re.sub(r"^migrate:.*\n", "", text, flags=re.MULTILINE) for path, text in files.items()}
        return compiled(pinning)
    return found.journeys


def _compilation(files: dict[str, str]) -> Compilation:
    found = compile_journeys(Sources(files), EVENT_TYPES)
    wrong = [problem for problem in found.problems if problem.severity == "error"]
    if wrong and all(problem.code in REFUSED for problem in wrong):
        reject()
    assert found.journeys is not None, wrong
    return found


@dataclass(frozen=True, slots=True)
class Happening:
    """One decision as it was made: the event, or None for timers that were due at this instant; and what came of it.

    `was` and `then` are the customer's record before and after, `journeys` the set in force.
    """

    journeys: JourneySet
    at_ms: int
    customer_id: str
    event: Event | None
    effects: Effects
    was: Customer
    then: Customer


LogEntry = tuple[int, str, Event | None]
"""When, about whom, and the event; None where only time has come so far."""


@dataclass(frozen=True, slots=True)
class InForce:
    """A journey set that came into force: before the entry `at` of what was played, at the instant `at_ms`, for
    everybody at once if it `sweeps`.
    """

    at: int
    at_ms: int
    journeys: JourneySet
    sweeps: bool


@dataclass(slots=True)
class Played:
    """Everything that came of a case. `log` holds the events that came, those that journeys emitted among them.

    `journeys` is the set in force at the end, `first` the one that was in force first, `changes` those that came after.
    """

    journeys: JourneySet
    first: JourneySet
    partitions: int = 1
    changes: list[InForce] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    log: list[LogEntry] = field(default_factory=list)
    customers: dict[str, Customer] = field(default_factory=dict)
    shared: dict[int, Shared] = field(default_factory=dict)

    def sets(self) -> list[JourneySet]:
        """All that were in force, in order."""
        return [self.first, *(change.journeys for change in self.changes)]

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
    first = compiled(case.files)
    played, older = Played(first, first, partitions), [first]
    for number, moment in enumerate(case.log):
        for change in case.changes:
            if number == change.at:
                _change(played, change, older, case.log[number - 1].at_ms)
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


def _change(played: Played, change: Change, older: list[JourneySet], at_ms: int) -> None:
    """Brings other journeys into force. Whatever is due by then is still done under those before."""
    made = compiled_after(change.files, older)
    changed = with_pinned(made, [one for one in older if one.set_id != made.set_id])
    older.append(made)
    for customer_id, customer in sorted(played.customers.items()):
        while change.sweeps and (due_ms := wake_at_ms(customer)) <= at_ms:
            _decide(played, due_ms, customer_id, None)
    played.journeys = changed
    played.changes.append(InForce(len(played.log), at_ms, changed, change.sweeps))
    for customer_id, customer in sorted(played.customers.items()) if change.sweeps else ():
        effects, was = played.fresh_effects(customer_id), reopened(customer)
        bring_in_line(changed, customer, customer_id, at_ms, effects)
        assert not bring_in_line(changed, customer, customer_id, at_ms, effects)
        _keep(played, at_ms, customer_id, None, effects, was)


def _decide(played: Played, at_ms: int, customer_id: str, event: Event | None) -> None:
    """Makes one decision, and those about the events that come of it."""
    customer = played.customers[customer_id]
    effects, was = played.fresh_effects(customer_id), reopened(customer)
    if event is None:
        fire_timers(played.journeys, customer, customer_id, at_ms, effects)
        assert wake_at_ms(customer) > at_ms
    else:
        apply_event(played.journeys, customer, event, at_ms, effects)
    _keep(played, at_ms, customer_id, event, effects, was)


def _keep(played: Played, at_ms: int, customer_id: str, event: Event | None, effects: Effects, was: Customer) -> None:
    """Keeps the decision, and makes those about the events that came of it."""
    then = reopened(played.customers[customer_id])
    played.happenings.append(Happening(played.journeys, at_ms, customer_id, event, effects, was, then))
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
