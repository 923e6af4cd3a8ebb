"""A rebuild on a real installation: which aggregates lack a past, how far back the topics reach, the events sent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from orchestrator.authoring.tracking import listed_aggregates
from orchestrator.engine.erasure import ERASED
from orchestrator.engine.histories import REBUILT
from orchestrator.model.aggregates import Aggregate
from orchestrator.model.events import Event
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.clock import WallClock
from orchestrator.runtime.codec import FRAME_BYTES, EventCodec, Handling, JournalEntry, decode_event
from orchestrator.runtime.definitions import read_definitions
from orchestrator.runtime.in_force import InForce, Publications
from orchestrator.runtime.produce import EventProducer, event_routes, produced_schemas, registered_ids
from orchestrator.runtime.rebuild import (
    Gathering,
    Journaled,
    Order,
    PastRecord,
    ReadRange,
    read_journal,
    rebuilt_event,
)
from orchestrator.runtime.replay import ReplayImpossible
from orchestrator.runtime.replay_kafka import Avro, Bounds, TopicReader, journal_entries, journey_sets
from orchestrator.runtime.schemas import read_schema_files
from orchestrator.runtime.scratch import RocksScratch
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names

MARGIN_MS = 86_400_000
"""So much before the longest window the sources are read, for events that came late or twice."""

Progress = Callable[[int, int, int], None]
"""(partition, records read, records to be read)."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """What one partition lacks: the aggregates that were not kept from its first event on, and how to make up for it.

    `starts` is from which offset each source is read; `reaches_ms` maps aggregates, by text, to the instant before
    which events that count are no longer in the topics; those of which all are there are not in it.
    """

    partition: int
    journaled: Journaled
    aggregates: tuple[Aggregate, ...]
    starts: Mapping[str, int]
    reaches_ms: Mapping[str, int]

    @property
    def records(self) -> int:
        """How many records lie before the cuts, at most."""
        last = max((self.journaled.cuts[one.key] for one in self.aggregates), key=lambda cut: cut.entries)
        return sum(max(0, end - self.starts.get(topic, end)) for topic, end in last.offsets.items())


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild did: `events` counted, `customers` who got a past."""

    events: int = 0
    customers: int = 0


