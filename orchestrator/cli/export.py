"""``orchestrator export``: all that is held about one customer."""

from __future__ import annotations

import sys

import click
import msgspec

from orchestrator.cli._settings import with_settings
from orchestrator.runtime.privacy import held
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator export user_0042 > user_0042.json
  orchestrator export user_0042 | jq .record.profile
"""


@click.command("export", epilog=EXAMPLES, short_help="Give out all that is held about a customer.")
@click.argument("customer")
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix", "event_topics")
def command(*, customer: str, settings: Settings) -> int:
    """Print everything that the topics hold about CUSTOMER, as JSON: the record with profile, consents, passages and
    what is counted, and all events, decisions, commands and dead letters.

    It holds personal data: that is its purpose. Exits with 1 if nothing is known of the customer.
    """
    is_watched = sys.stderr.isatty()

    def progress(looked_at: int) -> None:
        if is_watched:
            click.echo(f"\r{looked_at:,} records looked at", nl=False, err=True)

    found = held(settings, customer, progress=progress)
    if is_watched:
        click.echo("\r\x1b[K", nl=False, err=True)
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return 0 if found["record"] is not None or found["topics"] else 1
