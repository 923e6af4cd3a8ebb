"""The shipped journeys, compiled once for all tests that run on them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.event_values import EventShape, event_from, event_shapes
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.resources import journeys_dir, schemas_dir

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_772_442_000_000


@cache
def shipped_sources() -> Sources:
    return read_sources(journeys_dir())


@cache
def shipped_journeys() -> JourneySet:
    compilation = compile_journeys(shipped_sources(), load_event_types(schemas_dir() / "events"))
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys


@cache
def shipped_shapes() -> Mapping[str, EventShape]:
    return event_shapes(load_event_types(schemas_dir() / "events"))


def shop_event(event_type: str, event_id: str, customer_id: str, at_ms: int, **fields: Any) -> Event:
    written = {"event_id": event_id, "customer_id": customer_id, "occurred_at": at_ms, **fields}
    return event_from(shipped_shapes()[event_type], written, fill=True)
