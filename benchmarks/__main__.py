"""`python -m benchmarks`: everything, with a table at the end and the figures as JSON in benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import catch_up, latency, many_journeys, micro, plain
from benchmarks.machine import circumstances
from orchestrator.stack.stack import running_stack

RESULTS = Path(__file__).parent / "results"
CONSOLE = Console(stderr=True, highlight=False)


def main() -> int:
    """Runs what was asked for; exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--copies", type=int, default=84, help="copies of the clickstream, 600 customers each (84)")
    parser.add_argument("--rates", default="1000,5000", help="events a second for the latency (1000,5000)")
    parser.add_argument("--seconds", type=float, default=30, help="length of each latency run (30)")
    parser.add_argument("--only", choices=("micro", "journeys", "catch-up", "latency"), help="leave the others out")
    parser.add_argument("--no-peers", action="store_true", help="leave plain Faust out")
    parser.add_argument("--keep", action="store_true", help="write the figures to benchmarks/results/")
    options = parser.parse_args()
    figures: dict[str, Any] = {"circumstances": circumstances()}
    wanted = options.only
    if wanted in {None, "micro"}:
        CONSOLE.rule("pieces of an event's cost")
        figures["micro_us"] = micro.measure()
    if wanted in {None, "journeys"}:
        CONSOLE.rule("many journeys")
        figures["many_journeys"] = many_journeys.measure()
    if wanted in {None, "catch-up", "latency"}:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            running_stack(Path(folder) / "stack", short_lived=False) as stack,
        ):
            measure_on(stack, Path(folder), options, figures)
    show(figures)
    if options.keep:
        RESULTS.mkdir(exist_ok=True)
        place = RESULTS / f"{figures['circumstances']['date'][:10]}-{figures['circumstances']['commit']}.json"
        place.write_text(json.dumps(figures, indent=2) + "\n")
        CONSOLE.print(f"written to {place.relative_to(Path.cwd())}")
    return 0


def measure_on(stack: Any, directory: Path, options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """The figures that need a broker, each side alone on it."""
    if options.only in {None, "catch-up"}:
        CONSOLE.rule("catching up, one worker")
        ours, settings = catch_up.measure(stack, directory, copies=options.copies, note=CONSOLE.print)
        figures["catch_up"] = ours
        if not options.no_peers:
            figures["catch_up_plain_faust"] = plain.catch_up(
                settings, directory / "plain", count=20_000, note=CONSOLE.print
            )
    if options.only in {None, "latency"}:
        for rate in map(int, options.rates.split(",")):
            CONSOLE.rule(f"latency at {rate:,} events a second")
            figures[f"latency_{rate}"] = latency.measure(
                stack, directory, rate=rate, seconds=options.seconds, note=CONSOLE.print
            )
            if not options.no_peers and rate <= 1000:
                figures[f"latency_{rate}_plain_faust"] = plain.latency(
                    stack, directory, rate=rate, seconds=options.seconds, note=CONSOLE.print
                )


def show(figures: dict[str, Any]) -> None:
    """Prints one table with every figure."""
    table = Table(title="measured", show_header=False)
    for part, values in figures.items():
        table.add_section()
        for name, value in values.items():
            table.add_row(part, name, f"{value:,}" if isinstance(value, int | float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
