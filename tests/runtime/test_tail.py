from __future__ import annotations

import io
import json
from datetime import date
from decimal import Decimal
from typing import Any

import fastavro
import pytest

from orchestrator.runtime.tail import Decoder, TailedRecord, as_json, iso_instant

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "thing",
    "namespace": "x",
    "fields": [
        {"name": "email", "type": ["null", "string"], "pii": True},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "content", "type": {"type": "map", "values": "string"}, "pii": True},
        {
            "name": "people",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "person",
                    "fields": [{"name": "name", "type": "string", "pii": True}, {"name": "age", "type": "int"}],
                },
            },
        },
        {"name": "first", "type": ["null", "person"]},
        {"name": "raw", "type": "bytes"},
    ],
}
VALUE: dict[str, Any] = {
    "email": "a@example.com",
    "total": Decimal("12.50"),
    "at": 1_704_368_738_001,
    "day": date(2024, 2, 29),
    "content": {"body": "Dear Ana"},
    "people": [{"name": "Ana", "age": 3}],
    "first": {"name": "Ben", "age": 4},
    "raw": b"\x00\xff",
}


def encoded(value: dict[str, Any], schema_id: int = 7) -> bytes:
    out = io.BytesIO()
    out.write(b"\0" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(SCHEMA))), value)
    return out.getvalue()


def lookup(schema_id: int) -> str | None:
    return json.dumps(SCHEMA) if schema_id == 7 else None


def test_personal_fields_are_masked_wherever_they_stand() -> None:
    record_type, value, note = Decoder(lookup).decode(encoded(VALUE))
    assert (record_type, note) == ("thing", "")
    assert value == {
        "email": "***",
        "total": "12.50",
        "at": "2024-01-04T11:45:38.001Z",
        "day": "2024-02-29",
        "content": "***",
        "people": [{"name": "***", "age": 3}],
        "first": {"name": "***", "age": 4},
        "raw": "AP8=",
    }
    assert "example.com" not in json.dumps(value)


def test_personal_data_is_shown_when_asked_for() -> None:
    _, value, _ = Decoder(lookup, show_personal_data=True).decode(encoded(VALUE))
    assert value["email"] == "a@example.com"
    assert value["content"] == {"body": "Dear Ana"}
    assert value["people"] == [{"name": "Ana", "age": 3}]


def test_a_missing_personal_field_is_not_made_to_look_like_one() -> None:
    assert Decoder(lookup).decode(encoded({**VALUE, "email": None, "first": None}))[1]["email"] is None


def test_bytes_that_cannot_be_read_say_why_and_stay_hidden() -> None:
    decoder = Decoder(lookup)
    assert decoder.decode(None) == (None, None, "")
    assert decoder.decode(b"secret") == (None, "6 bytes", "not Avro")
    assert decoder.decode(encoded(VALUE, 9))[2] == "schema 9 is unknown"
    assert decoder.decode(encoded(VALUE)[:-4])[2].startswith("undecodable")


def test_a_schema_is_looked_up_once() -> None:
    asked: list[int] = []

    def counted(schema_id: int) -> str | None:
        asked.append(schema_id)
        return lookup(schema_id)

    decoder = Decoder(counted)
    for schema_id in (7, 7, 9, 9):
        decoder.decode(encoded(VALUE, schema_id))
    assert asked == [7, 9]


def test_a_record_is_one_json_object_without_empty_parts() -> None:
    shown = as_json(TailedRecord("t", 1, 2, 1_000, "c", "thing", {"a": 1}))
    assert json.dumps(shown) == (
        '{"topic": "t", "partition": 1, "offset": 2, "at": "1970-01-01T00:00:01.000Z", "key": "c", '
        '"type": "thing", "value": {"a": 1}}'
    )
    odd = as_json(TailedRecord("t", 1, 2, 1_000, None, None, "3 bytes", "not Avro", (("reason", "not_avro"),)))
    assert (odd["note"], odd["headers"]) == ("not Avro", {"reason": "not_avro"})
    assert "type" not in odd


@pytest.mark.parametrize("at_ms", [0, 1, 999, 1_704_368_738_001, 1_719_698_560_999])
def test_instants_keep_their_milliseconds(at_ms: int) -> None:
    assert int(iso_instant(at_ms)[-4:-1]) == at_ms % 1000
