"""Events that journeys emit, on a real broker: published once, taken in once, also when the worker is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from orchestrator.resources import schemas_dir
from orchestrator.runtime.codec import FRAME_BYTES, event_reader
from orchestrator.stack.stack import Stack
from tests.runtime.test_replay_broker import PARTITIONS, READ_WITHIN_S, Installation, wait_for_topics

CUSTOMERS = 300
FILES = {
    "profile.yaml": """profile:
  - on: customer_registered
    set: {email: event.email}
    consent: {key: "'email'", granted: event.email_consent}
""",
    "channels.yaml": "channels: {email: {address: email, consent: email}}\n",
    "tiers.yaml": """journey: tiers
owner: team@shop.example
status: live
entry: {on: customer_registered}
steps:
  pause: {wait: 1 hour}
  tell: {emit: tier_changed, with: {tier: "'gold'"}}
""",
    "glad.yaml": """journey: glad
owner: team@shop.example
status: live
entry: {on: tier_changed}
steps:
  mail: {send: email, template: glad, class: transactional}
""",
    "templates/glad/email.liquid": "---\nsubject: Gold\n---\nYou are gold.\n",
}


def events() -> str:
    lines = [
        {
            "type": "customer_registered",
            "event_id": f"e{number}",
            "customer_id": f"c{number}",
            "occurred_at": 1_772_442_000_000 + 10_000 * number,
            "email": f"c{number}@example.com",
            "email_consent": True,
        }
        for number in range(CUSTOMERS)
    ]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def committed(installation: Installation, topic: str) -> list[bytes]:
    """The values of a topic that a reader of committed records sees."""
    servers = installation.stack.bootstrap_servers
    settings = {"bootstrap.servers": servers, "group.id": "look", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.auto.commit": False, "enable.partition.eof": True})
    places = [TopicPartition(installation.prefix + topic, partition, 0) for partition in range(PARTITIONS)]
    consumer.assign(places)
    values: list[bytes] = []
    ended = 0
    deadline = time.monotonic() + 60
    while ended < PARTITIONS:
        assert time.monotonic() < deadline, f"{topic} could not be read to its end"
        message = consumer.poll(1)
        if message is not None and message.error() is not None:
            ended += 1
        elif message is not None:
            values.append(message.value() or b"")
    consumer.close()
    return values


@pytest.mark.broker
def test_an_emitted_event_comes_back_exactly_once_although_the_worker_is_killed(stack: Stack, tmp_path: Path) -> None:
    installation = Installation(stack, f"emit-{time.time_ns()}.", tmp_path)
    for name, text in FILES.items():
        (tmp_path / "journeys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "journeys" / name).write_text(text)
    (tmp_path / "events.jsonl").write_text(events())
    worker = [sys.executable, "-m", "orchestrator", "worker", *installation.connection, "--app-id", installation.app_id]
    worker += ["--journeys", str(tmp_path / "journeys"), "--schemas", str(schemas_dir()), "--time", "stream"]
    worker += ["--partitions", str(PARTITIONS), "--create-topics", "--data-dir", str(tmp_path / "data")]
    worker += ["--timers-per-transaction-max", "20"]
    with (tmp_path / "worker.log").open("w") as log:
        first = subprocess.Popen(worker, stdout=log, stderr=log)
        try:
            wait_for_topics(installation, first)
            made = installation.run(
                *("produce", "--events", str(tmp_path / "events.jsonl"), "--register", "--heartbeat-every", "1h"),
                *("--until", "+2d", "--schemas", str(schemas_dir()), *installation.connection),
            )
            assert made.returncode == 0, made.stderr
        finally:
            first.kill()
            first.wait(30)
        second = subprocess.Popen(worker, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + READ_WITHIN_S
            while len(committed(installation, "actions.email")) < CUSTOMERS:
                assert second.poll() is None, (tmp_path / "worker.log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
                time.sleep(0.5)
        finally:
            second.terminate()
            second.wait(60)
    schema = (schemas_dir() / "events" / "tier_changed.avsc").read_text()
    read = event_reader(schema, None)
    profile = [value for value in committed(installation, "events.profile") if b"gold" in value]
    told = [read(value, FRAME_BYTES)["customer_id"] for value in profile]
    assert sorted(told) == sorted(f"c{number}" for number in range(CUSTOMERS))
    assert len(committed(installation, "actions.email")) == CUSTOMERS
    replayed = installation.replay("--format", "json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert json.loads(replayed.stdout)["equal"]
