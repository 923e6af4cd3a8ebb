"""Entries in words, for graphs and other pictures of a journey."""

from __future__ import annotations

from typing import assert_never

from orchestrator.authoring.drafts import EntryDraft, OnCommandDraft, OnEventDraft, OnSegmentDraft


def entry_words(entry: EntryDraft) -> list[str]:
    """What lets customers in, line by line."""
    match entry.trigger:
        case OnEventDraft(event=event):
            return [f"enters on {event.name}"]
        case OnSegmentDraft(segment=segment, enters=enters):
            return [f"enters with segment {segment.name}" if enters else f"enters on leaving segment {segment.name}"]
        case OnCommandDraft():
            return ["enters when it is asked for"]
        case _ as unknown:
            assert_never(unknown)
