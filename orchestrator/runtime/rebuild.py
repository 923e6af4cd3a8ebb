"""What customers did before aggregates were kept, worked out of the sources up to where keeping them began.

Place in the data flow: the command `rebuild` reads the journal, which says from which offset of each source on a
partition's events were decided while an aggregate was kept. All before it is counted here, all from it on was counted
when it was decided: nothing twice, nothing missed. What is found goes into the customers' logs, one event for each
customer.

The order is the journal's, so an event is counted at the instant at which it was decided: that of its record, or of
the customer's event before it if that is later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import Any, Protocol

import msgspec
from xxhash import xxh3_128_hexdigest

from orchestrator.authoring.tracking import aggregate_keys
from orchestrator.engine.aggregates import update_aggregates
from orchestrator.engine.erasure import ERASED
from orchestrator.engine.histories import REBUILT
from orchestrator.engine.ids import event_digest, is_remembered
from orchestrator.engine.turn import Turn
from orchestrator.model.actions import Effects
from orchestrator.model.aggregates import Aggregate, encode_kept
from orchestrator.model.customer import NEVER_MS, RECENT_EVENTS_MAX, Customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.runtime.codec import JournalEntry, Slice
from orchestrator.runtime.replay import InForceKey, ReplayImpossible, in_force_key

_RECENT_BYTES = RECENT_EVENTS_MAX * 8


@dataclass(frozen=True, slots=True)
class PastRecord:
    """A record of a source. `event` is None where its type is not counted, or it cannot be read; `customer_id` is
    empty where it has none.
    """

    offset: int
    timestamp_ms: int
    customer_id: str
    event_type: str
    event: Event | None


ReadRange = Callable[[str, int, int], Iterable[PastRecord]]
"""(topic, first offset, the one after the last) → the partition's records, in offset order."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where keeping an aggregate began in a partition: after so many entries of its journal, before these offsets of
    the sources. `wanted` is the event types that were decided about until then.
    """

    entries: int
    offsets: Mapping[str, int]
    wanted: frozenset[str]


@dataclass(slots=True)
class Journaled:
    """What a partition's journal says. `cuts` has the aggregates that its last entry kept, by key; `firsts` and `ends`
    are offsets of the sources that it knows, `until_ms` how far time had come.
    """

    cuts: dict[str, Cut] = field(default_factory=dict)
    firsts: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    until_ms: int = 0
    entries: int = 0


def read_journal(
    entries: Iterable[JournalEntry], sets: Mapping[InForceKey, JourneySet], wanted: Mapping[str, int]
) -> Journaled:
    """Where keeping each of the `wanted` aggregates (key → the publication with which it was resumed, else 0) began.

    Raises: ReplayImpossible if the set of an entry is not among the definitions.
    """
    found = Journaled()
    types: frozenset[str] = frozenset()
    kept_by: dict[InForceKey, frozenset[str]] = {}
    for entry in entries:
        name = in_force_key(entry)
        journeys = sets.get(name)
        if journeys is None:
            raise ReplayImpossible(f"journey set {entry.journeys} is not among the definitions")
        if name not in kept_by:
            kept_by[name] = frozenset(
                key for key in aggregate_keys(journeys) if wanted.get(key, -1) == journeys.resumed.get(key, 0)
            )
        kept = kept_by[name]
        for key in kept - found.cuts.keys():
            found.cuts[key] = Cut(found.entries, dict(found.ends), types)
        for key in found.cuts.keys() - kept:
            del found.cuts[key]
        types = journeys.wanted
        for part in entry.slices:
            found.firsts.setdefault(part.topic, part.first)
            found.ends[part.topic] = part.last + 1
        if 0 < entry.timers_until < NEVER_MS:
            found.until_ms = max(found.until_ms, entry.timers_until)
        found.entries += 1
    return found


class Past(msgspec.Struct, array_like=True):
    """One customer before the cut: when the last event was, the ids of the last ones, and what aggregates keep."""

    last_ms: int = 0
    recent: bytes = b""
    kept: dict[str, Any] = {}


class Scratch(Protocol):
    """Where the pasts of a partition's customers are put together; on disk, because they may be millions."""

    def past(self, customer_id: str) -> Past:
        """The customer's past, to be changed in place."""

    def forget(self, customer_id: str) -> None:
        """The customer has no past."""

    def mark(self, name: str) -> None:
        """Keeps the name."""

    def is_marked(self, name: str) -> bool:
        """Whether the name was kept."""

    def pasts(self) -> Iterator[tuple[str, Past]]:
        """All customers, in the order of their ids."""


