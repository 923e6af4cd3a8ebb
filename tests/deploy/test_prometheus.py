"""Rules and dashboards against the real thing: promtool, and a Prometheus that scrapes a worker's metrics."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from orchestrator.runtime.health import HealthServer
from orchestrator.stack.stack import Stack
from tests.deploy.exported import (
    PROMETHEUS,
    alerts,
    exercised_ingest,
    exercised_metrics,
    exercised_sinks,
    panel_queries,
    rules,
)
from tests.deploy.test_queries import VARIABLES
from tests.deploy.tooling import program
from tests.runtime.worker_process import DAY_MS, START_MS, Installation

tooled = [pytest.mark.tools, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_every_alert_is_shown_to_fire() -> None:
    text = (PROMETHEUS / "alerts.test.yaml").read_text()
    assert {alert["alert"] for alert in alerts() if f'alertname="{alert["alert"]}"' not in text} == set()


class TestPromtool:
    pytestmark = tooled

    def test_the_rules_can_be_read(self) -> None:
        promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", "alerts.yaml")

    def test_every_alert_fires_when_it_should_and_not_when_it_should_not(self) -> None:
        promtool("test", "rules", "alerts.test.yaml")

    def test_the_configuration_can_be_read(self) -> None:
        promtool("check", "config", "--syntax-only", "prometheus.yaml")

    @pytest.mark.parametrize(
        "registry",
        [exercised_metrics().registry, exercised_ingest().registry, exercised_sinks()],
        ids=["worker", "endpoint", "sinks"],
    )
    def test_what_is_exported_passes_the_lint_for_names_and_units(self, registry: CollectorRegistry) -> None:
        exposed = generate_latest(registry).decode()
        promtool("check", "metrics", text="\n".join(line for line in exposed.splitlines() if "_created" not in line))


def promtool(*arguments: str, text: str = "") -> None:
    run = subprocess.run(
        [program("promtool"), *arguments],
        cwd=PROMETHEUS,
        input=text + "\n",
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr


class Server:
    """A Prometheus of this test's own, which scrapes the jobs' targets every half second."""

    def __init__(self, folder: Path, **targets: str) -> None:
        for name in ("rules.yaml", "alerts.yaml"):
            shutil.copy(PROMETHEUS / name, folder / name)
        recording = (folder / "rules.yaml").read_text()
        (folder / "rules.yaml").write_text(recording.replace("interval: 30s", "interval: 500ms"))
        config = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
        config["scrape_configs"] = [
            {"job_name": job.replace("_", "-"), "static_configs": [{"targets": [target]}]}
            for job, target in targets.items()
        ]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def query(self, query: str) -> list[Any]:
        """The result of an instant query."""
        answer = self.get("query", query=query)
        assert answer["status"] == "success", (query, answer)
        found: list[Any] = answer["data"]["result"]
        return found

    def get(self, path: str, **arguments: str) -> Any:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)

    def until(self, condition: Callable[[], Any], *, seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except (OSError, LookupError):
                # It starts, or knows nothing yet.
                pass
            time.sleep(0.2)
        raise AssertionError(f"not within {seconds} s: {what}")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@pytest.fixture(scope="module")
def scraping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prometheus that has scraped a worker, an endpoint and sinks to which everything has happened, several times."""
    metrics = exercised_metrics(now_ms=int(time.time() * 1000))
    worker = serving(metrics.registry)
    endpoint = serving(exercised_ingest().registry)
    folder = tmp_path_factory.mktemp("prometheus")
    sinks = serving(exercised_sinks())
    servers = (worker, endpoint, sinks)
    jobs = ("orchestrator", "orchestrator_ingest", "orchestrator_connect")
    server = Server(folder, **{job: target(one.url) for job, one in zip(jobs, servers, strict=True)})
    try:
        scrapes = "min(count_over_time(up[1m])) and on () count(up) == 3"
        server.until(lambda: float(server.query(scrapes)[0]["value"][1]) > 4, seconds=60, what="scraped")
        recorded = [rule["record"] for rule in rules() if "record" in rule]
        server.until(lambda: all(map(server.query, recorded)), seconds=60, what="recorded")
        yield server
    finally:
        server.close()
        for one in servers:
            one.close()


def serving(registry: CollectorRegistry) -> HealthServer:
    return HealthServer(registry, host="127.0.0.1", port=0, ailing=str, unready=str)


def target(url: str) -> str:
    return url.removeprefix("http://").removesuffix("/metrics")


class TestPrometheus:
    pytestmark = tooled

    def test_every_panel_shows_something(self, scraping: Server) -> None:
        for place, query in panel_queries():
            for name, text in VARIABLES.items():
                query = query.replace(name, text)  # noqa: PLW2901 - the same query, filled in
            found = scraping.query(query)
            assert found or "offset 1w" in query, f"{place}: {query}"

    def test_every_rule_is_evaluated_without_a_complaint(self, scraping: Server) -> None:
        groups = scraping.get("rules")["data"]["groups"]
        evaluated = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        assert evaluated == {str(rule.get("record") or rule["alert"]): "ok" for rule in rules()}

    def test_what_fires_names_the_worker(self, scraping: Server) -> None:
        # The exported worker has dead letters and failures from its first scrape on, which is no rise.
        firing = scraping.get("alerts")["data"]["alerts"]
        pending = {alert["labels"]["alertname"] for alert in firing}
        assert "OrchestratorPartitionsUnowned" in pending
        assert "OrchestratorHanging" not in pending


class TestWorker:
    pytestmark = tooled

    def test_a_worker_on_a_real_broker_is_scraped(self, stack: Stack, topic_prefix: str, tmp_path: Path) -> None:
        installation = Installation(stack, topic_prefix, tmp_path)
        customers = [f"customer-{number}" for number in range(20)]
        for customer in customers:
            installation.register(customer, at_ms=START_MS)
        installation.heartbeat(at_ms=START_MS + DAY_MS)
        with installation.worker("a") as worker:
            metrics = worker.until_ready()
            folder = tmp_path / "prometheus"
            folder.mkdir()
            server = Server(folder, orchestrator=target(metrics))
            try:
                sent = "sum(orchestrator_actions_total)"
                server.until(
                    lambda: float(server.query(sent)[0]["value"][1]) >= len(customers), seconds=60, what="messages"
                )
                values = {
                    query: float(server.query(query)[0]["value"][1])
                    for query in (
                        "orchestrator_partitions_owned",
                        "orchestrator_partitions",
                        "sum(orchestrator_restore_seconds_count)",
                        "orchestrator_rebalances_total > bool 0",
                        "time() - orchestrator_last_cycle_timestamp_seconds < bool 30",
                        "time() - orchestrator_last_commit_timestamp_seconds < bool 60",
                        "sum(orchestrator_dead_letters_total)",
                        "orchestrator_data_dir_free_bytes > bool 0",
                    )
                }
            finally:
                server.close()
            assert list(values.values()) == [2, 2, 2, 1, 1, 1, 0, 1], values
            for path, status in (("healthz", "ok"), ("readyz", "ready")):
                with urllib.request.urlopen(metrics.replace("/metrics", f"/{path}"), timeout=5) as answer:
                    assert answer.read().decode() == f"{status}\n"
            with urllib.request.urlopen(metrics, timeout=5) as answer:
                text = answer.read().decode()
            assert worker.stop() == 0
            assert not any(customer in text + worker.output() for customer in customers), "personal data"
