"""One batch cycle: take records, decide, commit one transaction, write the stores.

Place in the data flow: the worker offers fetched record lists, then runs three phases. `compute` is CPU work:
records become decisions. `commit` blocks: one Kafka transaction with everything. `apply` writes each partition's
store, and only then, so that a store is never ahead of its changelog. `compute` of the next batch may run while the
last one commits: it reads the states which that one computed.

The order of everything is that of `docs/architecture.md` ("Time"); the journal entry says what was done, so that a
replay can repeat it.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from orchestrator.model.customer import NEVER_MS
from orchestrator.model.events import EmittedEvent
from orchestrator.model.journey import JourneySet
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime import codec as wire_codec
from orchestrator.runtime.codec import EventCodec, JournalEntry, RecordEncoder, RejectedRecord
from orchestrator.runtime.decisions import NOBODY, Decided, Situation, UnknownFrames, decide
from orchestrator.runtime.merge import NOTHING_SHOWN_MS, MergeOptions, PartitionMerge, Taken
from orchestrator.runtime.placing import misplaced
from orchestrator.runtime.ports import (
    Aligned,
    BatchReport,
    BatchSink,
    Change,
    Clock,
    CustomerStore,
    Record,
    Standing,
    TopicPartition,
    TransactionFailed,
    TransactionLog,
)
from orchestrator.runtime.recalls import recall_record
from orchestrator.runtime.tracing import TRACEPARENT, placed_traces

SHARED_SPAN_MS = 600_000
"""A batch spans no more time than this where customers share rates or limits. Timers fire after the events of a batch,
so that on a worker that is behind a timer asks for its slot after events that came later. A year of such batches is
some 50,000 transactions, which is bearable where events are few; where they are many a batch is full sooner.
"""


@dataclass(frozen=True, slots=True)
class CycleOptions:
    """Topics and bounds. `partitions` is how many the event topics have; `topic_prefix` goes before the channels' topic
    names, which the journeys state without it.
    """

    event_topics: tuple[str, ...]
    transitions_topic: str
    journal_topic: str
    dead_letters_topic: str
    recalls_topic: str
    partitions: int
    topic_prefix: str = ""
    batch_records_max: int = 8_000
    timers_per_transaction_max: int = 4_000
    align_per_transaction_max: int = 500
    merge: MergeOptions = field(default_factory=MergeOptions)


@dataclass(frozen=True, slots=True)
class EmittedRecord:
    """An event that a journey emits, as a record of its customer's partition."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: list[tuple[str, bytes | None]]


@dataclass(slots=True)
class PartitionOutput:
    """What one partition's part of a batch sends, encoded, and what its store will be written with.

    `traces` has the trace of some records: by place in `records`, and then by place among that topic's.
    """

    partition: int
    changes: list[Change]
    records: list[tuple[str, list[tuple[bytes | None, bytes]]]]
    dead_letters: list[tuple[Record, list[tuple[str, bytes | None]]]]
    emitted: list[EmittedRecord]
    traces: Mapping[int, Mapping[int, bytes]]
    aligned: Aligned | None = None


@dataclass(slots=True)
class Computed:
    """A batch that is decided and not yet committed."""

    epoch: int
    outputs: list[PartitionOutput]
    offsets: dict[TopicPartition, int]
    stream_times: dict[int, int]
    report: BatchReport


@dataclass(slots=True)
class _Partition:
    merge: PartitionMerge
    store: CustomerStore
    held: Taken | None = None
    """Records that were taken but wait for a schema."""
    next_wake_ms: int | None = None
    """The earliest entry of the store's timer index; None: look."""
    align_after: bytes | None = None
    """Customers up to this one are in line with the journey set, and the others are still to come; None: all are."""


