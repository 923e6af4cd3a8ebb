"""Whatever is sent, it is answered: accepted or refused, never a failure of the endpoint."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.model.events import Event
from orchestrator.resources import schemas_dir
from orchestrator.runtime.ingest.publisher import framed
from orchestrator.runtime.ingest.reading import BadBody, read_events
from orchestrator.runtime.produce import Route, event_routes, produced_schemas
from orchestrator.runtime.schemas import read_schema_files
from orchestrator.runtime.settings import DEFAULT_EVENT_TOPICS
from tests.runtime.ingest.served import ANYBODY, SHAPES

FILES = produced_schemas(read_schema_files(schemas_dir()))
ROUTES: dict[str, Route] = event_routes(
    FILES, {file.name: 1 for file in FILES}, topic_prefix="", event_topics=DEFAULT_EVENT_TOPICS
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["2026-03-02T09:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-03-02"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Nearly events: a type that there is, its fields with any values, some missing and some too many."""
    name = draw(st.sampled_from(sorted(SHAPES)))
    fields: dict[str, Any] = {"type": name, "customer_id": "c", "occurred_at": 1}
    for field in SHAPES[name].fields.values():
        fields[field.name] = draw(st.just(_written(field.blank)) | JSON)
    for field_name in draw(st.lists(st.sampled_from([*fields, "event_id", "extra"]), max_size=3)):
        if draw(st.booleans()):
            fields.pop(field_name, None)
        else:
            fields[field_name] = draw(JSON)
    return fields


def _written(blank: Any) -> Any:
    return blank if blank is None or isinstance(blank, (bool, int, float, str, list, dict)) else str(blank)


def taken(body: bytes) -> list[Event]:
    """The events of a body, each written as Avro; none if it is refused."""
    try:
        found = read_events(body, SHAPES, ANYBODY, of_type=None, idempotency_key="", events_max=100)
    except BadBody as bad:
        if bad.status not in {400, 403, 422} or not bad.problems:
            raise
        return []
    for event in found:
        assert framed(ROUTES[event.type], event)
    return found


@given(st.binary(max_size=200))
@example(b"[" * 5_000)
@example(b"\xff")
@example(b'{"type": "app_installed", "customer_id": "\\ud800"}')
def test_any_bytes_are_answered(body: bytes) -> None:
    taken(body)


@given(st.lists(events(), max_size=3))
@example([{"type": "order_placed", "total": "9" * 5_000}])
def test_nearly_events_are_answered_and_what_is_taken_can_be_written(found: list[dict[str, Any]]) -> None:
    taken(json.dumps(found).encode())


@given(events(), st.sampled_from(["1e999", "-1e999", "1e-999999", "123456789012345678901234567890.5"]))
def test_numbers_beyond_any_type_are_answered(event: dict[str, Any], number: str) -> None:
    names = [name for name in event if name not in {"type", "customer_id"}]
    for name in names:
        text = json.dumps({**event, name: "HERE"}).replace('"HERE"', number)
        taken(text.encode())
