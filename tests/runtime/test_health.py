from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.health import HealthServer
from orchestrator.runtime.in_force import load_journeys
from orchestrator.runtime.metrics import Metrics


class Answers:
    """A served worker that is as the test says."""

    def __init__(self) -> None:
        self.ailing = self.unready = ""
        self.metrics = Metrics((), load_journeys(journeys_dir(), schemas_dir()).journeys)
        self.server = HealthServer(
            self.metrics.registry,
            host="127.0.0.1",
            port=0,
            ailing=lambda: self.ailing,
            unready=lambda: self.unready,
        )
        self.base = self.server.url.removesuffix("/metrics")


@pytest.fixture
def answers() -> Iterator[Answers]:
    answers = Answers()
    yield answers
    answers.server.close()


def fetch(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_are_served_in_the_text_format_with_help_texts(answers: Answers) -> None:
    status, text = fetch(answers.server.url)
    families = [family for family in text_string_to_metric_families(text) if family.name.startswith("orchestrator")]
    assert status == 200
    assert len(families) > 30
    assert all(family.documentation for family in families)


def test_metrics_are_served_as_open_metrics_to_whoever_asks_for_them(answers: Answers) -> None:
    status, text = fetch(answers.server.url, Accept="application/openmetrics-text; version=1.0.0")
    assert (status, text.endswith("# EOF\n")) == (200, True)


def test_health_and_readiness_are_told_apart_and_say_why_not(answers: Answers) -> None:
    assert fetch(f"{answers.base}/healthz") == (200, "ok\n")
    assert fetch(f"{answers.base}/readyz") == (200, "ready\n")
    answers.unready = "not ready: partitions are being restored"
    assert fetch(f"{answers.base}/healthz")[0] == 200
    assert fetch(f"{answers.base}/readyz") == (503, "not ready: partitions are being restored\n")
    answers.ailing = "the cycles have not come round for 91 s"
    assert fetch(f"{answers.base}/healthz") == (503, "the cycles have not come round for 91 s\n")
    assert fetch(f"{answers.base}/else")[0] == 404


def test_a_port_that_is_taken_is_a_problem_with_a_hint(answers: Answers) -> None:
    taken = int(answers.base.rpartition(":")[2])
    with pytest.raises(EnvironmentProblem, match="cannot be served") as caught:
        HealthServer(answers.metrics.registry, host="127.0.0.1", port=taken, ailing=str, unready=str)
    assert "--metrics-port" in caught.value.hint