class Cycle:
    """The batch cycle over all partitions that this worker owns.

    All methods but `commit` and `prepare` are called from one thread; those two block and may run in another one.
    `revoke` must not be called while a `commit` runs.
    """

    def __init__(
        self,
        options: CycleOptions,
        *,
        journeys: JourneySet,
        definition: int = -1,
        codec: EventCodec,
        encoder: RecordEncoder,
        log: TransactionLog,
        clock: Clock,
        sink: BatchSink,
    ) -> None:
        self._options = options
        self._journeys = journeys
        self._definition = definition
        self._codec = codec
        self._encoder = encoder
        self._log = log
        self._clock = clock
        self._sink = sink
        self._partitions: dict[int, _Partition] = {}
        self._frames: set[bytes] = set()
        self._pending: list[Computed] = []
        self._turn = 0
        self._epoch = 0

    def assign(self, partition: int, store: CustomerStore, *, stream_time_ms: int = NOTHING_SHOWN_MS) -> None:
        """Takes on a partition whose store is restored; `stream_time_ms` is what `restore_partition` found."""
        merge = PartitionMerge(
            self._options.event_topics,
            options=self._options.merge,
            is_heartbeat=self._codec.is_heartbeat,
            stream_time_ms=stream_time_ms,
        )
        alignment, after = store.aligned() or ("", None)
        if alignment != self._journeys.alignment:
            after = b""
        self._partitions[partition] = _Partition(merge, store, align_after=after)

    def take_up(self, journeys: JourneySet, definition: int) -> None:
        """Decides under another journey set from the next batch on: the journal names it with that batch.

        Event types that are wanted anew are the codec's matter. Nothing is done if this or a later publication is in
        force already.
        """
        if definition <= self._definition:
            return
        if journeys.alignment != self._journeys.alignment:
            for owned in self._partitions.values():
                owned.align_after = b""
        self._journeys, self._definition = journeys, definition

    def revoke(self, partition: int) -> None:
        """Gives up a partition with everything buffered for it.

        A batch that is computed and not committed can no longer be: `commit` refuses it. The caller closes the store.
        """
        self._partitions.pop(partition, None)
        self._epoch += 1
        self._pending.clear()

    def offer(
        self,
        topic: str,
        partition: int,
        records: Sequence[Record],
        highwater: int | None,
        *,
        position: int | None = None,
    ) -> None:
        """Takes in fetched records, in offset order. Records of a partition that is not owned are dropped.

        `highwater` is the source's high watermark, `position` the next offset to fetch where that is known to be
        past the last record (transaction markers); with no records this only says that the topic is caught up.
        """
        owned = self._partitions.get(partition)
        if owned is not None:
            owned.merge.offer(topic, records, highwater=highwater, now_ms=self._clock.now_ms(), position=position)

    def full(self) -> set[TopicPartition]:
        """Source partitions that are to be paused for now; all others must go on."""
        return {(topic, number) for number, owned in self._partitions.items() for topic in owned.merge.full()}

    def buffered(self) -> int:
        """How many records wait to be taken."""
        return sum(owned.merge.buffered() for owned in self._partitions.values())

    def standing(self) -> Standing:
        """What waits to be applied, and how large the stores are."""
        lag: dict[TopicPartition, int] = {}
        oldest = []
        for number, owned in self._partitions.items():
            for topic, count in owned.merge.lag().items():
                lag[topic, number] = count
            if owned.held is not None:
                for topic, count in Counter(record.topic for record in owned.held.records).items():
                    lag[topic, number] = lag.get((topic, number), 0) + count
                oldest.append(owned.held.records[0].timestamp)
            if (waiting_ms := owned.merge.oldest_ms()) is not None:
                oldest.append(waiting_ms)
        stores = [owned.store for owned in self._partitions.values()]
        return Standing(
            len(stores),
            lag,
            min(oldest, default=None),
            sum(store.timers_pending() for store in stores),
            sum(store.size_bytes() for store in stores),
        )

    def stream_times(self) -> dict[int, int]:
        """Partition -> the greatest timestamp taken so far; -1 for none."""
        return {number: owned.merge.stream_time_ms for number, owned in self._partitions.items()}

    def has_work(self) -> bool:
        """Whether `compute` would give something now. Cheap enough for a tick of milliseconds."""
        now_ms = self._clock.now_ms()
        for owned in self._partitions.values():
            if owned.held is not None:
                if not self._frames:
                    return True
            elif (
                owned.merge.is_ready(now_ms)
                or self._is_to_align(owned, now_ms)
                or (not self._pending and self._next_wake_ms(owned) <= self._timers_until(owned, now_ms))
            ):
                return True
        return False

    def needs_schemas(self) -> bool:
        """Whether records are held until `prepare` has looked up their schemas."""
        return bool(self._frames)

    def prepare(self) -> None:
        """Looks up the schemas that records are held for. Blocks.

        Raises: whatever the schema source raises if the registry gave no answer; then call it again later.
        """
        frames = frozenset(self._frames)
        self._codec.prepare(frames)
        self._frames -= frames

    def compute(self) -> Computed | None:
        """Takes records from all owned partitions and decides, then fires due timers; None if there is nothing to do.

        May be called while the batch before is being committed, but not two batches ahead.
        """
        if len(self._pending) > 1:
            raise RuntimeError("compute was called two batches ahead of apply")
        started = time.perf_counter()
        # A batch makes a hundred thousand objects and no reference cycles: looking for some in the middle of it costs
        # a fifth of the whole (6.6 instead of 5.3 us a record without the engine's own work).
        is_collecting = gc.isenabled()
        gc.disable()
        try:
            computed = self._compute()
        finally:
            if is_collecting:
                gc.enable()
        if computed is not None:
            computed.report.compute_seconds = time.perf_counter() - started
            self._pending.append(computed)
        return computed

    def _compute(self) -> Computed | None:
        self._codec.forget_negative_answers()
        now_ms = self._clock.now_ms()
        computed = Computed(self._epoch, [], {}, {}, BatchReport())
        numbers = sorted(self._partitions)
        self._turn += 1
        room = self._options.batch_records_max
        for place in range(len(numbers)):
            number = numbers[(place + self._turn) % len(numbers)]
            share = max(1, room // (len(numbers) - place))
            room -= self._compute_partition(number, share, now_ms, computed)
        return computed if computed.outputs else None

    def _compute_partition(self, number: int, share: int, now_ms: int, computed: Computed) -> int:
        """Adds one partition's part to the batch; gives how many records it took."""
        owned = self._partitions[number]
        span_ms = SHARED_SPAN_MS if self._journeys.uses_shared else None
        if span_ms is not None and owned.held is None and self._fire_before(number, owned, now_ms, computed):
            return 0
        taken = owned.held or owned.merge.take(share, now_ms, span_ms=span_ms)
        until_ms = self._timers_until(owned, now_ms)
        if taken is None and not self._pending and owned.align_after is None and self._next_wake_ms(owned) > until_ms:
            return 0
        decided = decide(taken, self._situation(number, owned, until_ms, now_ms, align_after=owned.align_after))
        if isinstance(decided, UnknownFrames):
            owned.held = taken
            self._frames |= decided.frames
            return 0
        owned.held = None
        if taken is None and not decided.fired and decided.aligned_after is None:
            return 0
        if decided.aligned_after is not None:
            owned.align_after = decided.aligned_until
        # After a change of the set the store says so from its first batch on, also where nobody was brought in line:
        # whoever takes the partition over must not believe this batch's customers in line with the set before.
        is_told = owned.align_after is not None or decided.aligned_after is not None
        aligned = (self._journeys.alignment, owned.align_after) if is_told else None
        computed.outputs.append(self._encode(number, taken, decided, aligned))
        for part in taken.slices if taken is not None else ():
            computed.offsets[part.topic, number] = part.last + 1
        computed.stream_times[number] = owned.merge.stream_time_ms
        self._report(computed.report, number, taken, decided)
        return 0 if taken is None else len(taken.records)

    def _fire_before(self, number: int, owned: _Partition, now_ms: int, computed: Computed) -> bool:
        """Fires what is due before the next record; whether there was anything, which is a batch of its own then."""
        first_ms = owned.merge.first_ms(now_ms)
        if first_ms is None or first_ms - 1 <= owned.merge.stream_time_ms:
            return False
        decided = decide(None, self._situation(number, owned, first_ms - 1, now_ms, align_after=None))
        if isinstance(decided, UnknownFrames) or not decided.fired:
            return False
        aligned = None if owned.align_after is None else (self._journeys.alignment, owned.align_after)
        computed.outputs.append(self._encode(number, None, decided, aligned))
        computed.stream_times[number] = owned.merge.stream_time_ms
        self._report(computed.report, number, None, decided)
        return True

    def _situation(
        self, number: int, owned: _Partition, until_ms: int, now_ms: int, *, align_after: bytes | None
    ) -> Situation:
        return Situation(
            partition=number,
            partitions=self._options.partitions,
            journeys=self._journeys,
            codec=self._codec,
            store=owned.store,
            uncommitted=self._uncommitted(number),
            timers_until_ms=until_ms,
            timers_max=self._options.timers_per_transaction_max,
            late_at_ms=until_ms if self._options.merge.is_strict else now_ms,
            align_after=align_after,
            align_max=self._options.align_per_transaction_max,
        )

    def _timers_until(self, owned: _Partition, now_ms: int) -> int:
        """Up to when timers fire: see `docs/architecture.md`, "Time"."""
        if not self._options.merge.is_strict and owned.held is None and owned.merge.is_caught_up():
            return now_ms
        return owned.merge.stream_time_ms

    def _is_to_align(self, owned: _Partition, now_ms: int) -> bool:
        return owned.align_after is not None and self._timers_until(owned, now_ms) >= 0

    def _next_wake_ms(self, owned: _Partition) -> int:
        if owned.next_wake_ms is None:
            first = owned.store.due(NEVER_MS - 1, 1)
            owned.next_wake_ms = first[0][0] if first else NEVER_MS
        return owned.next_wake_ms

    def _uncommitted(self, number: int) -> dict[bytes, bytes]:
        return {
            key: NOBODY if new is None else new
            for computed in self._pending
            for output in computed.outputs
            if output.partition == number
            for key, _, new in output.changes
        }

    def _encode(self, number: int, taken: Taken | None, decided: Decided, aligned: Aligned | None) -> PartitionOutput:
        """The bytes of everything that a partition's part of the batch sends."""
        encoder, options = self._encoder, self._options
        by_channel: dict[str, list[tuple[bytes | None, bytes]]] = {}
        encode_action, encode_transition = encoder.action, encoder.transition
        for action in decided.effects.actions:
            by_channel.setdefault(action.channel, []).append((action.customer_id.encode(), encode_action(action)))
        topics = self._journeys.destinations if by_channel else {}
        records = [(options.topic_prefix + topics[channel], sent) for channel, sent in by_channel.items()]
        records.append(
            (
                options.transitions_topic,
                [(made.customer_id.encode(), encode_transition(made)) for made in decided.effects.transitions],
            )
        )
        if decided.effects.recalls:
            records.append((options.recalls_topic, [recall_record(made) for made in decided.effects.recalls]))
        entry = JournalEntry(
            partition=number,
            slices=[] if taken is None else taken.slices,
            rejected=[
                RejectedRecord(record.topic, record.offset, why.reason)
                for record, why in decided.rejected
                if why.reason != wire_codec.CONDITION_FAILED
            ],
            timers_until=decided.timers_until,
            timers_until_customer=decided.timers_until_customer,
            journeys=self._journeys.set_id,
            definition=self._definition,
            aligned_after=decided.aligned_after,
            aligned_until=decided.aligned_until,
        )
        records.append((options.journal_topic, [(None, encoder.journal(entry))]))
        dead_letters = [(record, _dead_letter_headers(record, why)) for record, why in decided.rejected]
        traces = decided.traces
        emitted = [self._emitted(made, traces.events.get(place)) for place, made in enumerate(decided.effects.events)]
        placed = placed_traces(traces, [action.channel for action in decided.effects.actions]) if traces.actions else {}
        return PartitionOutput(number, decided.changes, records, dead_letters, emitted, placed, aligned)

    def _emitted(self, made: EmittedEvent, trace: bytes | None) -> EmittedRecord:
        """The record of an event that a journey emits; its time is the decision's, whenever it is sent.

        Raises: EnvironmentProblem if its schema was changed in a way that older journey versions do not fit.
        """
        try:
            value = self._encoder.event(made.event)
        except ValueError as error:
            raise EnvironmentProblem(
                f"{made.source}: {error}", hint="give the event's schema back what customers inside still send"
            ) from None
        topic = self._options.topic_prefix + made.topic
        headers: list[tuple[str, bytes | None]] = [("emitted.by", made.source.encode())]
        if trace is not None:
            headers.append((TRACEPARENT, trace))
        return EmittedRecord(topic, made.event.customer_id.encode(), value, made.at_ms, headers)

    def _report(self, report: BatchReport, number: int, taken: Taken | None, decided: Decided) -> None:
        effects = decided.effects
        report.records += 0 if taken is None else len(taken.records)
        report.heartbeats += decided.heartbeats
        report.duplicates += effects.duplicates
        report.customers += len(decided.changes) - decided.changed_shared
        report.timers_fired += effects.timers_fired
        report.aligned += decided.aligned
        report.lateness_ms += decided.lateness_ms
        _count(report.applied, decided.applied)
        _count(report.skipped, decided.skipped)
        _count(report.rejected, Counter([why.reason for _, why in decided.rejected]))
        _count(report.transitions, Counter([(t.journey, t.step, t.kind, t.reason) for t in effects.transitions]))
        _count(report.emitted, Counter([made.event.type for made in effects.events]))
        _count(report.actions, Counter([(action.channel, action.journey) for action in effects.actions]))
        if taken is not None and decided.changes:
            where = {"partition": number, "partitions": self._options.partitions}
            _count(report.misplaced, misplaced(decided.changes, taken.records, **where))
        if taken is not None and not self._options.merge.is_strict:
            report.record_times_ms.append([record.timestamp for record in taken.records])

    def commit(self, computed: Computed) -> Mapping[int, int]:
        """Commits the batch in one transaction; gives partition -> next changelog offset, for `apply`. Blocks.

        Raises: TransactionFailed; nothing of the batch is visible then, and the process must end.
        """
        if computed.epoch != self._epoch:
            raise TransactionFailed("partitions were revoked after this batch was computed")
        started = time.perf_counter()
        log = self._log
        log.begin()
        try:
            for output in computed.outputs:
                number = output.partition
                log.produce_changelog(number, [(key, new) for key, _, new in output.changes])
                for place, (topic, records) in enumerate(output.records):
                    traced = output.traces.get(place)
                    if traced is None:
                        log.produce_many(topic, number, records)
                    else:
                        for index, (key, value) in enumerate(records):
                            trace = traced.get(index)
                            log.produce(topic, number, key, value, None if trace is None else [(TRACEPARENT, trace)])
                for event in output.emitted:
                    log.produce(
                        event.topic, number, event.key, event.value, event.headers, timestamp_ms=event.timestamp_ms
                    )
                for record, headers in output.dead_letters:
                    log.produce(self._options.dead_letters_topic, number, record.key, record.value, headers)
            positions = log.commit(computed.offsets, stream_times=computed.stream_times)
        except BaseException:
            # The first failure is the one to report; an abort that fails as well is only repeated by the broker.
            with suppress(TransactionFailed):
                log.abort()
            raise
        computed.report.commit_seconds = time.perf_counter() - started
        computed.report.committed_at_ms = self._clock.now_ms()
        return positions

    def apply(self, computed: Computed, positions: Mapping[int, int]) -> None:
        """Writes the stores of a batch that was committed, and reports it.

        Raises: whatever the store raises (full disk, damage). The process must end; the next restore catches up.
        """
        started = time.perf_counter()
        for output in computed.outputs:
            owned = self._partitions.get(output.partition)
            if owned is not None and (output.changes or output.partition in positions or output.aligned is not None):
                owned.store.write(output.changes, position=positions.get(output.partition), aligned=output.aligned)
                owned.next_wake_ms = None
        self._pending.remove(computed)
        computed.report.apply_seconds = time.perf_counter() - started
        self._sink.batch(computed.report)


K = TypeVar("K")


def _count(total: dict[K, int], more: Mapping[K, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number


def _dead_letter_headers(record: Record, why: wire_codec.Rejection) -> list[tuple[str, bytes | None]]:
    """The record's own headers and, after them, where it came from and why it is here."""
    return [
        *record.headers,
        ("dlq.topic", record.topic.encode()),
        ("dlq.partition", str(record.partition).encode()),
        ("dlq.offset", str(record.offset).encode()),
        ("dlq.timestamp", str(record.timestamp).encode()),
        ("dlq.reason", why.reason.encode()),
        ("dlq.detail", why.detail.encode()),
    ]
