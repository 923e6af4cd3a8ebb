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
