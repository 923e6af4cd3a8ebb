"""Rules and dashboards ask for what workers export, by labels it has; and what is exported is asked for somewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest

from deploy.grafana import dashboards
from deploy.grafana.panels import rendered
from tests.deploy.exported import (
    DASHBOARDS,
    exercised_ingest,
    exercised_metrics,
    panel_queries,
    rules,
    samples,
    sink_samples,
)

EXPORTED = samples(exercised_metrics()) | samples(exercised_ingest()) | sink_samples()
TARGET_LABELS = {"job", "instance"}
BY_PROMETHEUS = {"up": set[str]()}

UNUSED = {
    "orchestrator_customers_aligned_total": "for whoever watches new journeys come into force",
    "orchestrator_journeys_taken_up_timestamp_seconds": "as above",
    "orchestrator_event_delay_seconds_count": "a quantile needs the buckets; for averages in one's own queries",
    "orchestrator_event_delay_seconds_sum": "as its count",
    "orchestrator_timer_lateness_seconds_count": "as above",
    "orchestrator_timer_lateness_seconds_sum": "as above",
    "orchestrator_transaction_seconds_count": "as above",
    "orchestrator_transaction_seconds_sum": "as above",
    "orchestrator_batch_records_count": "as above",
    "orchestrator_batch_records_sum": "as above",
    "orchestrator_restore_seconds_count": "as above",
    "orchestrator_restore_seconds_sum": "as above",
    "orchestrator_ingest_request_seconds_count": "as above",
    "orchestrator_ingest_request_seconds_sum": "as above",
    "orchestrator_sink_recalls": "for whoever looks into the memory of a task",
    "orchestrator_connect_dead_letters_total": "for connectors that are not the project's; its sinks say more",
    "process_virtual_memory_bytes": "comes with the client library; says little about a Python process",
    "process_open_fds": "comes with the client library",
    "process_max_fds": "comes with the client library",
}
"""Exported and on no dashboard: why."""

VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$instance": ".*", "$journey": ".*"}


def parsed(query: str) -> Any:
    for name, text in VARIABLES.items():
        query = query.replace(name, text)
    return promql_parser.parse(query)


def nodes(node: Any) -> Iterator[Any]:
    yield node
    for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from nodes(child)
    for child in getattr(node, "args", ()) or ():
        yield from nodes(child)


def selected(query: str) -> list[tuple[str, set[str]]]:
    """(metric, labels that its selector names) of everything that the query selects."""
    return [
        (node.name or "", {matcher.name for matcher in node.matchers.matchers})
        for node in nodes(parsed(query))
        if isinstance(node, promql_parser.VectorSelector)
    ]


def grouped(query: str) -> set[str]:
    """All labels that the query groups or joins by."""
    found: set[str] = set()
    for node in nodes(parsed(query)):
        modifier = getattr(node, "modifier", None)
        for part in (modifier, getattr(modifier, "matching", None)):
            labels = getattr(part, "labels", None)
            found.update(labels or ())
    return found


def known() -> dict[str, set[str]]:
    """Everything that can be asked for: exported, recorded, or Prometheus' own."""
    recorded = {}
    for rule in rules():
        if "record" in rule:
            kept = rule["record"].split(":")[0].split("_")
            recorded[rule["record"]] = set(kept)
    return EXPORTED | BY_PROMETHEUS | recorded


QUERIES = [(rule.get("record") or rule["alert"], rule["expr"]) for rule in rules()] + list(panel_queries())


@pytest.mark.parametrize(("place", "query"), QUERIES, ids=[place for place, _ in QUERIES])
def test_every_query_asks_for_what_is_exported_by_labels_it_has(place: str, query: str) -> None:
    names = known()
    found = selected(query)
    assert found, place
    labels = set(TARGET_LABELS)
    for metric, asked in found:
        assert metric in names, f"{place}: nothing exports {metric}"
        assert asked <= names[metric] | TARGET_LABELS, f"{place}: {metric} has no label {asked - names[metric]}"
        labels |= names[metric]
    assert grouped(query) <= labels, place


def test_what_is_exported_is_asked_for_somewhere_or_there_is_a_reason() -> None:
    used = {metric for _, query in QUERIES for metric, _ in selected(query)}
    exported = {name for name in EXPORTED if name.startswith(("orchestrator_", "process_"))}
    assert exported - used - UNUSED.keys() == set()
    assert UNUSED.keys() - (exported - used) == set(), "these are used, or gone"


def test_a_metric_or_a_label_that_is_not_there_is_noticed() -> None:
    for query in ("rate(orchestrator_nonsense_total[5m])", 'orchestrator_events_total{customer="x"}'):
        with pytest.raises(AssertionError):
            test_every_query_asks_for_what_is_exported_by_labels_it_has("broken", query)
    with pytest.raises(AssertionError):
        test_every_query_asks_for_what_is_exported_by_labels_it_has("broken", "sum by (x) (orchestrator_lag_records)")


def test_no_label_can_hold_what_grows_with_customers() -> None:
    allowed = {"type", "outcome", "journey", "step", "kind", "channel", "reason", "phase", "call"}
    allowed |= {"topic", "partition", "le", "version", "set", "route", "provider", "connector", "task"}
    assert set().union(*EXPORTED.values()) <= allowed


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda dashboard: str(dashboard.uid))
def test_a_dashboard_in_its_file_is_the_one_in_the_code(dashboard: Any) -> None:
    path = DASHBOARDS / f"{dashboard.uid.removeprefix('orchestrator-')}.json"
    assert path.read_text() == rendered(dashboard), "run: python -m deploy.grafana.dashboards"


def test_panels_say_what_they_show_and_do_not_overlap() -> None:
    for path in DASHBOARDS.glob("*.json"):
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(path.read_text())["panels"]:
            assert panel["description"].endswith("."), panel["title"]
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken, panel["title"]
            assert at["x"] + at["w"] <= 24, panel["title"]
            taken |= cells
