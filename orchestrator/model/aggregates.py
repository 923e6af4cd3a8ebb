"""Aggregates and segments as compiled: what is kept of a customer's past events, and who belongs together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One thing that is kept of a customer's past events of type `on`, such as `count(order_placed, 30 days)`.

    `key` names what is kept in `Customer.aggregates`; it stands for `text`, the aggregate as all who use it write it,
    and for the type of its values. An event counts where `where` holds, with its `value` (None: it is only counted).
    `fold` takes what was kept so far (None at first), the event's value and its instant, and gives what is kept now.
    `merge` takes what was kept of earlier events and of those after them, and the instant, and gives what is kept of
    all. `window_ms` is how far back it looks (None: to the beginning).
    """

    key: str
    text: str
    on: str
    where: Callable[[Any], Any] | None
    value: Callable[[Any], Any] | None
    fold: Callable[[Any, Any, int], Any]
    merge: Callable[[Any, Any, int], Any]
    window_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """Customers for whom `when` holds; `text` is the condition as written.

    `next_change` gives the earliest instant after now at which the passing of time alone may change that (None: time
    alone changes nothing). `clock` is the name of the clock that is set to it. `aggregates` and `segments` are those
    that the condition reads; `events` the event types that can change what it says by way of an aggregate or a profile
    rule; `reads_profile` whether steps can change it too: it looks at attributes, consents, audiences or experiments.
    """

    name: str
    title: str
    text: str
    when: Callable[[Any], Any]
    next_change: Callable[[Any], int] | None
    clock: str
    aggregates: tuple[Aggregate, ...]
    segments: frozenset[str]
    events: frozenset[str]
    reads_profile: bool


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a journey set keeps up to date for every customer.

    `aggregates` are those that journeys and their segments read, by the event type that changes them. `segments` are
    those that journeys use, each after those that its condition reads; in the same order `by_event` has those that an
    event type can change, `of_profile` those that a change of the profile can, and `after` those that a segment itself
    can, which comes first.
    """

    aggregates: dict[str, tuple[Aggregate, ...]] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    by_event: dict[str, tuple[Segment, ...]] = field(default_factory=dict)
    of_profile: tuple[Segment, ...] = ()
    after: dict[str, tuple[Segment, ...]] = field(default_factory=dict)


_to_bytes = msgspec.msgpack.Encoder().encode
_from_bytes = msgspec.msgpack.Decoder().decode
_from_base64 = msgspec.json.Decoder(bytes).decode


def encode_kept(kept: Any) -> str:
    """What is kept of past events, as a text for a record of its own (MessagePack in base64)."""
    return msgspec.json.encode(_to_bytes(kept)).decode().strip('"')


def decode_kept(text: str) -> Any:
    """What `encode_kept` made a text of. Raises: ValueError if the text is none of its."""
    return _from_bytes(_from_base64(f'"{text}"'))
