"""``orchestrator pause``: stop one journey at once, without losing anybody who is inside."""

from __future__ import annotations

import click

from orchestrator.cli._author import with_author
from orchestrator.cli._settings import with_settings
from orchestrator.cli._switch import switch
from orchestrator.model.journey import Status
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator pause cart_abandonment --who anna --why "the offer has a wrong price"
"""


@click.command("pause", epilog=EXAMPLES, short_help="Stop one journey at once; nobody inside is lost.")
@click.argument("journey")
@with_author()
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix", "environment")
def command(*, journey: str, who: str, why: str, settings: Settings) -> int:
    """Publish the journeys in force again with JOURNEY paused, as `status: paused` in its file would.

    From when the workers take it up, nobody inside goes on and nothing of it is sent; who enters stands before the
    first step, and what they miss is kept. Nothing else changes, and no directory of journeys is needed: change the
    file too, or the next `apply` resumes the journey. Exits with 1 if the journey is not live.
    """
    return switch(settings, journey, Status.PAUSED, who=who, why=why, counts=False)
