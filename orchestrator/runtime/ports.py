"""The small interfaces between a batch cycle and the world: broker, registry, store, clock, metrics.

The worker passes Kafka, the schema registry, RocksDB and a real clock; tests and simulations pass twins that fail on
purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Record(Protocol):
    """A consumed record; aiokafka's `ConsumerRecord` fits as it is."""

    @property
    def topic(self) -> str:
        """The topic it was read from."""

    @property
    def partition(self) -> int:
        """The partition it was read from."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch: when the broker or the producer says it happened."""

    @property
    def key(self) -> bytes | None:
        """The customer id."""

    @property
    def value(self) -> bytes | None:
        """The event, framed as the registry's serialisers do."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Whatever its producer added."""


TopicPartition = tuple[str, int]

Change = tuple[bytes, bytes | None, bytes | None]
"""(customer key, old record, new record); None for a record that is not there."""


Aligned = tuple[str, bytes | None]
"""(alignment of a journey set, the customer up to whom all records are in line with it; None: all are)."""


class Clock(Protocol):
    """Where the runtime gets the time from."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""


class SchemaSource(Protocol):
    """Where writer schemas come from: the schema registry."""

    def schema_text(self, schema_id: int) -> str | None:
        """The schema as JSON text, or None if the registry says that there is no such id.

        Raises: any exception if the registry gave no answer; records with this id are then held, not rejected.
        """


class TransactionLog(Protocol):
    """One transaction at a time: everything of a batch becomes visible together or not at all."""

    def begin(self) -> None:
        """Opens a transaction.

        Raises: TransactionFailed.
        """

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
        """Adds a record; partition None chooses by key, as the Java client's default partitioner does.

        `timestamp_ms` is the record's time, where it is not the time of sending.
        """

    def produce_many(self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Adds (key, value) records to one partition, in order."""

    def produce_changelog(self, partition: int, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Adds the customers' new records to the changelog partition; None is a tombstone."""

    def commit(self, offsets: Mapping[TopicPartition, int], *, stream_times: Mapping[int, int]) -> Mapping[int, int]:
        """Commits with the sources' next offsets; gives changelog partition -> next changelog offset.

        A changelog partition that this transaction did not write to is not in the answer. `stream_times` (partition
        -> greatest timestamp taken) is kept beside the partition's offsets for its next owner.

        Raises: TransactionFailed (the process must end: another worker owns the partitions, or the broker refused).
        """

    def abort(self) -> None:
        """Ends the open transaction so that nothing of it becomes visible."""


class TransactionFailed(Exception):
    """The transaction did not commit; nothing of the batch is visible and the store was not written."""


class CustomerStore(Protocol):
    """Customer records of one partition and the timer index derived from them."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records of these customers, in order."""

    def due(self, until_ms: int, limit: int, *, after: tuple[int, bytes] | None = None) -> list[tuple[int, bytes]]:
        """Up to `limit` index entries (wake_ms, customer key) with wake_ms <= until_ms, in order.

        With `after`, only entries greater than it.
        """

    def keys(self, after: bytes, limit: int) -> list[bytes]:
        """Up to `limit` keys greater than `after`, in order."""

    def write(self, changes: Sequence[Change], *, position: int | None, aligned: Aligned | None = None) -> None:
        """Writes (key, old record, new record) and the changelog position in one atomic batch.

        The timer index follows from the records' headers: the old record says which entry goes. Position None
        leaves the position as it is, and `aligned` None how far customers are in line.
        """

    def aligned(self) -> Aligned | None:
        """How far customers are in line with which journey set; None if it was never said (a new or rebuilt store)."""

    def position(self) -> int | None:
        """The next changelog offset that is not yet in this store; None for an empty store."""

    def wipe(self) -> None:
        """Empties the store: records, timer index and position."""

    def timers_pending(self) -> int:
        """About how many customers have a timer pending."""

    def size_bytes(self) -> int:
        """About how large the store's files are."""

    def close(self) -> None:
        """Gives up the files."""


@dataclass(slots=True)
class BatchReport:
    """What one committed batch did, summed up: the one call that metrics get per batch.

    `records` is everything taken, heartbeats included; `applied` and `skipped` count by event type, `rejected` by
    reason. `transitions` counts by (journey, step, kind, reason), `actions` by (channel, journey), `emitted` by event
    type. `lateness_ms` has one entry for each customer whose timer fired from the index: how long after it was due.
    `aligned` is the number of customers without events or timers who were brought in line with a new journey set.
    `misplaced` counts by topic new customers whose events came on another partition than their keys'; not all are
    looked at.
    `record_times_ms` holds the timestamps of each partition's records, ascending; it is empty on stream time, where
    they say nothing about delay. `committed_at_ms` is when the transaction was over. `compute_seconds` is CPU work,
    `commit_seconds` the transaction, `apply_seconds` the store's write.
    """

    records: int = 0
    heartbeats: int = 0
    applied: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    customers: int = 0
    timers_fired: int = 0
    aligned: int = 0
    misplaced: dict[str, int] = field(default_factory=dict)
    lateness_ms: list[int] = field(default_factory=list)
    transitions: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    actions: dict[tuple[str, str], int] = field(default_factory=dict)
    emitted: dict[str, int] = field(default_factory=dict)
    record_times_ms: list[list[int]] = field(default_factory=list)
    committed_at_ms: int = 0
    compute_seconds: float = 0.0
    commit_seconds: float = 0.0
    apply_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand over all owned partitions, of which there are `partitions`; asked for every few seconds.

    `lag` is the number of records known to be on the broker, or fetched, and not yet applied. `oldest_ms` is the
    timestamp of the oldest one that was fetched; None if there is none. `store_bytes` and `timers_pending` are the
    stores' estimates.
    """

    partitions: int = 0
    lag: dict[TopicPartition, int] = field(default_factory=dict)
    oldest_ms: int | None = None
    timers_pending: int = 0
    store_bytes: int = 0


class BatchSink(Protocol):
    """Where batch reports go."""

    def batch(self, report: BatchReport) -> None:
        """Takes in what one committed batch did."""
