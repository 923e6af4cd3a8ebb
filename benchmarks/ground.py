"""The ground that all benchmarks share: topics with a prefix of their own, a filled log, processes that are watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from confluent_kafka import Consumer, TopicPartition

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.examples import example_names
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.produce import EventProducer, Feed, event_routes, produce_events, produced_schemas
from orchestrator.runtime.schemas import read_schema_files, register_schemas
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import create_topics, topic_names, topic_specs
from orchestrator.stack.stack import Stack

PARTITIONS = 4
MEASURED_JOURNEYS = ("cart_abandonment", "welcome_series")
"""Always the same two, so that figures compare over time; more of the shipped ones come, the clickstream stays."""


def measured_sources() -> Sources:
    """The measured journeys with the rules and templates that they share with others."""
    shipped = read_sources(journeys_dir()).files
    others = {name for name in example_names(shipped) if name not in MEASURED_JOURNEYS}
    return Sources({path: text for path, text in shipped.items() if path.partition(".")[0] not in others})


def measured_journeys() -> JourneySet:
    """The measured journeys, compiled."""
    journeys = compile_journeys(measured_sources(), load_event_types(schemas_dir() / "events")).journeys
    if journeys is None:
        raise SystemExit("the shipped journeys have problems: run `orchestrator validate`")
    return journeys


def prepared(stack: Stack, name: str, directory: Path, *, clock: str) -> Settings:
    """Settings with topics of their own, created, and schemas registered."""
    folder = directory / f"journeys-{name}"
    for path, text in measured_sources().files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    settings = Settings(
        bootstrap_servers=stack.bootstrap_servers,
        registry_url=stack.registry_url,
        app_id=f"bench-{name}",
        data_dir=directory / name,
        topic_prefix=f"{name}.",
        partitions=PARTITIONS,
        journeys=folder,
        schemas=schemas_dir(),
        time=clock,
    )
    create_topics(settings, topic_specs(settings, measured_journeys().destinations))
    register_schemas(registry_of(settings), read_schema_files(settings.schemas))
    return settings


def producer(settings: Settings, *, linger_ms: int = 20) -> EventProducer:
    """A producer into the benchmark's event topics."""
    files = read_schema_files(settings.schemas)
    ids = register_schemas(registry_of(settings), files)
    routes = event_routes(
        produced_schemas(files), ids, topic_prefix=settings.topic_prefix, event_topics=settings.event_topics
    )
    return EventProducer(brokers_of(settings), routes, event_topics=topic_names(settings).events, linger_ms=linger_ms)


def fill(settings: Settings, events: Iterable[Event], feed: Feed, note: Callable[[str], None]) -> int:
    """Writes the events and heartbeats; gives the number of events."""
    reported = time.monotonic()

    def progress(done: object) -> None:
        nonlocal reported
        if time.monotonic() - reported > 5:
            reported = time.monotonic()
            note(f"  {getattr(done, 'events', 0):,} events written")

    produced = produce_events(events, producer(settings), feed, on_progress=progress)
    if produced.failed:
        raise SystemExit(f"{produced.failed} records were not delivered: {produced.failure}")
    return produced.events


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a consumer group is: a wall instant in seconds, records committed, records in all."""

    at_s: float
    done: int
    total: int


class GroupProgress:
    """Reads how far the worker's consumer group is in the event topics."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer(brokers_of(settings).client({"group.id": settings.app_id}))
        self._partitions = [
            TopicPartition(topic, number)
            for topic in topic_names(settings).events
            for number in range(settings.partitions)
        ]
        self._total = sum(
            self._consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in self._partitions
        )

    def read(self) -> Progress:
        """The state now."""
        committed = self._consumer.committed(self._partitions, timeout=20)
        return Progress(time.monotonic(), sum(max(0, one.offset) for one in committed), self._total)

    def close(self) -> None:
        """Lets go of the broker."""
        self._consumer.close()


def cpu_seconds(pid: int) -> float:
    """Processor time of the process and its living children, threads included."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
