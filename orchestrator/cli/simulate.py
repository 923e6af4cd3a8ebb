"""``orchestrator simulate``: recorded events through the journeys, offline."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from orchestrator.authoring.event_files import open_events, read_events
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.problem_text import count_words
from orchestrator.authoring.simulate import OutOfOrder, Simulation, in_order, simulate
from orchestrator.authoring.simulation_report import report_tables, report_values
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.cli._journeys import Compiled, compiled_journeys

EXAMPLES = """\b
Examples:
  orchestrator simulate --events events.jsonl
  orchestrator produce --clickstream --print | orchestrator simulate cart_abandonment --events -
  orchestrator simulate --events events.jsonl.gz --sort --until 2026-06-01 --format json
"""

BAD_LINES_SHOWN = 10
OUTPUT_COLUMNS = 120


def _instant(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("write an instant such as 2026-06-01T00:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@click.command("simulate", epilog=EXAMPLES, short_help="Run recorded events through the journeys, offline.")
@click.argument("names", metavar="[JOURNEY]...", nargs=-1)
@click.option("--events", required=True, metavar="FILE", help="JSON Lines, plain or gzip; - is the standard input.")
@click.option("--journeys", type=click.Path(path_type=Path), default="journeys", help="Directory with the journeys.")
@click.option(
    "--schemas",
    type=click.Path(path_type=Path),
    default="schemas",
    help="Directory of the event schemas, or the one above its folder events/.",
)
@click.option(
    "--until",
    "until_ms",
    metavar="INSTANT",
    callback=_instant,
    help="Where the simulated time ends; default: 30 days after the last event.",
)
@click.option("--sort", is_flag=True, help="Sort the events by time first, in memory.")
@click.option("--strict", is_flag=True, help="Stop at the first line that is no event, instead of leaving it out.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to show the report.")
def command(
    *,
    names: tuple[str, ...],
    events: str,
    journeys: Path,
    schemas: Path,
    until_ms: int | None,
    sort: bool,
    strict: bool,
    form: str,
) -> int:
    """Run recorded events through the journeys offline and report entries, paths, sends and goals.

    All live journeys are at work, as in production; the report is about those that are named, or all. A line that is
    no event is reported with its number and left out. Exits with 1 if there was one.
    """
    compiled = compiled_journeys(journeys, schemas, form)
    if compiled is None:
        return 1
    known = compiled.journeys.current
    for name in names:
        if name not in known:
            raise click.UsageError(f'there is no journey "{name}"; {did_you_mean(name, known)}')
    started = time.perf_counter()
    try:
        result = _run(compiled, events, until_ms, sort=sort, strict=strict)
    except OutOfOrder as disorder:
        click.echo(f"{_shown(events)}:{disorder.number}: is earlier than a line before it", err=True)
        click.echo("hint: --sort sorts the events by time first", err=True)
        return 1
    seconds = time.perf_counter() - started
    _show_bad_lines(result, events, strict=strict)
    shown = list(dict.fromkeys(names)) or sorted(known)
    if form == "json":
        values = report_values(result, shown, seconds=seconds)
        click.echo(msgspec.json.format(msgspec.json.encode(values), indent=2))
    else:
        _console().print(report_tables(result, compiled.journeys, shown, seconds=seconds))
    return 1 if result.bad else 0


def _run(compiled: Compiled, events: str, until_ms: int | None, *, sort: bool, strict: bool) -> Simulation:
    with open_events(events) as stream, _progress(events, stream) as on_progress:
        lines = in_order(read_events(stream, event_shapes(compiled.event_types)), sort=sort)
        return simulate(compiled.journeys, lines, until_ms=until_ms, strict=strict, on_progress=on_progress)


def _show_bad_lines(result: Simulation, events: str, *, strict: bool) -> None:
    for bad in result.bad[:BAD_LINES_SHOWN]:
        click.echo(f"{_shown(events)}:{bad.number}: {bad.reason}", err=True)
    if len(result.bad) > BAD_LINES_SHOWN:
        click.echo(f"and {len(result.bad) - BAD_LINES_SHOWN} more lines that are no events", err=True)
    if result.bad:
        click.echo("stopped at a bad line" if strict else f"{count_words(len(result.bad), 'line')} left out", err=True)


def _shown(events: str) -> str:
    return "standard input" if events == "-" else events


def _console() -> Console:
    console = Console()
    # Lines that go to a file or a pipe are not cut to the width of a terminal that is not there.
    return console if console.is_terminal else Console(width=OUTPUT_COLUMNS)


@contextmanager
def _progress(events: str, stream: BinaryIO) -> Iterator[Callable[[Simulation], None]]:
    """A bar on a terminal, nothing elsewhere; how far the file is read says how far the run is."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _so_far: None
        return
    total = None if events == "-" else Path(events).stat().st_size
    raw: BinaryIO = getattr(stream, "fileobj", stream)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("events", total=total)

        def show(so_far: Simulation) -> None:
            try:
                read = raw.tell()
            except (OSError, io.UnsupportedOperation):
                read = 0
            bar.update(task, completed=read if total else None, description=f"{so_far.events:,} events")

        yield show
