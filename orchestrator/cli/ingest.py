"""``orchestrator ingest``: events over HTTP into the event topics."""

from __future__ import annotations

import click

from orchestrator.cli._settings import with_ingest_settings, with_settings
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  ORCHESTRATOR_INGEST_TOKENS="shop $(openssl rand -hex 32)" orchestrator ingest
  orchestrator ingest --ingest-tokens-file /run/secrets/tokens --ingest-host 0.0.0.0 --ingest-port 8080
"""


@click.command("ingest", epilog=EXAMPLES, short_help="Take events over HTTP.")
@with_settings(
    "bootstrap_servers",
    "registry_url",
    "topic_prefix",
    "event_topics",
    "schemas",
    "metrics_host",
    "metrics_port",
    "log_format",
    "log_level",
)
@with_ingest_settings
def command(*, settings: Settings, ingest: IngestSettings) -> int:
    """Take events over HTTP and publish them to the event topics, until stopped.

    POST /v1/events takes one event as a JSON object, or a list of them; /v1/events/TYPE those of one type. They are
    checked against the schemas, all or nothing, and answered 202 when the broker has acknowledged them; where it cannot
    be reached the answer is 503, and nothing is kept here. docs/operations/ingest.md says everything else.
    """
    from orchestrator.runtime.ingest.server import run_ingest  # noqa: PLC0415  (loads aiohttp: not for --help)

    return run_ingest(settings, ingest)
