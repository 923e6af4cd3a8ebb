"""The journey sets that were ever in force, as texts, in a compacted topic: each publication is a record of its own.

Whoever publishes (`orchestrator apply`, the first worker) writes the sources; workers follow the topic and take a new
set up while they run. The newest publication is in force; the older ones are kept, because customers keep the version
that they entered. A set that comes back into force is published again: the offset of its publication says under which
older versions it was in force, and the journal names that offset.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as Position

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers

TIMEOUT_S = 15.0
LOOK_S = 3.0
_KEY_SEPARATOR = "/"


@dataclass(frozen=True, slots=True)
class Definition:
    """One publication of a journey set as text: file name → content of the journeys directory and of the event schemas.

    `who` published it, `why`, and when (`at_ms`), where that was said. One with `forgets` has no texts: the set in
    force stays, and the publications at these offsets are no longer kept, because nobody is inside their versions.
    """

    set_id: str
    sources: Mapping[str, str]
    schemas: Mapping[str, str]
    offset: int = -1
    """Where it stands in the topic; -1 if it is not published."""
    who: str = ""
    why: str = ""
    at_ms: int = 0
    forgets: tuple[int, ...] = ()
    environment: str = ""
    """What the installation was for, where that was said."""


def encode_definition(definition: Definition) -> bytes:
    """The record's value: JSON `{"sources": {path: text}, "schemas": {file name: text}, "who", "why", "at"}`."""
    body: dict[str, object] = {"sources": dict(definition.sources), "schemas": dict(definition.schemas)}
    body |= {"who": definition.who, "why": definition.why, "at": definition.at_ms}
    if definition.forgets:
        body["forgets"] = definition.forgets
    if definition.environment:
        body["environment"] = definition.environment
    return json.dumps(body, ensure_ascii=False, sort_keys=True).encode()


def decode_definition(key: bytes, value: bytes, *, offset: int) -> Definition:
    """The definition in these bytes. Raises: EnvironmentProblem if they are none."""
    try:
        body = json.loads(value)
        return Definition(
            # Earlier records have the set's id alone as their key.
            key.decode().partition(_KEY_SEPARATOR)[0],
            dict(body["sources"]),
            dict(body["schemas"]),
            offset,
            str(body.get("who", "")),
            str(body.get("why", "")),
            int(body.get("at", 0)),
            tuple(map(int, body.get("forgets", ()))),
            str(body.get("environment", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvironmentProblem(
            f"the record at offset {offset} of the definitions topic is not a journey set",
            hint="something else writes to this topic; use another --topic-prefix",
        ) from error


class DefinitionsReader:
    """Follows the definitions topic from its beginning. One thread at a time.

    Every call raises EnvironmentProblem if the broker does not answer, the topic is missing, or a record is none of
    ours; the next call goes on after that record.
    """

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._position = 0
        self._is_assigned = False
        self._consumer = Consumer(
            brokers.reader(
                {
                    "enable.partition.eof": True,
                    "isolation.level": "read_committed",
                    "auto.offset.reset": "earliest",
                    "log_level": 0,
                }
            )
        )

    def read_to_end(self) -> list[Definition]:
        """Every publication that is there now and was not given yet, in order."""
        try:
            low, high = self._consumer.get_watermark_offsets(Position(self._topic, 0), TIMEOUT_S)
        except KafkaException as error:
            raise self._problem(error) from None
        self._position = max(self._position, low)
        found: list[Definition] = []
        deadline = time.monotonic() + TIMEOUT_S
        while self._position < high:
            if time.monotonic() > deadline:
                raise EnvironmentProblem(
                    f"topic {self._topic} cannot be read to its end", hint="is the broker overloaded?"
                )
            definition = self.poll(0.5)
            if definition is not None:
                found.append(definition)
        return found

    def poll(self, timeout_s: float) -> Definition | None:
        """The next publication; None if none came in this time."""
        if not self._is_assigned:
            self._consumer.assign([Position(self._topic, 0, self._position)])
            self._is_assigned = True
        message = self._consumer.poll(timeout_s)
        if message is None:
            return None
        offset, error = message.offset() or 0, message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                self._position = max(self._position, offset)
                return None
            if error.retriable():
                return None
            raise self._problem(KafkaException(error))
        self._position = offset + 1
        key, value = message.key(), message.value()
        return None if key is None or value is None else decode_definition(key, value, offset=offset)

    def is_answered(self) -> bool:
        """Whether a broker answers within a few seconds."""
        try:
            self._consumer.list_topics(self._topic, LOOK_S)
        except KafkaException:
            return False
        return True

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def _problem(self, error: KafkaException) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"topic {self._topic} cannot be read: {error.args[0].str()}",
            hint="is the broker running, and are the topics created?",
        )


def read_definitions(brokers: Brokers, topic: str) -> list[Definition]:
    """Everything that was published, in order.

    Raises: EnvironmentProblem if the broker does not answer or the topic is missing.
    """
    reader = DefinitionsReader(brokers, topic)
    try:
        return reader.read_to_end()
    finally:
        reader.close()


def definition_key(definition: Definition) -> bytes:
    """A key of its own: each publication is kept when the topic is compacted, also one of a set published before."""
    return _KEY_SEPARATOR.join((definition.set_id, str(definition.at_ms), secrets.token_hex(4))).encode()


def publish_definition(brokers: Brokers, topic: str, definition: Definition) -> int:
    """Writes the definition and waits until the broker has it; gives its offset.

    Raises: EnvironmentProblem if the broker does not take it.
    """
    failures: list[str] = []
    offsets: list[int] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failures.append(str(error.str()))
        else:
            offsets.append(message.offset() or 0)

    producer = Producer(brokers.client({"enable.idempotence": True, "log_level": 0}))
    producer.produce(topic, encode_definition(definition), definition_key(definition), on_delivery=delivered)
    if producer.flush(TIMEOUT_S) or failures:
        raise EnvironmentProblem(
            f"the journeys could not be published to {topic}: {failures[0] if failures else 'no answer'}",
            hint="is the broker running and reachable?",
        )
    return offsets[0]