class Gathering:
    """Puts the pasts of one partition's customers together. `starts` is where reading a source begins."""

    def __init__(
        self,
        journaled: Journaled,
        aggregates: Sequence[Aggregate],
        *,
        journeys: JourneySet,
        starts: Mapping[str, int],
        read: ReadRange,
        scratch: Scratch,
        on_records: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._cuts = {one.key: journaled.cuts[one.key] for one in aggregates}
        self._aggregates = aggregates
        self._journaled = journaled
        self._journeys = journeys
        self._starts = starts
        self._read = read
        self._scratch = scratch
        self._on_records = on_records
        self._effects = Effects()
        self.end = max(self._cuts.values(), key=lambda cut: cut.entries)
        self.events = 0
        """How many events counted."""
        self._unknown_before = {
            one.on: self._cuts[one.key].offsets for one in aggregates if one.on not in self._cuts[one.key].wanted
        }

    def look_ahead(self, ends: Mapping[str, int]) -> None:
        """Looks at what comes after the cuts, up to these offsets: who asks to be forgotten there gets no past, also
        where that was refused or is not decided yet; and an event that comes once more there, of a type that nobody
        knew before, was counted when it was decided.
        """
        cuts = self._cuts.values()
        for topic, end in ends.items():
            first = min(cut.offsets.get(topic, self._starts.get(topic, 0)) for cut in cuts)
            for record in self._read(topic, first, end):
                if record.event_type == ERASED:
                    if record.offset >= self.end.offsets.get(topic, 0):
                        self._scratch.mark(f"erased {record.customer_id}")
                elif record.event is not None:
                    known = self._unknown_before.get(record.event_type)
                    if known is not None and record.offset >= known.get(topic, 0):
                        self._scratch.mark(f"event {record.customer_id} {record.event.event_id}")

    def run(self, entries: Iterable[JournalEntry], sets: Mapping[InForceKey, JourneySet]) -> None:
        """Takes in all events before the cuts. `entries` is the journal again."""
        lost = [
            Slice(topic, self._starts[topic], first - 1)
            for topic, first in self._journaled.firsts.items()
            if self._starts.get(topic, first) < first
        ]
        active = self._active(-1)
        if lost:
            # The journal no longer reaches back so far: the sources in the order of their timestamps.
            self._take(_merged(lost, self._read, frozenset()), active, None)
        stops = {cut.entries for cut in self._cuts.values()}
        for index, entry in enumerate(entries):
            if index >= self.end.entries:
                return
            if index in stops or not index:
                active = self._active(index)
            slices = [
                Slice(part.topic, max(part.first, self._starts.get(part.topic, 0)), part.last) for part in entry.slices
            ]
            rejected = frozenset((one.topic, one.offset) for one in entry.rejected)
            self._take(_merged(slices, self._read, rejected), active, sets[in_force_key(entry)].wanted)

    def pasts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(customer, what each aggregate keeps of the time before), of those who have such a past and were not
        forgotten since.
        """
        for customer_id, past in self._scratch.pasts():
            if past.kept and not self._scratch.is_marked(f"erased {customer_id}"):
                yield customer_id, past.kept

    def _active(self, index: int) -> dict[str, tuple[Aggregate, ...]]:
        """The aggregates that were not yet kept when this entry was decided, by event type."""
        by_event: dict[str, tuple[Aggregate, ...]] = {}
        for one in self._aggregates:
            if self._cuts[one.key].entries > index:
                by_event[one.on] = (*by_event.get(one.on, ()), one)
        return by_event

    def _take(
        self,
        records: Iterable[PastRecord],
        active: Mapping[str, tuple[Aggregate, ...]],
        wanted: frozenset[str] | None,
    ) -> None:
        count = 0
        for record in records:
            count += 1
            if not record.customer_id:
                continue
            if record.event_type == ERASED:
                self._scratch.forget(record.customer_id)
            elif record.event is not None and record.event_type in active:
                self._count(record, record.event, active[record.event_type])
            elif wanted is None or record.event_type in wanted:
                # It counts for nothing, but the customer's time has come so far with it.
                past = self._scratch.past(record.customer_id)
                past.last_ms = max(past.last_ms, record.timestamp_ms)
        self._on_records(count)

    def _count(self, record: PastRecord, event: Event, aggregates: tuple[Aggregate, ...]) -> None:
        past = self._scratch.past(record.customer_id)
        digest = event_digest(event.event_id)
        if is_remembered(past.recent, digest):
            return
        if event.type in self._unknown_before and self._scratch.is_marked(
            f"event {record.customer_id} {event.event_id}"
        ):
            return
        past.recent = (past.recent + digest)[-_RECENT_BYTES:]
        past.last_ms = max(past.last_ms, record.timestamp_ms)
        customer = Customer(aggregates=past.kept)
        turn = Turn(
            self._journeys, customer, record.customer_id, event.fields, event.event_id, past.last_ms, self._effects
        )
        update_aggregates(turn, aggregates)
        # What could not be evaluated would not have counted either.
        self._effects.failures.clear()
        self.events += 1


def _merged(slices: Iterable[Slice], read: ReadRange, rejected: frozenset[tuple[str, int]]) -> Iterator[PastRecord]:
    """The slices' records as they were applied: the head with the least (timestamp, topic), each topic in offset order.

    Rejected ones had a say in the order of the others, and are left out.
    """

    def keyed(part: Slice) -> Iterator[tuple[int, str, PastRecord]]:
        for record in read(part.topic, part.first, part.last + 1):
            yield record.timestamp_ms, part.topic, record

    for _, topic, record in merge(*map(keyed, slices), key=lambda item: item[:2]):
        if (topic, record.offset) not in rejected:
            yield record


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks for the rebuild, why, and whether coming into a segment by it lets customers into journeys."""

    who: str
    why: str
    lets_in: bool = False


def rebuilt_event(
    customer_id: str,
    kept: Mapping[str, Any],
    *,
    since: Mapping[str, int],
    cuts: Mapping[str, Cut],
    at_ms: int,
    order: Order,
) -> Event:
    """The event that adds this past. Its id is the same whenever the same past is worked out again."""
    parts = [{"key": key, "since": since.get(key, 0), "kept": encode_kept(what)} for key, what in sorted(kept.items())]
    identity = [(part["key"], part["since"], cuts[str(part["key"])].entries) for part in parts]
    event_id = xxh3_128_hexdigest(f"{REBUILT} {customer_id} {identity}".encode())
    fields = {
        "event_id": event_id,
        "customer_id": customer_id,
        "occurred_at": at_ms,
        "aggregates": parts,
        "lets_in": order.lets_in,
        "requested_by": order.who,
        "reason": order.why,
    }
    return Event(REBUILT, event_id, customer_id, fields)
