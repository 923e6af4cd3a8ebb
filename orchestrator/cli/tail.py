"""``orchestrator tail``: committed records of topics as JSON Lines."""

from __future__ import annotations

import json

import click

from orchestrator.cli._author import look, with_author
from orchestrator.cli._settings import with_settings
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.audit import about_customer
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tail import Decoder, Tail, as_json, existing_topics, tail

EXAMPLES = """\b
Examples:
  orchestrator tail
  orchestrator tail actions.email --from-beginning --no-follow --max 5
  orchestrator tail journeys.transitions --from-beginning --customer user_0042 | jq .value
"""


@click.command("tail", epilog=EXAMPLES, short_help="Show what is in topics, as JSON Lines.")
@click.argument("topics", nargs=-1, metavar="[TOPIC]...")
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest record, not with the next new one.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for new records, or end at the last.")
@click.option("--customer", metavar="ID", help="Only records with this key.")
@click.option("--max", "records_max", type=click.IntRange(1), help="End after so many records.")
@click.option("--show-personal-data", is_flag=True, help="Show what the schemas mark as personal, instead of ***.")
@with_author(needs_why=False)
@with_settings("bootstrap_servers", "registry_url", "topic_prefix", "environment", "audit_key_file")
def command(
    *,
    topics: tuple[str, ...],
    from_beginning: bool,
    follow: bool,
    customer: str | None,
    records_max: int | None,
    show_personal_data: bool,
    who: str,
    why: str,
    settings: Settings,
) -> None:
    """Show the records of TOPICs as JSON Lines: all action topics, if none is named.

    Only committed records are shown, decoded with the schemas they were written with. Decimals are text, instants are
    ISO 8601 in UTC. What the schemas mark as personal data is masked; who has it shown is in the
    audit log.
    """
    existing = existing_topics(brokers_of(settings))
    prefix = settings.topic_prefix
    if topics:
        # Some topics never carry the prefix, such as the changelog, which is named after the application.
        names = [prefix + name if prefix + name in existing else name for name in topics]
    else:
        names = [name for name in existing if name.startswith(f"{prefix}actions.")]
        if not names:
            raise click.UsageError(f"there are no topics {prefix}actions.*; name a topic, or set --topic-prefix")
    if show_personal_data:
        about = "topics" if customer is None else about_customer(settings, customer)
        look(settings, about, who=who, why=why, command="tail", topics=", ".join(names))
    decoder = Decoder(registry_of(settings).schema_text, show_personal_data=show_personal_data)
    source = Tail(brokers_of(settings), names, decoder, from_beginning=from_beginning)
    try:
        for record in tail(source, follow=follow, customer=customer, records_max=records_max):
            click.echo(json.dumps(as_json(record), ensure_ascii=False))
    finally:
        source.close()
