"""Compiled Avro readers and writers: they agree with fastavro on every schema and value, and refuse damage."""

from __future__ import annotations

import io
import json
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model.actions import ActionCommand, Transition
from orchestrator.model.events import Event
from orchestrator.runtime.codec import (
    EventCodec,
    JournalEntry,
    RecordEncoder,
    RejectedRecord,
    Rejection,
    Slice,
    encode_heartbeat,
    event_reader,
    frame,
)
from orchestrator.runtime.command_schemas import COMMAND
from orchestrator.runtime.schemas import incompatibilities, read_schema_files
from orchestrator.runtime.wire import Unsupported, compile_reader, encode_long, read_long
from tests.runtime.cycle_build import OUTPUT_IDS, OUTPUTS, FakeClock, FakeRecord, FakeRegistry

SCHEMAS = Path(__file__).parents[2] / "schemas"

LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("double", st.floats(allow_nan=False)),
    ("float", st.floats(allow_nan=False, width=32)),
    ("string", st.text(max_size=200)),
    ("bytes", st.binary(max_size=200)),
    ({"type": "long", "logicalType": "timestamp-millis"}, st.integers(-(2**50), 2**50)),
    ({"type": "int", "logicalType": "date"}, st.integers(-100_000, 100_000)),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2},
        st.decimals(-(10**20), 10**20, places=2, allow_nan=False),
    ),
]
numbers = iter(range(10**9))


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    kind = draw(st.sampled_from(["leaf", "leaf", "array", "map", "record", "enum", "optional", "fixed"]))
    if kind == "leaf" or depth == 0:
        leaf: tuple[Any, st.SearchStrategy[Any]] = draw(st.sampled_from(LEAVES))
        return leaf
    name = f"n{next(numbers)}"
    if kind == "enum":
        symbols = ["A", "B", "C"]
        return {"type": "enum", "name": name, "symbols": symbols}, st.sampled_from(symbols)
    if kind == "fixed":
        return {"type": "fixed", "name": name, "size": 7}, st.binary(min_size=7, max_size=7)
    if kind == "record":
        fields = [draw(schemas(depth - 1)) for _ in range(draw(st.integers(0, 4)))]
        schema = {
            "type": "record",
            "name": name,
            "fields": [{"name": f"f{n}", "type": inner} for n, (inner, _) in enumerate(fields)],
        }
        return schema, st.fixed_dictionaries({f"f{n}": values for n, (_, values) in enumerate(fields)})
    inner, values = draw(schemas(depth - 1))
    if kind == "array":
        return {"type": "array", "items": inner}, st.lists(values, max_size=5)
    if kind == "map":
        return {"type": "map", "values": inner}, st.dictionaries(st.text(max_size=5), values, max_size=5)
    if inner == "null":
        return inner, values
    return ["null", inner], st.none() | values


def plain(schema: Any) -> Any:
    """The schema without instants and dates, which fastavro would turn into objects."""
    if isinstance(schema, dict) and schema.get("logicalType") in {"timestamp-millis", "date"}:
        return schema["type"]
    if isinstance(schema, dict):
        return {key: plain(value) for key, value in schema.items()}
    return [plain(part) for part in schema] if isinstance(schema, list) else schema


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_compiled_reader_reads_what_fastavro_wrote(data: st.DataObject) -> None:
    schema, values = data.draw(schemas())
    value = data.draw(values)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, plain(schema), value)
    raw = out.getvalue()
    expected = fastavro.schemaless_reader(io.BytesIO(raw), plain(schema), None)
    read = compile_reader(json.dumps(schema))
    assert read(b"frame" + raw, 5) == expected
    for cut in range(len(raw)):
        with pytest.raises((ValueError, IndexError, struct.error)):
            read(raw[:cut], 0)


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_of_any_size_survive(number: int) -> None:
    raw = encode_long(number)
    assert read_long(raw, 0) == (number, len(raw))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_garbage_is_rejected_or_read_but_never_hangs(raw: bytes) -> None:
    schema = (SCHEMAS / "events" / "cart_updated.avsc").read_text()
    try:
        fields = compile_reader(schema)(raw, 0)
    except (ValueError, IndexError, KeyError, ArithmeticError):
        return
    assert set(fields) >= {"event_id", "customer_id"}


@pytest.mark.parametrize("path", sorted((SCHEMAS / "events").glob("*.avsc")), ids=lambda path: path.stem)
def test_every_shipped_event_schema_is_compiled(path: Path) -> None:
    compile_reader(path.read_text())


def test_a_record_that_contains_itself_is_read_by_fastavro() -> None:
    schema = {
        "type": "record",
        "name": "node",
        "fields": [{"name": "name", "type": "string"}, {"name": "next", "type": ["null", "node"]}],
    }
    text = json.dumps(schema)
    with pytest.raises(Unsupported):
        compile_reader(text)
    out = io.BytesIO()
    value = {"name": "a", "next": {"name": "b", "next": None}}
    fastavro.schemaless_writer(out, schema, value)
    assert event_reader(text, None)(b"frame" + out.getvalue(), 5) == value


