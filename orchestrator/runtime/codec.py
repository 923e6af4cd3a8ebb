"""Confluent-framed Avro in and out, schema id first.

Place in the data flow: `Cycle` looks up each record's first five bytes here (magic 0 and a 4-byte schema id) and
learns what to do with it: skip it, take it as a heartbeat, decode it, or reject it. On the way out, actions,
transitions and journal entries become framed bytes.

Source: the wire format of Confluent's Schema Registry documentation.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any

import fastavro
import msgspec
from fastavro.schema import to_parsing_canonical_form

from orchestrator.authoring.channel_contents import ChannelContent
from orchestrator.model.actions import ActionCommand, Transition
from orchestrator.model.events import Event
from orchestrator.runtime.command_schemas import COMMAND, command_name, contents_of
from orchestrator.runtime.ports import Clock, Record, SchemaSource
from orchestrator.runtime.wire import Reader, Schema, Unsupported, compile_reader, compile_writer

FRAME_BYTES = 5
HEARTBEAT = "stream_heartbeat"
NEGATIVE_ANSWER_MS = 10_000
"""How long the registry's "no such id" is believed. A schema may be registered after its first record was seen."""

NOT_AVRO = "not_avro"
UNKNOWN_SCHEMA = "unknown_schema"
UNDECODABLE = "undecodable"
MISSING_CUSTOMER = "missing_customer"
CUSTOMER_MISMATCH = "customer_mismatch"
FUTURE_TIMESTAMP = "future_timestamp"
SHORT = "the body ends before the schema does"
FAILED = "failed"
CONDITION_FAILED = "condition_failed"
REASONS = (
    NOT_AVRO,
    UNKNOWN_SCHEMA,
    UNDECODABLE,
    MISSING_CUSTOMER,
    CUSTOMER_MISMATCH,
    FUTURE_TIMESTAMP,
    FAILED,
    CONDITION_FAILED,
)
"""Why a record is in the dead-letter topic. All but `condition_failed` mean that it was not applied."""


class Handling(IntEnum):
    """What is done with the records of one schema id."""

    DECODE = 0
    SKIP = 1
    HEARTBEAT = 2
    REJECT = 3


class Plan(msgspec.Struct, frozen=True, gc=False):
    """What is done with the records of one schema id. `reason` and `detail` belong to REJECT."""

    handling: Handling
    event_type: str = ""
    read: Reader | None = None
    reason: str = ""
    detail: str = ""


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """Why a record is not applied: a reason of `REASONS`, and a detail without personal data."""

    reason: str
    detail: str = ""


_NOT_AVRO = Plan(Handling.REJECT, reason=NOT_AVRO, detail="no magic byte and schema id")


