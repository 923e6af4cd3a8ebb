"""``orchestrator export``: all that is held about one customer."""

from __future__ import annotations

import sys

import click
import msgspec

from orchestrator.cli._author import with_author
from orchestrator.cli._settings import with_settings
from orchestrator.runtime.audit import about_customer, audited
from orchestrator.runtime.privacy import held
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator export user_0042 --why "request 4711" > user_0042.json
  orchestrator export user_0042 | jq .record.profile
"""


@click.command("export", epilog=EXAMPLES, short_help="Give out all that is held about a customer.")
@click.argument("customer")
@with_author(needs_why=False)
@with_settings(
    "bootstrap_servers", "registry_url", "app_id", "topic_prefix", "event_topics", "environment", "audit_key_file"
)
def command(*, customer: str, who: str, why: str, settings: Settings) -> int:
    """Print everything that the topics hold about CUSTOMER, as JSON: the record with profile, consents, passages and
    what is counted, and all events, decisions, commands and dead letters.

    It holds personal data: that is its purpose. The audit log says who had it, and why. Exits with 1 if nothing is
    known of the customer.
    """
    is_watched = sys.stderr.isatty()

    def progress(looked_at: int) -> None:
        if is_watched:
            click.echo(f"\r{looked_at:,} records looked at", nl=False, err=True)

    with audited(settings, act="export", about=about_customer(settings, customer), who=who, why=why) as act:
        found = held(settings, customer, progress=progress)
        act.detail["records"] = str(sum(map(len, found["topics"].values())))
    if is_watched:
        click.echo("\r\x1b[K", nl=False, err=True)
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return 0 if found["record"] is not None or found["topics"] else 1
