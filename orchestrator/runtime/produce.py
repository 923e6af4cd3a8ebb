"""Events into the event topics, as a producing service would write them: Avro in wire format, keyed by customer.

On stream time heartbeats go along: they tell each partition of each topic up to when it is complete, so that time
moves on where no events come.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import fastavro
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from orchestrator.model.events import Event
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.schemas import SchemaFile

HEARTBEAT = "stream_heartbeat"
CONNECT_TIMEOUT_S = 15.0
DELIVERY_TIMEOUT_MS = 60_000
"""How long a record may wait for a broker that restarts before it counts as undelivered."""

PROGRESS_EVERY_S = 0.1
_POLL_EVERY = 1_000
_PACE_SLACK_S = 0.002

Timestamps = Literal["event", "now"]


@dataclass(frozen=True, slots=True)
class Route:
    """Where events of one type go, and how they are written: a topic, a parsed Avro schema, its id in the registry."""

    topic: str
    schema: Any
    schema_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """How events are sent.

    `timestamps`: the records' times are the events' own, or the broker's now. `rate`: events a second, None for as
    fast as they go. `heartbeat_every_ms`: distance of heartbeats in stream time, None for none. `until_ms` (an
    instant) or `until_after_ms` (counted from the last event) is the time of the last heartbeat.
    """

    timestamps: Timestamps = "event"
    rate: float | None = None
    heartbeat_every_ms: int | None = None
    until_ms: int | None = None
    until_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Produced:
    """What was sent so far. `failed` of the records were not delivered; `failure` is the first reason given."""

    events: int
    heartbeats: int
    failed: int
    failure: str
    last_at_ms: int | None
    until_ms: int | None


def produced_schemas(files: Sequence[SchemaFile]) -> tuple[SchemaFile, ...]:
    """Those schemas that a producer writes with: of every event type that names its `topic`, and of the heartbeat."""
    return tuple(file for file in files if file.name == HEARTBEAT or "topic" in json.loads(file.text))


def registered_ids(registry: Latest, files: Sequence[SchemaFile]) -> dict[str, int]:
    """Record name → schema id, as the registry has them now; nothing is registered.

    Raises: EnvironmentProblem if a schema is not registered as it stands in its file.
    """
    ids: dict[str, int] = {}
    for file in files:
        latest = registry.latest(file.subject)
        if latest is None or json.loads(latest[1]) != json.loads(file.text):
            state = "not registered" if latest is None else "registered in another version"
            raise EnvironmentProblem(
                f"schema {file.path} is {state}", hint="run `orchestrator schemas register`, or add --register"
            )
        ids[file.name] = latest[0]
    return ids


def event_routes(
    files: Sequence[SchemaFile], ids: Mapping[str, int], *, topic_prefix: str, event_topics: Iterable[str]
) -> dict[str, Route]:
    """Event type → route, for the schemas of `produced_schemas`; the heartbeat goes to all topics, its own is empty.

    Raises: EnvironmentProblem if a schema's topic is not among the topics that workers read.
    """
    read = frozenset(event_topics)
    routes: dict[str, Route] = {}
    for file in files:
        document = json.loads(file.text)
        topic = document.get("topic")
        if topic is not None and topic not in read:
            raise EnvironmentProblem(
                f"schema {file.path} names the topic {topic}, which no worker reads",
                hint="add it to --event-topics, or correct the schema",
            )
        place = "" if topic is None else topic_prefix + topic
        routes[file.name] = Route(place, fastavro.parse_schema(document), ids[file.name])
    return routes


class EventSink(Protocol):
    """Where events go: an `EventProducer`, or a test's twin."""

    @property
    def failed(self) -> int:
        """How many records could not be delivered."""

    @property
    def failure(self) -> str:
        """The reason for the first failure."""

    def send(self, event: Event, *, timestamp_ms: int) -> None:
        """Takes the event for delivery. A timestamp of 0 is the time of sending."""

    def heartbeat(self, at_ms: int) -> int:
        """Tells all partitions that they are complete up to `at_ms`; gives how many were told."""

    def poll(self, timeout_s: float) -> None:
        """Lets deliveries go on for so long."""

    def flush(self) -> None:
        """Returns when every record is delivered or has failed."""


class Latest(Protocol):
    """A registry, as far as a producer asks it."""

    def latest(self, subject: str) -> tuple[int, str] | None:
        """(id, text) of the subject's newest schema, or None."""


