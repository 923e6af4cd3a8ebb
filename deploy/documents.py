"""What is written from code and rules, in `docs/operations` and elsewhere: `python -m deploy.documents`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from orchestrator.model.journey import JourneySet
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.in_force import load_journeys
from orchestrator.runtime.ingest.observing import IngestMetrics
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.metrics import Metrics
from orchestrator.runtime.roles import ROLES, rights_of
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import DAY_MS, sink_spec, topic_names, topic_specs

ROOT = Path(__file__).parents[1]
WRITTEN = "<!-- Written by python -m deploy.documents from {}; do not edit. -->"
NO_JOURNEYS = JourneySet("", {}, {}, {}, {}, {}, (), frozenset())


def settings_page() -> str:
    """Every setting of a worker: option, environment variable, default, meaning."""
    lines = [
        "# Settings",
        "",
        WRITTEN.format("orchestrator/runtime/settings.py"),
        "",
        "Each is an option of `orchestrator worker` and an environment variable; the option wins. Other commands",
        "take those that concern them: whoever takes an address also takes what it needs to be let in there. Secrets",
        "come from the environment or from files; see [security](security.md).",
        "",
        "| option | environment | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += map(_setting_row, dataclasses.fields(Settings))
    lines += [
        "",
        "## `orchestrator ingest`",
        "",
        "It takes addresses, security, topics, schemas, metrics and logs as above, and these of its own. Tokens and",
        "keys are no settings: [ingest.md](ingest.md) says where they come from.",
        "",
        "| option | environment | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += map(_setting_row, dataclasses.fields(IngestSettings))
    return "\n".join(lines) + "\n"


def rights_page() -> str:
    """What each role may do on the brokers, for the journeys that come with the program."""
    journeys = load_journeys(journeys_dir(), schemas_dir()).journeys
    lines = [
        "# Rights on the brokers",
        "",
        WRITTEN.format("orchestrator/runtime/roles.py"),
        "",
        "What each role needs, and no more, for the journeys that come with the program and the default settings.",
        "`orchestrator acls` prints the same for yours, also as commands (`--format kafka-acls`) or JSON. Whoever",
        "reads or writes a topic may also see that it is there (Describe), which is not listed again. `*`: all whose",
        "names begin so.",
    ]
    for role, text in ROLES.items():
        lines += ["", f"## {role}", "", text, "", "| right | on | for |", "|---|---|---|"]
        for right in rights_of(role, Settings(), channels=journeys.destinations, emits=journeys.emits.values()):
            star = "*" * right.is_prefix
            lines.append(f"| {right.operation} | {right.resource} `{right.name}{star}` | {right.why} |")
    return "\n".join(lines) + "\n"


def _setting_row(field: dataclasses.Field[Any]) -> str:
    default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    flag = f"--{field.name.replace('_', '-')}"
    shown = f"`{default}`" if default != "" else ""
    meaning = field.metadata["help"]
    if field.metadata["choices"]:
        meaning += f" One of {', '.join(f'`{choice}`' for choice in field.metadata['choices'])}."
    # Everybody on a machine can read command lines.
    option = "" if field.metadata.get("secret") else f"`{flag}`"
    return f"| {option} | `ORCHESTRATOR_{field.name.upper()}` | {shown} | {meaning} |"


def retention_page() -> str:
    """Every topic: what it holds about customers, and for how long."""
    lines = [
        "# What is kept, and for how long",
        "",
        WRITTEN.format("orchestrator/runtime/topics.py"),
        "",
        "As topics are created by `orchestrator topics create`, `--create-topics`, `apply` and `connect apply`, on the",
        "wall clock.",
        "Topics that exist are never changed: `kafka-configs` does that, and `orchestrator topics check` names those",
        "that keep data about customers for ever. On stream time events are kept for ever: their records carry",
        "historic times.",
        "",
        "| topic | holds | records are gone after | setting |",
        "|---|---|---|---|",
    ]
    settings = Settings()
    of_sinks = sink_spec(settings, f"{topic_names(settings).sinks_prefix}NAME.dead-letters")
    for spec in (*topic_specs(settings, ["CHANNEL"]), of_sinks):
        if spec.retention:
            kept_ms = int(spec.initial["retention.ms"])
            gone = "never" if kept_ms < 0 else f"{kept_ms // DAY_MS} days"
            setting = f"`--{spec.retention.replace('_', '-')}`"
        else:
            lag_days = int(spec.initial.get("max.compaction.lag.ms", 0)) // DAY_MS
            gone = f"compaction: former records of a key {lag_days} days" if lag_days else "never (compacted by key)"
            setting = ""
        lines.append(f"| `{spec.name}` | {spec.holds} | {gone} | {setting} |")
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Every metric of a worker: name, kind, labels, meaning."""
    registry = Metrics((), NO_JOURNEYS).registry
    lines = [
        "# Metrics",
        "",
        WRITTEN.format("orchestrator/runtime/metrics.py"),
        "",
        "Served at `/metrics`, in the text format and as OpenMetrics. No label can hold a customer, an address or",
        "anything else that grows with data. Metrics of the process (`process_cpu_seconds_total`,",
        "`process_resident_memory_bytes`, ...) are the client library's.",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    lines += _metric_rows(registry)
    lines += [
        "",
        "## `orchestrator ingest`",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    lines += _metric_rows(IngestMetrics(()).registry)
    lines += [
        "",
        "## Kafka Connect with the sinks",
        "",
        "Served at `/metrics` of the REST interface, by each worker of Kafka Connect for the tasks that it runs",
        "([connect.md](connect.md#metrics)).",
        "",
        "| metric | kind | labels | meaning |",
        "|---|---|---|---|",
    ]
    lines += map(_sink_row, sorted(sink_metrics(), key=lambda metric: str(metric["name"])))
    return "\n".join(lines) + "\n"


def sink_metrics() -> list[dict[str, Any]]:
    """What Kafka Connect shows of the sinks, as the sinks themselves are told."""
    described: list[dict[str, Any]] = json.loads(
        (ROOT / "deploy" / "connect" / "sinks" / "META-INF" / "orchestrator" / "metrics.json").read_text()
    )
    return described


def _sink_row(metric: dict[str, Any]) -> str:
    labels = ["connector", "task", *filter(None, [metric.get("label")])]
    shown = ", ".join(f"`{label}`" for label in labels)
    return f"| `{metric['name']}` | {metric['kind']} | {shown} | {metric['help']} |"


def _metric_rows(registry: CollectorRegistry) -> list[str]:
    return [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {documentation} |"
        for name, kind, labels, documentation in sorted(_metrics(registry))
    ]


def _metrics(registry: CollectorRegistry) -> list[tuple[str, str, tuple[str, ...], str]]:
    endings = {"counter": "_total", "info": "_info"}
    found = []
    for collector in registry._collector_to_names:  # noqa: SLF001 - the labels of a metric without samples are only there
        for family in collector.collect():
            if family.name.startswith("orchestrator_"):
                labels = tuple(getattr(collector, "_labelnames", ()))
                if family.type == "info":
                    labels = tuple(label for sample in family.samples for label in sample.labels)
                name = family.name + endings.get(family.type, "")
                found.append((name, family.type, labels, family.documentation))
    return found


def prometheus_rule() -> str:
    """The rules as the object that the Prometheus operator takes."""
    groups = []
    for name in ("rules.yaml", "alerts.yaml"):
        groups += yaml.safe_load((ROOT / "deploy" / "prometheus" / name).read_text())["groups"]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "orchestrator", "labels": {"app.kubernetes.io/name": "orchestrator"}},
        "spec": {"groups": groups},
    }
    written = "# Written by python -m deploy.documents from deploy/prometheus; do not edit.\n"
    return written + yaml.safe_dump(rule, sort_keys=False, width=120)


PAGES = {
    "docs/operations/settings.md": settings_page,
    "docs/operations/metrics.md": metrics_page,
    "docs/operations/retention.md": retention_page,
    "docs/operations/rights.md": rights_page,
    "deploy/kubernetes/monitoring/prometheus-rule.yaml": prometheus_rule,
}


def main() -> None:
    """Writes every page."""
    for name, page in PAGES.items():
        (ROOT / name).write_text(page())


if __name__ == "__main__":
    main()
