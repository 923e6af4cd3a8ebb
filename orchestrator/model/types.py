"""The value types of journey conditions: what an Avro field, a profile attribute or an expression can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """The family of a value; `INSTANT` is milliseconds and `DATE` days since the epoch, both UTC integers."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    DATE = "date"
    DURATION = "duration"
    LIST = "list"
    MAP = "map"
    RECORD = "record"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class Type:
    """A value's type: `item` for lists and maps, `fields` for records, `symbols` for enumerations (kind `STRING`)."""

    kind: Kind
    nullable: bool = False
    item: Type | None = None
    fields: dict[str, Type] = field(default_factory=dict, hash=False)
    symbols: tuple[str, ...] = ()

    def __str__(self) -> str:
        name = self.kind.value
        if self.item is not None:
            name = f"{name} of {self.item}"
        return f"{name} or null" if self.nullable else name


STRING = Type(Kind.STRING)
INTEGER = Type(Kind.INTEGER)
FLOAT = Type(Kind.FLOAT)
DECIMAL = Type(Kind.DECIMAL)
BOOLEAN = Type(Kind.BOOLEAN)
INSTANT = Type(Kind.INSTANT)
DATE = Type(Kind.DATE)
DURATION = Type(Kind.DURATION)
NULL = Type(Kind.NULL, nullable=True)

NUMBERS = frozenset({Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL})


@dataclass(frozen=True, slots=True)
class EventType:
    """One event type of `schemas/events`: its name, the types of its fields, and the Avro schema it comes from."""

    name: str
    fields: dict[str, Type]
    schema_json: str
    docs: dict[str, str] = field(default_factory=dict)
    pii: frozenset[str] = frozenset()
