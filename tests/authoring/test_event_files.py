from __future__ import annotations

import gzip
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.authoring.event_files import BadLine, EventLine, open_events, read_events
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import schemas_dir
from orchestrator.runtime.replay_kafka import integer_instants
from tests.journeys.shipped import START, shipped_shapes

CART = {
    "type": "cart_updated",
    "event_id": "e1",
    "customer_id": "c1",
    "occurred_at": "2026-03-02T09:00:00Z",
    "cart_id": "k1",
    "value": "19.80",
    "items": [{"product_id": "mug", "quantity": 2, "price": 9.9}],
}


def lines_of(*written: dict[str, Any] | str) -> list[EventLine | BadLine]:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in written]
    return list(read_events(io.BytesIO("\n".join(texts).encode()), shipped_shapes()))


def only(line: EventLine | BadLine) -> EventLine:
    assert isinstance(line, EventLine), line
    return line


def test_an_event_equals_what_decoding_its_avro_record_gives() -> None:
    schema_text = (schemas_dir() / "events" / "cart_updated.avsc").read_text()
    event = only(lines_of(CART)[0]).event
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(schema_text)), event.fields)
    decoded = fastavro.schemaless_reader(io.BytesIO(out.getvalue()), integer_instants(schema_text), None)
    assert event.fields == decoded
    # Equal decimals may still print differently, and templates print them.
    assert str(event.fields["value"]) == str(decoded["value"]) == "19.80"  # type: ignore[index]


def test_instants_are_read_in_utc_from_text_with_or_without_a_zone_and_from_milliseconds() -> None:
    written = ["2026-03-02T09:00:00Z", "2026-03-02T10:00:00+01:00", "2026-03-02 09:00", START]
    assert {only(line).at_ms for line in lines_of(*(CART | {"occurred_at": at} for at in written))} == {START}


def test_missing_optional_fields_get_their_defaults() -> None:
    order = {"type": "order_placed", "customer_id": "c", "occurred_at": 1, "order_id": "o", "total": 5}
    fields = only(lines_of(order)[0]).event.fields
    assert (fields["cart_id"], fields["currency"], fields["total"]) == (None, "EUR", Decimal("5.00"))


def test_an_event_without_an_id_is_named_after_its_line() -> None:
    nameless = {name: value for name, value in CART.items() if name != "event_id"}
    assert [only(line).event.event_id for line in lines_of(CART, "", nameless)] == ["e1", "line-3"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "nothing"}, "has a type that no schema describes"),
        ({"type": None}, "has no type"),
        ({"customer_id": ""}, "cart_updated: customer_id is missing"),
        ({"customer_id": 7}, "cart_updated: customer_id is not a text"),
        (
            {"occurred_at": "9999-12-31T23:59:59-23:59"},
            "cart_updated: occurred_at is not an instant between 1970 and 9999",
        ),
        ({"occurred_at": "1969-12-31"}, "cart_updated: occurred_at is not an instant between 1970 and 9999"),
        ({"occurred_at": "soon"}, "cart_updated: occurred_at is not an instant such as 2026-03-02T09:00:00Z"),
        ({"occurred_at": None}, "cart_updated: occurred_at is missing"),
        ({"value": "a lot"}, "cart_updated: value is not a number"),
        ({"value": True}, "cart_updated: value is not a number"),
        ({"value": "1.234"}, "cart_updated: value has more than 2 digits after the point"),
        ({"value": "12345678901.00"}, "cart_updated: value has more than 12 digits"),
        ({"value": "9" * 40}, "cart_updated: value has more than 12 digits"),
        ({"cart_id": None}, "cart_updated: cart_id is not a text"),
        ({"items": {}}, "cart_updated: items is not a list"),
        ({"items": [1]}, "cart_updated: items[0] is not a record"),
        ({"items": [{"product_id": "p", "quantity": 1}]}, "cart_updated: items[0].price is missing"),
        (
            {"items": [{"product_id": "p", "quantity": 2**31, "price": 1}]},
            "cart_updated: items[0].quantity does not fit into 32 bits",
        ),
        ({"colour": "red"}, "cart_updated: colour is not a field of cart_updated"),
    ],
)
def test_a_line_that_is_no_event_says_why(change: dict[str, Any], reason: str) -> None:
    assert lines_of(CART, CART | change) == [lines_of(CART)[0], BadLine(2, reason)]


def test_a_required_field_that_is_missing_is_named() -> None:
    assert lines_of({name: CART[name] for name in CART if name != "cart_id"}) == [
        BadLine(1, "cart_updated: cart_id is missing")
    ]


@pytest.mark.parametrize("text", ["{", "nonsense", "[1]", "3", '"x"', "[" * 100_000])
def test_text_that_is_no_json_object_is_a_bad_line(text: str) -> None:
    (line,) = lines_of(text)
    assert isinstance(line, BadLine)


def test_a_line_that_is_too_long_is_skipped_as_a_whole() -> None:
    found = lines_of("x" * (1 << 21), CART)
    assert [type(line) for line in found] == [BadLine, EventLine]
    assert found[1].number == 2


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes(gzip.compress(json.dumps(CART).encode()))
    with open_events(str(file)) as stream:
        assert len(list(read_events(stream, shipped_shapes()))) == 1


def test_a_file_that_was_cut_off_is_an_environment_problem(tmp_path: Path) -> None:
    file = tmp_path / "events.gz"
    content = "\n".join(json.dumps(CART | {"event_id": str(number)}) for number in range(1_000))
    file.write_bytes(gzip.compress(content.encode())[:-20])
    with open_events(str(file)) as stream, pytest.raises(EnvironmentProblem, match="cannot be read beyond line"):
        list(read_events(stream, shipped_shapes()))


def test_a_file_that_is_not_there_is_an_environment_problem(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be read"), open_events(str(tmp_path / "none")):
        pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(field=st.sampled_from(sorted(CART)), value=JSON)
def test_whatever_stands_in_a_field_is_an_event_or_a_bad_line(field: str, value: Any) -> None:
    (line,) = lines_of(json.dumps(CART | {field: value}).replace("NaN", "1e999").replace("Infinity", "1e999"))
    assert isinstance(line, (EventLine, BadLine))


@given(content=st.binary(max_size=200))
def test_any_bytes_are_events_or_bad_lines(content: bytes) -> None:
    assert all(isinstance(line, BadLine) for line in read_events(io.BytesIO(content), shipped_shapes()))
