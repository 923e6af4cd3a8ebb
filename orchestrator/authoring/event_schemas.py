"""The event types that journeys can refer to, from the Avro schemas of `schemas/events`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import fastavro.schema

from orchestrator.authoring.sources import hash_texts
from orchestrator.model.problems import EnvironmentProblem, Problem
from orchestrator.model.types import (
    BOOLEAN,
    DATE,
    DECIMAL,
    FLOAT,
    INSTANT,
    INTEGER,
    STRING,
    EventType,
    Kind,
    Type,
)

PRIMITIVES = {
    "string": STRING,
    "int": INTEGER,
    "long": INTEGER,
    "float": FLOAT,
    "double": FLOAT,
    "boolean": BOOLEAN,
}
LOGICAL = {
    ("long", "timestamp-millis"): INSTANT,
    ("int", "date"): DATE,
    ("bytes", "decimal"): DECIMAL,
    ("fixed", "decimal"): DECIMAL,
    ("string", "uuid"): STRING,
}
REQUIRED = {"event_id": STRING, "customer_id": STRING, "occurred_at": INSTANT}
"""The fields that every event has."""


@dataclass(frozen=True, slots=True)
class EventTypes:
    """The event types by name, and what is wrong with the schemas."""

    types: dict[str, EventType]
    problems: tuple[Problem, ...]


class _Unsupported(Exception):
    """A schema that has no type in conditions; the message says why."""


def load_event_types(directory: Path) -> dict[str, EventType]:
    """The event types of a directory of Avro schemas, by name.

    Raises: EnvironmentProblem if the directory does not exist or a schema cannot be used.
    """
    found = event_types_from_texts(read_schema_texts(directory))
    if found.problems:
        first = found.problems[0]
        raise EnvironmentProblem(
            f"{directory / first.path}: {first.message}", hint=first.hint or "see: orchestrator validate"
        )
    return found.types


def read_schema_texts(directory: Path) -> dict[str, str]:
    """File name → text of the Avro schemas in a directory.

    Raises: EnvironmentProblem if the directory does not exist or a file cannot be read.
    """
    if not directory.is_dir():
        raise EnvironmentProblem(
            f"there is no schema directory {directory}", hint="name the directory of the event schemas: --schemas"
        )
    texts: dict[str, str] = {}
    for file in sorted(directory.glob("*.avsc")):
        try:
            texts[file.name] = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise EnvironmentProblem(f"{file} cannot be read", hint=type(error).__name__) from None
    return texts


def event_types_from_texts(texts: Mapping[str, str]) -> EventTypes:
    """The event types of these schema texts (file name → text)."""
    types: dict[str, EventType] = {}
    problems: list[Problem] = []
    for path, text in sorted(texts.items()):
        found = _event_type(path, text, problems)
        if found is None:
            continue
        if found.name in types:
            problems.append(
                Problem(path, 1, 1, "J904", f'event type "{found.name}" has two schemas', hint="delete one of them")
            )
            continue
        types[found.name] = found
    if not texts:
        problems.append(
            Problem("", 1, 1, "J906", "there are no event schemas", hint="one Avro schema for each event type: *.avsc")
        )
    return EventTypes(types, tuple(problems))


def hash_event_types(types: Mapping[str, EventType]) -> str:
    """A hash of the schemas' content, equal for equal schemas however their files are formatted."""
    return hash_texts((name, json.dumps(json.loads(of.schema_json), sort_keys=True)) for name, of in types.items())


