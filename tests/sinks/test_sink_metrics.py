"""What Kafka Connect shows of the sinks to Prometheus."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.runtime.connectors import Connector
from orchestrator.stack.stack import Stack
from tests.deploy.exported import sink_samples
from tests.sinks.receiver import Answer, Receiver
from tests.sinks.traffic import Commands, eventually

pytestmark = pytest.mark.broker


def scraped(connect: Stack) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(f"{connect.connect_url}/metrics", timeout=10) as answer:
        assert set(answer.headers["Content-Type"].split(";")) == {"text/plain", "version=0.0.4", "charset=utf-8"}
        families = list(text_string_to_metric_families(answer.read().decode()))
    assert all(family.documentation.endswith(".") for family in families)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_became_of_commands_is_shown_by_connector_and_outcome(
    commands: Commands, apply: Callable[..., Connector], receiver: Receiver, connect: Stack
) -> None:
    connector = apply("http", settings={"command.kinds": "send"}, HTTP_URL=receiver.url)

    def value(name: str, **labels: str) -> float:
        own = {"connector": connector.name, "task": "0", **labels}
        return scraped(connect)[name, tuple(sorted(own.items()))]

    def counted() -> dict[str, float]:
        outcomes = ("delivered", "passed_over", "expired", "recalled", "refused")
        return {name: value("orchestrator_sink_commands_total", outcome=name) for name in outcomes}

    assert set(counted().values()) == {0}
    receiver.answer = lambda request: Answer(404 if request.key == "wrong" else 200)
    commands.send("a", "b", "wrong")
    commands.send("late", expires_at=int(time.time() * 1000) - 1)
    commands.send("task", kind="task")
    eventually(lambda: counted() == {"delivered": 2, "passed_over": 1, "expired": 1, "recalled": 0, "refused": 1})
    assert value("orchestrator_connect_dead_letters_total") == 2
    assert value("orchestrator_connect_dead_letters_lost_total") == 0
    assert value("orchestrator_connect_task_running") == 1
    assert (value("orchestrator_sink_held_seconds"), value("orchestrator_sink_recalls")) == (0, 0)

    receiver.answer = lambda request: Answer(503)
    commands.send("held")
    eventually(lambda: value("orchestrator_sink_held_seconds") > 1)
    assert value("orchestrator_sink_commands_total", outcome="held") > 1
    receiver.answer = lambda request: Answer()
    eventually(lambda: value("orchestrator_sink_held_seconds") == 0)
    assert counted()["delivered"] == 3

    found: dict[str, set[str]] = {}
    for name, labels in scraped(connect):
        found.setdefault(name, set()).update(label for label, _ in labels)
    assert found == sink_samples()
