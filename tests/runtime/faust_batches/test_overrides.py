"""What the overrides do, in a real Faust application that is never connected to a broker."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition as AioTopicPartition
from faust.types import TP

from orchestrator.runtime import faust_batches
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.faust_batches import BatchApp, RecordBatch, batch_app, customers_table
from orchestrator.runtime.faust_batches.transport import BatchConsumer, BatchConsumerThread
from orchestrator.runtime.store import MemoryCustomerStore

WEB, ORDERS = TP("web", 0), TP("orders", 0)


class RecordingHost:
    def __init__(self) -> None:
        self.excluded: set[TP] = set()
        self.failures: list[BaseException] = []
        self.current: int | None = None
        self.calls: list[str] = []

    def offer(self, batch: RecordBatch) -> None:
        self.calls.append("offer")

    def full(self) -> AbstractSet[TP]:
        return self.excluded

    async def revoke(self) -> None:
        self.calls.append("revoke")

    async def restore(self, partitions: AbstractSet[int], generation: int) -> Mapping[tuple[str, int], int | None]:
        self.calls.append(f"restore {sorted(partitions)}")
        return {}

    def abandon(self) -> None:
        self.current = None

    def is_current(self, generation: int) -> bool:
        return self.current == generation

    def started(self) -> None:
        self.calls.append("started")

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)


class FakeThread:
    """Stands where the consumer's thread is: fetches what the test put into `fetches`, then stops the consumer."""

    def __init__(self, consumer: BatchConsumer) -> None:
        self.consumer = consumer
        self.fetches: list[dict[AioTopicPartition, list[Any]]] = []
        self.asked: list[set[TP]] = []
        self.positions: dict[TP, tuple[int | None, int | None]] = {WEB: (0, 0), ORDERS: (0, 0)}
        self.on_fetch: Callable[[], None] = lambda: None

    async def getmany(self, active: set[TP], _wait_s: float) -> dict[AioTopicPartition, list[Any]]:
        self.asked.append(set(active))
        self.on_fetch()
        if self.fetches:
            return self.fetches.pop(0)
        self.consumer._stopped.set()
        return {}

    def progress(self, tp: TP) -> tuple[int | None, int | None]:
        return self.positions[tp]


@pytest.fixture
async def host() -> RecordingHost:
    return RecordingHost()


@pytest.fixture
async def app(host: RecordingHost, tmp_path: Path) -> BatchApp:
    return batch_app(
        app_id="unit",
        worker_id="unit-w1",
        brokers=Brokers("127.0.0.1:1"),
        data_dir=tmp_path,
        event_topics=("web", "orders"),
        partitions=1,
        table_name="customers",
        open_store=lambda _: MemoryCustomerStore(),
        host=host,
        session_timeout_s=6,
        heartbeat_interval_s=1,
        rebalance_timeout_s=10,
        fetch_records_max=100,
    )


@pytest.fixture
async def consumer(app: BatchApp) -> BatchConsumer:
    consumer = app.consumer
    assert isinstance(consumer, BatchConsumer)
    consumer._thread = FakeThread(consumer)  # type: ignore[assignment]
    consumer._active_partitions = {WEB, ORDERS}
    app.consumer_generation_id = 1
    app.flow_control.resume()
    for tp in (WEB, ORDERS):
        app.topics._tp_index[tp].add(app.topic(tp.topic))  # type: ignore[attr-defined]
    return consumer


def thread_of(consumer: BatchConsumer) -> FakeThread:
    thread: Any = consumer._thread
    assert isinstance(thread, FakeThread)
    return thread


def record(offset: int) -> Any:
    return SimpleNamespace(offset=offset)


async def drain(consumer: BatchConsumer) -> list[RecordBatch]:
    fetcher: Any = SimpleNamespace(_stopped=asyncio.Event())
    await asyncio.wait_for(consumer._drain_messages(fetcher), 5)
    batches = []
    for tp in (WEB, ORDERS):
        for channel in consumer.app.topics._tp_index[tp]:  # type: ignore[attr-defined]
            while not channel.queue.empty():
                batches.append(channel.queue.get_nowait())
    return [batch for batch in batches if batch.records]


async def test_the_records_of_a_fetch_are_one_stream_item_per_partition(consumer: BatchConsumer) -> None:
    fetched = [record(number) for number in range(500)]
    thread_of(consumer).fetches = [{AioTopicPartition("web", 0): fetched, AioTopicPartition("orders", 0): [record(7)]}]
    web, orders = await drain(consumer)
    assert web.records is fetched
    assert [(web.topic, web.partition, web.epoch), orders.records[0].offset] == [("web", 0, 0), 7]


async def test_records_fetched_before_a_seek_are_dropped(app: BatchApp, consumer: BatchConsumer) -> None:
    thread = thread_of(consumer)
    thread.fetches = [{AioTopicPartition("web", 0): [record(1)]}]

    def seek() -> None:
        app.epoch += 1

    thread.on_fetch = seek
    assert await drain(consumer) == []


async def test_records_are_dropped_when_the_flow_was_stopped_during_the_fetch(consumer: BatchConsumer) -> None:
    thread = thread_of(consumer)
    thread.fetches = [{AioTopicPartition("web", 0): [record(1)]}]

    def revoke() -> None:
        consumer.flow_active = False
        consumer._stopped.set()

    thread.on_fetch = revoke
    assert await drain(consumer) == []


