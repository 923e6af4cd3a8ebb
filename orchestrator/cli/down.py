"""``orchestrator down``: ends what ``orchestrator up`` started."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import click

from orchestrator.stack.home import stack_dir
from orchestrator.stack.stack import stop_stack


@click.command(epilog="Example: orchestrator down --delete")
@click.option("--delete", is_flag=True, help="Also delete topics, schemas, logs and remembered ports.")
def command(*, delete: bool) -> None:
    """Stop the broker, the schema registry and Kafka Connect of this folder."""
    data_dir = stack_dir()
    names = stop_stack(data_dir)
    click.echo(f"stopped {listed(names)}" if names else "nothing runs here")
    if delete and data_dir.exists():
        shutil.rmtree(data_dir)
        click.echo(f"deleted {data_dir}")


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them.

    >>> listed(["connect", "broker", "registry"])
    'connect, broker and registry'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
