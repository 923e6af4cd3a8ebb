"""What is in topics, record by record, as values for people: only committed records, Avro decoded, secrets masked.

Reading is from all partitions at once and belongs to no consumer group, so it disturbs nobody.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import fastavro
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, Message, TopicPartition

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers

MASK = "***"
CONNECT_TIMEOUT_S = 15.0
POLL_S = 0.2
_POLL_RECORDS = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SchemaText = Callable[[int], str | None]


@dataclass(frozen=True, slots=True)
class TailedRecord:
    """One record. `at_ms` is its timestamp; `type` the Avro record's name, or None for other content.

    `value` holds the decoded fields (None for a tombstone); `note` says why there is no `value` although there are
    bytes. Both are ready for JSON: decimals as text, instants as ISO 8601 in UTC, bytes in base 64.
    """

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: str | None
    type: str | None
    value: Any
    note: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Decoder:
    """Decodes records in the registry's wire format; each schema is looked up once.

    Fields that their schema marks with `"pii": true` are masked unless `show_personal_data`.
    """

    __slots__ = ("_schema_text", "_schemas", "_show")

    def __init__(self, schema_text: SchemaText, *, show_personal_data: bool = False) -> None:
        self._schema_text = schema_text
        self._show = show_personal_data
        self._schemas: dict[int, tuple[Any, dict[str, Any]] | None] = {}

    def decode(self, value: bytes | None) -> tuple[str | None, Any, str]:
        """(type, value, note) of a record's bytes."""
        if value is None:
            return None, None, ""
        if len(value) < 5 or value[0] != 0:
            return None, self._raw(value), "not Avro"
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in self._schemas:
            self._schemas[schema_id] = self._lookup(schema_id)
        found = self._schemas[schema_id]
        if found is None:
            return None, self._raw(value), f"schema {schema_id} is unknown"
        schema, names = found
        try:
            decoded = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
        except Exception as error:  # noqa: BLE001 - damaged bytes make fastavro raise anything
            return None, self._raw(value), f"undecodable: {type(error).__name__}"
        return str(schema["name"]).rpartition(".")[2], _view(decoded, schema, names, show=self._show), ""

    def _lookup(self, schema_id: int) -> tuple[Any, dict[str, Any]] | None:
        text = self._schema_text(schema_id)
        if text is None:
            return None
        names: dict[str, Any] = {}
        schema = fastavro.parse_schema(json.loads(text), named_schemas=names)
        return schema, names

    def _raw(self, value: bytes) -> str:
        # Bytes that cannot be read may hold anything, personal data too.
        return base64.b64encode(value).decode() if self._show else f"{len(value)} bytes"


def existing_topics(brokers: Brokers) -> list[str]:
    """The broker's topics, sorted.

    Raises: EnvironmentProblem if the broker does not answer.
    """
    consumer = _consumer(brokers)
    try:
        return sorted(_partitions(consumer, brokers))
    finally:
        consumer.close()


class Tail:
    """A reading position in some topics, at their end or, `from_beginning`, at their start.

    Raises: EnvironmentProblem if the broker does not answer or a topic does not exist.
    """

    __slots__ = ("_at_end", "_consumer", "_decoder", "_partitions")

    def __init__(
        self, brokers: Brokers, topics: Sequence[str], decoder: Decoder, *, from_beginning: bool = False
    ) -> None:
        self._decoder = decoder
        self._consumer = _consumer(brokers)
        try:
            existing = _partitions(self._consumer, brokers)
            wanted = _places(existing, topics, from_beginning=from_beginning, or_hidden=brokers.or_hidden)
            self._partitions = {(partition.topic, partition.partition) for partition in wanted}
            self._at_end: set[tuple[str, int]] = set()
            self._consumer.assign(wanted)
        except BaseException:
            self._consumer.close()
            raise

    def poll(self, timeout_s: float = POLL_S) -> list[TailedRecord]:
        """The next records, in the order in which they came; empty if none came in this time.

        Raises: EnvironmentProblem if reading fails for good.
        """
        records = []
        for message in self._consumer.consume(_POLL_RECORDS, timeout_s):
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                self._at_end.discard(place)
                records.append(self._record(message))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name for it
                self._at_end.add(place)
            elif not error.retriable() and error.code() not in _PASSING:
                raise EnvironmentProblem(f"topic {place[0]} cannot be read: {error.str()}", hint="see the broker's log")
        return records

    @property
    def at_end(self) -> bool:
        """Whether every partition has been read to its last committed record."""
        return self._at_end == self._partitions

    def close(self) -> None:
        """Leaves the broker alone."""
        self._consumer.close()

    def _record(self, message: Message) -> TailedRecord:
        record_type, value, note = self._decoder.decode(message.value())
        key = message.key()
        return TailedRecord(
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            at_ms=message.timestamp()[1],
            key=None if key is None else _text(key),
            type=record_type,
            value=value,
            note=note,
            headers=headers_of(message),
        )


