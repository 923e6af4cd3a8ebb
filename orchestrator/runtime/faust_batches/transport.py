"""Faust's aiokafka transport, but the record list of a fetch is one item of the agent's stream.

Faust hands over one record at a time, with four asyncio tasks and an interval tree for each; that alone costs 100 µs
an event. Here a fetch costs a few dozen microseconds, whatever its size, and nothing is acknowledged or committed:
offsets belong to the batch's own transaction.
"""

# Overrides reach into private attributes and take arguments that they do not use; tests watch those attributes.
# ruff: noqa: SLF001, ARG002

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from aiokafka import ConsumerRecord
from aiokafka.structs import TopicPartition as AioTopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

if TYPE_CHECKING:
    from orchestrator.runtime.faust_batches.app import BatchApp

FETCH_WAIT_S = 1.0
FETCH_WAIT_SOME_EXCLUDED_S = 0.02
"""While a partition's buffer is full the fetch returns soon, so that the partition is asked again in time."""

FETCH_WAIT_FIRST_S = 0.05
"""Until each partition's end is known: an empty answer of the broker tells it, and does not end a fetch."""

FETCH_MIN_BYTES = 16_384
FETCH_MAX_WAIT_MS = 20
"""The broker answers a fetch when it has so many bytes or after so long. Of a steady trickle each record would
otherwise be a fetch of its own, over all partitions: that costs the broker and the worker more than deciding does."""


class RecordBatch:
    """The records of one fetch from one partition, fetched in the delivery epoch `epoch` (see `BatchApp.epoch`).

    `position` is the next offset to fetch and `highwater` the end of what may be read, where they are known. A batch
    without records only says that they have changed.
    """

    __slots__ = ("epoch", "highwater", "partition", "position", "records", "topic")

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        records: Sequence[ConsumerRecord[bytes, bytes]],
        position: int | None,
        highwater: int | None,
        epoch: int,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.records = records
        self.position = position
        self.highwater = highwater
        self.epoch = epoch


class BatchRebalanceListener(driver.ConsumerRebalanceListener):
    """Remembers who this member is in the new generation before anything else learns of the assignment."""

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Runs in the consumer's thread; changelog partitions are never fetched, restore reads them itself."""
        thread = self._thread
        consumer = thread._ensure_consumer()
        app: BatchApp = thread.app  # type: ignore[assignment]
        app.membership = (consumer._coordinator.generation, consumer._coordinator.member_id)
        changelogs = app.tables.changelog_topics
        consumer.pause(*(tp for tp in assigned if tp.topic in changelogs))
        await super().on_partitions_assigned(assigned)


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread with aiokafka's loop: fetching, heartbeats and group membership go on while the worker computes."""

    _fetching: asyncio.Future[Any] | None = None
    _is_seeking = False

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Read by aiokafka when it starts its fetcher. Faust reads committed records only in its own transactions, but
        # what a producer aborted never happened.
        consumer._fetch_min_bytes = FETCH_MIN_BYTES
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        consumer._isolation_level = "read_committed"
        return consumer

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109
        """One hop to the consumer's loop and one back; Faust's method queue has two more each way."""
        return await self._in_thread(self._fetch(active_partitions or set(), timeout))

    async def _fetch(self, partitions: set[TP], wait_s: float) -> Any:
        consumer = self._ensure_consumer()
        self._fetching = asyncio.ensure_future(
            self._fetch_records(consumer, partitions, timeout=wait_s, max_records=consumer._max_poll_records)
        )
        try:
            return await self._fetching
        except asyncio.CancelledError:
            if self._is_seeking:
                return {}
            raise

    def progress(self, tp: TP) -> tuple[int | None, int | None]:
        """(next offset to fetch, end of what may be read) of an assigned partition, None where not known yet."""
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        aio_tp = AioTopicPartition(*tp)
        if assignment is None or aio_tp not in assignment.tps:
            return None, None
        state = assignment.state_value(aio_tp)
        return (state.position if state.has_valid_position else None), state.lso

    async def seek_all(self, positions: Mapping[TP, int | None]) -> None:
        """Fetching goes on from these offsets; None is the beginning of the partition."""
        await self._in_thread(self._seek_all(positions))

    async def leave_group(self) -> None:
        """The others are told at once that this member's partitions are free."""
        if self._consumer is not None:
            await self._in_thread(self._consumer.stop())

    async def _seek_all(self, positions: Mapping[TP, int | None]) -> None:
        # A fetch that began before the rebalance would take the first records after it, and they would be dropped.
        if self._fetching is not None and not self._fetching.done():
            self._is_seeking = True
            self._fetching.cancel()
            await asyncio.wait({self._fetching})
            self._is_seeking = False
        consumer = self._ensure_consumer()
        unknown = [AioTopicPartition(*tp) for tp, offset in positions.items() if offset is None]
        if unknown:
            await consumer.seek_to_beginning(*unknown)
        for tp, offset in positions.items():
            if offset is not None:
                consumer.seek(AioTopicPartition(*tp), offset)

    async def _in_thread(self, coroutine: Any) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.thread_loop))


