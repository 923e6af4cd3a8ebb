"""A partition's whole computation again, from its journal, its sources and the journey sets that were in force.

The second implementation of the order of `docs/architecture.md` ("Time"): it shares the engine with the worker and
nothing else, neither the merge nor the timers nor the store. If both give the same actions, both keep the order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge

import msgspec
from xxhash import xxh3_128_digest

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.actions import ActionCommand, Effects, Transition
from orchestrator.model.customer import Customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.shared import Shared
from orchestrator.runtime.codec import JournalEntry, Slice


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A record of a slice. `event` is None for a heartbeat, a rejected record and a type that nothing refers to."""

    offset: int
    timestamp_ms: int
    event: Event | None


InForceKey = str | int
"""What an entry says about the journey set in force: the offset of its publication, or only the set's id (earlier)."""

ReadSlice = Callable[[InForceKey, Slice, frozenset[int]], Iterable[SourceRecord]]
"""(journey set in force, slice, offsets that were rejected) → the slice's records in offset order.

Rejected ones are there without an event: their timestamps had a say in the order of the others.
"""


@dataclass(slots=True)
class Replayed:
    """All that a partition's journal led to, in order, and how its customers and what they share are at the end."""

    actions: list[ActionCommand] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    customers: dict[str, Customer] = field(default_factory=dict)
    shared: Shared = field(default_factory=Shared)


class ReplayImpossible(Exception):
    """Journal and sources do not hold what a replay needs; the message says what is missing."""


def replay_partition(
    entries: Iterable[JournalEntry],
    read_slice: ReadSlice,
    journeys_by_set: Mapping[InForceKey, JourneySet],
    *,
    partitions: int = 1,
) -> Replayed:
    """What the journal's entries, from the first on, led to, in one of so many partitions.

    Raises: ReplayImpossible.
    """
    result = Replayed()
    engine: OfflineEngine | None = None
    for entry in entries:
        engine = engine_for(engine, entry, journeys_by_set, partitions=partitions)
        for effects in replay_entry(engine, entry, read_slice):
            result.actions += effects.actions
            result.transitions += effects.transitions
    if engine is not None:
        result.customers, result.shared = engine.customers, engine.shared
    return result


def engine_for(
    engine: OfflineEngine | None,
    entry: JournalEntry,
    journeys_by_set: Mapping[InForceKey, JourneySet],
    *,
    partitions: int,
) -> OfflineEngine:
    """The engine, or a new one, under the journey set that was in force for the entry.

    Raises: ReplayImpossible if there is no such set.
    """
    journeys = journeys_by_set.get(in_force_key(entry))
    if journeys is None:
        raise ReplayImpossible(
            f"journey set {entry.journeys} is not among the definitions, or does not compile any more"
        )
    if engine is None:
        return OfflineEngine(journeys, partition=entry.partition, partitions=partitions, returns_emitted=False)
    engine.journeys = journeys
    return engine


def in_force_key(entry: JournalEntry) -> InForceKey:
    """Which journey set was in force for the entry."""
    return entry.journeys if entry.definition < 0 else entry.definition


def replay_entry(engine: OfflineEngine, entry: JournalEntry, read_slice: ReadSlice) -> Iterator[Effects]:
    """What each event of the entry's slices led to, and then its timers and the customers brought in line.

    Raises: ReplayImpossible.
    """
    for record in _merged(entry, read_slice):
        if record.event is not None:
            yield engine.apply(record.timestamp_ms, record.event)
    fired = engine.advance(entry.timers_until, entry.timers_until_customer)
    if entry.aligned_after is not None:
        aligned = engine.bring_in_line(entry.timers_until, entry.aligned_after, entry.aligned_until)
        fired.actions += aligned.actions
        fired.transitions += aligned.transitions
    yield fired


def _merged(entry: JournalEntry, read_slice: ReadSlice) -> Iterator[SourceRecord]:
    """The slices' records: always the head with the least (timestamp, topic), each topic in offset order."""

    def keyed(part: Slice) -> Iterator[tuple[int, str, SourceRecord]]:
        rejected = frozenset(record.offset for record in entry.rejected if record.topic == part.topic)
        for record in read_slice(in_force_key(entry), part, rejected):
            yield record.timestamp_ms, part.topic, record

    for _, _, record in merge(*map(keyed, entry.slices), key=lambda item: item[:2]):
        yield record


Fingerprint = tuple[str, bytes]
"""(what identifies a record to a person, a digest of all of it)."""

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def action_fingerprint(action: ActionCommand) -> Fingerprint:
    """Equal for equal actions; the identity holds no personal data."""
    return f"action {action.action_id} of step {action.journey}/{action.step}", xxh3_128_digest(_encode(action))


def transition_fingerprint(transition: Transition) -> Fingerprint:
    """Equal for equal transitions; the identity names the customer by id only."""
    t = transition
    identity = f"transition {t.kind} of {t.customer_id} in {t.journey}/{t.step or '-'} at {t.at_ms}"
    return identity, xxh3_128_digest(_encode(transition))


@dataclass(frozen=True, slots=True)
class Differences:
    """Identities of what the replay gives and the topics lack, and the other way round; sorted, repeats included.

    What differs in its content only is in both.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.missing) + len(self.unexpected)

    def lines(self, limit: int) -> list[str]:
        """The first `limit` of them, in words."""
        changed = set(self.missing) & set(self.unexpected)
        lines = [f"{identity} differs in its content" for identity in sorted(changed)]
        lines += [f"{identity} is not on its topic" for identity in self.missing if identity not in changed]
        lines += [
            f"{identity} is on its topic, and should not be" for identity in self.unexpected if identity not in changed
        ]
        return lines[:limit] + ([f"and {len(lines) - limit} more"] if len(lines) > limit else [])


def differences(
    replayed: Counter[Fingerprint], found: Counter[Fingerprint], *, not_yet_visible: Counter[Fingerprint] | None = None
) -> Differences:
    """How the topics differ from the replay, as multisets.

    `not_yet_visible` is the part of `replayed` whose transactions may have ended after the topics were read: it may be
    missing, and may be there.
    """
    missing = replayed - found - (not_yet_visible or Counter())
    unexpected = found - replayed
    return Differences(
        tuple(sorted(identity for identity, _ in missing.elements())),
        tuple(sorted(identity for identity, _ in unexpected.elements())),
    )


def customer_differences(replayed: Mapping[str, Customer], found: Mapping[str, Customer]) -> Sequence[str]:
    """The ids of customers whose records differ, sorted. One that was never changed need not have a record."""
    untouched = Customer()
    return sorted(
        customer_id
        for customer_id in replayed.keys() | found.keys()
        if replayed.get(customer_id, untouched) != found.get(customer_id, untouched)
    )
