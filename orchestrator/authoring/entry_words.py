"""Entries in words, for graphs and other pictures of a journey."""

from __future__ import annotations

from typing import assert_never

from orchestrator.authoring.drafts import (
    EntryDraft,
    OnCommandDraft,
    OnDateDraft,
    OnEventDraft,
    OnScheduleDraft,
    OnSegmentDraft,
)
from orchestrator.authoring.durations import describe_duration


def entry_words(entry: EntryDraft) -> list[str]:
    """What lets customers in, when, and how many, line by line; without the condition."""
    return [*_trigger_words(entry), *_bounds_words(entry)]


def _bounds_words(entry: EntryDraft) -> list[str]:
    said = []
    if entry.opens is not None:
        said.append(f"from {entry.opens.node.value.strip()}")
    if entry.closes is not None:
        said.append(f"until {entry.closes.node.value.strip()}")
    for limit in entry.limits:
        per = "" if limit.per_ms is None else f" in {describe_duration(limit.per_ms)}"
        said.append(f"at most {limit.max} {'in all' if limit.is_of_all else 'times'}{per}")
    if entry.backfill is not None:
        said.append("and whoever matches already")
    return said


def _trigger_words(entry: EntryDraft) -> list[str]:
    match entry.trigger:
        case OnEventDraft(event=event):
            return [f"enters on {event.name}"]
        case OnSegmentDraft(segment=segment, enters=enters):
            return [f"enters with segment {segment.name}" if enters else f"enters on leaving segment {segment.name}"]
        case OnScheduleDraft(schedule=schedule, zone=zone, segment=ticked):
            whom = [] if ticked is None else [f"for segment {ticked.name}"]
            return [f"enters at {' '.join(schedule.name.split())}", *_zone(zone), *whom]
        case OnDateDraft(date=date, offset=offset, at=at, zone=zone, is_yearly=is_yearly):
            moved = "" if offset is None else f" {offset.text}"
            yearly = " every year" if is_yearly else ""
            time_of_day = [] if at is None else [f"at {at}"]
            return [f"enters on {' '.join(date.text.split())}{moved}{yearly}", *time_of_day, *_zone(zone)]
        case OnCommandDraft():
            return ["enters when it is asked for"]
        case _ as unknown:
            assert_never(unknown)


def _zone(zone: str | None) -> list[str]:
    return [] if zone is None else [f"in {zone}"]
