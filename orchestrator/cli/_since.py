"""The option `--since`: a point in time, or a duration before now."""

from __future__ import annotations

import time

import click

from orchestrator.authoring.durations import parse_duration
from orchestrator.authoring.event_values import BadValue, read_instant


def since(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Milliseconds since the epoch, or None where nothing was said."""
    if text is None:
        return None
    duration = parse_duration(text)
    if isinstance(duration, int):
        return int(time.time() * 1000) - duration
    try:
        return read_instant(text, "")
    except BadValue:
        raise click.BadParameter(
            f'"{text}" is neither a time (2026-03-01, 2026-03-01T12:00Z) nor a duration (7 days)', context, parameter
        ) from None
