"""The Kafka transaction behind the `TransactionLog` port: everything of a batch commits together or not at all.

One producer per worker. A worker that lost its partitions is fenced by the consumer group's generation, which goes
with the offsets (`docs/decisions/0001-fencing.md`); a worker that was killed is fenced by its own restart, or by the
next owner, because its transactional id is written beside each committed offset (`restore.py`).
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as Position

from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.ports import TopicPartition, TransactionFailed
from orchestrator.runtime.topics import PRODUCED_BYTES_MAX

log = logging.getLogger(__name__)

TRANSACTION_TIMEOUT_MS = 10_000
"""How long a killed worker's open transaction can hold back readers if nobody fences it."""

COMMIT_TIMEOUT_S = 30.0
"""For all attempts of one call: longer than the broker keeps a transaction open, so not the first to give up."""


def group_metadata(group_id: str, generation: int, member_id: str) -> bytes:
    """A consumer group membership in librdkafka's serialised form, for a member that is not librdkafka's own.

    Source: `rd_kafka_consumer_group_metadata_write` in librdkafka's rdkafka_cgrp.c.
    """
    return b"CGMDv2:%b%b\0%b\0\1" % (struct.pack("<i", generation), group_id.encode(), member_id.encode())


def offset_note(transactional_id: str, stream_time_ms: int | None) -> str:
    """The text kept beside a committed offset: who committed it, and the partition's stream time."""
    return f"{transactional_id} {-1 if stream_time_ms is None else stream_time_ms}"


def parse_offset_note(note: str | None) -> tuple[str, int]:
    """(transactional id, stream time) of a committed offset; ("", -1) if somebody else committed it."""
    owner, _, stream_time = (note or "").rpartition(" ")
    return (owner, int(stream_time)) if stream_time.lstrip("-").isdigit() else ("", -1)


def producer_settings(transactional_id: str) -> dict[str, str | int | bool]:
    """What librdkafka is told. Values that differ from its defaults have their reason beside them."""
    return {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        # Long enough for a small batch to be one request for each partition. With 0 the sender takes records one by one
        # as they come: 50 instead of 20 ms for a transaction. The commit flushes, so nothing ever waits longer.
        "linger.ms": 5,
        # The first request of a transaction that closely follows another is told to try again; with the default of
        # 100 ms each commit would wait that long for nothing.
        "retry.backoff.ms": 2,
        "retry.backoff.max.ms": 5,
        "compression.type": "lz4",
        # As the Java client: a transaction is many small requests, which Nagle's algorithm would hold back.
        "socket.nagle.disable": True,
        # Keys go where the Java client would put them.
        "partitioner": "murmur2_random",
        # A batch of the largest size must fit without waiting for the broker.
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 1_048_576,
        "batch.num.messages": 20_000,
        # librdkafka's send_offsets_to_transaction waits for ever when the group coordinator was not available at once
        # (its issue 5456), until some connection changes its state: closing idle ones makes that soon.
        "connections.max.idle.ms": 3_000,
        # A connection that is opened again within this time counts as one that failed, and each failure doubles the
        # pause before the next. With the default of 10 s the coordinator's, closed and opened every 3 s while nothing
        # happens, was mostly away: the first transaction after a quiet minute took up to 7 s instead of 20 ms.
        "reconnect.backoff.max.ms": 1_000,
        # A dead letter is its original with headers added, so it may be larger than what producers were allowed.
        "message.max.bytes": PRODUCED_BYTES_MAX,
    }


