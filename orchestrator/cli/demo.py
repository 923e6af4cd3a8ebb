"""``orchestrator demo``: the shop's half year through the journeys, on a broker of its own."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from orchestrator.model.problems import EnvironmentProblem

EXAMPLES = """\b
Examples:
  orchestrator demo
  orchestrator demo --keep
"""


@click.command("demo", epilog=EXAMPLES, short_help="See customers move through journeys on a real broker.")
@click.option("--keep", is_flag=True, help="Leave broker, registry and workers running until Ctrl-C.")
@click.option("--workers", type=click.IntRange(1, 8), default=2, help="How many workers share the partitions.")
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=4_000.0,
    help="Events a second: slow enough to watch half a year go by; 0 is as fast as they go.",
    allow_from_autoenv=False,
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    # The variable of this name is for workers.
    allow_from_autoenv=False,
    help="Keep topics, logs and customer records in this new directory. Default: a temporary one.",
)
def command(*, keep: bool, workers: int, rate: float, data_dir: Path | None) -> None:
    """See customers move through journeys on a real broker.

    Starts a Kafka broker, a schema registry and two workers on this machine, replays half a year of a shop's
    clickstream with its historic times, and shows what the shipped journeys make of it. The clickstream is synthetic;
    addresses, consents, prices and who opens or follows an e-mail are made up, so conversions prove nothing. Everything
    that was started ends with the command.
    """
    # Only for running it: this loads everything, which --help does not need.
    from orchestrator.demo.run import DemoOptions, run_demo  # noqa: PLC0415

    before = signal.signal(signal.SIGTERM, _terminated)
    # Elsewhere than on a terminal there is no width that lines would have to be broken to.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    try:
        with _directory(data_dir) as directory:
            run_demo(DemoOptions(data_dir=directory, workers=workers, rate=rate or None, keep=keep), console)
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(_number: int, _frame: object) -> None:
    # As on Ctrl-C, everything is ended on the way out.
    raise SystemExit(128 + signal.SIGTERM)


@contextmanager
def _directory(data_dir: Path | None) -> Iterator[Path]:
    if data_dir is None:
        with tempfile.TemporaryDirectory(prefix="orchestrator-demo-", ignore_cleanup_errors=True) as made:
            yield Path(made)
        return
    if data_dir.exists() and any(data_dir.iterdir()):
        # What an earlier demo left would make this one's events repeats of events already seen.
        raise EnvironmentProblem(
            f"the directory {data_dir} is not empty", hint="name a new directory, or delete this one first"
        )
    data_dir.mkdir(parents=True, exist_ok=True)
    yield data_dir.absolute()
