"""``orchestrator up``: a broker, a schema registry and, if asked for, Kafka Connect on this machine."""

from __future__ import annotations

import click

from orchestrator.stack.home import stack_dir
from orchestrator.stack.progress import console_progress
from orchestrator.stack.stack import READY_TIMEOUT_S, start_stack


@click.command(epilog="Example: orchestrator up && orchestrator worker")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=1),
    default=READY_TIMEOUT_S,
    help="Seconds after which a service that is not ready counts as failed.",
)
@click.option("--connect", is_flag=True, help="Also start Kafka Connect, with the sinks that deliver commands.")
def command(*, timeout_s: float, connect: bool) -> None:
    """Start a Kafka broker and a schema registry on this machine.

    They run in the background until `orchestrator down`, on free loopback ports that stay the same from one start to
    the next. Topics, schemas and logs are kept in .orchestrator/stack of the current folder; ORCHESTRATOR_HOME names
    another home. Commands that are run in this folder find them by themselves; the lines printed here are for anything
    else.

    With --connect, `orchestrator connect apply` starts sinks. Their configurations may refer to environment variables
    SINK_*, as they are now, and to files in .orchestrator/secrets.

    The first start downloads the locked files into the user's cache folder (ORCHESTRATOR_CACHE_DIR).
    """
    progress = console_progress()
    stack = start_stack(stack_dir(), owned=False, with_connect=connect, progress=progress, timeout_s=timeout_s)
    click.echo(f"export ORCHESTRATOR_BOOTSTRAP_SERVERS={stack.bootstrap_servers}")
    click.echo(f"export ORCHESTRATOR_REGISTRY_URL={stack.registry_url}")
    if connect:
        click.echo(f"export ORCHESTRATOR_CONNECT_URL={stack.connect_url}")
