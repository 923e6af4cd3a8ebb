"""A worker's own cycle on the broker's twin in memory: what it publishes and keeps for a log."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import fastavro

from orchestrator.model.customer import Customer, decode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.runtime.codec import (
    EventCodec,
    JournalEntry,
    RecordEncoder,
    RejectedRecord,
    Slice,
    decode_event,
    event_reader,
    frame,
)
from orchestrator.runtime.cycle import Cycle, CycleOptions
from orchestrator.runtime.memory import MemoryTransactionLog
from orchestrator.runtime.merge import MergeOptions
from orchestrator.runtime.ports import CustomerStore
from orchestrator.runtime.replay import InForceKey, SourceRecord
from orchestrator.runtime.store import MemoryCustomerStore
from tests.properties.playing import InForce
from tests.properties.shop import SCHEMAS, TOPICS, topic_of
from tests.runtime.cycle_build import (
    HEARTBEAT_ID,
    OUTPUT_IDS,
    OUTPUTS,
    FakeClock,
    FakeRecord,
    FakeRegistry,
    Reports,
    heartbeat,
    registry_texts,
    run,
)

IDS = {name: number for number, name in enumerate(SCHEMAS, 1)}
NAMES = {number: name for name, number in IDS.items()}
PARSED = {name: fastavro.parse_schema(json.loads(text)) for name, text in SCHEMAS.items()}
READERS = {name: event_reader(text, text) for name, text in SCHEMAS.items()}
READ = {name: fastavro.parse_schema(json.loads(text)) for name, text in OUTPUTS.items()}
ROUNDS_MAX = 1_000
"""How often events that journeys emit may come back at one instant."""

Entry = tuple[int, Event]
"""When a record was appended, and the event in it."""


@dataclass(slots=True)
class Live:
    """One worker with one partition. `batch_records_max` and `timers_max` bound its batches; `new_store` opens the
    store of a worker that takes over: the same one, or an empty one that is filled from the changelog.

    `changes` come into force after what happened up to their instants: when all of that is decided, or, if they are
    `abrupt`, wherever the worker is just then.
    """

    journeys: JourneySet
    batch_records_max: int
    timers_max: int
    changes: Sequence[InForce] = ()
    abrupt: bool = False
    new_store: Callable[[CustomerStore | None], CustomerStore] = lambda before: before or MemoryCustomerStore()
    log: MemoryTransactionLog = field(default_factory=MemoryTransactionLog)
    clock: FakeClock = field(default_factory=FakeClock)
    store: CustomerStore = field(default_factory=MemoryCustomerStore)
    records: dict[str, list[FakeRecord]] = field(default_factory=lambda: {topic: [] for topic in TOPICS})
    returned: int = 0
    in_force: dict[InForceKey, JourneySet] = field(default_factory=dict)
    codec: EventCodec | None = None

    def work(self, entries: Sequence[Entry], until_ms: int, *, restart_every: int) -> None:
        """Takes the records in this order; about every so many of them a new worker takes over."""
        self.store = self.new_store(None)
        self.in_force[0] = self.journeys
        cycle = self._cycle()
        since, coming = 0, list(self.changes)
        next_times = [*(at_ms for at_ms, _ in entries[1:]), until_ms]
        for (at_ms, event), next_ms in zip(entries, next_times, strict=False):
            while coming and coming[0].at_ms < at_ms:
                self._take_up(cycle, coming.pop(0))
            self.clock.ms = at_ms
            body = io.BytesIO()
            fastavro.schemaless_writer(body, PARSED[event.type], event.fields)
            topic = topic_of(event.type)
            value = frame(IDS[event.type]) + body.getvalue()
            key = event.customer_id.encode()
            self._offer(cycle, FakeRecord(topic, 0, len(self.records[topic]), at_ms, key, value))
            since += 1
            if since >= restart_every and next_ms > at_ms:
                self._complete(cycle, at_ms)
                self.store = self.new_store(self.store)
                cycle, since = self._cycle(), 0
            elif self.abrupt:
                run(cycle)
        for change in coming:
            self._take_up(cycle, change)
        self._complete(cycle, until_ms)

    def _take_up(self, cycle: Cycle, change: InForce) -> None:
        """Another set comes into force."""
        if not self.abrupt:
            self._complete(cycle, change.at_ms)
        self.journeys = self.in_force[len(self.in_force)] = change.journeys
        assert self.codec is not None
        self.codec.want(self.journeys.wanted, SCHEMAS)
        cycle.take_up(self.journeys, len(self.in_force) - 1)
        if not self.abrupt:
            self._complete(cycle, change.at_ms)

    def _complete(self, cycle: Cycle, at_ms: int) -> None:
        """Nothing more comes up to this instant but what journeys emit, so that everything up to it is decided."""
        self.clock.ms = at_ms
        for _ in range(ROUNDS_MAX):
            for topic in TOPICS:
                self._offer(cycle, heartbeat(topic, len(self.records[topic]), at_ms))
            run(cycle)
            if not self._return_emitted(cycle):
                return
        raise AssertionError("events that journeys emit come back without end")

    def _return_emitted(self, cycle: Cycle) -> bool:
        """Brings back what was published on the topics of events; whether there was anything."""
        sent = [one for one in self.log.sent[self.returned :] if one.topic in TOPICS]
        self.returned = len(self.log.sent)
        for one in sent:
            at_ms = self.clock.ms if one.timestamp_ms is None else one.timestamp_ms
            offset = len(self.records[one.topic])
            headers = tuple((name, value or b"") for name, value in one.headers)
            self._offer(cycle, FakeRecord(one.topic, 0, offset, at_ms, one.key, one.value, headers))
        return bool(sent)

    def published(self, kind: str) -> list[dict[str, Any]]:
        """The committed records of this kind of all topics, decoded, in order."""
        prefix = frame(OUTPUT_IDS[kind])
        found = []
        for sent in self.log.sent:
            if sent.value is not None and sent.value.startswith(prefix):
                record = fastavro.schemaless_reader(io.BytesIO(sent.value[len(prefix) :]), READ[kind], None)
                assert isinstance(record, dict)
                found.append(record)
        return found

    def journal(self) -> list[JournalEntry]:
        """What the worker said that it did, in order."""
        return [
            JournalEntry(
                **{name: one[name] for name in JournalEntry.__struct_fields__ if name not in {"slices", "rejected"}},
                slices=[Slice(**part) for part in one["slices"]],
                rejected=[RejectedRecord(**part) for part in one["rejected"]],
            )
            for one in self.published("journal_entry")
        ]

    def read_slice(self, key: InForceKey, part: Slice, rejected: frozenset[int]) -> Iterator[SourceRecord]:
        """The records of a slice of the journal, as a replay reads them."""
        for one in self.records[part.topic][part.first : part.last + 1]:
            name = NAMES.get(int.from_bytes((one.value or b"")[1:5], "big"), "")
            event = None
            if one.offset not in rejected and name in self.in_force[key].wanted:
                read = decode_event(name, READERS[name], one.key or b"", one.value or b"")
                assert isinstance(read, Event)
                event = read
            yield SourceRecord(one.offset, one.timestamp, event)

    def dead_letters(self) -> list[str]:
        """Why records were set aside."""
        return [
            (value or b"").decode()
            for sent in self.log.sent
            if sent.topic == "dead"
            for name, value in sent.headers
            if name == "dlq.reason"
        ]

    def customer(self, customer_id: str) -> Customer | None:
        """The customer's record in the store."""
        found = self.store.read([customer_id.encode()])[0]
        return None if found is None else decode_customer(found)

    def _offer(self, cycle: Cycle, record: FakeRecord) -> None:
        self.records[record.topic].append(record)
        cycle.offer(record.topic, 0, [record], record.offset + 1)

    def _cycle(self) -> Cycle:
        """A worker that takes over where the log and the store stand."""
        texts = {number: SCHEMAS[name] for name, number in IDS.items()}
        registry = FakeRegistry({**texts, HEARTBEAT_ID: registry_texts()[HEARTBEAT_ID]})
        codec = EventCodec(registry, wanted=self.journeys.wanted, reader_schemas=SCHEMAS, clock=self.clock)
        self.codec = codec
        codec.prepare([frame(number) for number in registry.texts])
        cycle = Cycle(
            CycleOptions(
                event_topics=TOPICS,
                transitions_topic="transitions",
                journal_topic="journal",
                dead_letters_topic="dead",
                recalls_topic="recalls",
                partitions=1,
                batch_records_max=self.batch_records_max,
                timers_per_transaction_max=self.timers_max,
                align_per_transaction_max=1,
                merge=MergeOptions(is_strict=True, merge_wait_ms=50),
            ),
            journeys=self.journeys,
            definition=len(self.in_force) - 1,
            codec=codec,
            encoder=RecordEncoder(schemas=OUTPUTS | SCHEMAS, ids=OUTPUT_IDS | IDS),
            log=self.log,
            clock=self.clock,
            sink=Reports(),
        )
        cycle.assign(0, self.store, stream_time_ms=self.log.stream_times.get(0, -1))
        for topic, records in self.records.items():
            left = records[self.log.offsets.get((topic, 0), 0) :]
            if left:
                cycle.offer(topic, 0, left, len(records))
        return cycle
