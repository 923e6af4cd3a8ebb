"""``orchestrator acls``: the rights that each role needs on the brokers, and no more."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from orchestrator.cli._settings import with_settings
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator acls --role worker
  orchestrator acls --role worker --principal User:journeys --format kafka-acls | sh
  orchestrator acls --format json --topic-prefix shop.
"""


@click.command("acls", epilog=EXAMPLES, short_help="Print the rights that each role needs on the brokers.")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="Of this role only; may be given again.")
@click.option(
    "--principal",
    default="",
    metavar="NAME",
    help="Who gets the rights, as brokers name people. Default: `User:`, the application's name and the role.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "kafka-acls", "json"]),
    default="text",
    help="For people, as commands of Kafka's own tools, or for programs.",
)
@with_settings(
    "bootstrap_servers", "app_id", "event_topics", "topic_prefix", "journeys", "schemas", "publish", "create_topics"
)
def command(*, roles: Sequence[str], principal: str, form: str, settings: Settings) -> None:
    """Print the rights (ACLs) that each role needs on the brokers, and no more.

    They follow from the settings and from the journeys of the directory: a channel that a journey sends to is a topic
    that the worker writes. The brokers are not asked, and nothing is changed.
    """
    from orchestrator.runtime.grants import grant_command  # noqa: PLC0415
    from orchestrator.runtime.in_force import load_journeys  # noqa: PLC0415  (the client)
    from orchestrator.runtime.roles import ROLES, rights_of  # noqa: PLC0415

    if unknown := sorted(set(roles) - ROLES.keys()):
        raise click.UsageError(f"there is no role {unknown[0]}; there are: {', '.join(ROLES)}")
    journeys = load_journeys(settings.journeys, settings.schemas).journeys
    found = {}
    for role in roles or ROLES:
        found[role] = rights_of(role, settings, channels=journeys.destinations, emits=journeys.emits.values())
    if form == "json":
        listed = [
            {
                "role": role,
                "principal": _principal(principal, settings, role),
                "resource": right.resource,
                "name": right.name,
                "pattern": "prefixed" if right.is_prefix else "literal",
                "operation": right.operation,
                "why": right.why,
            }
            for role, rights in found.items()
            for right in rights
        ]
        click.echo(json.dumps(listed, indent=2))
        return
    for role, rights in found.items():
        name = _principal(principal, settings, role)
        if form == "kafka-acls":
            click.echo(f"# {role}")
            for right in rights:
                click.echo(grant_command(right, name, settings.bootstrap_servers))
        else:
            click.echo(f"{role} ({name}): {ROLES[role]}")
            for right in rights:
                shown = right.name + "*" * right.is_prefix
                click.echo(f"  {right.operation:16} {right.resource:17} {shown:40} {right.why}")


def _principal(principal: str, settings: Settings, role: str) -> str:
    return principal or f"User:{settings.app_id}-{role}"
