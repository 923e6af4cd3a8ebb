"""A worker's own cycle on the broker's and the store's twins in memory: what it publishes and keeps for a log."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import fastavro

from orchestrator.model.customer import Customer, decode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.runtime.codec import EventCodec, RecordEncoder, frame
from orchestrator.runtime.cycle import Cycle, CycleOptions
from orchestrator.runtime.memory import MemoryTransactionLog
from orchestrator.runtime.merge import MergeOptions
from orchestrator.runtime.store import MemoryCustomerStore
from tests.properties.shop import SCHEMAS
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
PARSED = {name: fastavro.parse_schema(json.loads(text)) for name, text in SCHEMAS.items()}
READ = {name: fastavro.parse_schema(json.loads(text)) for name, text in OUTPUTS.items()}
TOPICS = ("events.people", "events.shop")
PEOPLE = frozenset({"registered", "moved", "consent_changed"})

Entry = tuple[int, Event]
"""When a record was appended, and the event in it."""


def topic_of(event: Event) -> str:
    """Where events of this type are published."""
    return TOPICS[0] if event.type in PEOPLE else TOPICS[1]


@dataclass(slots=True)
class Live:
    """One worker with one partition. `batch_records_max` and `timers_max` bound its batches."""

    journeys: JourneySet
    batch_records_max: int
    timers_max: int
    log: MemoryTransactionLog = field(default_factory=MemoryTransactionLog)
    clock: FakeClock = field(default_factory=FakeClock)
    store: MemoryCustomerStore = field(default_factory=MemoryCustomerStore)
    records: dict[str, list[FakeRecord]] = field(default_factory=lambda: {topic: [] for topic in TOPICS})

    def work(self, entries: Sequence[Entry], until_ms: int, *, restart_every: int) -> None:
        """Takes the records in this order; about every so many of them a new worker takes over."""
        cycle = self._cycle()
        since = 0
        next_times = [*(at_ms for at_ms, _ in entries[1:]), until_ms]
        for (at_ms, event), next_ms in zip(entries, next_times, strict=False):
            self.clock.ms = at_ms
            body = io.BytesIO()
            fastavro.schemaless_writer(body, PARSED[event.type], event.fields)
            topic = topic_of(event)
            value = frame(IDS[event.type]) + body.getvalue()
            key = event.customer_id.encode()
            self._offer(cycle, FakeRecord(topic, 0, len(self.records[topic]), at_ms, key, value))
            since += 1
            if since >= restart_every and next_ms > at_ms:
                self._complete(cycle, at_ms)
                cycle, since = self._cycle(), 0
        self._complete(cycle, until_ms)

    def _complete(self, cycle: Cycle, at_ms: int) -> None:
        """Nothing more comes up to this instant, so that everything up to it is decided."""
        self.clock.ms = at_ms
        for topic in TOPICS:
            self._offer(cycle, heartbeat(topic, len(self.records[topic]), at_ms))
        run(cycle)

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
        codec.prepare([frame(number) for number in registry.texts])
        cycle = Cycle(
            CycleOptions(
                event_topics=TOPICS,
                transitions_topic="transitions",
                journal_topic="journal",
                dead_letters_topic="dead",
                partitions=1,
                batch_records_max=self.batch_records_max,
                timers_per_transaction_max=self.timers_max,
                merge=MergeOptions(is_strict=True, merge_wait_ms=50),
            ),
            journeys=self.journeys,
            codec=codec,
            encoder=RecordEncoder(schemas=OUTPUTS, ids=OUTPUT_IDS),
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
