"""A worker from start to end: everything is checked, the Faust application starts, cycles run, it stops in time.

The shell decides nothing about customers. What it wires together: topics and schemas as they must be, the journeys
in force, one transaction log, the batch cycle, and the application that hands it records and partitions.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import structlog
import uvloop

from orchestrator import __version__
from orchestrator.engine.shared import thin_rates
from orchestrator.engine.turn import UnknownVersion
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.clock import WallClock
from orchestrator.runtime.codec import EventCodec, RecordEncoder
from orchestrator.runtime.cycle import Cycle, CycleOptions
from orchestrator.runtime.data_dir import claim_data_dir
from orchestrator.runtime.faust_batches import BatchApp, batch_app, customers_table
from orchestrator.runtime.health import HealthServer
from orchestrator.runtime.in_force import InForce, load_journeys
from orchestrator.runtime.logs import configure_logs, stack_of
from orchestrator.runtime.merge import MergeOptions
from orchestrator.runtime.metrics import Metrics
from orchestrator.runtime.ports import CustomerStore, TransactionFailed
from orchestrator.runtime.publishing import publish_by_worker
from orchestrator.runtime.pump import BatchCycle, Pump
from orchestrator.runtime.restore import Progress, Restored, restore_partition
from orchestrator.runtime.roles import explained, no_transactions, require_rights, worker_rights
from orchestrator.runtime.schemas import is_same_schema, read_schema_files, register_schemas
from orchestrator.runtime.settings import Settings, transactional_id
from orchestrator.runtime.store import RocksCustomerStore
from orchestrator.runtime.topics import (
    TABLE_NAME,
    TopicNames,
    ensure_topics,
    topic_names,
    topic_specs,
    unread_events,
)
from orchestrator.runtime.transaction import KafkaTransactionLog, group_metadata
from orchestrator.runtime.uptake import Uptake

log = structlog.stdlib.get_logger(__name__)

EXIT_ENVIRONMENT, EXIT_BUG, EXIT_INTERRUPTED = 3, 70, 130


@dataclass(slots=True)
class Prepared:
    """What a worker has once everything outside is as it must be."""

    settings: Settings
    brokers: Brokers
    names: TopicNames
    uptake: Uptake
    in_force: InForce
    metrics: Metrics
    log: KafkaTransactionLog
    codec: EventCodec
    encoder: RecordEncoder
    membership: list[tuple[int, str]]
    """The newest (generation, member id); the transaction log asks for it at each begin."""
    claim: IO[str]
    """The data directory is this process's alone while it is open."""


def run_worker(settings: Settings) -> int:
    """Runs a worker until it is told to stop or fails; gives the exit code.

    Raises: EnvironmentProblem if the broker, the registry, a topic, a schema or the journeys are not as needed.
    """
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    try:
        prepared = prepare(settings)
    except EnvironmentProblem as problem:
        if settings.log_format != "json":
            raise
        # Whoever reads the log by machine looks for the reason there, in one line like all others.
        return _report(problem)
    log.info(
        "starting", version=__version__, worker=prepared.log.transactional_id, set=prepared.in_force.journeys.set_id
    )
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    # Not asyncio.run: at the end it would cancel Faust's tasks and wait for them, see below.
    code = loop.run_until_complete(_run(prepared))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Faust's consumer thread is not a daemon and may hang while it is told to stop; the group was left and the stores
    # are closed, so nothing is gained by waiting for it.
    os._exit(code)


def prepare(settings: Settings) -> Prepared:
    """Checks and wires everything that needs no partition yet. Blocks.

    Raises: EnvironmentProblem.
    """
    names, brokers = topic_names(settings), brokers_of(settings)
    schema_files = read_schema_files(settings.schemas)
    require_rights(settings, worker_rights(settings))
    ensure_topics(settings, topic_specs(settings, ()), create=settings.create_topics)
    registry = registry_of(settings)
    ids = register_schemas(registry, schema_files)
    uptake = Uptake(
        brokers,
        names.definitions,
        check_usable=lambda found: _check_usable(settings, {file.name: file.text for file in schema_files}, found),
        publish=lambda definition, before: publish_by_worker(settings, definition, before),
    )
    in_force = uptake.start_with(lambda: load_journeys(settings.journeys, settings.schemas), publish=settings.publish)
    _say_if_others(settings, in_force)
    _say_if_thin(settings, in_force)
    _say_if_unread(settings, in_force)
    clock = WallClock()
    metrics = Metrics(
        in_force.event_types, in_force.journeys, partitions=settings.partitions, data_dir=settings.data_dir
    )
    codec = EventCodec(registry, wanted=in_force.journeys.wanted, reader_schemas=in_force.reader_schemas, clock=clock)
    encoder = RecordEncoder(schemas={file.name: file.text for file in schema_files}, ids=ids)
    membership = [(-1, "")]
    claim = claim_data_dir(settings.data_dir)
    transactions = KafkaTransactionLog(
        brokers=brokers,
        transactional_id=transactional_id(settings),
        changelog_topic=names.changelog,
        membership=lambda: group_metadata(settings.app_id, *membership[0]),
        overrides={"transaction.timeout.ms": settings.transaction_timeout_ms},
        on_retry=metrics.transaction_retried,
    )
    try:
        transactions.start()
    except TransactionFailed as error:
        raise no_transactions(settings, error) from error
    return Prepared(
        settings, brokers, names, uptake, in_force, metrics, transactions, codec, encoder, membership, claim
    )


