"""A small world around a `Cycle`: events, journeys made by hand, a clock that stands still, a registry in a dict."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fastavro

from orchestrator.model.journey import Awaited, JourneySet, ProfileRule, ReEntry, Scope, Wait, WaitFor
from orchestrator.runtime.codec import EventCodec, RecordEncoder, encode_heartbeat, frame
from orchestrator.runtime.cycle import Cycle, CycleOptions
from orchestrator.runtime.memory import MemoryTransactionLog
from orchestrator.runtime.merge import MergeOptions
from orchestrator.runtime.ports import BatchReport
from tests.engine.build import event_field, expression, journey, journeys, send

SCHEMAS = Path(__file__).parents[2] / "schemas"
EVENT_TYPES = ("registered", "clicked", "ignored", "customer_erased")
HEARTBEAT_ID = 90
OUTPUT_IDS = {"action_command": 100, "journey_transition": 101, "journal_entry": 102}
TOPICS = ("events.a", "events.b")


def schema_text(name: str) -> str:
    fields = [{"name": "event_id", "type": "string"}, {"name": "customer_id", "type": "string"}]
    fields.append({"name": "mood", "type": "string"})
    return json.dumps({"type": "record", "name": name, "namespace": "test", "fields": fields})


IDS = {name: number for number, name in enumerate(EVENT_TYPES, start=1)}
PARSED = {name: fastavro.parse_schema(json.loads(schema_text(name))) for name in EVENT_TYPES}
OUTPUTS = {name: next(SCHEMAS.glob(f"*/{name}.avsc")).read_text() for name in OUTPUT_IDS}


@dataclass(frozen=True, slots=True)
class FakeRecord:
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def encode_event(name: str, *, event_id: str, customer_id: str, mood: str = "") -> bytes:
    out = io.BytesIO()
    body = {"event_id": event_id, "customer_id": customer_id, "mood": mood}
    fastavro.schemaless_writer(out, PARSED[name], body)
    return frame(IDS[name]) + out.getvalue()


def record(
    topic: str,
    offset: int,
    timestamp: int,
    customer_id: str = "c1",
    name: str = "registered",
    *,
    partition: int = 0,
    mood: str = "",
    event_id: str | None = None,
) -> FakeRecord:
    identity = event_id or f"{topic}-{partition}-{offset}"
    value = encode_event(name, event_id=identity, customer_id=customer_id, mood=mood)
    return FakeRecord(topic, partition, offset, timestamp, customer_id.encode(), value)


def heartbeat(topic: str, offset: int, timestamp: int, *, partition: int = 0) -> FakeRecord:
    return FakeRecord(topic, partition, offset, timestamp, None, encode_heartbeat(HEARTBEAT_ID, timestamp))


@dataclass(slots=True)
class FakeClock:
    ms: int = 1_000_000

    def now_ms(self) -> int:
        return self.ms


def registry_texts() -> dict[int, str]:
    texts = {number: schema_text(name) for name, number in IDS.items()}
    texts[HEARTBEAT_ID] = (SCHEMAS / "records" / "stream_heartbeat.avsc").read_text()
    return texts


@dataclass(slots=True)
class FakeRegistry:
    texts: dict[int, str] = field(default_factory=registry_texts)
    is_down: bool = False
    asked: list[int] = field(default_factory=list)

    def schema_text(self, schema_id: int) -> str | None:
        self.asked.append(schema_id)
        if self.is_down:
            raise ConnectionError("registry is down")
        return self.texts.get(schema_id)


@dataclass(slots=True)
class Reports:
    """A batch sink that keeps what it gets."""

    reports: list[BatchReport] = field(default_factory=list)

    def batch(self, report: BatchReport) -> None:
        self.reports.append(report)


def mood_condition(scope: Scope) -> bool:
    """Holds, fails as conditions may, or raises as nothing may."""
    mood = scope.event.get("mood")
    if mood == "boom":
        raise RuntimeError("personal data in a message")
    if mood == "divide":
        return bool(1 // 0)
    return True


def bursting_render(language: str, variables: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    if variables["profile"].get("email") == "burst":
        raise RuntimeError("a bug in a renderer")
    return "en", {"body": "hello"}


def reminders() -> JourneySet:
    """Registered: wait 10, mail; wait for a click for up to 25, mail again. Entered again at will, each in parallel."""
    steps = (
        Wait("pause", 10, "first"),
        replace(send("first", "react"), renders={"email": bursting_render}),
        WaitFor("react", (Awaited("clicked", None, "thanks"),), 25, "second"),
        send("second", "_end"),
        send("thanks", "_end"),
    )
    nudge = journey(
        *steps,
        name="nudge",
        where=expression(mood_condition, "event.mood"),
        key=event_field("event_id"),
        reentry=ReEntry("always"),
        listens=frozenset({"clicked"}),
    )
    consent = expression(lambda _scope: "email", "'email'")
    granted = expression(lambda _scope: True, "true")
    address = expression(lambda scope: scope.event.get("mood") or "a@example.com", "event.mood")
    rule = ProfileRule("registered", (("email", address, None),), ((consent, granted),))
    return replace(journeys(nudge), profile_rules={"registered": (rule,)}, wanted=frozenset({"registered", "clicked"}))


@dataclass(slots=True)
class World:
    """What outlives a worker: broker, registry, clock; and what it is configured with."""

    is_strict: bool = True
    batch_records_max: int = 100
    timers_max: int = 100
    align_max: int = 100
    partitions: int = 2
    topics: tuple[str, ...] = TOPICS
    journeys: JourneySet = field(default_factory=reminders)
    definition: int = -1
    log: MemoryTransactionLog = field(default_factory=MemoryTransactionLog)
    clock: FakeClock = field(default_factory=FakeClock)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    reports: Reports = field(default_factory=Reports)

    def cycle(self, *, is_warm: bool = False) -> Cycle:
        """A new worker's cycle, without partitions; a warm one has looked up all schemas."""
        options = CycleOptions(
            event_topics=self.topics,
            transitions_topic="transitions",
            journal_topic="journal",
            dead_letters_topic="dead",
            recalls_topic="recalls",
            partitions=self.partitions,
            batch_records_max=self.batch_records_max,
            timers_per_transaction_max=self.timers_max,
            align_per_transaction_max=self.align_max,
            merge=MergeOptions(is_strict=self.is_strict, merge_wait_ms=50),
        )
        event_texts = {name: schema_text(name) for name in EVENT_TYPES}
        codec = EventCodec(
            self.registry,
            wanted=self.journeys.wanted,
            reader_schemas=event_texts,
            clock=self.clock,
        )
        if is_warm:
            codec.prepare([frame(number) for number in self.registry.texts])
        return Cycle(
            options,
            journeys=self.journeys,
            definition=self.definition,
            codec=codec,
            encoder=RecordEncoder(schemas=OUTPUTS | event_texts, ids=OUTPUT_IDS | IDS),
            log=self.log,
            clock=self.clock,
            sink=self.reports,
        )

    def values(self, topic: str) -> list[Any]:
        """The committed records of a topic, decoded."""
        name = {"transitions": "journey_transition", "journal": "journal_entry"}.get(topic, "action_command")
        schema = json.loads(OUTPUTS[name])
        return [
            fastavro.schemaless_reader(io.BytesIO((sent.value or b"")[5:]), schema, None)
            for sent in self.log.sent
            if sent.topic == topic
        ]

    def dead_letters(self) -> list[dict[str, str]]:
        return [
            {name: (value or b"").decode() for name, value in sent.headers}
            for sent in self.log.sent
            if sent.topic == "dead"
        ]


def run(cycle: Cycle) -> int:
    """Cycles until there is nothing left to do; gives how many batches that took."""
    batches = 0
    while True:
        if cycle.needs_schemas():
            cycle.prepare()
        computed = cycle.compute()
        if computed is None:
            if cycle.needs_schemas():
                continue
            return batches
        cycle.apply(computed, cycle.commit(computed))
        batches += 1
