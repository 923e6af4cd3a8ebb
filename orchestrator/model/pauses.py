"""What a passage keeps while its journey is paused, and how those who stood still go on again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

GOAL, EXIT = "goal", "exit"
"""What a kept event was for the passage, as it came."""

_DECIMAL = 1
_encoder = msgspec.msgpack.Encoder()


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """An event that came while the passage stood still: at the decision's time; `fields` in stored form.

    `is_decisive`: as it came, it was the passage's goal or an exit of it, which `verdict` tells (`GOAL`, `EXIT`), with
    what the goal is worth in `worth`; None where that is to be judged as the passage goes on. `is_bare`: there was no
    room for its fields, and the verdict alone is kept.
    """

    at_ms: int
    type: str
    event_id: str
    fields: dict[str, Any]
    is_decisive: bool | None = None
    verdict: str = ""
    worth: str | None = None
    is_bare: bool = False


class Pause(msgspec.Struct, array_like=True):
    """That a passage stands still, since when, and what it has missed. Instants are milliseconds; None for none.

    `due_at_ms` is when the timer of its step is, or was, due. `is_before_step`: the passage entered in the pause, or
    was taken to another version, and comes to its step at `due_at_ms`. `goal_closed_at_ms` is when the goal's window
    ended in the pause, `expired_at_ms` when the longest time that the passage may take did. `kept` is what it kept, in
    order, of `kept_bytes` in all. `is_over`: it is going on again (and is `ACTIVE`); what it still keeps is for steps
    that it will come to. `has_entered`: the passage entered in the pause, and has not begun; None in records of
    releases that did not tell. `shown` is how many of `kept`, the first ones, its step has seen and left for a later
    one. `came_ms` and `over_ms` are when the passage would have come to its step, and been done with it, without the
    pause; None where it has been in the step since before, or that is not known.
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
    shown: int = 0
    came_ms: int | None = None
    over_ms: int | None = None


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


def without_fields(event: Kept) -> Kept:
    """The event's verdict alone."""
    return msgspec.structs.replace(event, fields={}, is_bare=True)


def with_verdict(event: Kept, verdict: str | None) -> Kept:
    """The event with another verdict; None has it judged as the passage goes on."""
    if verdict is None:
        return msgspec.structs.replace(event, is_decisive=None, verdict="", worth=None)
    return msgspec.structs.replace(event, verdict=verdict)


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
