"""``orchestrator worker``: run journeys on events."""

from __future__ import annotations

import click

from orchestrator.cli._settings import with_settings
from orchestrator.runtime.settings import RETENTIONS, Settings

EXAMPLES = """\b
Examples:
  orchestrator worker
  orchestrator worker --bootstrap-servers kafka:9092 --registry-url http://registry:8081 --data-dir /var/lib/journeys
  orchestrator worker --time stream --create-topics --metrics-port 9100 --log-format json
"""


@click.command("worker", epilog=EXAMPLES, short_help="Run journeys on customer events.")
@with_settings(
    "bootstrap_servers",
    "registry_url",
    "app_id",
    "data_dir",
    "worker_id",
    "event_topics",
    "partitions",
    "replication_factor",
    "topic_prefix",
    "journeys",
    "publish",
    "schemas",
    "time",
    "metrics_host",
    "metrics_port",
    "batch_records_max",
    "timers_per_transaction_max",
    "align_per_transaction_max",
    "buffer_records_max",
    "merge_wait_ms",
    "tick_ms",
    "session_timeout_ms",
    "heartbeat_interval_ms",
    "rebalance_timeout_ms",
    "transaction_timeout_ms",
    "stop_timeout_ms",
    "hang_timeout_ms",
    "create_topics",
    "environment",
    *RETENTIONS,
    "audit_key_file",
    "log_format",
    "log_level",
)
def command(*, settings: Settings) -> int:
    """Run journeys on customer events, until stopped.

    The journeys in force are those last published (`orchestrator apply`); a running worker takes new ones up without a
    restart. Where nothing was published yet, the worker publishes those of its directory.

    Workers with the same --app-id share the load: start as many as there are partitions. A worker that is told to
    stop (SIGTERM, Ctrl-C) finishes its transaction, hands its partitions to the others and ends with 0; a second
    Ctrl-C ends it at once. A worker that fails says why and ends with 3; nothing is lost or doubled, start it again.
    """
    from orchestrator.runtime.worker import run_worker  # noqa: PLC0415  (loads Faust: only for running, not for --help)

    return run_worker(settings)
