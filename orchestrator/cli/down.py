"""``orchestrator down``: ends what ``orchestrator up`` started."""

from __future__ import annotations

import shutil

import click

from orchestrator.stack.home import stack_dir
from orchestrator.stack.stack import stop_stack


@click.command(epilog="Example: orchestrator down --delete")
@click.option("--delete", is_flag=True, help="Also delete topics, schemas, logs and remembered ports.")
def command(*, delete: bool) -> None:
    """Stop the broker and the schema registry of this folder."""
    data_dir = stack_dir()
    names = stop_stack(data_dir)
    click.echo(f"stopped {' and '.join(names)}" if names else "nothing runs here")
    if delete and data_dir.exists():
        shutil.rmtree(data_dir)
        click.echo(f"deleted {data_dir}")