def check_emitted_topics(emits: Mapping[str, str], event_topics: Iterable[str]) -> None:
    """Raises: EnvironmentProblem if journeys emit events to a topic that no worker reads."""
    read = frozenset(event_topics)
    for event_type, topic in sorted(emits.items()):
        if topic not in read:
            raise EnvironmentProblem(
                f"journeys emit {event_type} to the topic {topic}, which no worker reads",
                hint="add it to --event-topics, or correct the topic in the event's schema",
            )


def make_cycle(prepared: Prepared) -> Cycle:
    """A batch cycle without partitions, for the journeys in force."""
    settings, names = prepared.settings, prepared.names
    options = CycleOptions(
        event_topics=names.events,
        transitions_topic=names.transitions,
        journal_topic=names.journal,
        dead_letters_topic=names.dead_letters,
        recalls_topic=names.recalls,
        partitions=settings.partitions,
        topic_prefix=settings.topic_prefix,
        batch_records_max=settings.batch_records_max,
        timers_per_transaction_max=settings.timers_per_transaction_max,
        align_per_transaction_max=settings.align_per_transaction_max,
        merge=MergeOptions(
            is_strict=settings.time == "stream",
            merge_wait_ms=settings.merge_wait_ms,
            buffer_records_max=settings.buffer_records_max,
        ),
    )
    return Cycle(
        options,
        journeys=prepared.in_force.journeys,
        definition=prepared.in_force.offset,
        codec=prepared.codec,
        encoder=prepared.encoder,
        log=prepared.log,
        clock=WallClock(),
        sink=prepared.metrics,
    )


def _check_usable(settings: Settings, schemas: Mapping[str, str], found: InForce) -> None:
    """Raises: EnvironmentProblem if a topic is missing that the set sends to, and may not be created, or if the worker
    has not the set's schema of an event that the set emits, so that it could not write all that the set allows.
    """
    check_emitted_topics(found.journeys.emits, settings.event_topics)
    others = sorted(
        name
        for name in found.journeys.emits
        if name not in schemas or not is_same_schema(schemas[name], found.reader_schemas.get(name, schemas[name]))
    )
    if others:
        raise EnvironmentProblem(
            f"journeys emit {', '.join(others)}, of which this worker has not the same schema",
            hint="bring the worker's --schemas up to date and start it again",
        )
    require_rights(settings, worker_rights(settings, found.journeys))
    ensure_topics(settings, topic_specs(settings, found.journeys.destinations), create=settings.create_topics)


def _say_if_thin(settings: Settings, in_force: InForce) -> None:
    """Says so if a rate cannot be divided among the partitions."""
    for rate in thin_rates(in_force.journeys.rates, settings.partitions):
        log.warning(
            "a rate is less than one message for each partition, so it holds only on average",
            rate=rate.name,
            max=rate.max,
            partitions=settings.partitions,
        )


def _say_if_unread(settings: Settings, in_force: InForce) -> None:
    """Says so if journeys ask for events that come by a topic which is not read: they would wait for them in vain."""
    unread = unread_events(in_force.journeys.wanted, in_force.reader_schemas, settings.event_topics)
    for event_type, topic in unread.items():
        log.warning(
            "journeys ask for events whose topic no worker reads",
            event_type=event_type,
            topic=topic,
            hint="add the topic to --event-topics, or correct the topic in the event's schema",
        )


def _say_if_others(settings: Settings, in_force: InForce) -> None:
    """Says so if the directory's journeys are not those in force."""
    with suppress(EnvironmentProblem):
        here = load_journeys(settings.journeys, settings.schemas).definition.set_id
        if here != in_force.journeys.set_id:
            log.warning(
                "the journeys of the directory are not in force: others were published",
                directory=str(settings.journeys),
                here=here,
                in_force=in_force.journeys.set_id,
                hint="bring them into force with `orchestrator apply`, or start with --publish",
            )