class BatchConsumer(driver.Consumer):
    """Puts record lists into the stream's queue; acknowledges, commits and seeks nothing by itself."""

    RebalanceListener: ClassVar[type[driver.ConsumerRebalanceListener]] = BatchRebalanceListener
    app: BatchApp

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        app = self.app
        told: dict[TP, tuple[int | None, int | None]] = {}
        told_epoch = -1
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
                    continue
                epoch = app.epoch
                if epoch != told_epoch:
                    told, told_epoch = {}, epoch
                active = self._get_active_partitions()
                wanted = active - app.host.full()
                if not wanted:
                    # aiokafka takes an empty set for all partitions, so it must not be asked.
                    await asyncio.sleep(FETCH_WAIT_SOME_EXCLUDED_S)
                    continue
                wait_s = FETCH_WAIT_S if len(wanted) == len(active) else FETCH_WAIT_SOME_EXCLUDED_S
                if len(told) < len(active):
                    wait_s = min(wait_s, FETCH_WAIT_FIRST_S)
                records = await self._getmany(wanted, wait_s) or {}
                # Otherwise partitions are being handed over; whoever gets them starts again from the committed offsets.
                if bool(self.flow_active) and app.epoch == epoch:
                    await self._deliver(records, told, epoch)
        except self.consumer_stopped_errors:
            if not app.should_stop:
                raise
        except asyncio.CancelledError:
            if not app.should_stop:
                raise
        except Exception as error:  # noqa: BLE001
            # Faust would log it and carry on without fetching.
            app.host.fail(error)

    async def _deliver(
        self,
        records: Mapping[Any, Sequence[Any]],
        told: dict[TP, tuple[int | None, int | None]],
        epoch: int,
    ) -> None:
        """Puts the records into the streams' queues, and for the other partitions how far they are if that is new.

        No fetch is under way, so a position is never ahead of the records that were put before it.
        """
        index = self.app.topics._tp_index  # type: ignore[attr-defined]
        thread = cast("BatchConsumerThread", self._thread)
        for tp in self._get_active_partitions():
            fetched = records.get(AioTopicPartition(*tp), ())
            seen = thread.progress(tp)
            if not fetched and (seen == told.get(tp) or None in seen):
                continue
            told[tp] = seen
            batch = RecordBatch(
                tp.topic, tp.partition, records=fetched, position=seen[0], highwater=seen[1], epoch=epoch
            )
            for channel in index[tp]:
                await channel.queue.put(batch)

    async def perform_seek(self) -> None:
        """Nothing: the restore seeks, from offsets that are stable."""

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002
        """Nothing: offsets are committed with the batch's transaction."""
        return False

    @Service.task
    async def _commit_handler(self) -> None:
        """Nothing to commit."""

    @Service.task
    async def _commit_livelock_detector(self) -> None:
        """Faust watches its own acknowledgements here; there are none."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust looks for acknowledgements here; there are none."""


class BatchTransport(driver.Transport):
    """What the application gets instead of Faust's `kafka://` transport."""

    Consumer: ClassVar[Any] = BatchConsumer
