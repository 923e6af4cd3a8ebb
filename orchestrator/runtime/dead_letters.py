"""Dead letters: records that a worker or a sink could not use, kept as they came, with the reason in their headers.

A worker and the sinks of `deploy/connect` write headers `dlq.*`; other connectors write those of Kafka Connect. Where a
header is there twice the last one counts, since what the record brought along stands before it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, Message, Producer, TopicPartition

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers

SUFFIX = ".dead-letters"
REPLAYED_FROM = "replayed-from"
EXPIRED, RECALLED = "expired", "recalled"
TIMEOUT_S = 15.0
POLL_S = 0.1
"""The client waits for a full batch for so long."""

_OWN, _CONNECT = "dlq.", "__connect.errors."
_BATCH = 500
_FLUSH_EVERY = 1_000

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A record's place in the log. `str` of it is how people name the record."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of a dead-letter topic. `source` is where it came from, None if its headers do not say so.

    `key`, `value` and `headers` are the record's own, `headers` without those that were added when it was refused.
    `at_ms` is when it was refused, `source_at_ms` its own timestamp.
    """

    place: Place
    at_ms: int
    source: Place | None
    source_at_ms: int | None
    reason: str
    detail: str
    connector: str
    key: bytes | None
    value: bytes | None
    headers: Headers


def parse_place(text: str) -> Place | None:
    """The place that the text names.

    >>> parse_place("sinks.email.dead-letters:0:17")
    Place(topic='sinks.email.dead-letters', partition=0, offset=17)
    >>> parse_place("17") is None
    True
    """
    topic, _, rest = text.partition(":")
    partition, _, offset = rest.partition(":")
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        return None
    return Place(topic, int(partition), int(offset))


def dead_letter(message: Message) -> DeadLetter:
    """The dead letter that a consumed record is."""
    # The client's annotations allow a dict here, as when producing; consuming gives pairs.
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    last = {name: _text(value) for name, value in headers}
    own = tuple((name, value) for name, value in headers if not name.startswith((_OWN, _CONNECT)))
    if f"{_OWN}reason" in last:
        prefix, reason, detail = _OWN, last[f"{_OWN}reason"], last.get(f"{_OWN}detail", "")
    else:
        # Messages of foreign exceptions may quote the record, so only the kind of exception is told.
        prefix, failure = _CONNECT, last.get(f"{_CONNECT}exception.class.name", "")
        reason, detail = failure.rpartition(".")[2] or "unknown", last.get(f"{_CONNECT}stage", "")
    connector = last.get(f"{_OWN}connector") or last.get(f"{_CONNECT}connector.name", "")
    source_at = last.get(f"{_OWN}timestamp", "")
    return DeadLetter(
        place=Place(message.topic() or "", message.partition() or 0, message.offset() or 0),
        at_ms=message.timestamp()[1],
        source=_source(last, prefix),
        source_at_ms=int(source_at) if source_at.isdecimal() else None,
        reason=reason,
        detail=detail,
        connector=connector,
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=own,
    )


def dead_letter_topics(brokers: Brokers, prefix: str) -> list[str]:
    """The dead-letter topics of an installation, sorted.

    Raises: EnvironmentProblem if the broker does not answer.
    """
    consumer = _consumer(brokers)
    try:
        return sorted(name for name in _topics(brokers, consumer) if name.startswith(prefix) and name.endswith(SUFFIX))
    finally:
        consumer.close()


def read_dead_letters(
    brokers: Brokers, topics: Sequence[str], *, since_ms: int | None = None, reasons: Iterable[str] = ()
) -> Iterator[DeadLetter]:
    """The dead letters that are there now, partition by partition, oldest first.

    Raises: EnvironmentProblem if the broker does not answer or a topic does not exist.
    """
    wanted = frozenset(reasons)
    consumer = _consumer(brokers)
    try:
        existing = _topics(brokers, consumer)
        for topic in topics:
            if topic not in existing:
                raise EnvironmentProblem(
                    f"topic {topic} does not exist{brokers.or_hidden}",
                    hint="`orchestrator dead-letters list --count` names those that do",
                )
            for number in range(existing[topic]):
                for letter in _partition(consumer, topic, number, since_ms):
                    if not wanted or letter.reason in wanted:
                        yield letter
    except KafkaException as error:
        raise brokers.problem(error) from error
    finally:
        consumer.close()