class EventCodec:
    """Decodes events. `plans` maps a record's first five bytes to what is done with it; it grows with new ids.

    `wanted` is the event types that the journeys refer to (`JourneySet.wanted`), `reader_schemas` our schema of each
    event type (`schemas/events`): what a record was written with is resolved to it where the two differ.
    """

    def __init__(
        self,
        source: SchemaSource,
        *,
        wanted: Iterable[str],
        reader_schemas: Mapping[str, str],
        clock: Clock,
        negative_answer_ms: int = NEGATIVE_ANSWER_MS,
    ) -> None:
        self.plans: dict[bytes, Plan] = {}
        self._source = source
        self._wanted = frozenset(wanted)
        self._reader_schemas = reader_schemas
        self._clock = clock
        self._negative_answer_ms = negative_answer_ms
        self._texts: dict[int, str] = {}
        self._negative_until_ms: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def want(self, event_types: Iterable[str], reader_schemas: Mapping[str, str]) -> None:
        """Decodes these event types by these schemas from now on, for a new journey set."""
        self._wanted = frozenset(event_types)
        self._reader_schemas = reader_schemas
        for prefix in list(self.plans):
            text = self._texts.get(int.from_bytes(prefix[1:], "big"))
            if text is not None:
                self.plans[prefix] = self._plan(text)

    def frame_of(self, record: Record) -> bytes:
        """The record's first five bytes: the key to `plans`."""
        value = record.value
        return b"" if value is None else value[:FRAME_BYTES]

    def plan_at_once(self, frame: bytes) -> Plan | None:
        """The plan for this frame if no registry is needed to tell, else None: `prepare` must look it up."""
        plan = self.plans.get(frame)
        if plan is None and (len(frame) < FRAME_BYTES or frame[0] != 0):
            return _NOT_AVRO
        return plan

    def prepare(self, frames: Iterable[bytes]) -> None:
        """Looks up the schemas of frames never seen. Blocks; belongs in a thread.

        Raises: whatever the schema source raises if it gave no answer: the records are to be held.
        """
        with self._lock:
            for frame in frames:
                if self.plan_at_once(frame) is not None:
                    continue
                text = self._source.schema_text(int.from_bytes(frame[1:FRAME_BYTES], "big"))
                if text is None:
                    detail = f"the registry has no schema {int.from_bytes(frame[1:], 'big')}"
                    self._negative_until_ms[frame] = self._clock.now_ms() + self._negative_answer_ms
                    self.plans[frame] = Plan(Handling.REJECT, reason=UNKNOWN_SCHEMA, detail=detail)
                else:
                    self._texts[int.from_bytes(frame[1:], "big")] = text
                    self.plans[frame] = self._plan(text)

    def forget_negative_answers(self) -> None:
        """Drops "no such id" answers that are too old to be believed."""
        if self._negative_until_ms:
            now_ms = self._clock.now_ms()
            for frame in [frame for frame, until in self._negative_until_ms.items() if until <= now_ms]:
                del self._negative_until_ms[frame]
                self.plans.pop(frame, None)

    def is_heartbeat(self, record: Record) -> bool | None:
        """Whether the record is a stream heartbeat; None if its schema has to be looked up first."""
        plan = self.plan_at_once(self.frame_of(record))
        return None if plan is None else plan.handling is Handling.HEARTBEAT

    def decode(self, record: Record) -> Event | Rejection | None:
        """The record's event, or why there is none; None for a heartbeat or a type that nothing refers to.

        Its schema id must be known (`prepare`). The cycle does the same in a loop of its own.
        """
        plan = self.plan_at_once(self.frame_of(record))
        if plan is None:
            raise LookupError("the record's schema id was not prepared")
        if plan.handling is Handling.REJECT:
            return Rejection(plan.reason, plan.detail)
        if plan.handling is not Handling.DECODE or plan.read is None or record.value is None:
            return None
        if not record.key:
            return Rejection(MISSING_CUSTOMER)
        return decode_event(plan.event_type, plan.read, record.key, record.value)

    def _plan(self, writer_text: str) -> Plan:
        try:
            writer = json.loads(writer_text)
            name = str(writer["name"]).rpartition(".")[2]
        except (ValueError, TypeError, KeyError):
            return Plan(Handling.REJECT, reason=UNDECODABLE, detail="the schema is no record")
        if name == HEARTBEAT:
            return Plan(Handling.HEARTBEAT, event_type=name)
        if name not in self._wanted:
            return Plan(Handling.SKIP, event_type=name)
        try:
            read = event_reader(writer_text, self._reader_schemas.get(name))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a stranger's schema, its records are rejected
            detail = f"the schema cannot be used: {type(error).__name__}"
            return Plan(Handling.REJECT, event_type=name, reason=UNDECODABLE, detail=detail)
        return Plan(Handling.DECODE, event_type=name, read=read)


def decode_event(event_type: str, read: Reader, key: bytes, value: bytes) -> Event | Rejection:
    """The event in a framed value, or why there is none."""
    try:
        fields = read(value, FRAME_BYTES)
        customer_id = fields["customer_id"]
        event_id = fields["event_id"]
        if customer_id.encode() != key:
            return Rejection(CUSTOMER_MISMATCH)
    except Exception as error:  # noqa: BLE001 - whatever damaged bytes lead to, the record is rejected
        return Rejection(UNDECODABLE, SHORT if isinstance(error, IndexError | EOFError) else type(error).__name__)
    return Event(event_type, event_id, customer_id, fields)


def event_reader(writer_text: str, reader_text: str | None) -> Reader:
    """A reader for records of the writer's schema, giving the fields of ours.

    The compiled reader where both are the same, fastavro's schema resolution where they differ.
    """
    if reader_text is None or _shape(writer_text) == _shape(reader_text):
        try:
            return compile_reader(writer_text)
        except Unsupported:
            reader_text = None
    return _resolving_reader(writer_text, reader_text)


def _shape(text: str) -> str:
    """Everything in a schema that decides what a reader gives: two texts with equal shapes need no resolution."""
    schema = json.loads(text)
    # The canonical form leaves out documentation and defaults, and also logical types, which matter here.
    return f"{to_parsing_canonical_form(schema)} {_logical_types(schema)}"


def _logical_types(schema: Schema) -> list[Any]:
    found: list[Any] = []
    if isinstance(schema, list):
        for branch in schema:
            found += _logical_types(branch)
    elif isinstance(schema, dict):
        if "logicalType" in schema:
            found.append([schema["logicalType"], schema.get("precision"), schema.get("scale")])
        for part in ("type", "items", "values"):
            found += _logical_types(schema.get(part))
        for field in schema.get("fields", ()):
            found += _logical_types(field["type"])
    return found


def _resolving_reader(writer_text: str, reader_text: str | None) -> Reader:
    writer = fastavro.parse_schema(_as_integers(json.loads(writer_text)))
    reader = None if reader_text is None else fastavro.parse_schema(_as_integers(json.loads(reader_text)))

    def read(b: bytes, i: int) -> Any:
        return fastavro.schemaless_reader(io.BytesIO(b[i:]), writer, reader)

    return read