class Rebuild:
    """Connections of one rebuild.

    Raises: EnvironmentProblem if broker or registry do not answer, topics are missing, or no journeys are in force.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = topic_names(settings)
        self._registry = registry_of(settings)
        self._avro = Avro(self._registry)
        definitions = read_definitions(brokers_of(settings), self._names.definitions)
        newest = Publications(definitions).newest
        if newest is None:
            raise EnvironmentProblem("no journeys are in force", hint="publish them with: orchestrator apply")
        self._in_force: InForce = newest
        self.aggregates = listed_aggregates(newest.journeys)
        """What is kept now, by its text."""
        self._sets = journey_sets(definitions)
        self._reader = TopicReader(brokers_of(settings))
        topics = self._reader.topics()
        if self._names.journal not in topics:
            self._reader.close()
            raise EnvironmentProblem(
                f"topic {self._names.journal} does not exist", hint="is --topic-prefix right, and did a worker run?"
            )
        self._partitions = topics[self._names.journal]

    def close(self) -> None:
        """Ends all connections."""
        self._reader.close()

    def lacking(self, texts: Iterable[str] = ()) -> list[Lacking]:
        """What each partition lacks of these aggregates, of all if none are named; only partitions that lack any.

        Raises: EnvironmentProblem if workers did not take up the journeys in force yet; ReplayImpossible if the journal
        does not say where an aggregate began to be kept.
        """
        chosen = [self.aggregates[text] for text in texts or self.aggregates]
        found = [self._lacking_in(partition, chosen) for partition in range(self._partitions)] if chosen else []
        return [one for one in found if one is not None]

    def run(self, lacking: Sequence[Lacking], order: Order, *, progress: Progress = lambda *_: None) -> Rebuilt:
        """Works the pasts out, partition by partition, and puts them into the customers' logs.

        Doing it again changes nothing: a past that a customer got already is not added again.
        """
        done = Rebuilt()
        producer = self._producer()
        with tempfile.TemporaryDirectory(prefix="orchestrator-rebuild-") as directory:
            for one in lacking:
                self._run_partition(one, order, producer, Path(directory) / str(one.partition), done, progress)
        return done

    def _lacking_in(self, partition: int, chosen: Sequence[Aggregate]) -> Lacking | None:
        resumed = self._in_force.journeys.resumed
        bounds = self._reader.bounds(self._names.journal, partition)
        sources = {topic: self._reader.bounds(topic, partition) for topic in self._names.events}
        since = {one.key: resumed.get(one.key, 0) for one in chosen}
        journaled = read_journal(self._journal(partition, bounds), self._sets, since)
        if not journaled.entries and all(source.first == source.end for source in sources.values()):
            return None
        for one in chosen:
            cut = journaled.cuts.get(one.key)
            if cut is None:
                raise EnvironmentProblem(
                    f"no worker has decided anything in partition {partition} since {one.text} is to be kept",
                    hint="start workers, wait until they have taken the journeys up, and run this again",
                )
            if not cut.entries and bounds.first > 0:
                raise ReplayImpossible(
                    f"the journal of partition {partition} does not reach back to where {one.text} began to be kept"
                )
        lacking = tuple(one for one in chosen if journaled.cuts[one.key].entries)
        if not lacking:
            return None
        starts = {topic: self._start(topic, partition, source, journaled, lacking) for topic, source in sources.items()}
        reaches = self._reaches(partition, sources, journaled, lacking)
        return Lacking(partition, journaled, lacking, starts, reaches)

    def _start(
        self, topic: str, partition: int, source: Bounds, journaled: Journaled, lacking: Sequence[Aggregate]
    ) -> int:
        """From where on a source is read: from its beginning, or from where the longest window begins."""
        since_ms = journaled.until_ms - MARGIN_MS - max((one.window_ms or 0 for one in lacking), default=0)
        if since_ms <= 0 or not journaled.until_ms or any(one.window_ms is None for one in lacking):
            return source.first
        found = self._reader.first_since(topic, partition, since_ms)
        return source.end if found is None else max(source.first, found)

    def _reaches(
        self, partition: int, sources: Mapping[str, Bounds], journaled: Journaled, lacking: Sequence[Aggregate]
    ) -> dict[str, int]:
        firsts = [
            next(self._reader.read(topic, partition, source.first, source.end), None)
            for topic, source in sources.items()
            if source.first > 0
        ]
        # A source that lost all its records reaches back to now.
        first_ms = [journaled.until_ms if first is None else first.timestamp()[1] for first in firsts]
        if not first_ms:
            return {}
        reach_ms = max(first_ms)
        return {
            one.text: reach_ms
            for one in lacking
            if one.window_ms is None or journaled.until_ms - one.window_ms < reach_ms
        }

    def _run_partition(
        self, one: Lacking, order: Order, producer: EventProducer, path: Path, done: Rebuilt, progress: Progress
    ) -> None:
        total, read = one.records, 0

        def on_records(count: int) -> None:
            nonlocal read
            read += count
            progress(one.partition, read, total)

        scratch = RocksScratch(path)
        try:
            gathering = Gathering(
                one.journaled,
                one.aggregates,
                journeys=self._in_force.journeys,
                starts=one.starts,
                read=self._source(one),
                scratch=scratch,
                on_records=on_records,
            )
            ends = {topic: self._reader.bounds(topic, one.partition).end for topic in self._names.events}
            gathering.look_ahead(ends)
            bounds = self._reader.bounds(self._names.journal, one.partition)
            gathering.run(self._journal(one.partition, bounds), self._sets)
            done.events += gathering.events
            given = 0
            for customer_id, kept in gathering.pasts():
                event = rebuilt_event(
                    customer_id,
                    kept,
                    since=self._in_force.journeys.resumed,
                    cuts=one.journaled.cuts,
                    at_ms=one.journaled.until_ms,
                    order=order,
                )
                producer.send(event, timestamp_ms=one.journaled.until_ms, partition=one.partition)
                given += 1
            flush(producer)
            done.customers += given
            self._forget_again(one, ends, scratch, producer)
        finally:
            scratch.close()

    def _forget_again(
        self, one: Lacking, ends: Mapping[str, int], scratch: RocksScratch, producer: EventProducer
    ) -> None:
        """Whoever was to be forgotten while the past was worked out is to be forgotten once more: the past may have
        come after the request.
        """
        read = self._source(one)
        for topic, end in ends.items():
            for record in read(topic, end, self._reader.bounds(topic, one.partition).end):
                if record.event_type == ERASED and scratch.past(record.customer_id).kept:
                    event_id, now_ms = uuid4().hex, time.time_ns() // 1_000_000
                    fields = {
                        "event_id": event_id,
                        "customer_id": record.customer_id,
                        "occurred_at": now_ms,
                        "requested_by": "rebuild",
                    }
                    erased = Event(ERASED, event_id, record.customer_id, fields)
                    producer.send(erased, timestamp_ms=record.timestamp_ms, partition=one.partition)
        flush(producer)

    def _journal(self, partition: int, bounds: Bounds) -> Iterator[JournalEntry]:
        entries = journal_entries(self._reader, self._avro, self._names.journal, partition, bounds, is_whole=False)
        return (entry for _, entry in entries)

    def _source(self, one: Lacking) -> ReadRange:
        """Reads sources as a worker would that keeps these aggregates."""
        codec = EventCodec(
            self._registry,
            wanted={ERASED, *(aggregate.on for aggregate in one.aggregates)},
            reader_schemas=self._in_force.reader_schemas,
            clock=WallClock(),
        )

        def read(topic: str, first: int, end: int) -> Iterator[PastRecord]:
            for message in self._reader.read(topic, one.partition, first, end):
                key, value = message.key() or b"", message.value() or b""
                frame = value[:FRAME_BYTES]
                plan = codec.plan_at_once(frame)
                if plan is None:
                    codec.prepare([frame])
                    plan = codec.plans[frame]
                event = None
                if plan.handling is Handling.DECODE and plan.read is not None and plan.event_type != ERASED:
                    decoded = decode_event(plan.event_type, plan.read, key, value)
                    event = decoded if isinstance(decoded, Event) else None
                yield PastRecord(
                    message.offset() or 0,
                    message.timestamp()[1],
                    key.decode(errors="replace"),
                    plan.event_type,
                    event,
                )

        return read

    def _producer(self) -> EventProducer:
        files = produced_schemas(read_schema_files(self._settings.schemas))
        ids = registered_ids(self._registry, files)
        routes = event_routes(
            files, ids, topic_prefix=self._settings.topic_prefix, event_topics=self._settings.event_topics
        )
        if REBUILT not in routes:
            raise EnvironmentProblem(
                f"there is no schema of the event {REBUILT}",
                hint="copy it from the shipped schemas to --schemas, and publish the journeys again",
            )
        return EventProducer(brokers_of(self._settings), routes, event_topics=self._names.events)


def flush(producer: EventProducer) -> None:
    """Waits until everything is delivered. Raises: EnvironmentProblem if something was not."""
    producer.flush()
    if producer.failed:
        raise EnvironmentProblem(f"events were not delivered: {producer.failure}", hint="run it again")