def read_one(brokers: Brokers, place: Place) -> DeadLetter | None:
    """The dead letter at this place, if there is one."""
    consumer = _consumer(brokers)
    try:
        if place.partition >= _topics(brokers, consumer).get(place.topic, 0):
            return None
        low, high = consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), TIMEOUT_S)
        if not low <= place.offset < high:
            return None
        return next(_read(consumer, place.topic, place.partition, place.offset, place.offset + 1), None)
    except KafkaException as error:
        raise brokers.problem(error) from error
    finally:
        consumer.close()


class Replayer:
    """Writes dead letters back to where they came from: the same bytes and key, to the same partition.

    The record's own headers go with it, and one that names the dead letter. Commands get the time of the replay, events
    keep theirs, since it is when they happened.
    """

    def __init__(self, brokers: Brokers, *, actions_prefix: str) -> None:
        self._actions_prefix = actions_prefix
        self._brokers = brokers
        self._failures: list[str] = []
        self._producer = Producer(brokers.client({"enable.idempotence": True, "linger.ms": 5, "log_level": 0}))
        self._existing: dict[str, int] = {}
        self._sent = 0

    def send(self, letter: DeadLetter) -> bool:
        """The record is on its way; False where it cannot go back: nobody knows from where it came, or its customer was
        forgotten and nothing is left of it.

        Raises: EnvironmentProblem when the broker does not take records.
        """
        source = letter.source
        if source is None or source.topic.endswith(SUFFIX) or letter.reason == RECALLED:
            return False
        if not self._existing:
            self._existing = _topics(self._brokers, self._producer)
        if source.topic not in self._existing:
            return False
        # Where topics were made anew with fewer partitions, the key decides.
        partition = {"partition": source.partition} if source.partition < self._existing[source.topic] else {}
        keeps_time = letter.source_at_ms is not None and not source.topic.startswith(self._actions_prefix)
        timestamp = {"timestamp": letter.source_at_ms} if keeps_time else {}
        arguments: dict[str, Any] = {**partition, **timestamp}
        headers: list[tuple[str, str | bytes | None]] = [*letter.headers, (REPLAYED_FROM, str(letter.place).encode())]
        self._producer.produce(
            source.topic, letter.value, letter.key, headers=headers, on_delivery=self._delivered, **arguments
        )
        self._sent += 1
        if self._sent % _FLUSH_EVERY == 0:
            self.finish()
        return True

    def finish(self) -> None:
        """Everything sent is in the log. Raises: EnvironmentProblem when it is not."""
        left = self._producer.flush(2 * TIMEOUT_S)
        if left or self._failures:
            raise EnvironmentProblem(
                f"{left + len(self._failures)} records could not be written: {'; '.join(self._failures[:1])}",
                hint="replay again; receivers drop what comes twice by its action id",
            )

    def _delivered(self, error: Any, _message: Message) -> None:
        if error is not None:
            self._failures.append(str(error.str()))


def _source(last: dict[str, str], prefix: str) -> Place | None:
    topic, partition, offset = (last.get(prefix + name, "") for name in ("topic", "partition", "offset"))
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        return None
    return Place(topic, int(partition), int(offset))


def _partition(consumer: Consumer, topic: str, number: int, since_ms: int | None) -> Iterator[DeadLetter]:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), TIMEOUT_S)
    start = low
    if since_ms is not None:
        (found,) = consumer.offsets_for_times([TopicPartition(topic, number, max(0, since_ms))], TIMEOUT_S)
        start = high if found.offset in {OFFSET_END, OFFSET_BEGINNING} else found.offset
    yield from _read(consumer, topic, number, start, high)


def _read(consumer: Consumer, topic: str, number: int, start: int, end: int) -> Iterator[DeadLetter]:
    if start >= end:
        return
    consumer.assign([TopicPartition(topic, number, start)])
    deadline = time.monotonic() + TIMEOUT_S
    # The end of the partition is told, also where the last records are a transaction's marks.
    while time.monotonic() < deadline:
        for message in consumer.consume(_BATCH, POLL_S):
            deadline = time.monotonic() + TIMEOUT_S
            error = message.error()
            if error is not None:
                if error.name() == "_PARTITION_EOF":
                    return
                raise KafkaException(error)
            if (message.offset() or 0) >= end:
                return
            yield dead_letter(message)
    raise EnvironmentProblem(f"topic {topic} cannot be read: the broker is silent", hint="see the broker's log")


def _consumer(brokers: Brokers) -> Consumer:
    return Consumer(
        brokers.reader(
            {
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
    )


def _topics(brokers: Brokers, client: Consumer | Producer) -> dict[str, int]:
    topics = brokers.metadata(client, timeout_s=TIMEOUT_S).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")
