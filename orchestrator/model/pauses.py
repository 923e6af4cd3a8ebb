"""What a passage keeps while its journey is paused, and how those who stood still go on again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

_DECIMAL = 1
_encoder = msgspec.msgpack.Encoder()


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """An event that came while the passage stood still: at the decision's time; `fields` in stored form.

    `is_decisive`: as it came, it was the passage's goal or an exit of it; None in records of releases that did not
    tell.
    """

    at_ms: int
    type: str
    event_id: str
    fields: dict[str, Any]
    is_decisive: bool | None = None


class Pause(msgspec.Struct, array_like=True):
    """That a passage stands still, since when, and what it has missed. Instants are milliseconds; None for none.

    `due_at_ms` is when the timer of its step is, or was, due. `is_before_step`: the passage entered in the pause, or
    was taken to another version, and comes to its step at `due_at_ms`. `goal_closed_at_ms` is when the goal's window
    ended in the pause, `expired_at_ms` when the longest time that the passage may take did. `kept` is what it kept, in
    order, of `kept_bytes` in all. `is_over`: it is going on again, and what it missed is being applied. `has_entered`:
    the passage entered in the pause, and has not begun; None in records of releases that did not tell.
    """

    since_ms: int
    due_at_ms: int | None = None
    is_before_step: bool = False
    goal_closed_at_ms: int | None = None
    expired_at_ms: int | None = None
    kept: list[Kept] = []
    kept_bytes: int = 0
    is_over: bool = False
    has_entered: bool | None = None


@dataclass(frozen=True, slots=True)
class ResumeRate:
    """At most `max` passages of all customers go on in any window of `per_ms`."""

    max: int
    per_ms: int


@dataclass(frozen=True, slots=True)
class Resume:
    """How those who stood still go on: at once, spread evenly over `over_ms`, or at a `rate`.

    `expires`: they leave instead. With `skip_older_than_ms` they leave whose step was due longer ago than that, and
    events that are older are not applied.
    """

    over_ms: int = 0
    rate: ResumeRate | None = None
    skip_older_than_ms: int | None = None
    expires: bool = False


AT_ONCE = Resume()


def size_of(event: Kept) -> int:
    """How many bytes of the customer's record the event takes."""
    return len(_encoder.encode(event))


def stored(value: Any) -> Any:
    """The value as a record can hold it, a decimal told apart from a text.

    >>> revived(stored({"total": Decimal("12.50"), "lines": [Decimal("1")]}))
    {'total': Decimal('12.50'), 'lines': [Decimal('1')]}
    """
    if isinstance(value, Decimal):
        return msgspec.msgpack.Ext(_DECIMAL, str(value).encode())
    if isinstance(value, list | tuple):
        return [stored(item) for item in value]
    if isinstance(value, Mapping):
        return {name: stored(item) for name, item in value.items()}
    return value


def revived(value: Any) -> Any:
    """The value as it was in the event."""
    if isinstance(value, msgspec.msgpack.Ext):
        return Decimal(bytes(value.data).decode())
    if isinstance(value, list):
        return [revived(item) for item in value]
    if isinstance(value, dict):
        return {name: revived(item) for name, item in value.items()}
    return value
