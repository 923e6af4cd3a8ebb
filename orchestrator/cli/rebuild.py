"""``orchestrator rebuild``: a new aggregate gets the past, out of the event topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orchestrator.authoring.problem_text import count_words
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.cli._author import with_author
from orchestrator.cli._settings import with_settings
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.settings import Settings

if TYPE_CHECKING:
    from orchestrator.runtime.rebuild_run import Lacking, Rebuild

EXAMPLES = """\b
Examples:
  orchestrator rebuild --who anna --why "a segment of this year's buyers"
  orchestrator rebuild "count(order_placed, 30 days)" --who anna --why "new segment" --enter
  orchestrator rebuild --look
"""


@click.command("rebuild", epilog=EXAMPLES, short_help="Give new aggregates the past, from the event topics.")
@click.argument("aggregates", nargs=-1, metavar="[AGGREGATE]...")
@with_author(needs_why=False)
@click.option(
    "--look", is_flag=True, help="Only say which aggregates lack the past, and how far back the topics reach."
)
@click.option("--enter", "lets_in", is_flag=True, help="Let customers who come into a segment by it into journeys.")
@click.option("--partial", is_flag=True, help="Go on where the topics no longer hold all events that count.")
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix", "event_topics", "schemas", "environment")
def command(
    *, aggregates: tuple[str, ...], who: str, why: str, look: bool, lets_in: bool, partial: bool, settings: Settings
) -> int:
    """Add what was before to each AGGREGATE that was not kept from the beginning, as `plan` writes it; without one, to
    all that the journeys in force keep.

    The event topics are read from where the longest window begins, up to where workers began to count. Each customer
    gets the result as an event in the own log; segments follow, entries only with --enter. Running it again, also after
    it was interrupted, adds nothing twice. Exits with 1 if events that count are no longer in the topics, unless
    --partial is given.
    """
    if not look and not why.strip():
        raise click.UsageError("say --why: it is kept in the audit log; or give --look")
    from orchestrator.runtime.audit import JOURNEYS, audited  # noqa: PLC0415  (these load the Kafka client)
    from orchestrator.runtime.rebuild import Order  # noqa: PLC0415
    from orchestrator.runtime.rebuild_run import Rebuild  # noqa: PLC0415
    from orchestrator.runtime.replay import ReplayImpossible  # noqa: PLC0415

    rebuild = Rebuild(settings)
    try:
        _check_names(aggregates, rebuild)
        lacking = rebuild.lacking(aggregates)
        is_whole = _say(lacking)
        if look or not lacking:
            return 0
        if not (is_whole or partial):
            click.echo("not all events that count are there any more; to add those that are: --partial", err=True)
            return 1
        texts = sorted({one.text for part in lacking for one in part.aggregates})
        detail = {"aggregates": "; ".join(texts), "lets_in": "yes" if lets_in else "no"}
        with (
            audited(settings, act="rebuild", about=JOURNEYS, who=who, why=why, detail=detail) as act,
            _progress() as progress,
        ):
            done = rebuild.run(lacking, Order(who, why, lets_in), progress=progress)
            act.detail["customers"] = str(done.customers)
    except ReplayImpossible as impossible:
        raise EnvironmentProblem(str(impossible), hint="see the retention of the journal's topic") from impossible
    finally:
        rebuild.close()
    click.echo(
        f"{count_words(done.events, 'event')} counted; the past of {count_words(done.customers, 'customer')} is in "
        "the event topics, workers add it now"
    )
    return 0


def _check_names(texts: Sequence[str], rebuild: Rebuild) -> None:
    for text in texts:
        if text not in rebuild.aggregates:
            hint = did_you_mean(text, rebuild.aggregates)
            raise click.UsageError(f"the journeys in force keep no {text}" + (f"; {hint}" if hint else ""))


def _say(lacking: Sequence[Lacking]) -> bool:
    """Says what is lacking; gives whether all events that count are still there."""
    texts = sorted({one.text for part in lacking for one in part.aggregates})
    if not texts:
        click.echo("every aggregate was kept from the beginning, as far as the journal tells; nothing is lacking")
    reaches = {text: max((part.reaches_ms.get(text, 0) for part in lacking), default=0) for text in texts}
    for text in texts:
        partitions = sum(text in {one.text for one in part.aggregates} for part in lacking)
        reach = reaches[text]
        there = "all events that count are there"
        if reach:
            there = f"the topics reach back to {datetime.fromtimestamp(reach / 1000, UTC):%Y-%m-%d %H:%M} UTC only"
        click.echo(f"{text}: lacks the past in {count_words(partitions, 'partition')}; {there}")
    return not any(reaches.values())


@contextmanager
def _progress() -> Iterator[Callable[[int, int, int], None]]:
    """A bar for the partition at hand on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("events", total=None)
        yield lambda partition, done, total: bar.update(
            task, completed=done, total=total, description=f"partition {partition}"
        )
