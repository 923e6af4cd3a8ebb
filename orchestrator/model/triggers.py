"""What lets customers into a journey: an event, a segment, a schedule, a command. Values only.

A trigger that looks at an attribute (`OnDate`) is in `model/journey.py`, beside expressions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class OnEvent:
    """An event of this type comes."""

    type: str


@dataclass(frozen=True, slots=True)
class OnSegment:
    """The customer becomes a member of the segment, or (`enters` False) stops being one."""

    segment: str
    enters: bool


@dataclass(frozen=True, slots=True)
class OnCommand:
    """Somebody asks for it: a `start` step of another journey, or a command event."""


@dataclass(frozen=True, slots=True)
class Cron:
    """Five cron fields, each as the values that it allows; weekdays are 1 (Monday) to 7.

    Where both the day of the month and the weekday are limited, `is_either_day`, one of them is enough.
    `is_repeated`: the hours or minutes begin with a star, so that an hour that clocks show twice counts twice.
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either_day: bool = False
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class OnSchedule:
    """At each tick, by the clocks of `zone` (None: the customer's), whoever is in the segment then (None: everyone)."""

    cron: Cron
    zone: str | None
    segment: str | None


@dataclass(frozen=True, slots=True)
class EntryLimit:
    """At most `max` entries in any sliding window of `per_ms` (None: ever): of one customer, or (`is_of_all`) of all
    customers together.
    """

    max: int
    per_ms: int | None
    is_of_all: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """When customers may enter, from `opens_ms` on and before `closes_ms`, and how many of them."""

    opens_ms: int
    closes_ms: int
    limits: tuple[EntryLimit, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The values from `low` to `high`, each included or not; None for no end. Null and NaN are in none."""

    low: Any = None
    has_low: bool = False
    high: Any = None
    has_high: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """What an entry condition needs of one field of the event: one of `values` (None among them: null), or a value in
    one of `ranges`, which do not overlap. Without it the condition is false, and cannot fail.
    """

    field: str
    values: frozenset[Any] = frozenset()
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldIndex:
    """Which journeys need what of one field: their places in `EntryIndex.entered`, in order.

    `by_value` are those that need this very value. `ends` are all ends of the ranges that others need, `tree` who needs
    them: a segment tree over the places between the ends and at them. `ranged` is everyone in the tree.
    """

    field: str
    by_value: dict[Any, tuple[int, ...]]
    ends: tuple[Any, ...] = ()
    tree: tuple[tuple[int, ...], ...] = ()
    ranged: tuple[int, ...] = ()
