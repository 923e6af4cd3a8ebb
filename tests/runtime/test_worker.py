"""Whole workers on the real broker, as processes of their own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from orchestrator.resources import journeys_dir
from orchestrator.stack.stack import Stack
from tests.runtime.worker_process import DAY_MS, START_MS, Installation, until

CUSTOMERS = [f"customer-{number}" for number in range(20)]


@pytest.fixture
def installation(stack: Stack, topic_prefix: str, tmp_path: Path) -> Installation:
    return Installation(stack, topic_prefix, tmp_path)


def action_keys(installation: Installation) -> list[tuple[str, str]]:
    return sorted((action["customer_id"], action["step"]) for action in installation.actions())


def test_a_worker_sends_what_the_journeys_say_and_stops_cleanly_when_told_to(installation: Installation) -> None:
    for customer in CUSTOMERS:
        installation.register(customer, at_ms=START_MS)
    installation.heartbeat(at_ms=START_MS + 1)
    with installation.worker("a") as worker:
        metrics = worker.until_ready()
        expected = sorted((customer, "welcome") for customer in CUSTOMERS)
        until(lambda: action_keys(installation) == expected, seconds=30, what="welcome messages")
        installation.heartbeat(at_ms=START_MS + DAY_MS + 1)
        expected = sorted(expected + [(customer, "how_it_works") for customer in CUSTOMERS])
        until(lambda: action_keys(installation) == expected, seconds=30, what="messages of the next day")
        with urllib.request.urlopen(metrics, timeout=5) as answer:
            text = answer.read().decode()
        assert 'orchestrator_events_total{outcome="applied",type="customer_registered"} 20.0' in text
        with urllib.request.urlopen(metrics.replace("/metrics", "/readyz"), timeout=5) as answer:
            assert answer.read() == b"ready\n"
        assert worker.stop() == 0
        assert not any(customer in worker.output() for customer in CUSTOMERS), "personal data in the logs"
    with installation.worker("a") as worker:
        # Its records are where it left them: nothing is restored, nothing is sent twice.
        worker.until_ready()
        assert worker.stop(signal.SIGINT) == 0
        assert action_keys(installation) == expected


def test_a_killed_workers_partitions_run_elsewhere_within_ten_seconds(installation: Installation) -> None:
    with installation.worker("a") as first, installation.worker("b") as second:
        first.until_ready()
        second.until_ready()
        until(lambda: {len(part) for part in (first.owned()[-1], second.owned()[-1])} == {1}, seconds=20, what="shared")
        for customer in CUSTOMERS:
            installation.register(customer, at_ms=START_MS)
        installation.heartbeat(at_ms=START_MS + 1)
        until(lambda: len(installation.actions()) == len(CUSTOMERS), seconds=20, what="welcome messages")
        first.process.kill()
        killed_at = time.monotonic()
        # Timers that came due during the outage, on a partition whose records the second worker has never seen.
        installation.heartbeat(at_ms=START_MS + DAY_MS + 1)
        until(lambda: second.owned()[-1] == {0, 1}, seconds=10, what="the other takes over")
        assert time.monotonic() - killed_at < 10
        expected = sorted((customer, step) for customer in CUSTOMERS for step in ("welcome", "how_it_works"))
        until(lambda: len(action_keys(installation)) >= len(expected), seconds=20, what="messages of the next day")
        assert action_keys(installation) == expected
        assert second.stop() == 0


def test_a_worker_that_stops_hands_over_at_once(installation: Installation) -> None:
    with installation.worker("a") as first, installation.worker("b") as second:
        first.until_ready()
        second.until_ready()
        until(lambda: {len(part) for part in (first.owned()[-1], second.owned()[-1])} == {1}, seconds=20, what="shared")
        assert first.stop() == 0
        # Well below the session time-out, after which they would be free without any leaving.
        until(lambda: second.owned()[-1] == {0, 1}, seconds=4, what="the other takes over")


def test_customers_keep_the_version_that_they_entered(installation: Installation, tmp_path: Path) -> None:
    journeys = Path(shutil.copytree(journeys_dir(), tmp_path / "journeys"))
    installation.register("early", at_ms=START_MS)
    installation.heartbeat(at_ms=START_MS + 1)
    with installation.worker("a", journeys=journeys) as worker:
        worker.until_ready()
        until(lambda: len(installation.actions()) == 1, seconds=20, what="the first message")
        assert worker.stop() == 0
    path = journeys / "welcome_series.yaml"
    path.write_text(path.read_text().replace("wait: 1 day", "wait: 3 days"))
    installation.register("late", at_ms=START_MS + 1000)
    installation.heartbeat(at_ms=START_MS + 2 * DAY_MS)
    with installation.worker("a", "--publish", journeys=journeys) as worker:
        worker.until_ready()
        until(lambda: len(installation.actions()) >= 3, seconds=20, what="the second messages")
        assert worker.stop() == 0
    # Two days on: the early one waited a day, as it was told when it entered; the late one waits for three.
    assert action_keys(installation) == [("early", "how_it_works"), ("early", "welcome"), ("late", "welcome")]
    versions = {action["customer_id"]: action["version"] for action in installation.actions()}
    assert versions["early"] != versions["late"]


def test_timers_fire_on_the_wall_clock_while_no_events_come(stack: Stack, topic_prefix: str, tmp_path: Path) -> None:
    journeys = Path(shutil.copytree(journeys_dir(), tmp_path / "journeys"))
    path = journeys / "welcome_series.yaml"
    path.write_text(path.read_text().replace("wait: 1 day", "wait: 1 second"))
    installation = Installation(stack, topic_prefix, tmp_path, time="wall")
    installation.register("anna", at_ms=START_MS)
    installation.producer.flush(30)
    with installation.worker("a", journeys=journeys) as worker:
        worker.until_ready()
        both = [("anna", "how_it_works"), ("anna", "welcome")]
        until(lambda: action_keys(installation) == both, seconds=20, what="the message after a second")
        assert worker.stop() == 0


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator", "worker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_worker_without_its_topics_says_so_and_does_not_hang(installation: Installation) -> None:
    arguments = installation.arguments("a")
    arguments[arguments.index("--topic-prefix") + 1] = "nowhere."
    result = run(arguments)
    assert result.returncode == 3
    assert "nowhere.events.web" in result.stderr
    assert "orchestrator topics create" in result.stderr


def test_a_worker_on_topics_of_another_time_says_what_differs(installation: Installation) -> None:
    arguments = installation.arguments("a")
    arguments[arguments.index("--time") + 1] = "wall"
    result = run(arguments)
    assert result.returncode == 3
    assert "has message.timestamp.type CreateTime, needed is LogAppendTime" in result.stderr


def test_a_worker_without_a_broker_says_so(installation: Installation) -> None:
    arguments = installation.arguments("a")
    arguments[arguments.index("--bootstrap-servers") + 1] = "127.0.0.1:1"
    result = run(arguments)
    assert result.returncode == 3
    assert "does not answer" in result.stderr


def test_a_worker_that_was_paused_past_its_session_changes_nothing_when_it_wakes(installation: Installation) -> None:
    with installation.worker("a") as first, installation.worker("b") as second:
        first.until_ready()
        second.until_ready()
        until(lambda: {len(part) for part in (first.owned()[-1], second.owned()[-1])} == {1}, seconds=20, what="shared")
        for customer in CUSTOMERS:
            installation.register(customer, at_ms=START_MS)
        installation.heartbeat(at_ms=START_MS + 1)
        first.process.send_signal(signal.SIGSTOP)
        until(lambda: second.owned()[-1] == {0, 1}, seconds=15, what="the other takes over")
        installation.heartbeat(at_ms=START_MS + DAY_MS + 1)
        expected = sorted((customer, step) for customer in CUSTOMERS for step in ("welcome", "how_it_works"))
        until(lambda: len(action_keys(installation)) >= len(expected), seconds=20, what="all messages")
        first.process.send_signal(signal.SIGCONT)
        # It comes back as a new member, or finds its transaction refused and ends with a reason.
        until(
            lambda: first.process.poll() is not None or len(first.owned()) > 2 or second.owned()[-1] != {0, 1},
            seconds=20,
            what="it notices",
        )
        assert first.process.poll() in {None, 3}, first.output()
        assert action_keys(installation) == expected
        assert second.stop() == 0
