"""A Faust application on the batch transport, and what it needs from its host."""

# Overrides reach into private attributes and take arguments that they do not use; tests watch those attributes.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Protocol

import faust
from faust.app.base import BootStrategy
from faust.auth import Credentials, SASLCredentials, SSLCredentials
from faust.types import TP

from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.faust_batches.recovery import BatchTableManager
from orchestrator.runtime.faust_batches.table import CustomersTable
from orchestrator.runtime.faust_batches.transport import BatchTransport, RecordBatch
from orchestrator.runtime.ports import CustomerStore, TopicPartition


class Host(Protocol):
    """The worker, as the application calls it; every method runs in the application's loop."""

    def offer(self, batch: RecordBatch) -> None:
        """Takes over the records of a fetch."""

    def full(self) -> AbstractSet[TP]:
        """Source partitions from which no more should be fetched for now."""

    async def revoke(self) -> None:
        """Lets go of all partitions: nothing may be committed for them in this generation after the return."""

    async def restore(self, partitions: AbstractSet[int], generation: int) -> Mapping[TopicPartition, int | None]:
        """Makes the stores of these partitions current; gives the sources' next offsets, None for the beginning.

        Empty if another rebalance has begun meanwhile; `is_current` then says so.
        """

    def abandon(self) -> None:
        """What was just restored is not assigned any more: `is_current` becomes false."""

    def is_current(self, generation: int) -> bool:
        """Whether everything is restored for this generation and no rebalance has begun since."""

    def started(self) -> None:
        """The partitions' records begin to flow."""

    def fail(self, error: BaseException) -> None:
        """Ends the process with this reason."""


class _NoProducer(BootStrategy):
    """Faust's own producer is not started: everything is written in the batch's transaction."""

    enable_kafka_producer = False


class BatchApp(faust.App):
    """A Faust application whose agents receive record batches and whose table belongs to the batch cycle."""

    BootStrategy = _NoProducer
    host: Host
    membership: tuple[int, str] = (-1, "")
    """(generation, member id) of the newest assignment: what a transaction's offsets are fenced with."""
    epoch = 0
    """Counts the seeks. Records fetched before the newest one are of no interest, wherever they still are."""

    def _new_transport(self) -> Any:
        return BatchTransport(self.conf.broker_consumer, self)


def batch_app(
    *,
    app_id: str,
    worker_id: str,
    brokers: Brokers,
    data_dir: Path,
    event_topics: Sequence[str],
    partitions: int,
    table_name: str,
    open_store: Callable[[int], CustomerStore],
    host: Host,
    session_timeout_s: float,
    heartbeat_interval_s: float,
    rebalance_timeout_s: float,
    fetch_records_max: int,
) -> BatchApp:
    """An application with one agent on all event topics and the customers table beside it, ready to start."""
    app = BatchApp(
        app_id,
        broker=";".join(f"kafka://{server.strip()}" for server in brokers.servers.split(",")),
        broker_credentials=_credentials(brokers),
        datadir=str(data_dir),
        store="memory://",
        # Faust's assignor tells members apart by this address; nothing listens there.
        canonical_url=f"http://{worker_id}",
        web_enabled=False,
        topic_partitions=partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        TableManager=BatchTableManager,
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=heartbeat_interval_s,
        broker_rebalance_timeout=rebalance_timeout_s,
        broker_max_poll_interval=3600.0,
        broker_max_poll_records=fetch_records_max,
        broker_check_crcs=False,
        consumer_max_fetch_size=1024 * 1024,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        stream_buffer_maxsize=64,
        stream_recovery_delay=0.0,
        recovery_consistency_check=False,
    )
    app.host = host
    app.in_worker = True
    sources = app.topic(
        *event_topics,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
    )
    app.tables.add(
        CustomersTable(app, open_store=open_store, name=table_name, partitions=partitions, beacon=app.tables.beacon)
    )

    @app.agent(sources, name="journeys")
    async def journeys(batches: Any) -> None:
        batch: RecordBatch
        async for batch in batches:
            # A batch may have waited in the stream's queue while the partitions went elsewhere.
            if batch.epoch == app.epoch:
                host.offer(batch)

    async def revoked(*_: Any, **__: Any) -> None:
        await host.revoke()

    app.on_partitions_revoked.connect(revoked, weak=False)
    return app


def _credentials(brokers: Brokers) -> Credentials | None:
    context = brokers.tls()
    if brokers.is_signing_in:
        return SASLCredentials(
            username=brokers.username, password=brokers.password, mechanism=brokers.mechanism, ssl_context=context
        )
    return None if context is None else SSLCredentials(context)


def customers_table(app: BatchApp) -> CustomersTable:
    """The application's customers table."""
    (table,) = app.tables.values()
    assert isinstance(table, CustomersTable)
    return table
