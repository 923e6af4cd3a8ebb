"""``orchestrator status``: how the services of this folder's stack do."""

from __future__ import annotations

import json

import click

from orchestrator.stack.home import stack_dir
from orchestrator.stack.stack import ServiceStatus, stack_status


@click.command(epilog="Example: orchestrator status --format json")
@click.option(
    "--format", "output", type=click.Choice(["text", "json"]), default="text", help="For people or for programs."
)
def command(output: str) -> int:
    """Show the broker and the schema registry of this folder, and Kafka Connect where it was started once.

    Exits with 0 when all are ready and with 1 otherwise.
    """
    services = stack_status(stack_dir())
    if output == "json":
        click.echo(json.dumps([_as_json(service) for service in services], indent=2))
    elif not services:
        click.echo("no stack was started here; orchestrator up starts one")
    else:
        for service in services:
            click.echo(_as_text(service))
    return 0 if services and all(service.state == "ready" for service in services) else 1


def _as_json(service: ServiceStatus) -> dict[str, str | int | None]:
    return {
        "name": service.name,
        "state": service.state,
        "address": service.address,
        "log": str(service.log),
        "pid": service.pid,
        "resident_mb": service.resident_mb,
    }


def _as_text(service: ServiceStatus) -> str:
    if service.pid is None:
        return f"{service.name:9} {service.state:14} {service.address}  log {service.log}"
    usage = f"pid {service.pid}, {service.resident_mb} MB"
    return f"{service.name:9} {service.state:14} {service.address}  {usage}  log {service.log}"