def _event_type(path: str, text: str, problems: list[Problem]) -> EventType | None:
    schema = _parsed(path, text, problems)
    if schema is None:
        return None
    name = str(schema["name"]).rpartition(".")[2]
    if PurePosixPath(path).stem != name:
        problems.append(
            Problem(
                path,
                *_place(text, f'"{name}"'),
                "J905",
                f'the record is called "{name}", the file is not',
                hint=f"call the file {name}.avsc",
            )
        )
    fields: dict[str, Type] = {}
    docs: dict[str, str] = {}
    pii: set[str] = set()
    named: dict[str, Type] = {}
    for entry in schema["fields"]:
        field = str(entry["name"])
        try:
            fields[field] = _type(entry["type"], named)
        except _Unsupported as reason:
            problems.append(
                Problem(
                    path,
                    *_place(text, f'"{field}"'),
                    "J903",
                    f'field "{field}" {reason}',
                    hint="see docs/problems.md for the types that conditions know",
                )
            )
            continue
        if entry.get("doc"):
            docs[field] = str(entry["doc"])
        if _is_personal(entry):
            pii.add(field)
    for field, wanted in REQUIRED.items():
        if field in fields and (fields[field].kind, fields[field].nullable) == (wanted.kind, False):
            continue
        if field in fields or field not in {str(entry["name"]) for entry in schema["fields"]}:
            problems.append(
                Problem(
                    path,
                    1,
                    1,
                    "J902",
                    f'event type "{name}" has no field "{field}" of type {wanted}',
                    hint="every event has event_id, customer_id (strings) and occurred_at (timestamp-millis)",
                )
            )
    return EventType(name=name, fields=fields, schema_json=text, docs=docs, pii=frozenset(pii))


def _is_personal(entry: Any) -> bool:
    """Whether the field, or a field within it, is marked as personal."""
    if isinstance(entry, list):
        return any(map(_is_personal, entry))
    if not isinstance(entry, dict):
        return False
    if entry.get("pii") is True:
        return True
    return any(_is_personal(entry.get(part)) for part in ("type", "items", "values", "fields"))


def _parsed(path: str, text: str, problems: list[Problem]) -> dict[str, Any] | None:
    try:
        schema = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line, column = (error.lineno, error.colno) if isinstance(error, json.JSONDecodeError) else (1, 1)
        problems.append(Problem(path, line, column, "J901", "the schema is not JSON", hint="check commas and quotes"))
        return None
    try:
        fastavro.schema.parse_schema(schema)
    except fastavro.schema.UnknownType as error:
        name = str(error.name).rpartition(".")[2]
        problems.append(Problem(path, *_place(text, f'"{name}"'), "J901", f'Avro has no type "{name}"'))
        return None
    except Exception as error:  # noqa: BLE001 - fastavro raises many kinds on a malformed schema
        problems.append(Problem(path, 1, 1, "J901", f"the schema is not Avro: {error}"))
        return None
    if not isinstance(schema, dict) or schema.get("type") != "record":
        problems.append(
            Problem(path, 1, 1, "J901", "the schema is not a record", hint="an event type is one Avro record")
        )
        return None
    return schema


def _place(text: str, quoted: str) -> tuple[int, int]:
    index = max(0, text.find(quoted))
    return text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1


def _type(schema: Any, named: dict[str, Type]) -> Type:
    if isinstance(schema, str):
        if schema in PRIMITIVES:
            return PRIMITIVES[schema]
        known = named.get(schema.rpartition(".")[2])
        if known is None:
            raise _Unsupported(f"has the type {schema}, which conditions cannot read")
        return known
    if isinstance(schema, list):
        return _union(schema, named)
    kind = schema["type"]
    logical = schema.get("logicalType")
    if logical is not None:
        found = LOGICAL.get((kind, logical)) if isinstance(kind, str) else None
        if found is None:
            raise _Unsupported(f"has the logical type {logical}, which conditions cannot read")
        return found
    match kind:
        case "array":
            return Type(Kind.LIST, item=_type(schema["items"], named))
        case "map":
            return Type(Kind.MAP, item=_type(schema["values"], named))
        case "enum":
            enumeration = Type(Kind.STRING, symbols=tuple(schema["symbols"]))
            named[str(schema["name"]).rpartition(".")[2]] = enumeration
            return enumeration
        case "record":
            fields = {str(entry["name"]): _type(entry["type"], named) for entry in schema["fields"]}
            record = Type(Kind.RECORD, fields=fields)
            named[str(schema["name"]).rpartition(".")[2]] = record
            return record
        case _:
            return _type(kind, named)


def _union(schemas: list[Any], named: dict[str, Type]) -> Type:
    others = [schema for schema in schemas if schema != "null"]
    if len(others) != 1:
        raise _Unsupported("is a union of several types; only null with one other type can be read")
    found = _type(others[0], named)
    return replace(found, nullable=True) if "null" in schemas else found
