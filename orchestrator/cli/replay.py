"""``orchestrator replay``: a partition's computation again, compared with what the workers did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from orchestrator.authoring.problem_text import count_words
from orchestrator.cli._author import look, with_author
from orchestrator.cli._settings import with_settings
from orchestrator.model.actions import ActionCommand
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.settings import Settings

if TYPE_CHECKING:
    from orchestrator.runtime.replay_run import Replay

EXAMPLES = """\b
Examples:
  orchestrator replay
  orchestrator replay --partition 0 --partition 3
  orchestrator replay --partition 0 --print > actions.jsonl
"""

DIFFERENCES_SHOWN = 20
MASK = "***"


@click.command("replay", epilog=EXAMPLES, short_help="Compute a partition again and compare.")
@click.option("--partition", "only", type=click.IntRange(0), multiple=True, help="Only this one; may be repeated.")
@click.option("--verify/--print", "verify", default=True, help="Compare with the topics, or print the actions as JSON.")
@click.option("--show-personal-data", is_flag=True, help="With --print: show addresses and contents too.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to show the comparison."
)
@with_author(needs_why=False)
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix", "environment")
def command(
    *,
    settings: Settings,
    only: tuple[int, ...],
    verify: bool,
    show_personal_data: bool,
    form: str,
    who: str,
    why: str,
) -> int:
    """Repeat all that was decided, from journal, sources and definitions, and compare it with the topics.

    Journey definitions and event schemas are those of the time. Nothing is written. Exits with 1 if an action, a
    transition or a customer's record differs; customers are named by id only.
    """
    from orchestrator.runtime.replay import ReplayImpossible  # noqa: PLC0415  (loads the Kafka client)
    from orchestrator.runtime.replay_run import Replay  # noqa: PLC0415

    if show_personal_data:
        look(settings, "topics", who=who, why=why, command="replay")
    replay = Replay(settings, only)
    try:
        return _verify(replay, form) if verify else _print(replay, show_personal_data=show_personal_data)
    except ReplayImpossible as impossible:
        raise EnvironmentProblem(
            str(impossible), hint="a replay needs the whole journal and all events; see the topics' retention"
        ) from impossible
    finally:
        replay.close()


def _verify(replay: Replay, form: str) -> int:
    with _progress() as on_entry:
        verified = replay.verify(on_entry=on_entry)
    lines = verified.differences.lines(DIFFERENCES_SHOWN)
    customers = verified.customers[:DIFFERENCES_SHOWN]
    if form == "json":
        values = {
            "equal": verified.is_equal,
            "partitions": [msgspec.to_builtins(partition) for partition in verified.partitions],
            "differences": verified.differences.count,
            "first_differences": lines,
            "customers_that_differ": len(verified.customers),
            "first_customers": customers,
            "shared_records_that_differ": list(verified.shared),
        }
        click.echo(msgspec.json.format(msgspec.json.encode(values), indent=2))
        return 0 if verified.is_equal else 1
    for part in verified.partitions:
        click.echo(
            f"partition {part.partition}: {part.entries:,} transactions, {part.events:,} events, "
            f"{part.actions:,} actions, {part.transitions:,} transitions, {part.customers:,} customers"
        )
    for line in lines:
        click.echo(line)
    for customer_id in customers:
        click.echo(f"the record of customer {customer_id} differs")
    for number in verified.shared:
        click.echo(f"the record of what the customers of partition {number} share differs")
    if any(part.is_moving for part in verified.partitions):
        click.echo("workers went on meanwhile: customers' records of the partitions that moved were not compared")
    if verified.is_equal:
        click.echo("the topics hold exactly what the replay gives")
        return 0
    found = count_words(verified.differences.count, "difference")
    click.echo(f"{found}, {count_words(len(verified.customers), 'customer record')} not as replayed")
    return 1


def _print(replay: Replay, *, show_personal_data: bool) -> int:
    encode = msgspec.json.Encoder().encode
    out = click.get_binary_stream("stdout")
    for partition in replay.partitions:
        for effects in replay.effects(partition):
            for action in effects.actions:
                shown = action if show_personal_data else _masked(action)
                out.write(encode({"partition": partition, **msgspec.to_builtins(shown)}) + b"\n")
    return 0


def _masked(action: ActionCommand) -> ActionCommand:
    return msgspec.structs.replace(action, address=MASK, content=dict.fromkeys(action.content, MASK))


@contextmanager
def _progress() -> Iterator[Callable[[int, int, int], None]]:
    """A bar for the partition at hand on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda *_: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("journal")
        yield lambda partition, done, end: bar.update(
            task, completed=done, total=end, description=f"partition {partition}"
        )
