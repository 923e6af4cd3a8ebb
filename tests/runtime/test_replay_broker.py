"""A replay of what a real worker did on a real broker."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from orchestrator.model.shared import SHARED_KEY
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.stack.stack import Stack

EVENT_TOPICS = ("events.web", "events.orders", "events.support", "events.engagement", "events.profile")
PARTITIONS = 2
EVENTS = 4_000
READ_WITHIN_S = 120


@dataclass(frozen=True, slots=True)
class Installation:
    """An orchestrator of this test's own on the shared broker: options that every command takes."""

    stack: Stack
    prefix: str
    place: Path

    @property
    def connection(self) -> list[str]:
        servers, registry = self.stack.bootstrap_servers, self.stack.registry_url
        return ["--bootstrap-servers", servers, "--registry-url", registry, "--topic-prefix", self.prefix]

    @property
    def app_id(self) -> str:
        return f"{self.prefix}app"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "orchestrator", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)

    def replay(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("replay", *self.connection, "--app-id", self.app_id, *arguments)


@pytest.fixture(scope="module")
def done(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The clickstream's beginning, gone through by one worker that has ended."""
    place = tmp_path_factory.mktemp("replay")
    installation = Installation(stack, f"replay-{time.time_ns()}.", place)
    printed = installation.run("produce", "--clickstream", "--print")
    events = place / "events.jsonl"
    events.write_text("\n".join(printed.stdout.splitlines()[:EVENTS]) + "\n")
    journeys = with_rates(place / "journeys")
    options = ["--app-id", installation.app_id, "--journeys", str(journeys), "--schemas", str(schemas_dir())]
    worker = [*options, "--time", "stream", "--partitions", str(PARTITIONS), "--create-topics"]
    # Small batches, so that the journal has many entries and timers that do not fit into one.
    worker += ["--batch-records-max", "500", "--timers-per-transaction-max", "50", "--data-dir", str(place / "data")]
    log = (place / "worker.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "worker", *installation.connection, *worker], stdout=log, stderr=log
    )
    try:
        wait_for_topics(installation, process)
        made = installation.run(
            *("produce", "--events", str(events), "--register", "--heartbeat-every", "12h", "--until", "+30d"),
            *("--schemas", str(schemas_dir()), *installation.connection),
        )
        assert made.returncode == 0, made.stderr
        wait_until_read(installation, process)
    finally:
        process.terminate()
        process.wait(60)
        log.close()
    return installation


def with_rates(directory: Path) -> Path:
    """The shipped journeys under a rate that makes many messages wait, so that customers of a partition share it."""
    shutil.copytree(journeys_dir(), directory)
    policies = directory / "policies.yaml"
    rates = "rates:\n  - {channels: all, max: 30, per: 1 day, late_after: 3 days}\n"
    policies.write_text(policies.read_text() + rates)
    return directory


def reader(installation: Installation) -> Consumer:
    servers = installation.stack.bootstrap_servers
    return Consumer({"bootstrap.servers": servers, "group.id": installation.app_id, "enable.auto.commit": False})


def wait_for_topics(installation: Installation, process: subprocess.Popen[bytes]) -> None:
    consumer = reader(installation)
    deadline = time.monotonic() + READ_WITHIN_S
    while installation.prefix + EVENT_TOPICS[-1] not in consumer.list_topics(timeout=10).topics:
        assert process.poll() is None, (installation.place / "worker.log").read_text()
        assert time.monotonic() < deadline, "the worker created no topics"
        time.sleep(0.2)
    consumer.close()


def wait_until_read(installation: Installation, process: subprocess.Popen[bytes]) -> None:
    consumer = reader(installation)
    places = [TopicPartition(installation.prefix + t, p) for t in EVENT_TOPICS for p in range(PARTITIONS)]
    ends = {(p.topic, p.partition): consumer.get_watermark_offsets(p, timeout=10)[1] for p in places}
    deadline = time.monotonic() + READ_WITHIN_S
    while any(p.offset < ends[p.topic, p.partition] for p in consumer.committed(places, timeout=10)):
        assert process.poll() is None, (installation.place / "worker.log").read_text()
        assert time.monotonic() < deadline, (installation.place / "worker.log").read_text()
        time.sleep(0.2)
    consumer.close()


@pytest.mark.broker
def test_the_topics_hold_exactly_what_a_replay_gives(done: Installation) -> None:
    result = done.replay("--format", "json")
    assert result.returncode == 0, result.stdout + result.stderr
    said = json.loads(result.stdout)
    assert said["equal"]
    assert [part["partition"] for part in said["partitions"]] == [0, 1]
    for part in said["partitions"]:
        assert min(part[name] for name in ("entries", "events", "actions", "transitions", "customers")) > 0
    assert said["shared_records_that_differ"] == []
    assert partitions_with_shared_records(done) == set(range(PARTITIONS))


def partitions_with_shared_records(installation: Installation) -> set[int]:
    consumer = reader(installation)
    topic = f"{installation.app_id}-customers-changelog"
    places = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
    ends = {place.partition: consumer.get_watermark_offsets(place, timeout=10)[1] for place in places}
    consumer.assign(places)
    found: set[int] = set()
    deadline = time.monotonic() + READ_WITHIN_S
    while found != ends.keys() and time.monotonic() < deadline:
        for message in consumer.consume(1_000, 1.0):
            if message.key() == SHARED_KEY:
                found.add(message.partition() or 0)
    consumer.close()
    return found


@pytest.mark.broker
def test_one_partition_is_replayed_alone(done: Installation) -> None:
    result = done.replay("--partition", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("partition 1: ")
    assert "partition 0" not in result.stdout


@pytest.mark.broker
def test_printed_actions_are_masked_unless_asked_for(done: Installation) -> None:
    masked = done.replay("--partition", "0", "--print").stdout.splitlines()
    shown = done.replay("--partition", "0", "--print", "--show-personal-data").stdout.splitlines()
    assert len(masked) == len(shown) > 0
    assert json.loads(masked[0])["address"] == "***"
    assert "@example.com" not in "".join(masked)
    assert json.loads(shown[0])["address"] != "***"
    assert json.loads(masked[0])["action_id"] == json.loads(shown[0])["action_id"]


@pytest.mark.broker
def test_a_partition_that_is_not_there_is_an_environment_error(done: Installation) -> None:
    result = done.replay("--partition", "7")
    assert (result.returncode, "has no partition 7" in result.stderr) == (3, True)


@pytest.mark.broker
def test_an_action_that_was_sent_twice_is_found(done: Installation) -> None:
    topic = f"{done.prefix}actions.email"
    consumer = reader(done)
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    producer = Producer({"bootstrap.servers": done.stack.bootstrap_servers})
    producer.produce(topic, message.value(), message.key(), partition=0)
    assert producer.flush(20) == 0
    result = done.replay()
    assert result.returncode == 1, result.stderr
    assert "is on its topic, and should not be" in result.stdout
    assert "1 difference," in result.stdout
    assert "@example.com" not in result.stdout
