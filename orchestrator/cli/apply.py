"""``orchestrator apply``: bring the journeys of a directory into force, while workers run."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import click

from orchestrator.cli._journeys import compiled_journeys
from orchestrator.cli._plan import render_plan
from orchestrator.cli._settings import with_settings
from orchestrator.cli.plan import is_refused, planned
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator apply --who anna --why "a second reminder for full carts"
  orchestrator apply my_journeys --who ci --why "release 41" --create-topics
"""


@click.command("apply", epilog=EXAMPLES, short_help="Bring journeys into force while workers run.")
@click.argument("path", type=click.Path(path_type=Path, file_okay=False), default="journeys")
@click.option("--who", required=True, metavar="NAME", help="Who answers for the change; kept with it.")
@click.option("--why", required=True, metavar="TEXT", help="Why it is made; kept with it.")
@with_settings(
    "bootstrap_servers",
    "app_id",
    "event_topics",
    "partitions",
    "replication_factor",
    "topic_prefix",
    "schemas",
    "time",
    "create_topics",
)
def command(*, path: Path, who: str, why: str, settings: Settings) -> int:
    """Compile the journeys of the directory PATH, show what changes (see `plan`), and publish them.

    Running workers take them up between two batches. Customers inside a journey keep the version that they entered,
    unless it takes them along (`migrate`). Exits with 1, and publishes nothing, if the journeys have errors, or if
    somebody may be where the new version cannot take them. Topics that new channels need
    must be there, or are created with --create-topics.
    """
    from orchestrator.runtime.access import brokers_of  # noqa: PLC0415
    from orchestrator.runtime.definitions import publish_definition, read_definitions  # noqa: PLC0415  (the client)
    from orchestrator.runtime.in_force import Publications, load_journeys  # noqa: PLC0415
    from orchestrator.runtime.topics import ensure_topics, topic_names, topic_specs  # noqa: PLC0415

    compiled = compiled_journeys(path, settings.schemas, "text")
    if compiled is None:
        return 1
    loaded = load_journeys(path, settings.schemas)
    topic = topic_names(settings).definitions
    ensure_topics(settings, topic_specs(settings, loaded.journeys.destinations), create=settings.create_topics)
    in_force = Publications(read_definitions(brokers_of(settings), topic)).newest
    set_id = loaded.definition.set_id
    if in_force is not None and in_force.journeys.set_id == set_id:
        click.echo(f"journey set {set_id} is in force already; nothing was published")
        return 0
    plan = planned(settings, path)
    if is_refused(plan, compiled, "text"):
        return 1
    click.echo(render_plan(plan, is_coloured=sys.stdout.isatty(), shows_diff=False))
    definition = replace(loaded.definition, who=who, why=why, at_ms=time.time_ns() // 1_000_000)
    offset = publish_definition(brokers_of(settings), topic, definition)
    click.echo(f"journey set {set_id} is published (number {offset}); workers take it up now")
    return 0