class KafkaTransactionLog:
    """Transactions of one worker, one at a time.

    `membership` gives the consumer group metadata (`group_metadata(...)`) under which offsets are committed; it is
    asked at `begin`, so that a rebalance after that makes the commit fail. `on_retry` is told the name of each call
    that the broker asked to make again, in the thread that made it.
    """

    def __init__(
        self,
        *,
        brokers: Brokers,
        transactional_id: str,
        changelog_topic: str,
        membership: Callable[[], bytes],
        overrides: Mapping[str, str | int | bool] | None = None,
        on_retry: Callable[[str], None] = lambda _call: None,
    ) -> None:
        self.transactional_id = transactional_id
        self._changelog_topic = changelog_topic
        self._membership = membership
        self._on_retry = on_retry
        self._metadata = b""
        self._positions: dict[int, int] = {}
        settings = producer_settings(transactional_id) | dict(overrides or {})
        self._producer = Producer(brokers.client(settings), logger=log)

    def start(self, *, timeout_s: float = COMMIT_TIMEOUT_S) -> None:
        """Fences earlier producers of this transactional id and ends their open transaction. Blocks.

        Raises: TransactionFailed if the broker does not answer in time or refuses.
        """
        self._insist("init_transactions", self._producer.init_transactions, timeout_s)

    def begin(self) -> None:
        """Opens a transaction."""
        self._positions.clear()
        self._metadata = self._membership()
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise TransactionFailed(_reason("begin_transaction", error)) from None

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        """Adds a record; partition None chooses by key, as the Java client's default partitioner does."""
        chosen = -1 if partition is None else partition
        # For librdkafka 0 is now.
        timestamp = timestamp_ms or 0
        while True:
            try:
                if headers:
                    self._producer.produce(topic, value, key, chosen, timestamp=timestamp, headers=list(headers))
                else:
                    self._producer.produce(topic, value, key, chosen, timestamp=timestamp)
            except BufferError:
                self._producer.poll(0.01)
            except KafkaException as error:
                raise TransactionFailed(_reason("produce", error)) from None
            else:
                return

    def produce_many(self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Adds (key, value) records to one partition, in order."""
        # A loop over `produce` costs 1.3 us a record; `produce_batch` with its dict per record costs 1.9.
        self._produce_pairs(topic, partition, records)

    def produce_changelog(self, partition: int, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Adds the customers' new records to the changelog partition; None is a tombstone."""
        if not changes:
            return
        self._produce_pairs(self._changelog_topic, partition, changes[:-1])
        key, value = changes[-1]

        def delivered(error: KafkaError | None, message: Message) -> None:
            offset = message.offset()
            if error is None and offset is not None:
                self._positions[partition] = offset + 1

        # One partition's records keep their order, so the last one's offset is the greatest: one callback a batch.
        while True:
            try:
                self._producer.produce(self._changelog_topic, value, key, partition, on_delivery=delivered)
            except BufferError:
                self._producer.poll(0.01)
            except KafkaException as error:
                raise TransactionFailed(_reason("produce", error)) from None
            else:
                return

    def _produce_pairs(self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]) -> None:
        produce = self._producer.produce
        done = 0
        try:
            for key, value in records:
                produce(topic, value, key, partition)
                done += 1
        except BufferError:
            # The queue is full: this is rare, so the rest goes the slow way.
            for key, value in records[done:]:
                self.produce(topic, partition, key, value)
        except KafkaException as error:
            raise TransactionFailed(_reason("produce", error)) from None

    def commit(self, offsets: Mapping[TopicPartition, int], *, stream_times: Mapping[int, int]) -> Mapping[int, int]:
        """Commits with the sources' next offsets; gives changelog partition -> next changelog offset. Blocks.

        Raises: TransactionFailed; the transaction was then aborted as far as that is still possible.
        """
        if offsets:
            positions = [
                Position(topic, number, offset, offset_note(self.transactional_id, stream_times.get(number)))
                for (topic, number), offset in offsets.items()
            ]
            self._insist(
                "send_offsets_to_transaction",
                lambda left: _bounded(
                    lambda: self._producer.send_offsets_to_transaction(positions, self._metadata, left), left
                ),
            )
        self._insist("commit_transaction", self._producer.commit_transaction)
        return dict(self._positions)

    def abort(self) -> None:
        """Ends the open transaction so that nothing of it becomes visible."""
        self._insist("abort_transaction", self._producer.abort_transaction)

    def _insist(self, call: str, attempt: Callable[[float], object], timeout_s: float = COMMIT_TIMEOUT_S) -> None:
        """Repeats the call while its error is retriable and time is left."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                attempt(max(0.1, deadline - time.monotonic()))
            except KafkaException as error:
                cause = error.args[0]
                if cause.retriable() and time.monotonic() < deadline:
                    log.warning("%s is tried again: %s", call, cause.name())
                    self._on_retry(call)
                    time.sleep(0.01)
                    continue
                if cause.txn_requires_abort() and call != "abort_transaction":
                    self._abort_after_failure()
                raise TransactionFailed(_reason(call, error)) from None
            else:
                return

    def _abort_after_failure(self) -> None:
        # The first failure is the one to report; the broker aborts by itself after TRANSACTION_TIMEOUT_MS.
        try:
            self._producer.abort_transaction(5.0)
        except KafkaException as error:
            log.warning("%s", _reason("abort_transaction", error))


def _bounded(call: Callable[[], object], timeout_s: float) -> None:
    """Makes the call, but waits no longer than it was told to take: it does not keep its own time limit.

    Raises: what the call raises; TransactionFailed if it never returned (its thread is left behind).
    """
    outcome: list[KafkaException] = []

    def run() -> None:
        try:
            call()
        except KafkaException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="send-offsets", daemon=True)
    thread.start()
    thread.join(timeout_s + 5)
    if thread.is_alive():
        raise TransactionFailed("send_offsets_to_transaction: no answer; the group coordinator is not available")
    if outcome:
        raise outcome[0]


def _reason(call: str, error: KafkaException) -> str:
    """The error's name and text, which never hold a record's bytes."""
    cause = error.args[0]
    return f"{call}: {cause.name()}: {cause.str()}"
