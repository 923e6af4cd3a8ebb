"""``orchestrator resume``: let a paused journey go on."""

from __future__ import annotations

import click

from orchestrator.cli._author import with_author
from orchestrator.cli._settings import with_settings
from orchestrator.cli._switch import switch
from orchestrator.model.journey import Status
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator resume cart_abandonment --who anna --why "the price is right now"
"""


@click.command("resume", epilog=EXAMPLES, short_help="Let a paused journey go on.")
@click.argument("journey")
@with_author()
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix", "environment")
def command(*, journey: str, who: str, why: str, settings: Settings) -> int:
    """Publish the journeys in force again with JOURNEY live, as `status: live` in its file would.

    Those who stood still are counted, and go on as the journey's `resume` says: over a time, at a rate, or not at all.
    To resume in another way, change `resume` in the file and use `apply`. Exits with 1 if the journey is not paused.
    """
    return switch(settings, journey, Status.LIVE, who=who, why=why, counts=True)
