"""What lets customers into a journey: an event, a segment, a schedule, a command. Values only.

A trigger that looks at an attribute (`OnDate`) is in `model/journey.py`, beside expressions.
"""

from __future__ import annotations

from dataclasses import dataclass


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
