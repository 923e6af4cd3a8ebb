"""The broker's side of a transaction in memory: the twin of `KafkaTransactionLog` for tests and simulations.

It outlives the worker under test: what was committed stays, what was not is gone. `at` is called with the name of
each moment at which a worker can die; a test makes it raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.runtime.ports import CustomerStore, TopicPartition, TransactionFailed
from orchestrator.runtime.store import aligned_again

MOMENTS = ("begin", "produce", "changelog", "offsets", "commit", "committed")
"""Where `at` is called. After `commit` nothing is visible yet, at `committed` everything is."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A committed record."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int | None = None


@dataclass(slots=True)
class MemoryTransactionLog:
    """Transactions on a broker of one process. `transactions` counts those that were committed."""

    at: Callable[[str], None] = lambda _moment: None
    sent: list[Sent] = field(default_factory=list)
    changelogs: dict[int, list[tuple[bytes, bytes | None] | None]] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    stream_times: dict[int, int] = field(default_factory=dict)
    transactions: int = 0
    _open: list[Sent] | None = None
    _changes: dict[int, list[tuple[bytes, bytes | None]]] = field(default_factory=dict)

    def begin(self) -> None:
        """Opens a transaction; one that a dead worker left open is gone."""
        self.at("begin")
        self._open = []
        self._changes = {}

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
        """Adds a record; the twin knows no partitioner, so partition None is 0."""
        self.at("produce")
        self._transaction().append(Sent(topic, partition or 0, key, value, tuple(headers or ()), timestamp_ms))

    def produce_many(self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Adds (key, value) records to one partition, in order."""
        self.at("produce")
        self._transaction().extend(Sent(topic, partition, key, value) for key, value in records)

    def produce_changelog(self, partition: int, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Adds the customers' new records to the changelog partition; None is a tombstone."""
        self.at("changelog")
        self._transaction()
        if changes:
            self._changes.setdefault(partition, []).extend(changes)

    def commit(self, offsets: Mapping[TopicPartition, int], *, stream_times: Mapping[int, int]) -> Mapping[int, int]:
        """Makes everything of the transaction visible; gives changelog partition -> next changelog offset."""
        transaction = self._transaction()
        self.at("offsets")
        self.at("commit")
        positions = {}
        for partition, changes in self._changes.items():
            changelog = self.changelogs.setdefault(partition, [])
            changelog.extend(changes)
            positions[partition] = len(changelog)
            # The marker that ends the transaction has an offset too.
            changelog.append(None)
        self.sent.extend(transaction)
        self.offsets.update(offsets)
        self.stream_times.update(stream_times)
        self.transactions += 1
        self._open = None
        self.at("committed")
        return positions

    def abort(self) -> None:
        """Forgets the open transaction."""
        self._open = None

    def restore(self, partition: int, store: CustomerStore) -> None:
        """Brings the store level with the changelog, as `restore_partition` does."""
        changelog = self.changelogs.get(partition, [])
        position = store.position()
        if position is not None and position > len(changelog):
            store.wipe()
            position = None
        latest = {entry[0]: entry[1] for entry in changelog[position or 0 :] if entry is not None}
        keys = list(latest)
        changes = [(key, before, latest[key]) for key, before in zip(keys, store.read(keys), strict=True)]
        store.write(changes, position=len(changelog), aligned=aligned_again(store.aligned(), latest))

    def _transaction(self) -> list[Sent]:
        if self._open is None:
            raise TransactionFailed("no transaction is open")
        return self._open