_DIVISORS = {"timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}


def _as_integers(schema: Schema) -> Schema:
    """The schema without the logical types that fastavro would turn into objects; decimals stay."""
    if isinstance(schema, list):
        return [_as_integers(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if name != "logicalType"}
    logical = schema.get("logicalType")
    if logical == "decimal":
        kept["logicalType"] = logical
    elif logical is not None and logical.removeprefix("local-") in _DIVISORS:
        kept["logicalType"] = _millis_type(logical.removeprefix("local-"))
    for part in ("type", "items", "values"):
        if part in kept:
            kept[part] = _as_integers(kept[part])
    if "fields" in kept:
        kept["fields"] = [field | {"type": _as_integers(field["type"])} for field in kept["fields"]]
    return kept


def _millis_type(logical: str) -> str:
    """The name of a logical type of our own under which fastavro gives milliseconds."""
    name = f"orchestrator-{logical}"
    divisor = _DIVISORS[logical]

    def to_millis(value: int, _writer: Schema = None, _reader: Schema = None) -> int:
        return value // divisor

    fastavro.read.LOGICAL_READERS.setdefault(f"long-{name}", to_millis)
    return name


class Slice(msgspec.Struct, frozen=True, gc=False):
    """Offsets `first` to `last` of one topic, as taken in one batch."""

    topic: str
    first: int
    last: int


class RejectedRecord(msgspec.Struct, frozen=True, gc=False):
    """A record inside a slice that was not applied."""

    topic: str
    offset: int
    reason: str


class JournalEntry(msgspec.Struct, frozen=True):
    """What one transaction applied to one partition: the value form of `schemas/records/journal_entry.avsc`."""

    partition: int
    slices: list[Slice]
    rejected: list[RejectedRecord]
    timers_until: int
    timers_until_customer: bytes | None
    journeys: str
    definition: int = -1
    aligned_after: bytes | None = None
    aligned_until: bytes | None = None


class RecordEncoder:
    """Frames and encodes what the orchestrator sends.

    `schemas` maps record names (`action_command`, `email_command`, `journey_transition`, `journal_entry`, …) to schema
    texts, `ids` to the ids under which the registry has them.
    """

    def __init__(self, *, schemas: Mapping[str, str], ids: Mapping[str, int]) -> None:
        def writer(
            name: str,
            attributes: Mapping[str, str],
            repeated: frozenset[str],
            mapped: frozenset[str] = frozenset(),
        ) -> Callable[[Any], bytes]:
            prefix = frame(ids[name])
            return compile_writer(schemas[name], prefix=prefix, attributes=attributes, repeated=repeated, mapped=mapped)

        journey_words = frozenset({"journey", "version", "step", "kind", "to", "reason"})
        instants = {"created_at": "created_at_ms", "expires_at": "expires_at_ms", "due_at": "due_at_ms"}
        words = journey_words | {"channel", "template", "language", "target"}
        self._any_command: Callable[[ActionCommand], bytes] = writer(COMMAND, instants, words)
        self._commands: dict[str, tuple[ChannelContent, Callable[[ActionCommand], bytes]]] = {
            channel: (content, writer(command_name(channel), instants, words, frozenset({"content"})))
            for channel, content in contents_of(schemas).items()
        }
        self.transition: Callable[[Transition], bytes] = writer("journey_transition", {"at": "at_ms"}, journey_words)
        self.journal: Callable[[JournalEntry], bytes] = writer(
            "journal_entry", {}, frozenset({"topic", "reason", "journeys"})
        )
        self._schemas = schemas
        self._ids = ids
        self._event_writers: dict[str, tuple[bytes, Any]] = {}

    def action(self, command: ActionCommand) -> bytes:
        """A command, framed: by the schema of its channel if there is one and the content is as it says."""
        known = self._commands.get(command.channel)
        if known is not None:
            content, write = known
            if content.required <= command.content.keys() <= content.parts:
                return write(command)
        return self._any_command(command)

    def event(self, event: Event) -> bytes:
        """An event that a journey emits, framed, by the schema that its type has now.

        Journeys emit rarely, so fastavro's writer is quick enough. Raises: ValueError if the schema of the journey's
        version and the one of now do not go together.
        """
        known = self._event_writers.get(event.type)
        if known is None:
            parsed = fastavro.parse_schema(json.loads(self._schemas[event.type]))
            known = self._event_writers[event.type] = (frame(self._ids[event.type]), parsed)
        prefix, parsed = known
        out = io.BytesIO()
        try:
            fastavro.schemaless_writer(out, parsed, event.fields)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise ValueError(f"an event {event.type} cannot be written: {type(error).__name__}") from None
        return prefix + out.getvalue()


def frame(schema_id: int) -> bytes:
    """The five bytes before a value that was written with this schema."""
    return b"\0" + schema_id.to_bytes(4, "big")


def encode_heartbeat(schema_id: int, at_ms: int) -> bytes:
    """A framed stream heartbeat."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _HEARTBEAT_SCHEMA, {"at": at_ms})
    return frame(schema_id) + out.getvalue()


_HEARTBEAT_SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": HEARTBEAT,
        "namespace": "orchestrator.records",
        "fields": [{"name": "at", "type": "long"}],
    }
)
