"""Events to Kafka, acknowledged: what `publish` returned for is on all in-sync replicas.

Nothing is kept here beyond `in_flight_max` events that the broker has not acknowledged yet. One beyond is refused, and
so is everything while no broker answers: the sender keeps it, and sends it again.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import fastavro
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin._metadata import TopicMetadata

from orchestrator.model.events import Event
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.produce import CONNECT_TIMEOUT_S, Route
from orchestrator.runtime.tracing import TRACEPARENT, trace_of

RECORD_BYTES_MAX = 900_000
"""An event and its headers, less than the megabyte that brokers take by default."""

_POLL_S = 0.1
_PROBE_TIMEOUT_S = 2.0
_GRACE_S = 5.0

log = structlog.get_logger(__name__)


class Unavailable(Exception):
    """The events cannot be taken now; the message says why, in words without personal data."""


class TooLarge(Exception):
    """An event that no broker would take; `event` is its position."""

    def __init__(self, event: int) -> None:
        super().__init__(event)
        self.event = event


@dataclass(slots=True)
class _Batch:
    """The records of one request: how many are not acknowledged yet, how many never will be, and the first reason."""

    left: int
    done: asyncio.Future[None]
    failed: int = 0
    failure: str = ""


class Publisher:
    """Writes events and waits for the broker's acknowledgement; idempotent, so that a retry of its own writes nothing
    twice. Made and used in one event loop; a thread of its own takes the acknowledgements.

    Where no broker answers yet, everything is refused until one does. Raises: EnvironmentProblem if one refuses to let
    this process in, a topic is missing, or the topics' partitions differ.
    """

    def __init__(
        self,
        brokers: Brokers,
        routes: Mapping[str, Route],
        *,
        event_topics: Sequence[str],
        in_flight_max: int,
        delivery_timeout_ms: int,
        on_fatal: Callable[[str], None],
        on_unconfirmed: Callable[[int], None],
    ) -> None:
        self._routes = routes
        self._topics = tuple(event_topics)
        self._in_flight_max = in_flight_max
        self._timeout_s = delivery_timeout_ms / 1000 + _GRACE_S
        self._on_fatal = on_fatal
        self._on_unconfirmed = on_unconfirmed
        self._loop = asyncio.get_running_loop()
        self._is_closing = threading.Event()
        self.in_flight = 0
        self.away = ""
        """Why the broker cannot be reached; "" while it can."""
        # What the client says is kept where it is looked for when a call fails, too.
        self._say: Callable[[KafkaError], None] = brokers.client({})["error_cb"]
        self._producer = Producer(
            brokers.client(
                {
                    "enable.idempotence": True,
                    "acks": "all",
                    # The partitioner of Java and aiokafka clients; all event topics must be partitioned alike.
                    "partitioner": "murmur2_random",
                    "linger.ms": 2,
                    "compression.type": "lz4",
                    "delivery.timeout.ms": delivery_timeout_ms,
                    # More than is ever in flight, so that this program says when it is full, not the library.
                    "queue.buffering.max.messages": 2 * in_flight_max,
                    # Beside the bodies that they came in, well within what a pod may use.
                    "queue.buffering.max.kbytes": 64 << 10,
                    "error_cb": self._on_error,
                    "log_level": 0,
                }
            )
        )
        self._or_hidden = brokers.or_hidden
        self._is_checked = False
        self._check_topics(brokers)
        self._thread = threading.Thread(target=self._poll, name="acknowledgements", daemon=True)
        self._thread.start()

    async def publish(self, events: Sequence[Event], *, trace: str = "") -> None:
        """Returns when the broker has acknowledged every event. `trace` is the `traceparent` that they belong to.

        Raises: Unavailable if it did not, in which case some may be on the broker all the same; TooLarge.
        """
        if self.away:
            raise Unavailable(self.away)
        records = [self._record(number, event) for number, event in enumerate(events)]
        if self.in_flight + len(records) > self._in_flight_max:
            raise Unavailable("too many events wait for the broker")
        found = trace_of([(TRACEPARENT, trace.encode("ascii", "replace"))]) if trace else None
        headers = [] if found is None else [(TRACEPARENT, found)]
        batch = _Batch(len(records), self._loop.create_future())
        self.in_flight += len(records)
        try:
            for topic, key, value in records:
                self._producer.produce(topic, value, key, headers=list(headers), on_delivery=self._on_delivery(batch))
        except (BufferError, KafkaException) as error:
            self.in_flight -= len(records)
            raise Unavailable("the producer takes no events") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.shield(batch.done)
        except TimeoutError as error:
            self._on_unconfirmed(batch.left + batch.failed)
            raise Unavailable("the broker did not acknowledge in time") from error
        finally:
            self.in_flight -= len(records)
        if batch.failure:
            self._on_unconfirmed(batch.failed)
            raise Unavailable(f"the broker did not acknowledge: {batch.failure}")

    async def close(self) -> None:
        """Waits for what is in flight, as long as it may take, and ends the thread."""
        await asyncio.to_thread(self._producer.flush, self._timeout_s)
        self._is_closing.set()
        await asyncio.to_thread(self._thread.join, _GRACE_S)

    def _record(self, number: int, event: Event) -> tuple[str, bytes, bytes]:
        route = self._routes[event.type]
        value = framed(route, event)
        if len(value) > RECORD_BYTES_MAX:
            raise TooLarge(number)
        return route.topic, event.customer_id.encode(), value

    def _on_delivery(self, batch: _Batch) -> Callable[[KafkaError | None, Message], None]:
        # Called in the thread of the acknowledgements, or in that which flushes: never in both, since closing the
        # endpoint waits for all requests before it flushes.
        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                batch.failed += 1
                batch.failure = batch.failure or error.name()
            batch.left -= 1
            if batch.left == 0:
                self._loop.call_soon_threadsafe(_finish, batch.done)

        return delivered

    def _on_error(self, error: KafkaError) -> None:
        self._say(error)
        if error.fatal():
            self._loop.call_soon_threadsafe(self._on_fatal, f"the producer failed for good: {error.name()}")
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - the library's own codes begin so
            self._is_away("no broker answers")

    def _is_away(self, why: str) -> None:
        if not self.away:
            log.warning("events are refused", reason=why)
        self.away = why

    def _poll(self) -> None:
        while not self._is_closing.is_set():
            self._producer.poll(_POLL_S)
            if self.away:
                self._probe()

    def _probe(self) -> None:
        """Asks whether a broker is there again: while events are refused, no acknowledgement would tell."""
        try:
            found = self._producer.list_topics(timeout=_PROBE_TIMEOUT_S).topics
        except KafkaException:
            return
        if not self._is_checked and (problem := self._wrong(found)) is not None:
            if self.away != str(problem):
                log.error("events are refused", reason=str(problem), hint=problem.hint)
            self.away = str(problem)
            return
        self._is_checked = True
        first = found.get(self._topics[0])
        if first is not None and all(partition.leader >= 0 for partition in first.partitions.values()):
            self.away = ""
            log.info("events are taken")

    def _check_topics(self, brokers: Brokers) -> None:
        try:
            found = brokers.metadata(self._producer, timeout_s=CONNECT_TIMEOUT_S).topics
        except EnvironmentProblem:
            if brokers.is_refused:
                raise
            # Links lead on without a broker, so an endpoint that starts meanwhile is worth having.
            self._is_away("no broker has answered yet")
            return
        if (problem := self._wrong(found)) is not None:
            raise problem
        self._is_checked = True

    def _wrong(self, found: Mapping[str, TopicMetadata]) -> EnvironmentProblem | None:
        """What is wrong with the event topics, if anything is."""
        missing = [topic for topic in self._topics if topic not in found]
        if missing:
            return EnvironmentProblem(
                f"topic {missing[0]} does not exist{self._or_hidden}",
                hint="run `orchestrator topics create`, or set --topic-prefix and --event-topics",
            )
        if len({len(found[topic].partitions) for topic in self._topics}) > 1:
            return EnvironmentProblem(
                "the event topics have different numbers of partitions",
                hint="a customer's events must be in the same partition of every topic; create the topics anew",
            )
        return None


def framed(route: Route, event: Event) -> bytes:
    """The event as its record's value: Avro, with the schema's id before it."""
    body = io.BytesIO()
    body.write(b"\0" + route.schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(body, route.schema, event.fields)
    return body.getvalue()


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
