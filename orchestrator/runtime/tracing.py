"""Trace context: the `traceparent` of an event's record goes on with the commands and events that it leads to.

Source: W3C Trace Context, section 3.2. A worker makes no spans of its own: what a sink does becomes part of the trace
that the producer began. What a timer leads to has no record it could come from, and no trace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

TRACEPARENT = "traceparent"
_FORM = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(slots=True)
class Traces:
    """By place among a batch's actions, and among the events that it emits: the trace that each belongs to."""

    actions: dict[int, bytes] = field(default_factory=dict)
    events: dict[int, bytes] = field(default_factory=dict)


def trace_of(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
    """The trace that a record belongs to; None if it says none, or none that is well formed."""
    for name, value in headers:
        if name.lower() == TRACEPARENT:
            return value if value is not None and _FORM.fullmatch(value) else None
    return None


def placed_traces(traces: Traces, channels: Sequence[str]) -> dict[int, dict[int, bytes]]:
    """The actions' traces by channel, in the order in which channels first come, and by place among a channel's.

    `channels` is the channel of each action. Channels without a traced action are left out.
    """
    order: dict[str, int] = {}
    counts: dict[str, int] = {}
    placed: dict[int, dict[int, bytes]] = {}
    for place, channel in enumerate(channels):
        number = order.setdefault(channel, len(order))
        count = counts[channel] = counts.get(channel, -1) + 1
        if (trace := traces.actions.get(place)) is not None:
            placed.setdefault(number, {})[count] = trace
    return placed
