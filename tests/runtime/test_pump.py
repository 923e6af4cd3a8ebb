"""The pump with a cycle that does what the test says: rebalances, failures, an absent registry."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from orchestrator.runtime.faust_batches import RecordBatch
from orchestrator.runtime.ports import CustomerStore, Standing, TransactionFailed
from orchestrator.runtime.pump import Pump
from orchestrator.runtime.restore import Restored, RestoreStopped
from orchestrator.runtime.store import MemoryCustomerStore


class FakeCycle:
    """Batches are the lists offered; `gate` lets the test hold a commit back."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.records_each = 10_000
        self.done: list[str] = []
        self.assigned: dict[int, CustomerStore] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.committing = threading.Event()
        self.commit_error: BaseException | None = None
        self.unknown_schemas = False
        self.registry_answers = True
        self.prepared = 0
        self.paused: set[tuple[str, int]] = set()

    def assign(self, partition: int, store: CustomerStore, *, stream_time_ms: int) -> None:
        self.assigned[partition] = store

    def revoke(self, partition: int) -> None:
        self.done.append(f"revoke {partition}")
        self.assigned.pop(partition, None)

    def offer(self, topic: str, partition: int, records: Any, highwater: int | None, *, position: int | None) -> None:
        self.waiting.append(records)

    def full(self) -> set[tuple[str, int]]:
        return self.paused

    def buffered(self) -> int:
        return len(self.waiting) * self.records_each

    def has_work(self) -> bool:
        return bool(self.waiting)

    def needs_schemas(self) -> bool:
        return self.unknown_schemas

    def take_up(self, _journeys: object, definition: int) -> None:
        self.done.append(f"take up {definition}")

    def prepare(self) -> None:
        self.prepared += 1
        if not self.registry_answers:
            self.registry_answers = True
            raise OSError("registry is away")
        self.unknown_schemas = False

    def standing(self) -> Standing:
        return Standing(partitions=len(self.assigned))

    def compute(self) -> Any:
        return self.waiting.pop(0) if self.waiting else None

    def commit(self, computed: Any) -> dict[int, int]:
        self.committing.set()
        assert self.gate.wait(10)
        if self.commit_error is not None:
            raise self.commit_error
        self.done.append(f"commit {computed}")
        return {}

    def apply(self, computed: Any, positions: Any) -> None:
        self.done.append(f"apply {computed}")


class Rig:
    """A running pump that owns partition 0 in generation 1."""

    def __init__(self) -> None:
        self.cycle = FakeCycle()
        self.stores: dict[int, MemoryCustomerStore] = {}
        self.started: list[frozenset[int]] = []
        self.standings: list[Standing] = []
        self.registry_failures: list[bool] = []
        self.restore: Callable[[int, Callable[[], bool]], None] = lambda _number, _should_stop: None
        self.pump = Pump(
            new_cycle=lambda: self.cycle,
            open_store=lambda number: self.stores.setdefault(number, MemoryCustomerStore()),
            restore=self._restore,
            on_started=lambda partitions: self.started.append(frozenset(partitions)),
            on_standing=self.standings.append,
            on_registry_failure=lambda: self.registry_failures.append(True),
            tick_s=0.01,
            revoke_timeout_s=0.2,
        )
        self.task = asyncio.create_task(self.pump.run())

    def _restore(self, number: int, store: CustomerStore, should_stop: Callable[[], bool]) -> Restored:
        self.restore(number, should_stop)
        return Restored(number, 0, 0, {"web": 5, "orders": None}, -1, 0.0)

    async def take_over(self, *, generation: int = 1) -> None:
        await self.pump.restore(frozenset({0}), generation)
        assert self.pump.is_current(generation)
        self.pump.started()

    def offer(self, records: Any) -> None:
        self.pump.offer(RecordBatch("web", 0, records=records, position=None, highwater=None, epoch=0))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the fake cycle runs in another thread
                await asyncio.sleep(0.005)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    rig.cycle.gate.set()
    rig.task.cancel()


