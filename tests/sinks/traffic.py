"""Commands as the orchestrator writes them, and what becomes of them in dead-letter topics."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition

from orchestrator.resources import schemas_dir

WAIT_S = 60.0
SCHEMA = fastavro.schema.load_schema(str(schemas_dir() / "actions" / "action_command.avsc"))
HOUR_MS = 3_600_000


def eventually(condition: Callable[[], bool], *, timeout_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def command(action_id: str, **fields: Any) -> dict[str, Any]:
    now_ms = int(time.time() * 1000)
    return {
        "action_id": action_id,
        "customer_id": "user_1",
        "journey": "cart_abandonment",
        "version": "v1",
        "instance": 1,
        "step": "remind",
        "channel": "webhook",
        "address": "anna@example.test",
        "template": "cart_reminder",
        "language": "en",
        "content": {"subject": "Grüße", "body": 'a "quoted" line'},
        "message_class": "promotional",
        "priority": 5,
        "created_at": now_ms,
        "expires_at": now_ms + HOUR_MS,
        **fields,
    }


class Commands:
    """A topic with the commands of one channel."""

    def __init__(self, bootstrap_servers: str, topic: str, schema_id: int) -> None:
        self.bootstrap_servers, self.topic, self.schema_id = bootstrap_servers, topic, schema_id
        self.producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all", "linger.ms": 5})

    def encoded(self, **fields: Any) -> bytes:
        out = io.BytesIO(b"\0" + self.schema_id.to_bytes(4, "big"))
        out.seek(5)
        fastavro.schemaless_writer(out, SCHEMA, command(**fields))
        return out.getvalue()

    def send(self, *action_ids: str, headers: Sequence[tuple[str, bytes]] = (), **fields: Any) -> None:
        for action_id in action_ids:
            self.send_bytes(self.encoded(action_id=action_id, **fields), headers=headers)
        self.flush()

    def send_bytes(self, value: bytes, *, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self.producer.produce(self.topic, value, b"user_1", headers=list(headers))
        self.producer.poll(0)

    def flush(self) -> None:
        assert self.producer.flush(WAIT_S) == 0


def dead_letters(commands: Commands, topic: str, count: int) -> list[tuple[bytes, dict[str, str]]]:
    """The first `count` records of a dead-letter topic: the value and the last header of each name."""
    consumer = Consumer({"bootstrap.servers": commands.bootstrap_servers, "group.id": "look", "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[tuple[bytes, dict[str, str]]] = []
    deadline = time.monotonic() + WAIT_S
    try:
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} dead letters"
            for message in consumer.consume(count - len(found), 0.2):
                if message.error() is None:
                    headers: Any = message.headers() or []
                    found.append((bytes(message.value() or b""), {name: text(value) for name, value in headers}))
    finally:
        consumer.close()
    return found


def dead_letter_count(commands: Commands, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": commands.bootstrap_servers, "group.id": "look", "log_level": 0})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), WAIT_S)[1])
    finally:
        consumer.close()


def text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
