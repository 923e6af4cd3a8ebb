"""Events as people write them (JSON, YAML) in the values that the engine sees, by the event type's Avro schema.

What comes out equals what decoding the Avro record gives: decimals with the schema's scale, instants as milliseconds,
dates as days, missing fields with their defaults.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from math import isinf
from typing import Any

from orchestrator.model.events import Event
from orchestrator.model.types import EventType

Convert = Callable[[Any], Any]
"""Turns a written value into the engine's; raises `BadValue`."""

HEAD = ("event_id", "customer_id", "occurred_at")
"""The fields that every event type has."""

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_INSTANT_MAX_MS = 253_402_300_799_999  # the year 9999, the last that date and time libraries agree on
_SINGLE = struct.Struct("<f")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")


class BadValue(ValueError):
    """A value that does not fit its field; the message says which, never with the value itself."""

    def at(self, name: str) -> BadValue:
        """The same, one level further up."""
        return BadValue(f"{name}{self}" if str(self).startswith((" ", "[", "{")) else f"{name}.{self}")


@dataclass(frozen=True, slots=True)
class FieldShape:
    """One field: how to read it, what it is when left out (`None` and `is_required` if it must not be), and a value
    that fits its type for whom it does not matter.
    """

    name: str
    convert: Convert
    default: Any
    is_required: bool
    blank: Any


@dataclass(frozen=True, slots=True)
class EventShape:
    """How an event type's fields are read; `fields` leaves out those of `HEAD`."""

    name: str
    fields: dict[str, FieldShape]


def event_shapes(event_types: Mapping[str, EventType]) -> dict[str, EventShape]:
    """The shape of each event type, by name."""
    return {name: _event_shape(event_type) for name, event_type in event_types.items()}


def event_from(shape: EventShape, written: Mapping[str, Any], *, fill: bool = False) -> Event:
    """The event that `written` describes, its head included. `fill` puts blank values where required ones are missing.

    Raises: BadValue naming the field.
    """
    event_id, customer_id = (read_text(written.get(name), name) for name in HEAD[:2])
    fields: dict[str, Any] = {
        "event_id": event_id,
        "customer_id": customer_id,
        "occurred_at": read_instant(written.get("occurred_at"), "occurred_at"),
    }
    known = 3
    for name, field in shape.fields.items():
        if name in written:
            known += 1
            try:
                fields[name] = field.convert(written[name])
            except BadValue as bad:
                raise bad.at(name) from None
        elif field.is_required and not fill:
            raise BadValue(f"{name} is missing")
        else:
            fields[name] = field.blank if field.is_required else field.default
    if known != len(written):
        unknown = next(name for name in written if name not in shape.fields and name not in HEAD)
        raise BadValue(f"{unknown} is not a field of {shape.name}")
    return Event(shape.name, event_id, customer_id, fields)


def read_text(value: Any, name: str) -> str:
    """A text that is not empty; raises BadValue."""
    if not isinstance(value, str) or not value:
        raise BadValue(f"{name} is missing" if value is None or value == "" else f"{name} is not a text")
    return value


def read_instant(value: Any, name: str) -> int:
    """Milliseconds since the epoch, from that or from an ISO 8601 text (UTC where it has no zone); raises BadValue."""
    try:
        return _instant(value)
    except BadValue as bad:
        raise BadValue(f"{name} is missing" if value is None else f"{name}{bad}") from None


def _event_shape(event_type: EventType) -> EventShape:
    names: dict[str, Any] = {}
    schema = json.loads(event_type.schema_json)
    _name_types(schema, names)
    fields = {}
    for field in schema["fields"]:
        if field["name"] not in HEAD:
            has_default = "default" in field
            default = _default(field["type"], field["default"], names) if has_default else None
            fields[field["name"]] = FieldShape(
                field["name"],
                _converter(field["type"], names),
                default,
                not has_default,
                _blank(field["type"], field["name"], names),
            )
    return EventShape(event_type.name, fields)


def _name_types(schema: Any, names: dict[str, Any]) -> None:
    """Collects the named types of a schema, so that a later mention by name finds them."""
    if isinstance(schema, list):
        for branch in schema:
            _name_types(branch, names)
    elif isinstance(schema, dict):
        if "name" in schema:
            names[schema["name"]] = schema
            if "namespace" in schema:
                names[f"{schema['namespace']}.{schema['name']}"] = schema
        for field in schema.get("fields", ()):
            _name_types(field["type"], names)
        for part in ("items", "values", "type"):
            if isinstance(schema.get(part), (dict, list)):
                _name_types(schema[part], names)


def _resolved(schema: Any, names: Mapping[str, Any]) -> Any:
    """The schema with a mention by name, or a type in brackets, replaced by the definition."""
    while True:
        if isinstance(schema, str) and schema in names:
            schema = names[schema]
        elif isinstance(schema, dict) and isinstance(schema["type"], (dict, list)):
            schema = schema["type"]
        else:
            return schema


def _kind(schema: Any) -> str:
    """A word for the schema's type: the logical type where there is one that matters here."""
    if isinstance(schema, list):
        return "union"
    if isinstance(schema, str):
        return schema
    logical = schema.get("logicalType")
    return logical if logical in {"decimal", "timestamp-millis", "date"} else str(schema["type"])


def _converter(schema: Any, names: Mapping[str, Any]) -> Convert:
    schema = _resolved(schema, names)
    match _kind(schema):
        case "decimal":
            return partial(_decimal, schema.get("scale", 0), schema["precision"])
        case "enum":
            return partial(_symbol, frozenset(schema["symbols"]))
        case "array":
            return partial(_array, _converter(schema["items"], names))
        case "map":
            return partial(_map, _converter(schema["values"], names))
        case "record":
            inner = {f["name"]: _converter(f["type"], names) for f in schema["fields"]}
            defaults = {f["name"]: _default(f["type"], f["default"], names) for f in schema["fields"] if "default" in f}
            return partial(_record, inner, defaults)
        case "union":
            return partial(_union, tuple(_converter(branch, names) for branch in schema))
        case kind:
            return _PLAIN[kind]


