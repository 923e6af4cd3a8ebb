"""``orchestrator explain``: what happened to a customer and why, and why not."""

from __future__ import annotations

import sys

import click
import msgspec

from orchestrator.authoring.explanation import explain, explanation_values, render_explanation
from orchestrator.cli._author import look, with_author
from orchestrator.cli._settings import with_settings
from orchestrator.cli._since import since
from orchestrator.runtime.audit import about_customer
from orchestrator.runtime.explain import read_records, read_versions
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator explain user_0042
  orchestrator explain user_0042 --journey cart_abandonment --since "7 days"
  orchestrator explain user_0042 --since 2026-03-01 --format json | jq .places
"""


@click.command("explain", epilog=EXAMPLES, short_help="Say what happened to a customer and why.")
@click.argument("customer")
@click.option("--journey", metavar="NAME", help="Only this journey.")
@click.option(
    "--since",
    "since_ms",
    metavar="TIME",
    callback=since,
    help="Only decisions from this time on: ISO 8601, or a duration before now.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people or programs.")
@click.option("--show-personal-data", is_flag=True, help="Show the profile, instead of ***.")
@with_author(needs_why=False)
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix", "environment", "audit_key_file")
def command(
    *,
    customer: str,
    journey: str | None,
    since_ms: int | None,
    form: str,
    show_personal_data: bool,
    who: str,
    why: str,
    settings: Settings,
) -> int:
    """Say what happened to CUSTOMER, when and why, what was not done and why not, and how things stand now.

    It is read from the committed records of the decisions (journeys.transitions) and of the customer (the changelog);
    workers need not run. Who has the profile shown is in the audit log. Exits with 1 if nothing is known of the
    customer.
    """
    if show_personal_data:
        look(settings, about_customer(settings, customer), who=who, why=why, command="explain")
    is_watched = sys.stderr.isatty()

    def progress(looked_at: int) -> None:
        if is_watched:
            click.echo(f"\r{looked_at:,} records looked at", nl=False, err=True)

    records = read_records(
        settings, customer, since_ms=since_ms, show_personal_data=show_personal_data, progress=progress
    )
    if is_watched:
        # The line of progress goes when there is something to read.
        click.echo("\r\x1b[K", nl=False, err=True)
    wanted = {(decision.journey, decision.version) for decision in records.decisions}
    if records.customer is not None:
        wanted |= {(instance.journey, instance.version) for instance in records.customer.instances}
    versions = read_versions(settings, wanted)
    explanation = explain(customer, records.decisions, records.customer, versions, journey=journey, since_ms=since_ms)
    if form == "json":
        values = explanation_values(explanation, show_personal_data=show_personal_data)
        click.echo(msgspec.json.format(msgspec.json.encode(values), indent=2))
    elif explanation.is_known:
        click.echo(render_explanation(explanation, show_personal_data=show_personal_data))
    else:
        click.echo(f"nothing is known of customer {customer}")
    return 0 if explanation.is_known else 1
