"""The customers table: a Faust `Table` whose store holds one customer store for each partition.

Faust's part is the table's place in the application: its changelog topic, its partitions, and the co-partitioned
assignment that follows from it. Reading and writing belong to the cycle, in batches and after the commit.
"""

# Overrides reach into private attributes and take arguments that they do not use; tests watch those attributes.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from faust.stores.base import Store
from faust.tables.table import Table
from faust.types import TP

from orchestrator.runtime.ports import CustomerStore

_REFUSAL = "customer records are read and written by the batch cycle, inside its transaction"


class PartitionStores(Store):  # type: ignore[type-arg]
    """The open customer stores of this worker, by partition; they close when the partition goes."""

    def __init__(self, url: Any, app: Any, table: Any, *, open_store: Callable[[int], CustomerStore], **kwargs: Any):
        super().__init__(url, app, table, **kwargs)
        self._open_store = open_store
        self.open: dict[int, CustomerStore] = {}

    def opened(self, partition: int) -> CustomerStore:
        """The partition's store, opened if need be. Raises: EnvironmentProblem if it cannot be opened."""
        store = self.open.get(partition)
        if store is None:
            store = self.open[partition] = self._open_store(partition)
        return store

    def close(self, partition: int) -> None:
        """The partition's files are free for another process."""
        store = self.open.pop(partition, None)
        if store is not None:
            store.close()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Closes what has gone to others; restore opens what has come."""
        changelogs = self.table.changelog_topic.topics
        kept = {tp.partition for tp in assigned if tp.topic in changelogs}
        for partition in sorted(set(self.open) - kept):
            self.close(partition)

    async def on_stop(self) -> None:
        """Closes everything."""
        for partition in sorted(self.open):
            self.close(partition)

    def persisted_offset(self, tp: TP) -> int | None:
        """None: Faust's recovery has nothing to do."""
        return None

    async def need_active_standby_for(self, tp: TP) -> bool:
        """Standbys are not used."""
        return False

    def apply_changelog_batch(self, *_: Any, **__: Any) -> NoReturn:
        """Refuses: restore reads the changelog itself."""
        raise RuntimeError(_REFUSAL)

    async def backup_partition(self, *_: Any, **__: Any) -> NoReturn:
        """Refuses: the changelog is the backup."""
        raise RuntimeError(_REFUSAL)

    def restore_backup(self, *_: Any, **__: Any) -> NoReturn:
        """Refuses: the changelog is the backup."""
        raise RuntimeError(_REFUSAL)

    def reset_state(self) -> None:
        """Nothing: restore decides what to keep."""

    def __getitem__(self, key: Any) -> NoReturn:
        raise RuntimeError(_REFUSAL)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise RuntimeError(_REFUSAL)

    def __delitem__(self, key: Any) -> NoReturn:
        raise RuntimeError(_REFUSAL)

    def __iter__(self) -> NoReturn:
        raise RuntimeError(_REFUSAL)

    def __len__(self) -> int:
        # Tables are asked whether they are empty in Faust's own displays.
        return len(self.open)


class CustomersTable(Table):  # type: ignore[type-arg]
    """A table that refuses `table[key]`: a write outside the transaction would be lost or doubled after a crash."""

    def __init__(self, app: Any, *, open_store: Callable[[int], CustomerStore], **kwargs: Any) -> None:
        super().__init__(app, key_type=bytes, value_type=bytes, **kwargs)
        self._open_store = open_store

    def _new_store(self) -> PartitionStores:
        return PartitionStores(
            "memory://",
            self.app,
            self,
            open_store=self._open_store,
            table_name=self.name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
        )

    @property
    def stores(self) -> PartitionStores:
        """The stores by partition."""
        stores = self.data
        assert isinstance(stores, PartitionStores)
        return stores

    def on_key_get(self, key: Any) -> NoReturn:
        """Refuses."""
        raise RuntimeError(_REFUSAL)

    def on_key_set(self, key: Any, value: Any) -> NoReturn:
        """Refuses."""
        raise RuntimeError(_REFUSAL)

    def on_key_del(self, key: Any) -> NoReturn:
        """Refuses."""
        raise RuntimeError(_REFUSAL)

    def on_clear(self) -> NoReturn:
        """Refuses."""
        raise RuntimeError(_REFUSAL)