def test_an_older_writers_record_gets_our_defaults_and_plain_instants() -> None:
    common = [{"name": "event_id", "type": "string"}]
    instant = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
    money = {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}
    older = {"type": "record", "name": "e", "fields": [*common, instant, money]}
    ours = {
        "type": "record",
        "name": "e",
        "fields": [*common, instant, money, {"name": "n", "type": "int", "default": 4}],
    }
    out = io.BytesIO()
    fastavro.schemaless_writer(out, older, {"event_id": "1", "at": 1_700_000_000_000, "total": Decimal("1.50")})
    fields = event_reader(json.dumps(older), json.dumps(ours))(b"frame" + out.getvalue(), 5)
    assert fields == {"event_id": "1", "at": 1_700_000_000_000, "total": Decimal("1.50"), "n": 4}
    assert type(fields["at"]) is int


def test_microseconds_become_milliseconds_in_both_ways_of_reading() -> None:
    instant = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}
    older = {"type": "record", "name": "e", "fields": [instant]}
    newer = {"type": "record", "name": "e", "fields": [instant, {"name": "n", "type": "int", "default": 4}]}
    raw = b"frame" + encode_long(1_700_000_000_123_456)
    assert event_reader(json.dumps(older), json.dumps(older))(raw, 5) == {"at": 1_700_000_000_123}
    assert event_reader(json.dumps(older), json.dumps(newer))(raw, 5) == {"at": 1_700_000_000_123, "n": 4}


text = st.text(max_size=300)
instants = st.integers(-(2**40), 2**45)


def decoded(name: str, raw: bytes) -> Any:
    assert raw[:5] == frame(OUTPUT_IDS[name])
    return fastavro.schemaless_reader(io.BytesIO(raw[5:]), plain(json.loads(OUTPUTS[name])), None)


ENCODER = RecordEncoder(schemas=OUTPUTS, ids=OUTPUT_IDS)


@given(
    st.builds(
        Transition, text, text, text, st.integers(0, 2**40), text, text, text, text, instants, st.none() | text,
        st.none() | text, st.none() | text,
    )
)  # fmt: skip
def test_transitions_are_encoded_as_their_schema_says(made: Transition) -> None:
    fields = {name: getattr(made, name) for name in made.__struct_fields__}
    fields["at"] = fields.pop("at_ms")
    assert decoded("journey_transition", ENCODER.transition(made)) == fields


@given(
    st.builds(
        ActionCommand, text, text, text, text, st.integers(0, 9), text, text, text, text, text,
        st.dictionaries(text, text, max_size=4), st.sampled_from(["promotional", "transactional"]), st.integers(0, 9),
        instants, instants, text, text, st.none() | instants,
    )
)  # fmt: skip
def test_actions_are_encoded_as_their_schema_says(action: ActionCommand) -> None:
    fields = {name: getattr(action, name) for name in action.__struct_fields__}
    fields["created_at"] = fields.pop("created_at_ms")
    fields["expires_at"] = fields.pop("expires_at_ms")
    fields["due_at"] = fields.pop("due_at_ms")
    assert decoded("action_command", ENCODER.action(action)) == fields


CHANNELS = {file.name: file for file in read_schema_files(SCHEMAS / "actions")}
OF_CHANNELS = RecordEncoder(
    schemas=OUTPUTS | {name: file.text for name, file in CHANNELS.items()},
    ids=OUTPUT_IDS | {name: number for number, name in enumerate(CHANNELS, 200)},
)


def by_channel(action: ActionCommand) -> tuple[str, dict[str, Any]]:
    """(record name, fields) of the command as a sink reads it."""
    value = OF_CHANNELS.action(action)
    number = int.from_bytes(value[1:5], "big")
    name = next((name for name, given in zip(CHANNELS, range(200, 300), strict=False) if given == number), COMMAND)
    fields: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), json.loads(CHANNELS[name].text), None)
    return name, fields


def mail(**content: str) -> ActionCommand:
    return ActionCommand(
        "a1", "c1", "cart", "v1", 1, "remind", "email", "a@example.com", "reminder", "en",
        content, "promotional", 5, 1, 2, experiments={"subject_line": "short"},
    )  # fmt: skip


@given(st.fixed_dictionaries({"subject": text, "body": text}, optional={"preheader": text}))
def test_a_command_is_encoded_as_the_schema_of_its_channel_says(content: dict[str, str]) -> None:
    name, fields = by_channel(mail(**content))
    assert name == "email_command"
    assert fields["content"] == {"preheader": None, **content}
    assert (fields["address"], fields["experiments"]) == ("a@example.com", {"subject_line": "short"})


