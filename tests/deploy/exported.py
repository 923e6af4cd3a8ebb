"""What a worker exports, with every label it can have, and what the files of `deploy` ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge

from deploy.documents import sink_metrics
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.in_force import load_journeys
from orchestrator.runtime.ingest.assembly import ROUTES
from orchestrator.runtime.ingest.observing import IngestMetrics
from orchestrator.runtime.metrics import Metrics
from orchestrator.runtime.ports import BatchReport, Standing

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
RUNBOOKS = ROOT / "docs" / "operations" / "runbooks"


def exercised_metrics(*, now_ms: int = 1_700_000_000_000) -> Metrics:
    """The metrics of a worker to which everything has happened once."""
    journeys = load_journeys(journeys_dir(), schemas_dir()).journeys
    metrics = Metrics(
        load_event_types(schemas_dir() / "events"), journeys, partitions=4, data_dir=Path(__file__).parent
    )
    metrics.cycles(lambda: 0.0)
    metrics.watch_broker(lambda: True)
    metrics.restore_begins()
    metrics.restoring(0, remaining=5, read=7)
    metrics.restore_ended(0.5)
    metrics.assigned()
    metrics.restore_begins()
    metrics.restoring(1, remaining=5, read=7)
    metrics.transaction_retried("commit_transaction")
    metrics.registry_failed()
    metrics.standing(
        Standing(partitions=3, lag={("events.web", 0): 3}, oldest_ms=now_ms, timers_pending=2, store_bytes=9)
    )
    metrics.batch(
        BatchReport(
            records=9,
            heartbeats=1,
            applied={"cart_updated": 3},
            skipped={"page_viewed": 2},
            duplicates=1,
            rejected={"not_avro": 1, "condition_failed": 1},
            customers=3,
            misplaced={"events.web": 1},
            timers_fired=2,
            lateness_ms=[20, 4_000],
            transitions={
                ("welcome_series", "welcome", "step", "sent"): 2,
                ("welcome_series", "welcome", "step", "capped"): 1,
                ("welcome_series", "welcome", "step", "template_failed"): 1,
                ("welcome_series", "", "entered", ""): 3,
                ("welcome_series", "", "goal", "treated"): 1,
                ("welcome_series", "welcome", "failed", "ZeroDivisionError"): 1,
            },
            actions={("email", "welcome_series"): 2},
            emitted={"cart_updated": 1},
            record_times_ms=[[now_ms - 40, now_ms - 20]],
            committed_at_ms=now_ms,
            compute_seconds=0.01,
            commit_seconds=0.02,
            apply_seconds=0.003,
        )
    )
    return metrics


def exercised_ingest() -> IngestMetrics:
    """The metrics of an endpoint to which everything has happened once."""
    metrics = IngestMetrics(ROUTES)
    metrics.expect(["generic"], in_flight_max=10, held_bytes_max=1_000)
    metrics.watch(in_flight=lambda: 1.0, held_bytes=lambda: 10.0, is_broker_up=lambda: True)
    metrics.answered("events", 202, 0.01)
    metrics.answered("events", 429, 0.001)
    metrics.published(["cart_updated"])
    metrics.receipts("generic", accepted=1, ignored=1, unusable=1)
    metrics.lost("email_opened")
    metrics.unconfirmed(1)
    metrics.badly_signed("generic")
    return metrics


def samples(metrics: Metrics | IngestMetrics) -> dict[str, set[str]]:
    """Sample name -> its labels. Those that only say when a counter began are left out."""
    found: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


def sink_samples() -> dict[str, set[str]]:
    """Sample name -> its labels, of what Kafka Connect shows of the sinks."""
    return {one["name"]: {"connector", "task", *filter(None, [one.get("label")])} for one in sink_metrics()}


def exercised_sinks() -> CollectorRegistry:
    """The metrics of a Kafka Connect with one task that everything has happened to once."""
    registry = CollectorRegistry()
    for described in sink_metrics():
        kind = Counter if described["kind"] == "counter" else Gauge
        name = described["name"]
        metric = kind(name, described["help"], sorted(sink_samples()[name]), registry=registry)
        for outcome in described["attributes"].values():
            labels = {"connector": "email", "task": "0"} | ({described["label"]: outcome} if outcome else {})
            metric.labels(**labels).inc()
    return registry


def families(metrics: Metrics) -> set[str]:
    """Every metric, also one of which nothing has happened."""
    return {family.name for family in metrics.registry.collect()}


def rules() -> list[dict[str, Any]]:
    """Every recording and alert rule."""
    return [
        rule
        for name in ("rules.yaml", "alerts.yaml")
        for group in yaml.safe_load((PROMETHEUS / name).read_text())["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[dict[str, Any]]:
    """Every alert rule."""
    return [rule for rule in rules() if "alert" in rule]


def panel_queries() -> Iterator[tuple[str, str]]:
    """(dashboard and panel, query) of every query in every dashboard."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.stem}: {panel['title']}", target["expr"]