async def test_restore_gives_the_sources_next_offsets_and_assigns_the_store(rig: Rig) -> None:
    offsets = await rig.pump.restore(frozenset({0}), 1)
    assert offsets == {("web", 0): 5, ("orders", 0): None}
    assert rig.cycle.assigned == {0: rig.stores[0]}


async def test_records_are_computed_committed_and_applied_in_order(rig: Rig) -> None:
    await rig.take_over()
    rig.offer("a")
    rig.offer("b")
    await rig.until(lambda: len(rig.cycle.done) == 4)
    assert rig.cycle.done == ["commit a", "apply a", "commit b", "apply b"]


async def test_the_next_batch_is_computed_while_the_one_before_commits(rig: Rig) -> None:
    await rig.take_over()
    rig.cycle.gate.clear()
    rig.offer("a")
    rig.offer("b")
    await rig.until(rig.cycle.committing.is_set)
    await rig.until(lambda: not rig.cycle.waiting)
    assert rig.cycle.done == []
    rig.cycle.gate.set()
    await rig.until(lambda: len(rig.cycle.done) == 4)
    assert rig.cycle.done == ["commit a", "apply a", "commit b", "apply b"]


async def test_a_small_batch_is_not_computed_before_the_one_before_is_committed(rig: Rig) -> None:
    rig.cycle.records_each = 1
    await rig.take_over()
    rig.cycle.gate.clear()
    rig.offer("a")
    await rig.until(rig.cycle.committing.is_set)
    rig.offer("b")
    await asyncio.sleep(0.05)
    assert rig.cycle.waiting == ["b"]
    rig.cycle.gate.set()
    await rig.until(lambda: rig.cycle.done == ["commit a", "apply a", "commit b", "apply b"])


async def test_records_that_come_after_a_revoke_are_dropped(rig: Rig) -> None:
    await rig.take_over()
    await rig.pump.revoke()
    rig.offer("a")
    assert rig.cycle.waiting == []
    await rig.take_over(generation=2)
    rig.offer("b")
    await rig.until(lambda: "apply b" in rig.cycle.done)
    assert not rig.pump.failure.done()


async def test_revoke_waits_for_the_batch_under_way(rig: Rig) -> None:
    await rig.take_over()
    rig.cycle.gate.clear()
    rig.offer("a")
    await rig.until(rig.cycle.committing.is_set)
    revoking = asyncio.create_task(rig.pump.revoke())
    await asyncio.sleep(0.02)
    assert not revoking.done()
    rig.cycle.gate.set()
    await revoking
    assert rig.cycle.done == ["commit a", "apply a", "revoke 0"]
    assert not rig.pump.is_current(1)


async def test_a_batch_that_does_not_end_before_the_handover_ends_the_process(rig: Rig) -> None:
    await rig.take_over()
    rig.cycle.gate.clear()
    rig.offer("a")
    await rig.until(rig.cycle.committing.is_set)
    await rig.pump.revoke()
    assert isinstance(await rig.pump.failure, TimeoutError)


async def test_a_failed_transaction_ends_the_process_with_its_reason(rig: Rig) -> None:
    await rig.take_over()
    rig.cycle.commit_error = TransactionFailed("fenced")
    rig.offer("a")
    async with asyncio.timeout(5):
        assert str(await rig.pump.failure) == "fenced"
    assert rig.cycle.done == []


async def test_a_revoke_ends_a_restore_under_way_before_it_returns(rig: Rig) -> None:
    entered, left = threading.Event(), threading.Event()

    def restore(_number: int, should_stop: Callable[[], bool]) -> None:
        entered.set()
        while not should_stop():
            threading.Event().wait(0.005)
        left.set()
        raise RestoreStopped

    rig.restore = restore
    restoring = asyncio.create_task(rig.pump.restore(frozenset({0}), 1))
    await rig.until(entered.is_set)
    await rig.pump.revoke()
    assert left.is_set()
    assert await restoring == {}
    assert not rig.pump.is_current(1)
    assert rig.cycle.assigned == {}


