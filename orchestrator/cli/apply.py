"""``orchestrator apply``: bring the journeys of a directory into force, while workers run."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import click

from orchestrator.authoring.changes import side_of
from orchestrator.authoring.event_schemas import event_types_from_texts
from orchestrator.cli._author import with_author
from orchestrator.cli._journeys import compiled_journeys
from orchestrator.cli._plan import render_plan
from orchestrator.cli._settings import with_settings
from orchestrator.cli._switch import warn_of_others
from orchestrator.cli.plan import is_refused, planned_here
from orchestrator.runtime.settings import RETENTIONS, Settings

EXAMPLES = """\b
Examples:
  orchestrator apply --who anna --why "a second reminder for full carts"
  orchestrator apply my_journeys --who ci --why "release 41" --create-topics
  orchestrator apply --why "is it approved?" --dry-run --environment staging
"""


@click.command("apply", epilog=EXAMPLES, short_help="Bring journeys into force while workers run.")
@click.argument("path", type=click.Path(path_type=Path), default="journeys")
@with_author()
@click.option("--dry-run", is_flag=True, help="Show what would change and what is against it; write nothing.")
@click.option(
    "--move-environment",
    "is_move",
    is_flag=True,
    help="The installation is for --environment from now on, though another one is in force; it needs an approval.",
)
@with_settings(
    "bootstrap_servers",
    "registry_url",
    "app_id",
    "event_topics",
    "partitions",
    "replication_factor",
    "topic_prefix",
    "schemas",
    "time",
    "create_topics",
    "environment",
    *RETENTIONS,
)
def command(*, path: Path, who: str, why: str, dry_run: bool, is_move: bool, settings: Settings) -> int:
    """Compile the journeys of the directory PATH, show what changes (see `plan`), and publish them.

    Running workers take them up between two batches. Customers inside a journey keep the version that they entered,
    unless it takes them along (`migrate`). Exits with 1, and publishes nothing, if the journeys have errors, if
    somebody may be where the new version cannot take them, or if the rules of the house (governance.yaml) are against
    it; each reason is named. Topics that new channels need must be there, or are created with --create-topics.
    """
    from orchestrator.runtime.in_force import load_journeys  # noqa: PLC0415  (these load the Kafka client)
    from orchestrator.runtime.publishing import publish, record_refusal, summary  # noqa: PLC0415
    from orchestrator.runtime.topics import ensure_topics, topic_specs, unread_events  # noqa: PLC0415

    compiled = compiled_journeys(path, settings.schemas, "text")
    if compiled is None:
        return 1
    loaded = load_journeys(path, settings.schemas)
    specs = topic_specs(settings, loaded.journeys.destinations)
    schema_texts = {name: event.schema_json for name, event in compiled.event_types.items()}
    for event_type, topic in unread_events(loaded.journeys.wanted, schema_texts, settings.event_topics).items():
        said = f"journeys ask for {event_type}, which comes by the topic {topic}, and no worker reads it"
        warning = click.style("warning:", fg="yellow", bold=True)
        click.echo(f"{warning} {said}; add it to --event-topics of the workers", err=True)
    if not dry_run:
        # Without those of the installation nothing can be judged; those of new channels wait until it is.
        ensure_topics(settings, topic_specs(settings, ()), create=settings.create_topics)
    definition = replace(loaded.definition, who=who, why=why, at_ms=time.time_ns() // 1_000_000)
    # What is judged is what is published, also where somebody writes to the directory meanwhile.
    after = side_of(definition.sources, event_types_from_texts(definition.schemas).types)
    plan = planned_here(settings, after, who=who, is_move=is_move)
    if plan.is_in_force:
        if not dry_run:
            ensure_topics(settings, specs, create=settings.create_topics)
        click.echo(f"journey set {definition.set_id} is in force already; nothing was published")
        return 0
    if is_refused(plan, compiled, "text"):
        return 1
    click.echo(render_plan(plan, is_coloured=sys.stdout.isatty(), shows_diff=False))
    if plan.refusals:
        if not dry_run:
            record_refusal(settings, definition, plan.refusals, act="apply")
        click.echo("nothing was published")
        return 1
    if dry_run:
        click.echo("nothing is against it; nothing was published")
        return 0
    ensure_topics(settings, specs, create=settings.create_topics)
    offset = publish(settings, definition, act="apply", changes=summary(plan.changes), seen=plan.seen)
    click.echo(f"journey set {definition.set_id} is published (number {offset}); workers take it up now")
    warn_of_others(settings, plan.seen, offset)
    return 0
