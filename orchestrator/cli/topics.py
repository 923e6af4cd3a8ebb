"""``orchestrator topics``: create the topics that workers need, or see what is wrong with those that exist."""

from __future__ import annotations

import click

from orchestrator.cli._settings import with_settings
from orchestrator.runtime.settings import RETENTIONS, Settings

EXAMPLES = """\b
Examples:
  orchestrator topics create --partitions 12 --replication-factor 3
  orchestrator topics check --time stream
"""
SETTINGS = (
    "bootstrap_servers",
    "app_id",
    "event_topics",
    "partitions",
    "replication_factor",
    "topic_prefix",
    "journeys",
    "schemas",
    "time",
    *RETENTIONS,
)


@click.group("topics", epilog=EXAMPLES, short_help="Create and check the topics that workers need.")
@click.pass_context
def command(context: click.Context) -> None:
    """Create the topics that workers need, or check those that exist."""
    # Defaults for the group (where the own stack runs) are those of its commands.
    context.default_map = dict.fromkeys(("create", "check"), context.default_map or {})


@command.command("create", epilog="Example: orchestrator topics create --partitions 12")
@with_settings(*SETTINGS)
def create(*, settings: Settings) -> int:
    """Create what is missing, then check everything. Existing topics are never changed."""
    from orchestrator.runtime.in_force import load_journeys  # noqa: PLC0415
    from orchestrator.runtime.topics import ensure_topics, topic_specs  # noqa: PLC0415

    specs = topic_specs(settings, load_journeys(settings.journeys, settings.schemas).journeys.destinations)
    created = ensure_topics(settings, specs, create=True)
    for name in created:
        click.echo(f"created {name}")
    click.echo(f"{len(specs)} topics are as they must be, {len(created)} of them new")
    return 0


@command.command("check", epilog="Example: orchestrator topics check")
@with_settings(*SETTINGS)
def check(*, settings: Settings) -> int:
    """Say how the topics differ from what workers need; 1 if they do. Says also which keep customers' data for ever."""
    from orchestrator.runtime.command_rights import require_right  # noqa: PLC0415
    from orchestrator.runtime.in_force import load_journeys  # noqa: PLC0415
    from orchestrator.runtime.topics import (  # noqa: PLC0415
        kept_for_ever,
        kept_too_short,
        mismatches,
        sink_specs,
        topic_names,
        topic_specs,
    )

    specs = topic_specs(settings, load_journeys(settings.journeys, settings.schemas).journeys.destinations)
    wrong = mismatches(settings, specs)
    require_right(settings, [problem.topic for problem in wrong if not problem.found])
    for problem in wrong:
        click.echo(str(problem))
    for name in kept_for_ever(settings, [*specs, *sink_specs(settings)]):
        click.echo(f"note: topic {name} keeps data about customers for ever; give it a retention.ms")
    for short in kept_too_short(settings, specs):
        lost = "what was done is forgotten earlier than --audit-retention-days says"
        if short.topic == topic_names(settings).recalls:
            lost = "sinks could carry out what customers who are forgotten were sent"
        click.echo(f"warning: {short}; {lost}")
    if not wrong:
        click.echo(f"{len(specs)} topics are as they must be")
    return 1 if wrong else 0
