"""Typed expression nodes: what checking produces and closures are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.model.types import EventType, Kind, Type

UNKNOWN = Type(Kind.NULL, nullable=True, symbols=("unknown",))
"""The type of what could not be typed; nothing more is reported about it."""


@dataclass(frozen=True, slots=True)
class Names:
    """What an expression can refer to at its place.

    `event` is the current event's type, `no_event` why there is none. `entry` is the type of the entry event (None
    outside of a journey or before it is entered, `no_entry` says why). `attributes` are the profile attributes, with
    UNKNOWN for one whose type is still being inferred. `steps` maps a step to its kind (`send`, `wait`, …).
    `event_types` are those that aggregates can count; `no_past` says why there are no aggregates and segments here,
    `no_now` why there is no `now`. `only_event`
    says why the fields of the event are all that is known here.
    `is_inside`: the customer is inside the journey, so that `entry.at` is known.
    """

    event: EventType | None = None
    no_event: str = ""
    entry: EventType | None = None
    no_entry: str = ""
    attributes: Mapping[str, Type] = field(default_factory=dict)
    consents: frozenset[str] = frozenset()
    steps: Mapping[str, str] | None = None
    event_types: Mapping[str, EventType] = field(default_factory=dict)
    segments: Mapping[str, object] = field(default_factory=dict)
    no_past: str = ""
    no_now: str = ""
    only_event: str = ""
    audiences: frozenset[str] = frozenset()
    experiments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Experiment → its arms."""
    is_inside: bool = False
    results: Callable[[], Mapping[tuple[str, str], tuple[str, ...]]] = dict
    """(step, result) → every value that the result can have, where that is known; worked out when it is asked for."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value known at compile time; `text` is how it was written."""

    type: Type
    value: Any
    text: str = ""


@dataclass(frozen=True, slots=True)
class EventField:
    """A field of the current event."""

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class EntryField:
    """A field of the event that the customer entered on."""

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """A profile attribute; always nullable."""

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class ConsentKey:
    """Whether this consent is granted."""

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class AudienceMember:
    """Whether the customer was added to this audience."""

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class SegmentMember:
    """Whether the customer is in this segment."""

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class ExperimentArm:
    """The arm of an experiment that the customer has met."""

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class StepField:
    """A result of a step."""

    type: Type
    step: str
    name: str


@dataclass(frozen=True, slots=True)
class Ambient:
    """`now`, `customer_id` or `entry.at`."""

    type: Type
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a record or a value of a map."""

    type: Type
    of: Typed
    name: str


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator (`==`, `and`, `neg`, …) or a function on its arguments; `list` makes a list of them."""

    type: Type
    name: str
    arguments: tuple[Typed, ...]


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What an aggregate over past events of type `on` says: `value` is what it takes from each, `where` which count.

    Both see the past event, not the current one, so `walk` does not go into them. `text` is the aggregate as all who
    use it write it.
    """

    type: Type
    name: str
    on: str
    value: Typed | None
    where: Typed | None
    window_ms: int | None
    text: str


Typed = (
    Constant
    | EventField
    | EntryField
    | Attribute
    | ConsentKey
    | AudienceMember
    | SegmentMember
    | ExperimentArm
    | StepField
    | Ambient
    | Member
    | Apply
    | Aggregated
)


def walk(node: Typed) -> Iterator[Typed]:
    """The node and everything below it."""
    yield node
    if isinstance(node, Member):
        yield from walk(node.of)
    elif isinstance(node, Apply):
        for argument in node.arguments:
            yield from walk(argument)


def contains_decimal(of: Type) -> bool:
    """Whether values of this type hold decimals, which stored form writes as text."""
    if of.kind is Kind.DECIMAL:
        return True
    if of.item is not None and contains_decimal(of.item):
        return True
    return any(contains_decimal(inner) for inner in of.fields.values())
