"""The endpoint as a process: wired, started, and stopped without losing what it has taken."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
import uvloop
from aiohttp import web

from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.event_values import EventShape, event_shapes
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.health import HealthServer
from orchestrator.runtime.ingest.assembly import (
    ROUTES,
    Secrets,
    Surroundings,
    assemble,
    check_events,
    read_secrets,
    writable_shapes,
)
from orchestrator.runtime.ingest.observing import IngestMetrics, ServerLog
from orchestrator.runtime.ingest.publisher import Publisher
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.logs import configure_logs
from orchestrator.runtime.produce import Route, event_routes, produced_schemas, registered_ids
from orchestrator.runtime.schemas import read_schema_files
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names

EXIT_ENVIRONMENT = 3
KEEPALIVE_S = 75.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Writing:
    """What events look like, and where they go."""

    shapes: Mapping[str, EventShape]
    routes: Mapping[str, Route]


def run_ingest(settings: Settings, ingest: IngestSettings) -> int:
    """Takes events until told to stop; gives the exit code.

    Raises: EnvironmentProblem if the registry, a topic, a schema or a secret is not as needed.
    """
    configure_logs(log_format=settings.log_format, level=settings.log_level)
    secrets = read_secrets(ingest)
    files = produced_schemas(read_schema_files(settings.schemas))
    ids = registered_ids(registry_of(settings), files)
    routes = event_routes(files, ids, topic_prefix=settings.topic_prefix, event_topics=settings.event_topics)
    shapes = writable_shapes(event_shapes(load_event_types(settings.schemas / "events")), routes)
    check_events(secrets, shapes)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, ingest, secrets, Writing(shapes, routes)))


async def _serve(settings: Settings, ingest: IngestSettings, secrets: Secrets, writing: Writing) -> int:
    stop = asyncio.Event()
    failures: list[str] = []

    def fail(why: str) -> None:
        failures.append(why)
        stop.set()

    metrics = IngestMetrics(ROUTES)
    publisher = Publisher(
        brokers_of(settings),
        writing.routes,
        event_topics=topic_names(settings).events,
        in_flight_max=ingest.ingest_in_flight_max,
        delivery_timeout_ms=ingest.ingest_delivery_timeout_ms,
        on_fatal=fail,
        on_unconfirmed=metrics.unconfirmed,
    )
    health = HealthServer(
        metrics.registry,
        host=settings.metrics_host,
        port=settings.metrics_port,
        ailing=lambda: failures[0] if failures else "",
        # Without a broker links still lead on, and whoever sends events is told 503 by the endpoint itself.
        unready=lambda: "stopping" if stop.is_set() else "",
    )
    endpoint = assemble(ingest, secrets, Surroundings(writing.shapes, publisher, metrics))
    metrics.watch(
        in_flight=lambda: publisher.in_flight,
        held_bytes=lambda: endpoint.traffic.held_bytes,
        is_broker_up=lambda: not publisher.away,
    )
    # What is compressed is refused, so nobody can send a little that becomes much.
    runner = web.AppRunner(
        endpoint.application,
        auto_decompress=False,
        access_log=None,
        logger=ServerLog(metrics),
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=1,
    )
    await runner.setup()
    try:
        url = await _listen(runner, ingest)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(f"ready: events at {url}; metrics at {health.url}", flush=True)
        await stop.wait()
        log.info("stopping")
    finally:
        # In this order: no new connection is taken, what has begun is read and answered, what was answered is on the
        # broker. The library's own way to stop drops bodies of which half has come.
        endpoint.traffic.is_stopping = True
        for site in tuple(runner.sites):
            await site.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout((ingest.ingest_read_timeout_ms + ingest.ingest_delivery_timeout_ms) / 1000 + 5):
                await endpoint.traffic.until_quiet()
                await endpoint.links.until_followed()
        await runner.cleanup()
        await publisher.close()
        health.close()
    if failures:
        log.error("the endpoint ends", reason=failures[0], hint="start it again: nothing that was accepted is lost")
        return EXIT_ENVIRONMENT
    log.info("stopped")
    return 0


async def _listen(runner: web.AppRunner, ingest: IngestSettings) -> str:
    site = web.TCPSite(runner, ingest.ingest_host, ingest.ingest_port)
    try:
        await site.start()
    except OSError as error:
        raise EnvironmentProblem(
            f"events cannot be taken on {ingest.ingest_host}:{ingest.ingest_port}: {error.strerror}",
            hint="choose another --ingest-port; 0 takes a free one",
        ) from error
    port = runner.addresses[0][1]
    return f"http://{ingest.ingest_host}:{port}"