async def test_full_partitions_are_not_fetched_and_the_others_are(host: RecordingHost, consumer: BatchConsumer) -> None:
    host.excluded = {WEB}
    thread_of(consumer).fetches = [{AioTopicPartition("orders", 0): [record(1)]}]
    await drain(consumer)
    assert set(map(frozenset, thread_of(consumer).asked)) == {frozenset({ORDERS})}


async def test_nothing_is_fetched_while_everything_is_full(host: RecordingHost, consumer: BatchConsumer) -> None:
    host.excluded = {WEB, ORDERS}
    fetcher: Any = SimpleNamespace(_stopped=asyncio.Event())
    draining = asyncio.create_task(consumer._drain_messages(fetcher))
    for _ in range(3):
        await asyncio.sleep(0)
    assert thread_of(consumer).asked == []
    host.excluded = set()
    await asyncio.wait_for(draining, 5)
    assert thread_of(consumer).asked == [{WEB, ORDERS}]


async def test_a_partition_without_records_says_once_how_far_it_is(consumer: BatchConsumer) -> None:
    thread = thread_of(consumer)
    thread.positions[ORDERS] = (12, 12)
    thread.fetches = [{AioTopicPartition("web", 0): [record(1)]}, {AioTopicPartition("web", 0): [record(2)]}]
    fetcher: Any = SimpleNamespace(_stopped=asyncio.Event())
    await asyncio.wait_for(consumer._drain_messages(fetcher), 5)
    (channel,) = consumer.app.topics._tp_index[ORDERS]  # type: ignore[attr-defined]
    told = [channel.queue.get_nowait() for _ in range(channel.queue.qsize())]
    assert [(batch.position, batch.highwater, list(batch.records)) for batch in told] == [(12, 12, [])]


async def test_a_fetch_under_way_ends_before_a_seek_and_takes_no_records_from_after_it(app: BatchApp) -> None:
    consumer: Any = app.consumer
    thread: Any = BatchConsumerThread(consumer)
    thread.thread_loop = asyncio.get_running_loop()
    log: list[str] = []
    thread._consumer = SimpleNamespace(_max_poll_records=1, seek=lambda tp, offset: log.append(f"seek {offset}"))

    async def fetch_records(*_: Any, **__: Any) -> dict[Any, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("fetch ended")
        return {}

    thread._fetch_records = fetch_records
    fetching = asyncio.create_task(thread._fetch({WEB}, 1.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.wait_for(thread._seek_all({WEB: 5}), 5)
    assert log == ["fetch ended", "seek 5"]
    assert await fetching == {}


async def test_an_error_of_the_consumer_ends_the_process(host: RecordingHost, consumer: BatchConsumer) -> None:
    def broken() -> None:
        raise RuntimeError("no records today")

    thread_of(consumer).on_fetch = broken
    await drain(consumer)
    assert [str(error) for error in host.failures] == ["no records today"]


async def test_nothing_is_ever_committed_by_faust(consumer: BatchConsumer) -> None:
    assert await consumer.commit() is False


async def test_plain_table_access_is_refused(app: BatchApp) -> None:
    table = customers_table(app)
    with pytest.raises(RuntimeError, match="batch cycle"):
        table[b"anna"] = b"record"
    with pytest.raises(RuntimeError, match="batch cycle"):
        table[b"anna"]
    with pytest.raises(RuntimeError, match="batch cycle"):
        del table[b"anna"]


async def test_stores_close_when_their_partition_goes_to_another_worker(app: BatchApp) -> None:
    stores = customers_table(app).stores
    kept, gone = stores.opened(0), stores.opened(1)
    assert stores.opened(0) is kept
    changelog = customers_table(app).changelog_topic.get_topic_name()
    await stores.on_rebalance({TP(changelog, 0)}, {TP(changelog, 1)}, set(), 2)
    assert isinstance(gone, MemoryCustomerStore)
    assert isinstance(kept, MemoryCustomerStore)
    assert (gone.is_closed, kept.is_closed) == (True, False)
    await stores.on_stop()
    assert kept.is_closed


async def test_the_changelog_is_named_after_the_application(app: BatchApp) -> None:
    assert customers_table(app).changelog_topic.get_topic_name() == "unit-customers-changelog"


async def test_records_do_not_flow_if_a_rebalance_began_during_the_restore(
    app: BatchApp, host: RecordingHost, consumer: BatchConsumer
) -> None:
    recovery = app.tables.recovery  # type: ignore[attr-defined]
    thread_of(consumer).assignment = set  # type: ignore[attr-defined]
    thread_of(consumer).seek_all = lambda _: asyncio.sleep(0)  # type: ignore[attr-defined]
    consumer.stop_flow()
    await recovery.on_recovery_completed(1)
    assert host.calls == ["restore []"]
    assert consumer.flow_active is False


async def test_another_version_of_faust_is_refused_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(name: str) -> str:
        return "0.15.4" if name == "faust-streaming" else faust_batches.VERSIONS[name]

    monkeypatch.setattr(importlib.metadata, "version", other)
    with pytest.raises(ImportError, match=r"faust-streaming.*0\.15\.4"):
        importlib.reload(faust_batches)
    monkeypatch.undo()
    importlib.reload(faust_batches)
