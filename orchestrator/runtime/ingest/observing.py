"""What operators see of the endpoint: counts and times by route and outcome, and one log line a request.

Neither holds a token, a query string, an address, an id or anything else of what was sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.process_collector import ProcessCollector

from orchestrator import __version__
from orchestrator.runtime.logs import stack_of

GONE = 499
"""No status that anybody gets: the client went away before it could be answered."""

OUTCOMES = {
    200: "answered",
    202: "accepted",
    302: "redirected",
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "not_found",
    408: "slow",
    409: "repeated",
    413: "too_large",
    415: "media_type",
    422: "refused",
    429: "limited",
    GONE: "gone",
    500: "failed",
    503: "unavailable",
}
OTHER = "other"
# An acknowledgement takes a few milliseconds; ten seconds is where an event gives up.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)

_UNREADABLE = "Error handling request"

log = structlog.get_logger(__name__)


class IngestMetrics:
    """The endpoint's metrics, in a registry of their own."""

    def __init__(self, routes: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "orchestrator_ingest_requests",
            "Requests answered, by route and outcome (accepted, refused, limited, unavailable, ...).",
            ("route", "outcome"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "orchestrator_ingest_request_seconds",
            "From a request's head to its answer, the broker's acknowledgement included.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._events = Counter(
            "orchestrator_ingest_events",
            "Events that the broker has acknowledged, by type.",
            ("type",),
            registry=self.registry,
        )
        self._receipts = Counter(
            "orchestrator_ingest_receipts",
            "Receipts in providers' webhooks: accepted, ignored (of no kind that is wanted), unusable.",
            ("provider", "outcome"),
            registry=self.registry,
        )
        self._lost = Counter(
            "orchestrator_ingest_lost_events",
            "Clicks and openings that were answered while no broker took their events.",
            ("type",),
            registry=self.registry,
        )
        self._unconfirmed = Counter(
            "orchestrator_ingest_unconfirmed_events",
            "Events that a broker was given and did not acknowledge: it may have them all the same, and who sent "
            "them was told to come again.",
            registry=self.registry,
        )
        self._bad_signatures = Counter(
            "orchestrator_ingest_bad_signatures",
            "Webhooks that were refused for their signature: wrong, missing, too old.",
            ("provider",),
            registry=self.registry,
        )
        self._in_flight = self._gauge("in_flight_records", "Events that wait for the broker's acknowledgement.")
        self._in_flight_max = self._gauge(
            "in_flight_max_records", "How many may wait before requests with events are answered 503."
        )
        self._held = self._gauge("held_bytes", "Bodies of requests that are not answered yet.")
        self._held_max = self._gauge("held_max_bytes", "How large they may be together before more are answered 503.")
        self._is_broker_up = Gauge(
            "orchestrator_ingest_broker_up",
            "1 while a broker can be reached, 0 while everything is refused because none can.",
            registry=self.registry,
        )
        build = Info("orchestrator_ingest_build", "Version of the endpoint.", registry=self.registry)
        build.info({"version": __version__})
        for route in (*routes, OTHER):
            for outcome in ("accepted", "unavailable"):
                self._requests.labels(route, outcome)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"orchestrator_ingest_{name}", text, registry=self.registry)

    def expect(self, providers: Iterable[str], *, in_flight_max: int, held_bytes_max: int) -> None:
        """Providers that may come, so that their first bad signature is a rise, and the limits that are set."""
        for provider in providers:
            self._bad_signatures.labels(provider)
        self._in_flight_max.set(in_flight_max)
        self._held_max.set(held_bytes_max)

    def watch(
        self, *, in_flight: Callable[[], float], held_bytes: Callable[[], float], is_broker_up: Callable[[], bool]
    ) -> None:
        """Where the gauges' values come from."""
        self._in_flight.set_function(in_flight)
        self._held.set_function(held_bytes)
        self._is_broker_up.set_function(lambda: float(is_broker_up()))

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request has its answer."""
        self._requests.labels(route, OUTCOMES.get(status, OTHER)).inc()
        self._seconds.labels(route).observe(seconds)

    def malformed(self) -> None:
        """What came was no request: no route ever saw it."""
        self._requests.labels(OTHER, OUTCOMES[400]).inc()

    def published(self, event_types: Iterable[str]) -> None:
        """The broker has these events."""
        for event_type in event_types:
            self._events.labels(event_type).inc()

    def receipts(self, provider: str, **counts: int) -> None:
        """What became of a webhook's receipts, by outcome."""
        for outcome, count in counts.items():
            self._receipts.labels(provider, outcome).inc(count)

    def unconfirmed(self, count: int) -> None:
        """So many events were written and not acknowledged."""
        self._unconfirmed.inc(count)

    def badly_signed(self, provider: str) -> None:
        """A webhook was not believed."""
        self._bad_signatures.labels(provider).inc()

    def lost(self, event_type: str) -> None:
        """An event that nobody will send again could not be published."""
        self._lost.labels(event_type).inc()


class ServerLog(logging.Logger):
    """What the HTTP library says. It quotes what it could not read, so its words are counted and never written."""

    def __init__(self, metrics: IngestMetrics) -> None:
        super().__init__("aiohttp.server", logging.CRITICAL + 1)
        self._metrics = metrics

    def debug(self, msg: object, *_: Any, **__: Any) -> None:
        """Also how it tells that something else than HTTP came."""
        if str(msg).startswith(_UNREADABLE):
            self._metrics.malformed()

    def exception(self, msg: object, *_: Any, exc_info: Any = None, **__: Any) -> None:
        """Nearly always about a head that cannot be read; where it is not, the place is worth a line."""
        if str(msg).startswith(_UNREADABLE):
            self._metrics.malformed()
        elif isinstance(exc_info, BaseException):
            log.error("a connection failed: a bug", stack=stack_of(exc_info))


def log_request(route: str, status: int, seconds: float, *, client: str, events: int) -> None:
    """One line: the client is the token's name, not the token."""
    log.info(
        "request",
        route=route,
        status=status,
        outcome=OUTCOMES.get(status, OTHER),
        milliseconds=round(seconds * 1000, 1),
        client=client,
        events=events,
    )