class EventProducer:
    """Writes events and heartbeats to the event topics; idempotent, so a retry writes nothing twice.

    Raises: EnvironmentProblem if the broker does not answer, a topic is missing, or the topics' partitions differ.
    """

    __slots__ = ("_failed", "_failure", "_heads", "_partitions", "_producer", "_routes", "_since_poll", "_topics")

    def __init__(
        self, brokers: Brokers, routes: Mapping[str, Route], *, event_topics: Sequence[str], linger_ms: int = 5
    ) -> None:
        self._routes = routes
        self._topics = tuple(event_topics)
        self._heads = {name: b"\0" + route.schema_id.to_bytes(4, "big") for name, route in routes.items()}
        self._failed = 0
        self._failure = ""
        self._since_poll = 0
        self._producer = Producer(
            brokers.client(
                {
                    "enable.idempotence": True,
                    # The partitioner of Java and aiokafka clients; all event topics must be partitioned alike.
                    "partitioner": "murmur2_random",
                    "linger.ms": linger_ms,
                    "compression.type": "lz4",
                    "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                    # A callback for each delivered record would cost more than writing it.
                    "delivery.report.only.error": True,
                    "on_delivery": self._on_delivery,
                    "log_level": 0,
                }
            )
        )
        self._partitions = self._partition_count(brokers)

    def send(self, event: Event, *, timestamp_ms: int, partition: int = -1) -> None:
        """Takes the event for delivery; waits while the queue is full. A timestamp of 0 is the time of sending, a
        partition of -1 that of the customer.
        """
        route = self._routes[event.type]
        body = io.BytesIO()
        body.write(self._heads[event.type])
        fastavro.schemaless_writer(body, route.schema, event.fields)
        self._put(route.topic, event.customer_id.encode(), body.getvalue(), timestamp_ms, partition)
        self._since_poll += 1
        if self._since_poll >= _POLL_EVERY:
            self._since_poll = 0
            self._producer.poll(0)

    def heartbeat(self, at_ms: int) -> int:
        """Tells every partition of every event topic that it is complete up to `at_ms`; gives how many were told."""
        body = io.BytesIO()
        body.write(self._heads[HEARTBEAT])
        fastavro.schemaless_writer(body, self._routes[HEARTBEAT].schema, {"at": at_ms})
        value = body.getvalue()
        for topic in self._topics:
            for partition in range(self._partitions):
                self._put(topic, None, value, at_ms, partition)
        return len(self._topics) * self._partitions

    def poll(self, timeout_s: float) -> None:
        """Lets deliveries go on for so long."""
        self._producer.poll(timeout_s)

    def flush(self) -> None:
        """Returns when every record is delivered or has failed."""
        # In short turns, so that Ctrl-C is heard.
        while self._producer.flush(0.2):
            pass

    def abandon(self) -> None:
        """Drops what is not delivered yet, for a quick end."""
        self._producer.purge()
        self._producer.flush(1.0)

    @property
    def failed(self) -> int:
        """How many records could not be delivered."""
        return self._failed

    @property
    def failure(self) -> str:
        """The broker's reason for the first failure."""
        return self._failure

    def _put(self, topic: str, key: bytes | None, value: bytes, timestamp_ms: int, partition: int = -1) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, timestamp=timestamp_ms)
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as error:
                raise EnvironmentProblem(
                    f"the broker no longer takes events: {_reason(error)}",
                    hint="see the broker's log, then start again",
                ) from error
            else:
                return

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed += 1
            self._failure = self._failure or error.str()

    def _partition_count(self, brokers: Brokers) -> int:
        found = brokers.metadata(self._producer, timeout_s=CONNECT_TIMEOUT_S).topics
        missing = [topic for topic in self._topics if topic not in found]
        if missing:
            raise EnvironmentProblem(
                f"topic {missing[0]} does not exist{brokers.or_hidden}",
                hint="run `orchestrator topics create`, or set --topic-prefix and --event-topics",
            )
        counts = {topic: len(found[topic].partitions) for topic in self._topics}
        if len(set(counts.values())) > 1:
            raise EnvironmentProblem(
                "the event topics have different numbers of partitions: "
                + ", ".join(f"{topic} {count}" for topic, count in counts.items()),
                hint="a customer's events must be in the same partition of every topic; create the topics anew",
            )
        return next(iter(counts.values()))


def produce_events(
    events: Iterable[Event],
    producer: EventSink,
    feed: Feed,
    *,
    on_progress: Callable[[Produced], None] = lambda _produced: None,
) -> Produced:
    """Sends the events and the heartbeats between and after them; gives the totals when all are delivered or failed.

    Raises: ValueError if heartbeats are wanted and an event is earlier than the one before.
    """
    sent = heartbeats = 0
    last_ms: int | None = None
    every = feed.heartbeat_every_ms
    started = reported = time.monotonic()
    for event in events:
        at_ms: int = event.fields["occurred_at"]
        if every is not None:
            if last_ms is not None and at_ms < last_ms:
                raise ValueError("with heartbeats, events must be in time order")
            # Strictly before the event, because more events of the same millisecond may follow.
            complete_ms = (at_ms - 1) // every * every
            if last_ms is not None and complete_ms >= last_ms:
                heartbeats += producer.heartbeat(complete_ms)
        if feed.rate is not None:
            _pace(producer, started + sent / feed.rate)
        producer.send(event, timestamp_ms=at_ms if feed.timestamps == "event" else 0)
        sent += 1
        last_ms = at_ms if last_ms is None or at_ms > last_ms else last_ms
        if sent % 64 == 0 and (now := time.monotonic()) - reported >= PROGRESS_EVERY_S:
            reported = now
            on_progress(Produced(sent, heartbeats, producer.failed, producer.failure, last_ms, None))
    until_ms = feed.until_ms
    if until_ms is None and feed.until_after_ms is not None and last_ms is not None:
        until_ms = last_ms + feed.until_after_ms
    if until_ms is not None:
        heartbeats += producer.heartbeat(until_ms)
    producer.flush()
    total = Produced(sent, heartbeats, producer.failed, producer.failure, last_ms, until_ms)
    on_progress(total)
    return total


def _pace(producer: EventSink, due_s: float) -> None:
    """Waits until `due_s` (monotonic), unless it is so near that waiting would cost more than it keeps."""
    while (ahead := due_s - time.monotonic()) > _PACE_SLACK_S:
        producer.poll(0)
        time.sleep(min(ahead, 0.05))


def _reason(error: KafkaException) -> str:
    cause = error.args[0]
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
