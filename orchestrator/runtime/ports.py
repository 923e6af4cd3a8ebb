"""The small interfaces between a batch cycle and the world: broker, store, clock.

The worker passes Kafka, RocksDB and a real clock; tests and simulations pass twins that fail on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Record(Protocol):
    """A consumed record; aiokafka's `ConsumerRecord` fits as it is."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


TopicPartition = tuple[str, int]


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since the epoch."""


class TransactionLog(Protocol):
    """One transaction at a time: everything of a batch becomes visible together or not at all."""

    def begin(self) -> None: ...

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        """Adds a record; partition None chooses by key, as every Kafka client's default partitioner does."""

    def produce_changelog(self, partition: int, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Adds the customers' new records to the changelog partition; None is a tombstone."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[int, int]:
        """Commits with the sources' next offsets; gives changelog partition → next changelog offset.

        Raises: TransactionFailed (the process must end: another worker owns the partitions, or the broker refused).
        """

    def abort(self) -> None: ...


class TransactionFailed(Exception):
    """The transaction did not commit; nothing of the batch is visible and the store was not written."""


class CustomerStore(Protocol):
    """Customer records of one partition and the timer index derived from them."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records of these customers, in order."""

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` index entries (wake_ms, customer key) with wake_ms ≤ until_ms, in order."""

    def write(self, changes: Sequence[tuple[bytes, bytes | None, bytes | None]], *, position: int) -> None:
        """Writes (key, old record, new record) and the changelog position in one atomic batch.

        The timer index follows from the records' headers: the old record says which entry goes.
        """

    def position(self) -> int | None:
        """The next changelog offset that is not yet in this store; None for an empty store."""

    def close(self) -> None: ...
