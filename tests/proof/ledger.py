"""What is on the topics when all is done, read by means of the test's own."""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from orchestrator.runtime.schemas import Registry
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names


class Ledger:
    """Reads committed records of a test's topics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = topic_names(settings)
        self._registry = Registry(settings.registry_url)
        self._schemas: dict[int, Any] = {}

    def messages(self, topic: str) -> Iterator[Message]:
        """Every committed record of the topic."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.bootstrap_servers,
                "group.id": "ledger",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
            }
        )
        open_partitions = set(range(self._settings.partitions))
        consumer.assign([TopicPartition(topic, number, 0) for number in open_partitions])
        while open_partitions:
            for message in consumer.consume(1000, 1.0):
                error = message.error()
                if error is None:
                    yield message
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    open_partitions.discard(message.partition())
        consumer.close()

    def values(self, topic: str) -> Iterator[dict[str, Any]]:
        """The topic's decoded records."""
        for message in self.messages(topic):
            value = message.value()
            assert isinstance(value, bytes)
            schema_id = int.from_bytes(value[1:5], "big")
            if schema_id not in self._schemas:
                text = self._registry.schema_text(schema_id)
                assert text is not None
                self._schemas[schema_id] = fastavro.parse_schema(json.loads(text))
            decoded: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schemas[schema_id], None)
            yield decoded

    def action_ids(self) -> Counter[str]:
        """How often each action command is there."""
        return Counter(
            one["action_id"] for channel in ("email", "sms") for one in self.values(self._names.actions(channel))
        )

    def dead_letters(self) -> Counter[str]:
        """How many dead letters there are for each reason."""
        reasons = (dict(message.headers() or [])["dlq.reason"] for message in self.messages(self._names.dead_letters))
        return Counter(reason.decode() for reason in reasons if isinstance(reason, bytes))

    def journalled(self) -> dict[tuple[str, int], list[tuple[int, int]]]:
        """(topic, partition) → the slices that the journal says were applied, in its order."""
        slices: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
        for entry in self.values(self._names.journal):
            for part in entry["slices"]:
                slices[part["topic"], entry["partition"]].append((part["first"], part["last"]))
        return dict(slices)

    def ends(self) -> dict[tuple[str, int], int]:
        """(event topic, partition) → its end."""
        consumer = Consumer({"bootstrap.servers": self._settings.bootstrap_servers, "group.id": "ledger"})
        found = {
            (topic, number): consumer.get_watermark_offsets(TopicPartition(topic, number), 10)[1]
            for topic in self._names.events
            for number in range(self._settings.partitions)
        }
        consumer.close()
        return found

    def is_taken(self) -> bool:
        """Whether the workers' group has committed all that is in the event topics."""
        consumer = Consumer({"bootstrap.servers": self._settings.bootstrap_servers, "group.id": self._settings.app_id})
        ends = self.ends()
        committed = consumer.committed([TopicPartition(*place) for place in ends], 10)
        consumer.close()
        return all(max(one.offset, 0) >= ends[one.topic, one.partition] for one in committed)