async def _run(prepared: Prepared) -> int:
    return await _Worker(prepared).run()


class _Worker:
    """One run of the application. An object because Faust calls back into what it holds."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.settings = prepared.settings
        self.stop_asked = asyncio.Event()
        self.is_stopping = False
        self.app: BatchApp
        self.loop: asyncio.AbstractEventLoop
        self.pump: Pump
        self.server: HealthServer
        self.announced = False

    async def run(self) -> int:
        """The exit code, after the group is left and the stores are closed."""
        settings, prepared = self.settings, self.prepared
        loop = self.loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._ask_to_stop)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        self.pump = Pump(
            new_cycle=self._new_cycle,
            open_store=self._opened,
            restore=self._restore,
            on_started=self._started,
            on_standing=prepared.metrics.standing,
            on_registry_failure=prepared.metrics.registry_failed,
            tick_s=settings.tick_ms / 1000,
            revoke_timeout_s=settings.session_timeout_ms / 1000 * 0.7,
        )
        prepared.metrics.cycles(self.pump.silent_s)
        prepared.metrics.watch_broker(lambda: prepared.uptake.is_broker_up)
        self.server = HealthServer(
            prepared.metrics.registry,
            host=settings.metrics_host,
            port=settings.metrics_port,
            ailing=self._ailing,
            unready=self._unready,
        )
        self.app = batch_app(
            app_id=settings.app_id,
            worker_id=prepared.log.transactional_id,
            brokers=prepared.brokers,
            data_dir=settings.data_dir,
            event_topics=prepared.names.events,
            partitions=settings.partitions,
            table_name=TABLE_NAME,
            open_store=self._open_store,
            host=self.pump,
            session_timeout_s=settings.session_timeout_ms / 1000,
            heartbeat_interval_s=settings.heartbeat_interval_ms / 1000,
            rebalance_timeout_s=settings.rebalance_timeout_ms / 1000,
            fetch_records_max=5_000,
        )
        prepared.uptake.follow(self._hand_over, on_refused=prepared.metrics.refused)
        pumping = asyncio.create_task(self.pump.run())
        starting = asyncio.create_task(self._start_app())
        stop: asyncio.Future[Any] = asyncio.ensure_future(self.stop_asked.wait())
        ends: set[asyncio.Future[Any]] = {stop, self.pump.failure}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        self.is_stopping = True
        code = await self._reported() if self.pump.failure.done() else 0
        _exit_at_last(settings.stop_timeout_ms / 1000, code or EXIT_BUG)
        await self._stop(is_clean=code == 0)
        pumping.cancel()
        starting.cancel()
        if code == 0 and self.pump.failure.done():
            code = await self._reported()
        if code == 0:
            log.info("stopped")
        return code

    async def _reported(self) -> int:
        """Says why the process ends; gives its exit code."""
        prepared, error = self.prepared, self.pump.failure.result()
        rights = worker_rights(self.settings, prepared.in_force.journeys)
        return _report(await asyncio.to_thread(explained, error, prepared.brokers, rights))

    def _ailing(self) -> str:
        """Why the process should be ended; "" if it goes on. Asked from the server's threads."""
        silent_s = self.pump.silent_s()
        if silent_s * 1000 > self.settings.hang_timeout_ms:
            return f"the cycles have not come round for {silent_s:.0f} s"
        return ""

    def _unready(self) -> str:
        """Why not all that was given to this worker is processed; "" if it is."""
        if self.is_stopping:
            return "stopping"
        if not self.prepared.uptake.is_broker_up:
            return "not ready: no broker answers"
        if not self.announced:
            return "not ready: no partitions were assigned yet, or they are being restored"
        return "" if self.pump.is_flowing else "not ready: partitions are being handed over or restored"

    async def _start_app(self) -> None:
        try:
            await self.app.start()
            await self.app._crashed.wait()  # noqa: SLF001 - Faust's own Worker looks there too
            reason = self.app.crash_reason
        except Exception as error:  # noqa: BLE001 - reported, and the process ends
            reason = error
        if not self.is_stopping:
            self.pump.fail(reason or RuntimeError("Faust ended without a reason"))

    async def _stop(self, *, is_clean: bool) -> None:
        """Ends the batch under way, leaves the group, closes the stores."""
        try:
            self.app.consumer.stop_flow()
            if is_clean:
                await self.pump.revoke()
            thread: Any = self.app.consumer._thread  # type: ignore[attr-defined]  # noqa: SLF001
            async with asyncio.timeout(3.0):
                await thread.leave_group()
        except Exception as error:  # noqa: BLE001 - the others take over after the session time-out instead
            log.warning("the group was not left in order", reason=f"{type(error).__name__}: {error}")
        self.prepared.uptake.stop()
        await customers_table(self.app).stores.on_stop()
        self.server.close()

    def _ask_to_stop(self) -> None:
        if not self.stop_asked.is_set():
            log.info("stopping")
            self.stop_asked.set()

    def _interrupt(self) -> None:
        """Ctrl-C: the second one does not wait for anything."""
        if self.stop_asked.is_set():
            os._exit(EXIT_INTERRUPTED)
        self._ask_to_stop()

    def _opened(self, number: int) -> CustomerStore:
        return customers_table(self.app).stores.opened(number)

    def _open_store(self, number: int) -> CustomerStore:
        settings = self.settings
        return RocksCustomerStore(settings.data_dir / settings.app_id / f"{TABLE_NAME}-{number}.db")

    def _new_cycle(self) -> Cycle:
        """A cycle with the journey versions of all workers: customers of a new partition may be in any of them."""
        prepared = self.prepared
        prepared.membership[0] = self.app.membership
        found = prepared.uptake.catch_up()
        if found is not None and found.offset != prepared.in_force.offset:
            self._take_up(found)
        return make_cycle(prepared)

    def _hand_over(self, found: InForce) -> None:
        """Called in the thread that follows the published sets."""

        def between_batches(cycle: BatchCycle) -> None:
            if found.offset > self.prepared.in_force.offset:
                self._take_up(found)
                cycle.take_up(found.journeys, found.offset)

        self.loop.call_soon_threadsafe(self.pump.between_batches, between_batches)

    def _take_up(self, found: InForce) -> None:
        prepared = self.prepared
        log.info(
            "journeys taken up",
            set=found.journeys.set_id,
            offset=found.offset,
            who=found.definition.who,
            why=found.definition.why,
        )
        _say_if_thin(self.settings, found)
        _say_if_unread(self.settings, found)
        prepared.in_force = found
        prepared.codec.want(found.journeys.wanted, found.reader_schemas)
        prepared.metrics.in_force(found.event_types, found.journeys)

    def _restore(self, number: int, store: CustomerStore, should_stop: Callable[[], bool]) -> Restored:
        names, settings, read = self.prepared.names, self.settings, [0]

        def progress(seen: Progress) -> None:
            self.prepared.metrics.restoring(
                seen.partition, remaining=seen.end - seen.position, read=seen.records - read[0]
            )
            read[0] = seen.records

        metrics, seconds = self.prepared.metrics, None
        metrics.restore_begins()
        try:
            restored = restore_partition(
                brokers=self.prepared.brokers,
                group_id=settings.app_id,
                event_topics=names.events,
                changelog_topic=names.changelog,
                partition=number,
                store=store,
                own_transactional_id=self.prepared.log.transactional_id,
                progress=progress,
                should_stop=should_stop,
            )
            seconds = restored.seconds
            return restored
        finally:
            metrics.restore_ended(seconds)

    def _started(self, partitions: AbstractSet[int]) -> None:
        self.prepared.metrics.assigned()
        log.info("partitions assigned", partitions=sorted(partitions))
        if not self.announced:
            self.announced = True
            owned = ", ".join(map(str, sorted(partitions))) or "none yet (other workers have them all)"
            print(f"ready: partitions {owned}; metrics at {self.server.url}", flush=True)


def _report(error: BaseException) -> int:
    """Says why the process ends; gives its exit code."""
    if isinstance(error, EnvironmentProblem):
        log.error("the worker ends", reason=str(error), hint=error.hint)
        return EXIT_ENVIRONMENT
    if isinstance(error, UnknownVersion):
        hint = "apply the journeys that had it once more, then those of today: see the run-book OrchestratorRestarting"
        log.error("the worker ends", reason=f"a customer is inside a lost version: {error}", hint=hint)
        return EXIT_ENVIRONMENT
    if isinstance(error, TransactionFailed):
        hint = "start it again: it goes on from the last transaction"
        if "_FENCED" in str(error):
            hint += "; if that does not last, two workers have one --worker-id"
        log.error("the worker ends", reason=str(error), hint=hint)
        return EXIT_ENVIRONMENT
    log.error("the worker ends: a bug, or something outside that it does not know", stack=stack_of(error))
    return EXIT_BUG


def _exit_at_last(seconds: float, code: int) -> None:
    """Ends the process after this time whatever hangs."""

    def end() -> None:
        log.error("the worker did not stop in time and is ended", seconds=seconds)
        os._exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
