"""Between Faust and the batch cycle: records in, cycles run, partitions taken over and let go.

Everything here runs in the application's loop except what blocks: a commit, a restore and a look at the registry each
have their thread. A failure of any of them ends the process: nothing of an unfinished batch is visible, and the next
owner goes on from the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import structlog
from faust.types import TP

from orchestrator.model.journey import JourneySet
from orchestrator.runtime.faust_batches import RecordBatch
from orchestrator.runtime.ports import CustomerStore, Standing, TopicPartition
from orchestrator.runtime.restore import Restored, RestoreStopped

log = structlog.stdlib.get_logger(__name__)

STANDING_EVERY_S = 5.0
LOOP_SHOWN_EVERY_S = 1.0
REGISTRY_PAUSE_S = 1.0

AHEAD_RECORDS = 2_000
"""With so many records waiting the next batch is decided while the last one commits, which makes catching up fast. With
fewer it would only be decided too early: what comes during the commit would then wait for two more of them."""


class BatchCycle(Protocol):
    """What the pump needs of a `Cycle`."""

    # The methods are documented where they are implemented.
    # ruff: noqa: D102
    def assign(self, partition: int, store: CustomerStore, *, stream_time_ms: int) -> None: ...
    def revoke(self, partition: int) -> None: ...
    def offer(
        self, topic: str, partition: int, records: Any, highwater: int | None, *, position: int | None
    ) -> None: ...
    def full(self) -> AbstractSet[TopicPartition]: ...
    def buffered(self) -> int: ...
    def has_work(self) -> bool: ...
    def needs_schemas(self) -> bool: ...
    def prepare(self) -> None: ...
    def standing(self) -> Standing: ...
    def take_up(self, journeys: JourneySet, definition: int) -> None: ...
    def compute(self) -> Any: ...
    def commit(self, computed: Any) -> Mapping[int, int]: ...
    def apply(self, computed: Any, positions: Mapping[int, int]) -> None: ...


class Pump:
    """The application's host: see `faust_batches.Host`.

    `restore` makes a partition's store current and blocks. `new_cycle` is called in the same thread before it and gives
    the cycle for the coming generation. `on_started` is told the owned partitions each time that records begin to flow,
    `on_standing` every few seconds what waits, `on_registry_failure` of each look without an answer.
    """

    def __init__(
        self,
        *,
        new_cycle: Callable[[], BatchCycle],
        open_store: Callable[[int], CustomerStore],
        restore: Callable[[int, CustomerStore, Callable[[], bool]], Restored],
        on_started: Callable[[AbstractSet[int]], None],
        on_standing: Callable[[Standing], None],
        on_registry_failure: Callable[[], None] = lambda: None,
        tick_s: float,
        revoke_timeout_s: float,
    ) -> None:
        self._new_cycle = new_cycle
        self._cycle: BatchCycle
        self._open_store = open_store
        self._restore = restore
        self._on_started = on_started
        self._on_standing = on_standing
        self._on_registry_failure = on_registry_failure
        self._tick_s = tick_s
        self._revoke_timeout_s = revoke_timeout_s
        self._stores: dict[int, CustomerStore] = {}
        self._generation: int | None = None
        self._flowing = False
        self._wake = asyncio.Event()
        self._resumed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._full: frozenset[TP] = frozenset()
        self._changes: list[Callable[[BatchCycle], None]] = []
        self._standing_at = 0.0
        self._came_round_at = time.monotonic()
        self._blocking = ThreadPoolExecutor(1, "commit")
        self._restorer = ThreadPoolExecutor(1, "restore")
        self._restoring: asyncio.Future[Any] | None = None
        self._restore_stop = threading.Event()
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    # What the application calls.

    def offer(self, batch: RecordBatch) -> None:
        """Takes over the records of a fetch."""
        if not self._flowing:
            return
        try:
            self._cycle.offer(batch.topic, batch.partition, batch.records, batch.highwater, position=batch.position)
            self._full = frozenset(TP(*tp) for tp in self._cycle.full())
        except Exception as error:  # noqa: BLE001 - Faust would restart the agent and go on without the batch
            self.fail(error)
        self._wake.set()

    def full(self) -> AbstractSet[TP]:
        """Source partitions whose buffers are full."""
        return self._full

    async def revoke(self) -> None:
        """Finishes the batch under way, ends a restore under way, lets go of all partitions."""
        self._flowing = False
        self._generation = None
        self._restore_stop.set()
        self._wake.set()
        try:
            async with asyncio.timeout(self._revoke_timeout_s):
                await self._idle.wait()
                if self._restoring is not None:
                    await asyncio.wait({self._restoring})
        except TimeoutError:
            self.fail(TimeoutError("the batch under way did not end before the partitions had to be handed over"))
            # The process ends; until then nobody may think that the partitions are free.
            await asyncio.sleep(self._revoke_timeout_s)
        for partition in sorted(self._stores):
            self._cycle.revoke(partition)
        self._stores.clear()
        self._full = frozenset()
        self._on_standing(Standing())

    async def restore(self, partitions: AbstractSet[int], generation: int) -> Mapping[TopicPartition, int | None]:
        """Makes the stores of these partitions current and gives the sources' next offsets."""
        if self._restoring is not None:
            await asyncio.wait({self._restoring})
        self._restore_stop = stop = threading.Event()
        loop = asyncio.get_running_loop()
        self._restoring = loop.run_in_executor(self._restorer, self._restore_all, sorted(partitions), stop)
        try:
            # Shielded: a rebalance cancels the waiting, and the thread must still be waited for.
            cycle, restored = await asyncio.shield(self._restoring)
        except RestoreStopped:
            return {}
        if stop.is_set():
            return {}
        self._cycle = cycle
        offsets: dict[TopicPartition, int | None] = {}
        for result in restored:
            store = self._stores[result.partition] = self._open_store(result.partition)
            cycle.assign(result.partition, store, stream_time_ms=result.stream_time_ms)
            for topic, offset in result.offsets.items():
                offsets[topic, result.partition] = offset
            log.info(
                "partition restored",
                partition=result.partition,
                records=result.records,
                seconds=round(result.seconds, 3),
            )
        self._generation = generation
        return offsets

    def _restore_all(self, partitions: list[int], stop: threading.Event) -> tuple[BatchCycle, list[Restored]]:
        cycle = self._new_cycle()
        return cycle, [self._restore(number, self._open_store(number), stop.is_set) for number in partitions]

    def abandon(self) -> None:
        """What was just restored is not assigned any more."""
        self._generation = None

    def is_current(self, generation: int) -> bool:
        """Whether everything is restored for this generation and no rebalance has begun since."""
        return self._generation == generation

    def started(self) -> None:
        """The partitions' records begin to flow."""
        self._flowing = True
        self._resumed.set()
        self._on_started(frozenset(self._stores))

    @property
    def is_flowing(self) -> bool:
        """Whether all assigned partitions are restored and their records are processed."""
        return self._flowing

    def silent_s(self) -> float:
        """Seconds since the cycles, or the loop that waits for partitions, last came round. Any thread may ask."""
        return time.monotonic() - self._came_round_at

    def between_batches(self, change: Callable[[BatchCycle], None]) -> None:
        """Makes this change to the cycle before the next batch is decided. Call it in the loop's thread."""
        self._changes.append(change)
        self._wake.set()

    def fail(self, error: BaseException) -> None:
        """Ends the process with this reason; the first one counts."""
        if not self.failure.done():
            self.failure.set_result(error)

    # The cycles.

    async def run(self) -> None:
        """Runs cycles until cancelled; every failure goes to `fail`."""
        try:
            while True:
                self._came_round()
                if not self._flowing:
                    self._idle.set()
                    self._resumed.clear()
                    # Woken in between only to show that the loop is alive.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._resumed.wait(), LOOP_SHOWN_EVERY_S)
                    continue
                self._idle.clear()
                await self._cycles()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._tick_s)
                self._wake.clear()
        except Exception as error:  # noqa: BLE001 - whatever it is, the process ends with it
            self.fail(error)

    async def _cycles(self) -> None:
        """Batches until there is nothing to do; far behind, each is computed while the one before it commits."""
        cycle, loop = self._cycle, asyncio.get_running_loop()
        computed = await self._computed()
        while computed is not None:
            committing = loop.run_in_executor(self._blocking, cycle.commit, computed)
            # Lets the fetched records in that came during the computing.
            await asyncio.sleep(0)
            ahead = await self._computed() if cycle.buffered() >= AHEAD_RECORDS else None
            cycle.apply(computed, await committing)
            self._came_round()
            if ahead is None:
                ahead = await self._computed()
            computed = ahead

    async def _computed(self) -> Any:
        """The next batch, or None if there is nothing to do or the partitions are to be handed over."""
        cycle = self._cycle
        while self._flowing:
            while self._changes:
                self._changes.pop(0)(cycle)
            if not cycle.needs_schemas():
                computed = cycle.compute() if cycle.has_work() else None
                self._full = frozenset(TP(*tp) for tp in cycle.full())
                if computed is not None or not cycle.needs_schemas():
                    return computed
            try:
                await asyncio.to_thread(cycle.prepare)
            except Exception as error:  # noqa: BLE001 - no answer is no verdict: the records wait
                self._on_registry_failure()
                log.warning("the schema registry gives no answer, records wait", reason=str(error))
                await asyncio.sleep(REGISTRY_PAUSE_S)
                self._came_round()
        return None

    def _came_round(self) -> None:
        """Shows that the cycles go on, and every few seconds how things stand."""
        now = self._came_round_at = time.monotonic()
        if self._flowing and now - self._standing_at > STANDING_EVERY_S:
            self._standing_at = now
            self._on_standing(self._cycle.standing())
