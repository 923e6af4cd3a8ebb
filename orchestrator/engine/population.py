"""What lets customers in beside events: which journeys a change of a segment, a tick or a date opens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from orchestrator.model.journey import Journey, JourneySet
from orchestrator.model.triggers import OnCommand, OnEvent, OnSegment


def with_entries(journeys: JourneySet, entered: Iterable[Journey]) -> JourneySet:
    """The set with these journeys to be entered, each by its trigger, and no others; give them in name order."""
    by_event: dict[str, tuple[Journey, ...]] = {}
    by_segment: dict[tuple[str, bool], tuple[Journey, ...]] = {}
    for journey in entered:
        match journey.entry.trigger:
            case OnEvent(type=event_type):
                by_event[event_type] = (*by_event.get(event_type, ()), journey)
            case OnSegment(segment=segment, enters=enters):
                by_segment[segment, enters] = (*by_segment.get((segment, enters), ()), journey)
            case OnCommand():
                pass
            case _ as unknown:
                assert_never(unknown)
    return replace(journeys, entries=by_event, entries_by_segment=by_segment)
