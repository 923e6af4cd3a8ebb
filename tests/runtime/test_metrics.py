from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.model.journey import JourneySet
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.in_force import load_journeys
from orchestrator.runtime.metrics import Metrics, MetricsServer
from orchestrator.runtime.ports import BatchReport


@pytest.fixture(scope="module")
def journeys() -> JourneySet:
    return load_journeys(journeys_dir(), schemas_dir()).journeys


@pytest.fixture
def metrics(journeys: JourneySet) -> Metrics:
    return Metrics(load_event_types(schemas_dir() / "events"), journeys)


@pytest.fixture
def server(metrics: Metrics) -> Iterator[MetricsServer]:
    server = MetricsServer(metrics, host="127.0.0.1", port=0, is_ready=lambda: False)
    yield server
    server.close()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_batch_is_added_up(metrics: Metrics) -> None:
    report = BatchReport(
        records=12,
        heartbeats=2,
        applied={"cart_updated": 4},
        skipped={"page_viewed": 5},
        duplicates=1,
        timers_fired=3,
        lateness_ms=[20, 1500],
        transitions={("welcome_series", "welcome", "step", "sent"): 2, ("welcome_series", "", "entered", ""): 1},
        actions={("email", "welcome_series"): 2},
        lag={("events.web", 0): 7},
        commit_seconds=0.004,
    )
    metrics.batch(report)
    metrics.batch(report)
    assert value(metrics, "orchestrator_events_total", type="cart_updated", outcome="applied") == 8
    assert value(metrics, "orchestrator_events_total", type="page_viewed", outcome="skipped") == 10
    assert value(metrics, "orchestrator_decisions_total") == 14
    assert value(metrics, "orchestrator_actions_total", channel="email", journey="welcome_series") == 4
    steps = {"journey": "welcome_series", "step": "welcome", "kind": "step"}
    assert value(metrics, "orchestrator_transitions_total", **steps) == 4
    assert value(metrics, "orchestrator_timer_lateness_seconds_count") == 4
    assert value(metrics, "orchestrator_lag_records", topic="events.web", partition="0") == 7
    assert value(metrics, "orchestrator_batch_records_sum") == 24
    assert value(metrics, "orchestrator_transaction_seconds_count") == 2


def test_what_was_wanted_and_not_sent_is_counted_by_reason(metrics: Metrics) -> None:
    transitions = {
        ("welcome_series", "welcome", "step", "sent"): 5,
        ("welcome_series", "welcome", "step", "capped"): 2,
        ("welcome_series", "next_day", "step", "waited"): 9,
    }
    metrics.batch(BatchReport(transitions=transitions))
    assert value(metrics, "orchestrator_not_sent_total", reason="capped") == 2
    assert value(metrics, "orchestrator_not_sent_total", reason="sent") is None
    assert value(metrics, "orchestrator_not_sent_total", reason="waited") is None


def test_event_types_that_nobody_declared_share_one_label(metrics: Metrics) -> None:
    metrics.batch(BatchReport(skipped={f"made_up_{number}": 1 for number in range(100)}))
    assert value(metrics, "orchestrator_events_total", type="unknown", outcome="skipped") == 100


def test_dead_letters_are_counted_by_reason(metrics: Metrics) -> None:
    metrics.batch(BatchReport(rejected={"not_avro": 3, "unknown_schema": 1}))
    assert value(metrics, "orchestrator_dead_letters_total", reason="not_avro") == 3
    assert value(metrics, "orchestrator_events_total", type="unknown", outcome="rejected") == 4


def test_partitions_that_went_take_their_lag_with_them(metrics: Metrics) -> None:
    metrics.batch(BatchReport(lag={("events.web", 3): 7}))
    metrics.restoring(3, remaining=10, read=90)
    metrics.owned(1)
    assert value(metrics, "orchestrator_lag_records", topic="events.web", partition="3") is None
    assert value(metrics, "orchestrator_restore_remaining_records", partition="3") is None
    assert value(metrics, "orchestrator_restore_records_total") == 90
    assert value(metrics, "orchestrator_partitions_owned") == 1


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_every_metric_is_served_with_a_help_text_and_a_conventional_name(server: MetricsServer) -> None:
    status, text = fetch(server.url)
    families = [family for family in text_string_to_metric_families(text) if family.name.startswith("orchestrator")]
    assert status == 200
    assert len(families) > 15
    for family in families:
        assert family.documentation, family.name


def test_health_and_readiness_are_told_apart(server: MetricsServer) -> None:
    base = server.url.removesuffix("/metrics")
    assert fetch(f"{base}/healthz") == (200, "ok\n")
    assert fetch(f"{base}/readyz") == (503, "not ready\n")
    assert fetch(f"{base}/else")[0] == 404


def test_a_port_that_is_taken_is_a_problem_with_a_hint(server: MetricsServer, metrics: Metrics) -> None:
    taken = int(server.url.rsplit(":", 1)[1].split("/")[0])
    with pytest.raises(EnvironmentProblem, match="cannot be served") as caught:
        MetricsServer(metrics, host="127.0.0.1", port=taken, is_ready=lambda: True)
    assert "--metrics-port" in caught.value.hint
