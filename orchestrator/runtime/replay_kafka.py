"""What a replay needs from Kafka: journal, slices of the sources, definitions, and what is on the topics to compare.

Everything is read committed, without a consumer group, up to an end that is fixed at the start.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Position

from orchestrator.model.actions import ActionCommand, Transition
from orchestrator.model.customer import Customer, decode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.model.shared import SHARED_KEY
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.codec import JournalEntry, RejectedRecord, Slice
from orchestrator.runtime.definitions import Definition
from orchestrator.runtime.in_force import Publications
from orchestrator.runtime.replay import (
    InForceKey,
    ReadSlice,
    ReplayImpossible,
    SourceRecord,
)
from orchestrator.runtime.schemas import Registry

TIMEOUT_S = 15.0
_CONSUME_S = 0.02
"""The client waits this long for a full list of records, also where the partition ends before."""

SILENCES_MAX = 1_500
"""After so many of these waits without a record or an end (30 s) the broker is taken for unreachable."""

_FRAME_BYTES = 5
_CONSUME_RECORDS = 1_000
HEARTBEAT = "stream_heartbeat"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Offsets of one topic's partition: the first that is there, and the one after the last committed one."""

    first: int
    end: int


class Avro:
    """Decodes framed Avro values by the schemas that they were written with; instants stay integers."""

    __slots__ = ("_registry", "_writers")

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._writers: dict[int, tuple[str, Any]] = {}

    def name_of(self, value: bytes) -> str:
        """The record's name."""
        return self._writer(value)[0]

    def fields(self, value: bytes, reader: Any = None) -> dict[str, Any]:
        """The record's fields, resolved to the reader's schema if there is one."""
        decoded = fastavro.schemaless_reader(io.BytesIO(value[_FRAME_BYTES:]), self._writer(value)[1], reader)
        fields: dict[str, Any] = decoded  # type: ignore[assignment]  # every schema that is read here is a record
        return fields

    def _writer(self, value: bytes) -> tuple[str, Any]:
        schema_id = int.from_bytes(value[1:_FRAME_BYTES], "big")
        if schema_id not in self._writers:
            text = self._registry.schema_text(schema_id)
            if text is None:
                raise ReplayImpossible(f"the registry has no schema {schema_id} any more")
            self._writers[schema_id] = (str(json.loads(text)["name"]).rpartition(".")[2], integer_instants(text))
        return self._writers[schema_id]


def integer_instants(schema_text: str) -> Any:
    """The parsed schema without the logical types that become objects, decimals excepted."""
    return fastavro.parse_schema(_without_logical_types(json.loads(schema_text)))


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value if name in {"default", "doc"} else _without_logical_types(value)
        for name, value in schema.items()
        if name != "logicalType" or value == "decimal"
    }