async def test_a_cancelled_restore_is_waited_for_by_the_next_one(rig: Rig) -> None:
    entered, release = threading.Event(), threading.Event()
    running: list[int] = []

    def restore(_number: int, should_stop: Callable[[], bool]) -> None:
        running.append(1)
        assert len(running) == 1, "two restores at once"
        entered.set()
        assert release.wait(5)
        running.pop()

    rig.restore = restore
    first = asyncio.create_task(rig.pump.restore(frozenset({0}), 1))
    await rig.until(entered.is_set)
    first.cancel()
    second = asyncio.create_task(rig.pump.restore(frozenset({0}), 2))
    await asyncio.sleep(0.02)
    release.set()
    assert await second == {("web", 0): 5, ("orders", 0): None}
    assert rig.pump.is_current(2)


async def test_a_revoke_waits_for_the_thread_of_a_cancelled_restore(rig: Rig) -> None:
    entered, left = threading.Event(), threading.Event()

    def restore(_number: int, should_stop: Callable[[], bool]) -> None:
        entered.set()
        while not should_stop():
            threading.Event().wait(0.005)
        threading.Event().wait(0.05)
        left.set()

    rig.restore = restore
    restoring = asyncio.create_task(rig.pump.restore(frozenset({0}), 1))
    await rig.until(entered.is_set)
    restoring.cancel()
    await asyncio.sleep(0)
    await rig.pump.revoke()
    assert left.is_set(), "the store could be closed under the thread that fills it"


async def test_records_wait_while_the_registry_gives_no_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.runtime.pump.REGISTRY_PAUSE_S", 0.01)
    await rig.take_over()
    rig.cycle.unknown_schemas, rig.cycle.registry_answers = True, False
    rig.offer("a")
    await rig.until(lambda: "apply a" in rig.cycle.done)
    assert rig.registry_failures == [True]
    assert rig.cycle.prepared == 2
    assert not rig.pump.failure.done()


async def test_full_buffers_are_known_to_the_consumer(rig: Rig) -> None:
    await rig.take_over()
    rig.cycle.paused = {("web", 0)}
    rig.offer("a")
    assert rig.pump.full() == {("web", 0)}
    rig.cycle.paused = set()
    await rig.until(lambda: not rig.pump.full())


async def test_the_owned_partitions_are_told_when_records_begin_to_flow(rig: Rig) -> None:
    await rig.take_over()
    assert rig.started == [frozenset({0})]


async def test_a_commit_that_hangs_is_seen_from_outside_and_an_idle_worker_is_not_taken_for_hanging(rig: Rig) -> None:
    await asyncio.sleep(0.02)
    assert not rig.pump.is_flowing
    await rig.take_over()
    rig.cycle.gate.clear()
    rig.offer("a")
    await rig.until(rig.cycle.committing.is_set)
    first = rig.pump.silent_s()
    await asyncio.sleep(0.05)
    # Five ticks on, and the cycles have not come round once.
    assert rig.pump.silent_s() > first
    assert rig.pump.silent_s() >= 0.05
    rig.cycle.gate.set()
    await rig.until(lambda: "apply a" in rig.cycle.done and rig.pump.silent_s() < first + 0.02)


async def test_how_things_stand_is_told_when_partitions_come_and_when_they_go(rig: Rig) -> None:
    await rig.take_over()
    await rig.until(lambda: bool(rig.standings))
    assert rig.standings[-1].partitions == 1
    await rig.pump.revoke()
    assert rig.standings[-1] == Standing()
    assert not rig.pump.is_flowing


async def test_how_things_stand_is_told_while_the_registry_is_away(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.runtime.pump.REGISTRY_PAUSE_S", 0.01)
    monkeypatch.setattr("orchestrator.runtime.pump.STANDING_EVERY_S", 0.0)
    monkeypatch.setattr(rig.cycle, "prepare", lambda: (_ for _ in ()).throw(OSError("away")))
    await rig.take_over()
    rig.cycle.unknown_schemas = True
    rig.offer("a")
    await rig.until(lambda: len(rig.registry_failures) > 2)
    told = len(rig.standings)
    await rig.until(lambda: len(rig.standings) > told)