@pytest.mark.parametrize("content", [{}, {"subject": "a"}, {"subject": "a", "body": "b", "banner": "c"}])
def test_a_content_of_before_its_channel_had_a_schema_is_sent_as_it_is(content: dict[str, str]) -> None:
    name, fields = by_channel(mail(**content))
    assert (name, fields["content"]) == ("action_command", content)


def test_every_channel_has_the_same_envelope() -> None:
    envelope = json.loads(CHANNELS["action_command"].text)["fields"]
    assert len(CHANNELS) > 10
    for name, file in CHANNELS.items():
        schema = json.loads(file.text)
        assert file.subject == f"orchestrator.actions.{name}"
        assert [field for field in schema["fields"] if field["name"] != "content"] == [
            field for field in envelope if field["name"] != "content"
        ]


def test_a_part_can_be_added_to_a_channel_and_an_envelope_can_grow() -> None:
    text = CHANNELS["email_command"].text
    less = json.loads(text)
    content = next(field["type"] for field in less["fields"] if field["name"] == "content")
    content["fields"] = [field for field in content["fields"] if field["name"] != "preheader"]
    assert incompatibilities(text, json.dumps(less)) == []
    content["fields"] = [field for field in content["fields"] if field["name"] != "subject"]
    assert incompatibilities(text, json.dumps(less)) == [
        'field "content.subject" was added without a default, so records written before cannot be read'
    ]


def test_actions_of_before_there_were_kinds_are_read_as_messages() -> None:
    now = json.loads((SCHEMAS / "actions" / "action_command.avsc").read_text())
    fields = [field for field in now["fields"] if field["name"] not in {"kind", "target", "due_at"}]
    before = {**now, "fields": fields}
    assert incompatibilities(json.dumps(now), json.dumps(before)) == []
    plain = {"string": "x", "long": 7, "int": 5}
    record = {field["name"]: plain.get(field["type"], 7) for field in fields if isinstance(field["type"], str)}
    record |= {"content": {}, "message_class": "promotional", "created_at": 1, "expires_at": 2}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(before), record)
    read = event_reader(json.dumps(before), json.dumps(now))(out.getvalue(), 0)
    assert (read["kind"], read["target"], read["due_at"]) == ("send", "", None)


@given(
    st.integers(0, 99),
    st.lists(st.builds(Slice, text, st.integers(0, 2**60), st.integers(0, 2**60)), max_size=4),
    st.lists(st.builds(RejectedRecord, text, st.integers(0, 2**60), text), max_size=4),
    instants,
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
)
def test_journal_entries_are_encoded_as_their_schema_says(
    partition: int,
    slices: list[Slice],
    rejected: list[RejectedRecord],
    until: int,
    customer: bytes | None,
    aligned: bytes | None,
) -> None:
    entry = JournalEntry(partition, slices, rejected, until, customer, "set", partition - 1, aligned, customer)
    assert decoded("journal_entry", ENCODER.journal(entry)) == {
        "partition": partition,
        "slices": [{"topic": s.topic, "first": s.first, "last": s.last} for s in slices],
        "rejected": [{"topic": r.topic, "offset": r.offset, "reason": r.reason} for r in rejected],
        "timers_until": until,
        "timers_until_customer": customer,
        "journeys": "set",
        "definition": partition - 1,
        "aligned_after": aligned,
        "aligned_until": customer,
    }


def test_the_codec_gives_events_rejections_and_nothing() -> None:
    clock, registry = FakeClock(), FakeRegistry()
    codec = EventCodec(registry, wanted={"registered"}, reader_schemas={}, clock=clock)
    value = frame(1) + b"\x02e\x02c\x00"
    codec.prepare([frame(1), frame(3), frame(90), b"short"])
    assert codec.decode(FakeRecord("t", 0, 0, 0, b"c", value)) == Event(
        "registered", "e", "c", {"event_id": "e", "customer_id": "c", "mood": ""}
    )
    assert codec.decode(FakeRecord("t", 0, 0, 0, b"other", value)) == Rejection("customer_mismatch")
    assert codec.decode(FakeRecord("t", 0, 0, 0, b"c", frame(3) + b"whatever")) is None
    assert codec.decode(FakeRecord("t", 0, 0, 0, None, encode_heartbeat(90, 5))) is None
    assert codec.decode(FakeRecord("t", 0, 0, 0, b"c", b"\1")) == Rejection("not_avro", "no magic byte and schema id")
    assert registry.asked == [1, 3, 90]


def test_a_new_journey_set_may_want_a_type_that_was_skipped() -> None:
    codec = EventCodec(FakeRegistry(), wanted=(), reader_schemas={}, clock=FakeClock())
    codec.prepare([frame(1)])
    record = FakeRecord("t", 0, 0, 0, b"c", frame(1) + b"\x02e\x02c\x00")
    assert codec.decode(record) is None
    codec.want({"registered"}, {})
    assert isinstance(codec.decode(record), Event)