def tail(
    source: Tail, *, follow: bool, customer: str | None = None, records_max: int | None = None
) -> Iterator[TailedRecord]:
    """The records from the source's position on, of one customer or of all, at most `records_max`.

    Without `follow` it ends where every partition has been read to its end.
    """
    given = 0
    while records_max is None or given < records_max:
        for record in source.poll():
            if customer is not None and record.key != customer:
                continue
            yield record
            given += 1
            if given == records_max:
                return
        if not follow and source.at_end:
            return


def iso_instant(at_ms: int) -> str:
    """An instant as ISO 8601 in UTC, to the millisecond."""
    # Added as whole milliseconds: a fraction of seconds would not always give them back.
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(record: TailedRecord) -> dict[str, Any]:
    """The record as a JSON object; parts that it does not have are left out."""
    shown: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "at": iso_instant(record.at_ms),
        "key": record.key,
    }
    if record.type is not None:
        shown["type"] = record.type
    shown["value"] = record.value
    if record.note:
        shown["note"] = record.note
    if record.headers:
        shown["headers"] = dict(record.headers)
    return shown


_PASSING = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE})  # noqa: SLF001
"""The client goes on by itself after these."""


def _consumer(brokers: Brokers) -> Consumer:
    return Consumer(
        brokers.reader(
            {
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "log_level": 0,
            }
        )
    )


def _places(
    existing: Mapping[str, int], topics: Sequence[str], *, from_beginning: bool, or_hidden: str
) -> list[TopicPartition]:
    start = OFFSET_BEGINNING if from_beginning else OFFSET_END
    for topic in topics:
        if topic not in existing:
            raise EnvironmentProblem(
                f"topic {topic} does not exist{or_hidden}",
                hint="see `orchestrator topics check`, or set --topic-prefix",
            )
    return [TopicPartition(topic, number, start) for topic in topics for number in range(existing[topic])]


def _partitions(consumer: Consumer, brokers: Brokers) -> dict[str, int]:
    topics = brokers.metadata(consumer, timeout_s=CONNECT_TIMEOUT_S).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _view(value: Any, schema: Any, names: Mapping[str, Any], *, show: bool) -> Any:
    """The value ready for JSON, personal fields masked."""
    if isinstance(schema, str) and schema in names:
        schema = names[schema]
    if isinstance(schema, list):
        return _view(value, _branch(value, schema, names), names, show=show)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(value, dict) and kind == "record":
        return {
            field["name"]: MASK
            if field.get("pii") and not show and value[field["name"]] is not None
            else _view(value[field["name"]], field["type"], names, show=show)
            for field in schema["fields"]
        }
    if isinstance(value, dict):
        item = schema.get("values", "string") if isinstance(schema, dict) else "string"
        return {key: _view(part, item, names, show=show) for key, part in value.items()}
    if isinstance(value, list):
        item = schema.get("items", "string") if isinstance(schema, dict) else "string"
        return [_view(part, item, names, show=show) for part in value]
    return _plain(value)


def _branch(value: Any, union: Sequence[Any], names: Mapping[str, Any]) -> Any:
    """The first member of the union that a value like this can come from."""
    for member in union:
        whole = names[member] if isinstance(member, str) and member in names else member
        kind = whole["type"] if isinstance(whole, dict) else whole
        if isinstance(value, dict):
            if kind == "map" or (kind == "record" and {field["name"] for field in whole["fields"]} == set(value)):
                return whole
        elif isinstance(value, list):
            if kind == "array":
                return whole
        elif kind not in {"map", "record", "array"}:
            return whole
    return union[0]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def headers_of(message: Message) -> tuple[tuple[str, str], ...]:
    """The record's headers as text."""
    # The client's annotations allow a dict here, as when producing; consuming gives pairs.
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return tuple((name, "" if content is None else _text(content)) for name, content in pairs)


def _text(content: str | bytes) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else content
