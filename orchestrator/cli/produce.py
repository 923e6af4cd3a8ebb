"""``orchestrator produce``: events from a file, or the shop's clickstream, into the event topics."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from orchestrator.authoring.durations import DurationProblem, parse_duration
from orchestrator.authoring.event_files import BadLine, open_events, read_events
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.event_values import EventShape, event_shapes
from orchestrator.cli._settings import with_settings
from orchestrator.demo.clickstream import convert, read_clicks, scale_log
from orchestrator.model.events import Event
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.produce import (
    EventProducer,
    Feed,
    Produced,
    event_routes,
    produce_events,
    produced_schemas,
    registered_ids,
)
from orchestrator.runtime.schemas import read_schema_files, register_schemas
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tail import iso_instant
from orchestrator.runtime.topics import topic_names

EXAMPLES = """\b
Examples:
  orchestrator produce --events events.jsonl
  orchestrator produce --clickstream --heartbeat-every 12h --until +30d
  orchestrator produce --clickstream --timestamps now --rate 1000
  orchestrator produce --clickstream --print > events.jsonl
"""

_SHORT_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SHORT = re.compile(r"\s*(\d+)\s*([smhdw])\s*")


@dataclass(slots=True)
class Lines:
    """The events of a file, and what was wrong with its other lines."""

    name: str
    shapes: dict[str, EventShape]
    strict: bool
    in_time_order: bool
    bad: list[BadLine] = field(default_factory=list)

    def read(self, stream: BinaryIO) -> Iterator[Event]:
        """The good lines' events, in the file's order; ends at the first bad line if `strict`."""
        last_ms = 0
        for line in read_events(stream, self.shapes):
            if isinstance(line, BadLine):
                problem = line
            elif self.in_time_order and line.at_ms < last_ms:
                problem = BadLine(line.number, "is earlier than a line before it; heartbeats need events in time order")
            else:
                last_ms = line.at_ms
                yield line.event
                continue
            self.bad.append(problem)
            click.echo(f"{self.name}:{problem.number}: {problem.reason}", err=True)
            if self.strict:
                return


def duration(text: str) -> int:
    """Milliseconds, from `30d`, `12h` or as journeys have it: `30 days`.

    Raises: click.BadParameter.
    """
    short = _SHORT.fullmatch(text)
    found = parse_duration(f"{short[1]} {_SHORT_UNITS[short[2]]}" if short else text)
    if isinstance(found, DurationProblem):
        raise click.BadParameter(f"{found.message}; {found.hint}")
    return found


def _duration_option(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    return None if text is None else duration(text)


def _until_option(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[int | None, int | None]:
    """(instant, milliseconds after the last event)."""
    if text is None:
        return None, None
    if text.startswith("+"):
        return None, duration(text[1:])
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("write +30d, or an instant such as 2026-03-31T00:00:00Z") from None
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000), None


@click.command("produce", epilog=EXAMPLES, short_help="Send events to the event topics.")
@click.option("--events", "events_file", metavar="FILE", help="JSON Lines, plain or gzip; - is the standard input.")
@click.option("--clickstream", is_flag=True, help="The shop's clickstream that comes with the demo.")
@click.option("--copies", type=click.IntRange(1), default=1, help="Copies of the clickstream, with other customers.")
@click.option(
    "--timestamps",
    type=click.Choice(["event", "now"]),
    default="event",
    show_default=True,
    help="Time of the records: that of the events (for workers on stream time), or that of sending.",
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events a second; default: as fast as it goes.")
@click.option(
    "--heartbeat-every",
    "heartbeat_every_ms",
    metavar="DURATION",
    callback=_duration_option,
    help="Stream time: every so often say to each partition of each topic that it is complete up to here.",
)
@click.option(
    "--until",
    metavar="INSTANT|+DURATION",
    callback=_until_option,
    help="Stream time: a last heartbeat at this instant, or so long after the last event.",
)
@click.option("--strict", is_flag=True, help="Stop at the first line that is no event, instead of leaving it out.")
@click.option("--register", is_flag=True, help="Register the schemas first, as `orchestrator schemas register` does.")
@click.option("--print", "only_print", is_flag=True, help="Print the events as JSON Lines; send nothing.")
@with_settings("bootstrap_servers", "registry_url", "topic_prefix", "event_topics", "schemas")
def command(
    *,
    events_file: str | None,
    clickstream: bool,
    copies: int,
    until: tuple[int | None, int | None],
    strict: bool,
    register: bool,
    only_print: bool,
    settings: Settings,
    **pace: Any,
) -> int:
    """Send events to the event topics, as Avro, keyed by customer.

    Each event type goes to the topic that its schema names. A line that is no event is reported with its number and
    left out. Exits with 1 if a line was left out or a record could not be delivered.
    """
    if clickstream == (events_file is not None):
        raise click.UsageError("name either --events FILE or --clickstream")
    if copies > 1 and not clickstream:
        raise click.UsageError("--copies goes with --clickstream")
    feed = _feed(**pace, until=until)
    with _open(
        events_file, settings.schemas, copies, strict=strict, ordered=feed.heartbeat_every_ms is not None
    ) as opened:
        events, total, lines = opened
        if only_print:
            _print(events)
            failed = 0
        else:
            failed = _send(events, total, feed, settings, register=register)
    if lines is not None and lines.bad:
        click.echo(f"{len(lines.bad)} of the lines left out" if not strict else "stopped at a bad line", err=True)
    return 1 if failed or (lines is not None and lines.bad) else 0


Opened = tuple[Iterable[Event], int | None, Lines | None]


@contextmanager
def _open(events_file: str | None, schemas: Path, copies: int, *, strict: bool, ordered: bool) -> Iterator[Opened]:
    """(events, how many if that is known, the file's lines)."""
    if events_file is None:
        log = convert(read_clicks())
        yield (log if copies == 1 else scale_log(log, copies)), len(log) * copies, None
        return
    shapes = event_shapes(load_event_types(schemas / "events"))
    lines = Lines("standard input" if events_file == "-" else events_file, shapes, strict, ordered)
    with open_events(events_file) as stream:
        yield lines.read(stream), None, lines


def _feed(
    *, timestamps: str, rate: float | None, heartbeat_every_ms: int | None, until: tuple[int | None, int | None]
) -> Feed:
    if timestamps == "now" and (heartbeat_every_ms is not None or until != (None, None)):
        raise click.UsageError("--heartbeat-every and --until are for stream time: they go with --timestamps event")
    return Feed(
        timestamps="event" if timestamps == "event" else "now",
        rate=rate,
        heartbeat_every_ms=heartbeat_every_ms,
        until_ms=until[0],
        until_after_ms=until[1],
    )


def _send(events: Iterable[Event], total: int | None, feed: Feed, settings: Settings, *, register: bool) -> int:
    """How many records were not delivered."""
    files = read_schema_files(settings.schemas)
    registry = registry_of(settings)
    produced = produced_schemas(files)
    ids = register_schemas(registry, files) if register else registered_ids(registry, produced)
    routes = event_routes(produced, ids, topic_prefix=settings.topic_prefix, event_topics=settings.event_topics)
    producer = EventProducer(
        brokers_of(settings),
        routes,
        event_topics=topic_names(settings).events,
        # At a low rate each event goes at once; at full speed they go in batches.
        linger_ms=5 if feed.rate is None else 0,
    )
    started = time.monotonic()
    with _progress(total) as on_progress:
        try:
            total_sent = produce_events(events, producer, feed, on_progress=on_progress)
        except KeyboardInterrupt:
            producer.abandon()
            raise
    click.echo(_summary(total_sent, time.monotonic() - started))
    if total_sent.failed:
        click.echo(f"{total_sent.failed} records were not delivered: {total_sent.failure}", err=True)
    return total_sent.failed


def _summary(produced: Produced, seconds: float) -> str:
    text = f"{produced.events:,} events"
    if produced.heartbeats:
        text += f" and {produced.heartbeats:,} heartbeats"
    text += f" in {seconds:.1f} s ({produced.events / max(seconds, 0.001):,.0f} events/s)"
    if produced.until_ms is not None:
        text += f", complete until {iso_instant(produced.until_ms)}"
    return text


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[Produced], None]]:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _produced: None
        return
    columns = (SpinnerColumn(), TextColumn("events"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("events", total=total)
        yield lambda produced: bar.update(task, completed=produced.events)


def _print(events: Iterable[Event]) -> None:
    encode = msgspec.json.Encoder(decimal_format="string").encode
    out = click.get_binary_stream("stdout")
    for event in events:
        shown = {"type": event.type, **event.fields, "occurred_at": iso_instant(event.fields["occurred_at"])}
        out.write(encode(shown) + b"\n")
