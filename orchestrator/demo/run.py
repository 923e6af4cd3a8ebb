"""The demo from start to end: a stack, two workers, the clickstream, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.sources import read_sources
from orchestrator.demo.audience import with_reactions
from orchestrator.demo.clickstream import convert, read_clicks
from orchestrator.demo.picture import Picture
from orchestrator.demo.production import Production, producing
from orchestrator.demo.report import Places, print_report
from orchestrator.demo.screen import Moment, open_screen
from orchestrator.demo.workers import Worker, check_alive, running_workers
from orchestrator.model.events import Event
from orchestrator.model.journey import Journey, JourneySet
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.produce import (
    EventProducer,
    Feed,
    Produced,
    event_routes,
    produced_schemas,
)
from orchestrator.runtime.schemas import read_schema_files, register_schemas
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tail import Decoder, Tail
from orchestrator.runtime.topics import create_topics, topic_names, topic_specs
from orchestrator.stack.progress import console_progress
from orchestrator.stack.stack import running_stack

DAY_MS = 24 * 3600 * 1000
HEARTBEAT_EVERY_MS = DAY_MS // 2
UNTIL_AFTER_MS = 30 * DAY_MS
"""Stream time goes on for so long after the last event, so that reminders that are still due go out."""

KEEP_POLL_S = 0.5
STALL_TIMEOUT_S = 60.0
"""Workers that take nothing for so long, while there is something to take, have a problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """How the demo runs. `rate` is events a second, None for as fast as they go."""

    data_dir: Path
    workers: int = 2
    partitions: int = 4
    rate: float | None = None
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
    journeys = shipped_journeys()
    with ThreadPoolExecutor(1) as pool:
        # Made while the stack starts, which is Java's work.
        making = pool.submit(demo_events, journeys)
        with (
            _installation(options, journeys, console) as (settings, schema_ids),
            running_workers(
                options.workers, lambda name: worker_options(settings, name), log_dir=options.data_dir / "logs"
            ) as workers,
        ):
            events, current = making.result(), tuple(journeys.current.values())
            console.print(
                f"replaying {len(events):,} events of half a year; {len(current)} journeys listen", highlight=False
            )
            with producing(events, _producer(settings, schema_ids), _feed(options)) as production:
                picture = _watch(settings, journeys, production, workers, console)
            result = DemoResult(picture, current, production.produced, time.monotonic() - started)
            _print_result(console, result, settings, workers, is_kept=options.keep)
            while options.keep:
                check_alive(workers)
                time.sleep(KEEP_POLL_S)
            return result


def demo_events(journeys: JourneySet) -> list[Event]:
    """What the demo sends: the clickstream, and who opens and follows the e-mails that it leads to."""
    return with_reactions(journeys, convert(read_clicks()))


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


@contextmanager
def _installation(
    options: DemoOptions, journeys: JourneySet, console: Console
) -> Iterator[tuple[Settings, dict[str, int]]]:
    """A context with a stack that has all topics and schemas: the workers' settings, and the schemas' ids."""
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
        create_topics(settings, topic_specs(settings, journeys.destinations))
        schema_ids = register_schemas(registry_of(settings), read_schema_files(settings.schemas))
        console.print(f"starting {options.workers} workers", style="dim", highlight=False)
        yield settings, schema_ids


def _producer(settings: Settings, schema_ids: dict[str, int]) -> EventProducer:
    files = produced_schemas(read_schema_files(settings.schemas))
    routes = event_routes(files, schema_ids, topic_prefix="", event_topics=settings.event_topics)
    return EventProducer(brokers_of(settings), routes, event_topics=topic_names(settings).events)


def _feed(options: DemoOptions) -> Feed:
    return Feed(rate=options.rate, heartbeat_every_ms=HEARTBEAT_EVERY_MS, until_after_ms=UNTIL_AFTER_MS)


def _print_result(
    console: Console, result: DemoResult, settings: Settings, workers: Sequence[Worker], *, is_kept: bool
) -> None:
    places = Places(
        settings.bootstrap_servers,
        settings.registry_url,
        tuple(worker.metrics_url for worker in workers),
        settings.data_dir,
        is_kept,
    )
    print_report(console, result.picture, result.journeys, places)
    console.print(
        f"\n{result.produced.events:,} events, {len(result.picture.transitions):,} decisions, "
        f"{sum(result.picture.actions.values()):,} actions in {result.seconds:.0f} seconds",
        style="bold",
        highlight=False,
    )
    if is_kept:
        console.print("everything runs until Ctrl-C", style="bold")


def _watch(
    settings: Settings, journeys: JourneySet, production: Production, workers: Sequence[Worker], console: Console
) -> Picture:
    """The picture when everything is applied and every timer up to the last heartbeat has fired."""
    names = topic_names(settings)
    topics = [names.transitions, names.journal, names.dead_letters]
    topics += [names.actions(channel) for channel in journeys.destinations]
    # Everybody in the demo is made up, so their addresses and what is written to them may be shown.
    decoder = Decoder(registry_of(settings).schema_text, show_personal_data=True)
    source = Tail(brokers_of(settings), topics, decoder, from_beginning=True)
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
                        f"the workers have committed nothing for {STALL_TIMEOUT_S:.0f} seconds",
                        hint="their logs are " + ", ".join(str(worker.log) for worker in workers),
                    )
    finally:
        source.close()


def _moment(elapsed_s: float, production: Production, picture: Picture, partitions: int) -> Moment:
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
