"""Events that journeys emit: whether what a step gives fits the event's schema, and the values that come back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro

from orchestrator.authoring.event_values import HEAD, BadValue, event_from, event_shapes
from orchestrator.authoring.expression_nodes import Constant, Typed
from orchestrator.authoring.expression_types import as_decimal
from orchestrator.model.types import EventType, Kind, Type

BYTES_MAX = 900_000
"""Brokers refuse records above 1 MB."""


def topic_of(event: EventType) -> str | None:
    """The topic that the event's schema names, or None."""
    topic = json.loads(event.schema_json).get("topic")
    return topic if isinstance(topic, str) and topic else None


def required_fields(event: EventType) -> tuple[str, ...]:
    """The fields that have no default, beside the head, which the orchestrator gives."""
    fields = json.loads(event.schema_json)["fields"]
    return tuple(field["name"] for field in fields if "default" not in field and field["name"] not in HEAD)


def event_builder(event: EventType) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """What gives an event's fields as they are read from a topic, or None if the values do not fit the schema."""
    shape = event_shapes({event.name: event})[event.name]
    schema = fastavro.parse_schema(json.loads(event.schema_json))

    def build(values: dict[str, Any]) -> dict[str, Any] | None:
        out = io.BytesIO()
        try:
            fields = event_from(shape, values).fields
            fastavro.schemaless_writer(out, schema, fields)
        except (BadValue, ValueError, TypeError, ArithmeticError):
            return None
        return fields if out.tell() <= BYTES_MAX else None

    return build


def misfit(node: Typed, field: Type) -> str:
    """Why the expression does not fit the field: `type`, `null`, `symbol`; or "" if it does."""
    of = as_decimal(node).type if field.kind is Kind.DECIMAL else node.type
    if of.kind is Kind.NULL:
        return "" if field.nullable else "null"
    if not _fits(of, field):
        return "type"
    if field.symbols and not _has_symbols(node, field):
        return "symbol"
    return "null" if of.nullable and not field.nullable else ""


def _fits(of: Type, field: Type) -> bool:
    """Whether each value of the type is one of the field's; nulls apart."""
    if field.kind is Kind.FLOAT:
        return of.kind in {Kind.FLOAT, Kind.INTEGER, Kind.DECIMAL}
    if field.kind is Kind.DECIMAL:
        return of.kind in {Kind.DECIMAL, Kind.INTEGER}
    if of.kind is not field.kind:
        return False
    if of.item is not None and field.item is not None:
        return _fits_inside(of.item, field.item)
    if of.kind is Kind.RECORD:
        return of.fields.keys() == field.fields.keys() and all(
            _fits_inside(part, field.fields[name]) for name, part in of.fields.items()
        )
    return True


def _fits_inside(of: Type, field: Type) -> bool:
    if of.nullable and not field.nullable:
        return False
    return _fits(of, field) and (not field.symbols or (bool(of.symbols) and set(of.symbols) <= set(field.symbols)))


def _has_symbols(node: Typed, field: Type) -> bool:
    if isinstance(node, Constant):
        return node.value in field.symbols
    return bool(node.type.symbols) and set(node.type.symbols) <= set(field.symbols)
