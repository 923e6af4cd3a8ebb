"""The demo from start to end: a stack, two workers, the clickstream, and what became of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.sources import read_sources
from orchestrator.demo.clickstream import convert, read_clicks
from orchestrator.demo.picture import Picture
from orchestrator.demo.report import Places, print_report
from orchestrator.demo.screen import Moment, open_screen
from orchestrator.demo.workers import Worker, check_alive, running_workers
from orchestrator.model.events import Event
from orchestrator.model.journey import Journey, JourneySet
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.produce import (
    EventProducer,
    Feed,
    Produced,
    event_routes,
    produce_events,
    produced_schemas,
)
from orchestrator.runtime.schemas import Registry, read_schema_files, register_schemas
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tail import Decoder, Tail
from orchestrator.runtime.topics import create_topics, topic_names, topic_specs
from orchestrator.stack.progress import console_progress
from orchestrator.stack.stack import running_stack

DAY_MS = 24 * 3600 * 1000
HEARTBEAT_EVERY_MS = DAY_MS // 2
UNTIL_AFTER_MS = 30 * DAY_MS
"""Stream time goes on for so long after the last event, so that reminders that are still due go out."""

EVENTS_PER_S = 4_000.0
"""Slow enough to watch half a year go by, fast enough for a demo."""

STALL_TIMEOUT_S = 60.0
"""Workers that take nothing for so long, while there is something to take, have a problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """How the demo runs. `rate` is events a second, None for as fast as they go."""

    data_dir: Path
    workers: int = 2
    partitions: int = 4
    rate: float | None = EVENTS_PER_S
    keep: bool = False


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What was seen, for whoever wants to compare it with something."""

    picture: Picture
    journeys: tuple[Journey, ...]
    produced: Produced
    seconds: float


def run_demo(options: DemoOptions, console: Console) -> DemoResult:
    """Runs the demo and prints it; with `keep` it returns only on Ctrl-C, by KeyboardInterrupt.

    Raises: EnvironmentProblem if something does not start, or a worker ends or does not go on.
    """
    started = time.monotonic()
    compiled = shipped_journeys()
    journeys = tuple(journey for journey in compiled.current.values())
    # Made while the stack starts would be faster by a moment, and mixed with its messages.
    events = convert(read_clicks())
    with running_stack(options.data_dir / "stack", progress=console_progress()) as stack:
        settings = Settings(
            bootstrap_servers=stack.bootstrap_servers,
            registry_url=stack.registry_url,
            data_dir=options.data_dir,
            partitions=options.partitions,
            journeys=journeys_dir(),
            schemas=schemas_dir(),
            time="stream",
        )
        create_topics(settings, topic_specs(settings, compiled.channels))
        files = read_schema_files(settings.schemas)
        ids = register_schemas(Registry(settings.registry_url), files)
        console.print(f"starting {options.workers} workers", style="dim", highlight=False)
        with running_workers(
            options.workers, lambda name: worker_options(settings, name), log_dir=options.data_dir / "logs"
        ) as workers:
            console.print(
                f"replaying {len(events):,} events of half a year, {len(journeys)} journeys listening", highlight=False
            )
            names = topic_names(settings)
            producer = EventProducer(
                settings.bootstrap_servers,
                event_routes(produced_schemas(files), ids, topic_prefix="", event_topics=settings.event_topics),
                event_topics=names.events,
            )
            feed = Feed(rate=options.rate, heartbeat_every_ms=HEARTBEAT_EVERY_MS, until_after_ms=UNTIL_AFTER_MS)
            with _producing(events, producer, feed) as production:
                picture = _watch(settings, compiled, production, workers, console)
            seconds = time.monotonic() - started
            produced = production.produced
            places = Places(
                settings.bootstrap_servers,
                settings.registry_url,
                tuple(worker.metrics_url for worker in workers),
                options.data_dir,
                options.keep,
            )
            print_report(console, picture, journeys, places)
            console.print(
                f"\n{produced.events:,} events, {len(picture.transitions):,} decisions, "
                f"{sum(picture.actions.values()):,} actions in {seconds:.0f} seconds",
                style="bold",
                highlight=False,
            )
            if options.keep:
                console.print("everything runs until Ctrl-C", style="bold")
                while True:
                    check_alive(workers)
                    time.sleep(0.5)
            return DemoResult(picture, journeys, produced, seconds)


def shipped_journeys() -> JourneySet:
    """The journeys that come with the project, compiled.

    Raises: EnvironmentProblem if they have problems, which only a damaged installation has.
    """
    compilation = compile_journeys(read_sources(journeys_dir()), load_event_types(schemas_dir() / "events"))
    if compilation.journeys is None:
        first = compilation.problems[0]
        raise EnvironmentProblem(
            f"the shipped journeys have problems: {first.path}:{first.line}: {first.message}",
            hint="run `orchestrator validate`",
        )
    return compilation.journeys


def worker_options(settings: Settings, name: str) -> list[str]:
    """The command-line options of one worker of the demo."""
    return [
        f"--bootstrap-servers={settings.bootstrap_servers}",
        f"--registry-url={settings.registry_url}",
        f"--app-id={settings.app_id}",
        f"--data-dir={settings.data_dir / name}",
        f"--event-topics={','.join(settings.event_topics)}",
        f"--partitions={settings.partitions}",
        f"--journeys={settings.journeys}",
        f"--schemas={settings.schemas}",
        f"--time={settings.time}",
        "--log-format=text",
    ]


class _Production:
    """The events on their way, sent by a thread of their own. `produced` is how far it is."""

    __slots__ = ("failure", "is_done", "produced")

    def __init__(self) -> None:
        self.produced = Produced(0, 0, 0, "", None, None)
        self.is_done = False
        self.failure: BaseException | None = None

    def note(self, produced: Produced) -> None:
        """Takes over the newest numbers."""
        self.produced = produced


@contextmanager
def _producing(events: Sequence[Event], producer: EventProducer, feed: Feed) -> Iterator[_Production]:
    """A context in which the events are sent; what is not sent when it ends early stays unsent."""
    production = _Production()
    is_wanted = threading.Event()
    is_wanted.set()

    def wanted() -> Iterator[Event]:
        for event in events:
            if not is_wanted.is_set():
                return
            yield event

    def work() -> None:
        try:
            produce_events(wanted(), producer, feed, on_progress=production.note)
        except Exception as error:  # noqa: BLE001 - told to the thread that watches, which raises it
            production.failure = error
        production.is_done = True

    thread = threading.Thread(target=work, name="produce", daemon=True)
    thread.start()
    try:
        yield production
    finally:
        is_wanted.clear()
        if not production.is_done:
            producer.abandon()
        thread.join(timeout=5.0)


def _watch(
    settings: Settings, journeys: JourneySet, production: _Production, workers: Sequence[Worker], console: Console
) -> Picture:
    """The picture when everything is applied and every timer up to the last heartbeat has fired."""
    names = topic_names(settings)
    topics = [names.transitions, names.journal, names.dead_letters]
    topics += [names.actions(channel) for channel in journeys.channels]
    source = Tail(
        settings.bootstrap_servers, topics, Decoder(Registry(settings.registry_url).schema_text), from_beginning=True
    )
    picture = Picture()
    started = moved = time.monotonic()
    try:
        with open_screen(console, list(journeys.current.values())) as screen:
            while True:
                if production.failure is not None:
                    raise production.failure
                check_alive(workers)
                records = source.poll(0.1)
                for record in records:
                    if record.topic == names.dead_letters:
                        picture.dead_letters += 1
                    elif record.value is not None:
                        picture.take(record.type, record.value)
                now = time.monotonic()
                screen.show(_moment(now - started, production, picture, settings.partitions), picture)
                if production.is_done:
                    _check_delivered(production.produced)
                    until_ms = production.produced.until_ms
                    if until_ms is not None and source.at_end and picture.is_done(until_ms, settings.partitions):
                        return picture
                if records:
                    moved = now
                elif now - moved > STALL_TIMEOUT_S:
                    raise EnvironmentProblem(
                        f"the workers have committed nothing for {STALL_TIMEOUT_S:.0f} seconds; "
                        f"their logs:\n{json.dumps([str(worker.log) for worker in workers])}",
                        hint="see the end of the logs",
                    )
    finally:
        source.close()


def _moment(elapsed_s: float, production: _Production, picture: Picture, partitions: int) -> Moment:
    produced = production.produced
    sent = produced.events + produced.heartbeats
    return Moment(
        elapsed_s=elapsed_s,
        produced=sent,
        records_total=sent if production.is_done else None,
        applied=picture.applied,
        events_per_s=picture.applied / elapsed_s if elapsed_s > 0.5 else 0.0,
        time_ms=picture.time_ms(partitions),
    )


def _check_delivered(produced: Produced) -> None:
    if produced.failed:
        raise EnvironmentProblem(
            f"{produced.failed} records were not delivered: {produced.failure}", hint="see the broker's log"
        )