def _default(schema: Any, default: Any, names: Mapping[str, Any]) -> Any:
    """An Avro default as a value: that of a union is one of its first branch, that of bytes is written as text."""
    schema = _resolved(schema, names)
    if isinstance(schema, list):
        return _default(schema[0], default, names)
    if _kind(schema) == "decimal":
        unscaled = int.from_bytes(default.encode("latin-1"), "big", signed=True)
        return Decimal(unscaled).scaleb(-schema.get("scale", 0))
    if _kind(schema) == "bytes":
        return default.encode("latin-1")
    return _converter(schema, names)(default)


def _blank(schema: Any, name: str, names: Mapping[str, Any]) -> Any:
    """A value that fits the type: nothing, zero, no, or for a text the field's name."""
    schema = _resolved(schema, names)
    match _kind(schema):
        case "union":
            return None if any(_kind(branch) == "null" for branch in schema) else _blank(schema[0], name, names)
        case "string":
            return name
        case "bytes":
            return b""
        case "boolean":
            return False
        case "decimal":
            return Decimal(0).scaleb(-schema.get("scale", 0))
        case "float" | "double":
            return 0.0
        case "enum":
            return schema["symbols"][0]
        case "array":
            return []
        case "map":
            return {}
        case "record":
            return {f["name"]: _blank(f["type"], f["name"], names) for f in schema["fields"]}
        case "null":
            return None
        case _:
            return 0


def _null(value: Any) -> None:
    if value is not None:
        raise BadValue(" is not null")


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue(" is not true or false")
    return value


def _whole(bits: int, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(" is not a whole number")
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise BadValue(f" does not fit into {bits} bits")
    return value


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise BadValue(" is not a number")
    try:
        number = float(value)
    except OverflowError:
        raise BadValue(" is too large") from None
    if isinf(number) and not isinstance(value, float):
        # Digits that only Avro's infinity could stand for.
        raise BadValue(" is too large")
    return number


def _float32(value: Any) -> float:
    """What is left of a number in 32 bits."""
    try:
        return float(_SINGLE.unpack(_SINGLE.pack(_float(value)))[0])
    except OverflowError:
        raise BadValue(" is too large") from None


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(" is not a text")
    return value


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return _string(value).encode("latin-1")
    except UnicodeEncodeError:
        raise BadValue(" has characters beyond one byte") from None


def _decimal(scale: int, precision: int, value: Any) -> Decimal:
    if isinstance(value, float):
        value = repr(value)  # the digits that were written, not their nearest binary fraction
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise BadValue(" is not a number")
    try:
        exact = Decimal(value)
        scaled = exact.quantize(Decimal(1).scaleb(-scale))
    except InvalidOperation:
        raise BadValue(f" has more than {precision} digits") from None
    if scaled != exact:
        raise BadValue(f" has more than {scale} digits after the point")
    if len(scaled.as_tuple().digits) > precision:
        raise BadValue(f" has more than {precision} digits")
    return scaled


def _instant(value: Any) -> int:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise BadValue(" is not an instant such as 2026-03-02T09:00:00Z") from None
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
        instant_ms = (elapsed.days * 86_400 + elapsed.seconds) * 1_000 + elapsed.microseconds // 1_000
    else:
        instant_ms = _whole(64, value)
    if not 0 <= instant_ms <= _INSTANT_MAX_MS:
        raise BadValue(" is not an instant between 1970 and 9999")
    return instant_ms


def _date(value: Any) -> int:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value).toordinal() - _EPOCH_DAY
        except ValueError:
            raise BadValue(" is not a date such as 2026-03-02") from None
    return _whole(32, value)


def _symbol(symbols: frozenset[str], value: Any) -> str:
    if not isinstance(value, str) or value not in symbols:
        raise BadValue(f" is none of {', '.join(sorted(symbols))}")
    return value


def _array(convert: Convert, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadValue(" is not a list")
    items = []
    for number, item in enumerate(value):
        try:
            items.append(convert(item))
        except BadValue as bad:
            raise bad.at(f"[{number}]") from None
    return items


def _map(convert: Convert, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadValue(" is not a mapping")
    try:
        return {str(name): convert(item) for name, item in value.items()}
    except BadValue as bad:
        raise bad.at("{}") from None


def _record(inner: Mapping[str, Convert], defaults: Mapping[str, Any], value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadValue(" is not a record")
    unknown = next((name for name in value if name not in inner), None)
    if unknown is not None:
        raise BadValue(f"{unknown} is not a field")
    fields = {}
    for name, convert in inner.items():
        if name not in value:
            if name not in defaults:
                raise BadValue(f"{name} is missing")
            fields[name] = defaults[name]
            continue
        try:
            fields[name] = convert(value[name])
        except BadValue as bad:
            raise bad.at(name) from None
    return fields


def _union(branches: tuple[Convert, ...], value: Any) -> Any:
    first: BadValue | None = None
    for convert in branches:
        try:
            return convert(value)
        except BadValue as bad:
            # What is wrong with a nullable value is what its other branch says.
            if first is None or convert is not _null:
                first = bad
    raise first or BadValue(" has no type")


_PLAIN: dict[str, Convert] = {
    "null": _null,
    "boolean": _boolean,
    "int": partial(_whole, 32),
    "long": partial(_whole, 64),
    "float": _float32,
    "double": _float,
    "string": _string,
    "bytes": _bytes,
    "timestamp-millis": _instant,
    "date": _date,
}