class TopicReader:
    """Reads committed records of topic partitions; one consumer for each, kept where it stands.

    Every call raises EnvironmentProblem if the broker does not answer or the topic is missing.
    """

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._cursors: dict[tuple[str, int], _Cursor] = {}
        self._admin = self._consumer()

    def close(self) -> None:
        """Ends all consumers."""
        for cursor in self._cursors.values():
            cursor.consumer.close()
        self._cursors.clear()
        self._admin.close()

    def topics(self) -> dict[str, int]:
        """Topic → number of partitions, of all topics of the broker."""
        metadata = self._brokers.metadata(self._admin, timeout_s=TIMEOUT_S)
        return {name: len(topic.partitions) for name, topic in metadata.topics.items()}

    def bounds(self, topic: str, partition: int) -> Bounds:
        """What can be read now."""
        try:
            low, high = self._admin.get_watermark_offsets(Position(topic, partition), TIMEOUT_S)
        except KafkaException as error:
            raise self._problem(topic, error) from None
        return Bounds(low, high)

    def first_since(self, topic: str, partition: int, at_ms: int) -> int | None:
        """The offset of the first record with this timestamp or a later one; None if there is none."""
        try:
            [found] = self._admin.offsets_for_times([Position(topic, partition, at_ms)], TIMEOUT_S)
        except KafkaException as error:
            raise self._problem(topic, error) from None
        return found.offset if found.offset >= 0 else None

    def read(self, topic: str, partition: int, first: int, end: int) -> Iterator[Message]:
        """The records from offset `first` up to, not including, `end`, as far as there are any."""
        place = (topic, partition)
        if first >= end:
            return
        cursor = self._cursors.get(place)
        if cursor is None:
            cursor = self._cursors[place] = _Cursor(self._consumer(), topic, partition)
        try:
            yield from cursor.read(first, end)
        except KafkaException as error:
            raise self._problem(topic, error) from None

    def _consumer(self) -> Consumer:
        return Consumer(
            self._brokers.reader(
                {
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                    "auto.offset.reset": "error",
                    # An empty fetch tells where a partition ends; nobody waits for more.
                    "fetch.wait.max.ms": 10,
                    "queued.max.messages.kbytes": 8_192,
                    "log_level": 0,
                }
            )
        )

    def _problem(self, what: str, error: KafkaException) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"{what} at {self._brokers.servers} cannot be read: {error.args[0].str()}",
            hint="is the broker running, and are --bootstrap-servers and --topic-prefix right?",
        )


class _Cursor:
    """A consumer of one partition that knows where it stands, so that reading on costs no seek."""

    def __init__(self, consumer: Consumer, topic: str, partition: int) -> None:
        self.consumer = consumer
        self._place = (topic, partition)
        self._next: int | None = None
        self._end: int | None = None
        """The partition's end, once it was reached; the client says so only once."""
        self._fetched: list[Message] = []
        """Records that were fetched and not yet given, the earliest last."""

    def read(self, first: int, end: int) -> Iterator[Message]:
        self._go_to(first)
        silences = 0
        at = first
        while at < end:
            while self._fetched and (self._fetched[-1].offset() or 0) < end:
                message = self._fetched.pop()
                at = self._next = (message.offset() or 0) + 1
                yield message
            if self._fetched or at >= end or (self._end is not None and self._end >= end):
                # The rest of the range holds no records, only the marks of transactions.
                return
            silences = 0 if self._fetch() else silences + 1
            if silences > SILENCES_MAX:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the client's name for it

    def _go_to(self, first: int) -> None:
        is_ahead = self._next is not None and self._next < first
        if self._next == first or (is_ahead and self._fetched and first <= (self._fetched[-1].offset() or 0)):
            return
        self._next, self._end, self._fetched = first, None, []
        self.consumer.assign([Position(*self._place, first)])

    def _fetch(self) -> bool:
        """Whether anything came: records, or the news that the partition ends here."""
        news = False
        for message in self.consumer.consume(_CONSUME_RECORDS, _CONSUME_S):
            error = message.error()
            if error is None:
                self._fetched.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's name for it
                self._end = message.offset()
            elif not error.retriable():
                raise KafkaException(error)
            news = True
        self._fetched.reverse()
        return news


def journal_entries(
    reader: TopicReader, avro: Avro, topic: str, partition: int, bounds: Bounds, *, is_whole: bool = True
) -> Iterator[tuple[int, JournalEntry]]:
    """(offset, entry) of the journal's partition, from the first.

    Raises: ReplayImpossible if the beginning is no longer there, where it must be whole.
    """
    if is_whole and bounds.first > 0:
        raise ReplayImpossible(f"the journal of partition {partition} begins at offset {bounds.first}, not at 0")
    for message in reader.read(topic, partition, bounds.first, bounds.end):
        fields = avro.fields(message.value() or b"")
        entry = JournalEntry(
            partition=fields["partition"],
            slices=[Slice(s["topic"], s["first"], s["last"]) for s in fields["slices"]],
            rejected=[RejectedRecord(r["topic"], r["offset"], r["reason"]) for r in fields["rejected"]],
            timers_until=fields["timers_until"],
            timers_until_customer=fields["timers_until_customer"],
            journeys=fields["journeys"],
            # Entries of earlier releases have none of these.
            definition=fields.get("definition", -1),
            aligned_after=fields.get("aligned_after"),
            aligned_until=fields.get("aligned_until"),
        )
        yield message.offset() or 0, entry


