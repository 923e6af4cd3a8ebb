"""Values of expressions as JSON: for webhooks, and for what a person is told with a task.

Decimals keep their digits, instants and dates are ISO 8601 in UTC, durations milliseconds. Keys are sorted, so that
the same values give the same text.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from orchestrator.model.types import Kind, Type

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DAYS_MAX = 2_932_896
"""31 December 9999, the last day that ISO 8601 and Python write alike."""
_encode = msgspec.json.Encoder(order="sorted", decimal_format="number").encode

Convert = Callable[[Any], Any]


def json_of(types: Mapping[str, Type]) -> Callable[[Mapping[str, Any]], str]:
    """What gives values of these names and types as a JSON object."""
    converters = {name: convert for name, of in types.items() if (convert := _converter(of)) is not None}

    def render(values: Mapping[str, Any]) -> str:
        converted = {name: converters[name](value) if name in converters else value for name, value in values.items()}
        return _encode(converted).decode()

    return render


def json_text(text: str) -> str:
    """The text as JSON."""
    return _encode(text).decode()


def json_instant(at_ms: int) -> str | None:
    """The instant in ISO 8601; None for one beyond the calendar."""
    if not 0 <= at_ms + 62_135_596_800_000 < 315_537_897_600_000:
        return None
    return (EPOCH + dt.timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _converter(of: Type) -> Convert | None:
    """What turns a value of the type into one that JSON has, or None if it is one."""
    match of.kind:
        case Kind.INSTANT:
            return lambda value: json_instant(value) if isinstance(value, int) else None
        case Kind.DATE:
            return _date
        case Kind.LIST | Kind.MAP:
            inner = None if of.item is None else _converter(of.item)
            return None if inner is None else _each(inner)
        case Kind.RECORD:
            converters = {
                name: convert for name, part in of.fields.items() if (convert := _converter(part)) is not None
            }
            return _record(converters) if converters else None
        case _:
            return None


def _date(value: Any) -> Any:
    if not isinstance(value, int) or not -719_162 <= value <= DAYS_MAX:
        return None
    return (EPOCH + dt.timedelta(days=value)).date().isoformat()


def _each(convert: Convert) -> Convert:
    def render(value: Any) -> Any:
        if isinstance(value, list):
            return [convert(item) for item in value]
        return {key: convert(item) for key, item in value.items()} if isinstance(value, dict) else None

    return render


def _record(converters: Mapping[str, Convert]) -> Convert:
    def render(value: Any) -> Any:
        if not isinstance(value, dict):
            return None
        return {key: converters[key](item) if key in converters else item for key, item in value.items()}

    return render