def slice_reader(
    reader: TopicReader,
    avro: Avro,
    partition: int,
    sets: Mapping[InForceKey, JourneySet],
    definitions: Iterable[Definition],
) -> ReadSlice:
    """Reads slices of this partition's sources, decoded with the event schemas of the journey set in force."""
    schemas = {
        definition.set_id: {
            name.removesuffix(".avsc"): integer_instants(text) for name, text in definition.schemas.items()
        }
        for definition in definitions
    }

    def read(key: InForceKey, part: Slice, rejected: frozenset[int]) -> Iterator[SourceRecord]:
        wanted, readers = sets[key].wanted, schemas[sets[key].set_id]
        last = part.first - 1
        for message in reader.read(part.topic, partition, part.first, part.last + 1):
            last = message.offset() or 0
            value = message.value() or b""
            event = None
            if last not in rejected and (name := avro.name_of(value)) in wanted:
                fields = avro.fields(value, readers.get(name))
                event = Event(name, fields["event_id"], fields["customer_id"], fields)
            yield SourceRecord(last, message.timestamp()[1], event)
        if last != part.last:
            raise ReplayImpossible(
                f"offset {part.last} of partition {partition} of {part.topic}, which the journal names, is not there"
            )

    return read


def journey_sets(definitions: Iterable[Definition]) -> dict[InForceKey, JourneySet]:
    """Offset of a publication → the set that it brought into force, with the versions of all earlier ones.

    The set's id leads to its last publication, for entries that name no more. What does not compile is left out.
    """
    publications = Publications()
    sets: dict[InForceKey, JourneySet] = {}
    for definition in definitions:
        found = publications.add(definition)
        if found is not None:
            sets[definition.offset] = sets[definition.set_id] = found.journeys
    return sets


def found_actions(
    reader: TopicReader, avro: Avro, topic: str, partition: int, bounds: Bounds
) -> Iterator[ActionCommand]:
    """The action commands on the topic's partition."""
    for message in reader.read(topic, partition, bounds.first, bounds.end):
        fields = avro.fields(message.value() or b"")
        instants = {f"{name}_ms": fields.pop(name) for name in ("created_at", "expires_at", "due_at")}
        # In a channel's own commands a part that the template lacks is null.
        fields["content"] = {part: text for part, text in fields["content"].items() if text is not None}
        yield ActionCommand(**instants, **fields)


def found_transitions(
    reader: TopicReader, avro: Avro, topic: str, partition: int, bounds: Bounds
) -> Iterator[Transition]:
    """The transitions on the topic's partition."""
    for message in reader.read(topic, partition, bounds.first, bounds.end):
        fields = avro.fields(message.value() or b"")
        yield Transition(at_ms=fields.pop("at"), **fields)


@dataclass(frozen=True, slots=True)
class FoundRecords:
    """The records of a changelog's partition: of its customers by id, and of what they share, if there is one."""

    customers: dict[str, Customer]
    shared: bytes | None


def found_records(reader: TopicReader, topic: str, partition: int, bounds: Bounds) -> FoundRecords:
    """The records as the changelog's partition has them at its end."""
    records: dict[bytes, bytes | None] = {}
    for message in reader.read(topic, partition, bounds.first, bounds.end):
        records[message.key() or b""] = message.value()
    shared = records.pop(SHARED_KEY, None)
    customers = {key.decode(): decode_customer(value) for key, value in records.items() if value is not None}
    return FoundRecords(customers, shared)
