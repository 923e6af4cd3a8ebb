"""What operators see in Prometheus: one update per batch, labels that cannot grow with customers or data."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, exposition
from prometheus_client.process_collector import ProcessCollector

from orchestrator import __version__
from orchestrator.model.journey import JourneySet, Send
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.ports import BatchReport

UNKNOWN = "unknown"

_LATENESS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0)
_TRANSACTION_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BATCH_RECORDS = (0.0, 1.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 25000.0, 50000.0)


class Metrics:
    """The worker's metrics in a registry of their own; a `BatchSink`, and a few gauges that the worker sets."""

    def __init__(self, event_types: Iterable[str], journeys: JourneySet) -> None:
        self._event_types = frozenset(event_types)
        self._sends = frozenset(
            (journey.name, step.name)
            for journey in journeys.versions.values()
            for step in journey.steps.values()
            if isinstance(step, Send)
        )
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._events = Counter(
            "orchestrator_events",
            "Event records taken, by what became of them (applied, skipped, duplicate, rejected).",
            ["type", "outcome"],
            registry=registry,
        )
        self._heartbeats = Counter(
            "orchestrator_heartbeats", "Stream heartbeat records taken; they only move time on.", registry=registry
        )
        self._decisions = Counter(
            "orchestrator_decisions", "Decisions made: applied events and fired timers.", registry=registry
        )
        self._customers = Counter(
            "orchestrator_customers_written",
            "Customer records written, once per customer and batch.",
            registry=registry,
        )
        self._transitions = Counter(
            "orchestrator_transitions",
            "Decisions about passages through journeys, by journey, step and kind.",
            ["journey", "step", "kind"],
            registry=registry,
        )
        self._actions = Counter(
            "orchestrator_actions", "Action commands published.", ["channel", "journey"], registry=registry
        )
        self._emitted = Counter(
            "orchestrator_events_emitted", "Events that journeys published, by type.", ["type"], registry=registry
        )
        self._not_sent = Counter(
            "orchestrator_not_sent",
            "Messages that a journey wanted and that were not sent, by reason (cap, consent, no address, ...).",
            ["reason"],
            registry=registry,
        )
        self._dead_letters = Counter(
            "orchestrator_dead_letters", "Records copied to the dead-letter topic.", ["reason"], registry=registry
        )
        self._timers_fired = Counter("orchestrator_timers_fired", "Timers fired.", registry=registry)
        self._timers_pending = Gauge(
            "orchestrator_timers_pending", "Customers that wait for a timer, about.", registry=registry
        )
        self._lateness = Histogram(
            "orchestrator_timer_lateness_seconds",
            "How long after it was due a timer fired.",
            buckets=_LATENESS_S,
            registry=registry,
        )
        self._transaction = Histogram(
            "orchestrator_transaction_seconds",
            "Time to produce and commit a batch's transaction.",
            buckets=_TRANSACTION_S,
            registry=registry,
        )
        self._phases = Counter(
            "orchestrator_batch_phase_seconds",
            "Time spent in each phase of the batches (compute, commit, apply).",
            ["phase"],
            registry=registry,
        )
        self._batch = Histogram(
            "orchestrator_batch_records",
            "Records in one transaction; 0 is a transaction of timers alone.",
            buckets=_BATCH_RECORDS,
            registry=registry,
        )
        self._lag = Gauge(
            "orchestrator_lag_records",
            "Records on the broker that are not committed yet.",
            ["topic", "partition"],
            registry=registry,
        )
        self._partitions = Gauge(
            "orchestrator_partitions_owned", "Partitions that this worker owns.", registry=registry
        )
        self._restore_records = Counter(
            "orchestrator_restore_records", "Changelog records read while restoring.", registry=registry
        )
        self._restore_remaining = Gauge(
            "orchestrator_restore_remaining_records",
            "Changelog offsets that a restore still has before it.",
            ["partition"],
            registry=registry,
        )
        Info("orchestrator_build", "Version of the orchestrator and the journeys in force.", registry=registry).info(
            {"version": __version__, "journeys": journeys.set_id}
        )

    def batch(self, report: BatchReport) -> None:
        """Takes over one committed batch's sums."""
        for outcome, counts in (("applied", report.applied), ("skipped", report.skipped)):
            for event_type, count in counts.items():
                self._events.labels(event_type if event_type in self._event_types else UNKNOWN, outcome).inc(count)
        if report.duplicates:
            self._events.labels("any", "duplicate").inc(report.duplicates)
        for reason, count in report.rejected.items():
            self._events.labels(UNKNOWN, "rejected").inc(count)
            self._dead_letters.labels(reason).inc(count)
        self._heartbeats.inc(report.heartbeats)
        self._decisions.inc(sum(report.applied.values()) + report.timers_fired)
        self._customers.inc(report.customers)
        self._transitions_of(report)
        for (channel, journey), count in report.actions.items():
            self._actions.labels(channel, journey).inc(count)
        for event_type, count in report.emitted.items():
            self._emitted.labels(event_type).inc(count)
        self._timers_fired.inc(report.timers_fired)
        for late_ms in report.lateness_ms:
            self._lateness.observe(max(0, late_ms) / 1000)
        self._transaction.observe(report.commit_seconds)
        self._batch.observe(report.records)
        self._phases.labels("compute").inc(report.compute_seconds)
        self._phases.labels("commit").inc(report.commit_seconds)
        self._phases.labels("apply").inc(report.apply_seconds)
        for (topic, partition), count in report.lag.items():
            self._lag.labels(topic, str(partition)).set(count)

    def _transitions_of(self, report: BatchReport) -> None:
        kinds: Tally[tuple[str, str, str]] = Tally()
        for (journey, step, kind, reason), count in report.transitions.items():
            kinds[journey, step, kind] += count
            if kind == "step" and reason != "sent" and (journey, step) in self._sends:
                self._not_sent.labels(reason).inc(count)
        for labels, count in kinds.items():
            self._transitions.labels(*labels).inc(count)

    def owned(self, partitions: int) -> None:
        """Sets how many partitions the worker owns; those that went take their lag with them."""
        self._partitions.set(partitions)
        self._lag.clear()
        self._restore_remaining.clear()

    def timers_pending(self, count: int) -> None:
        """Sets how many customers wait for a timer."""
        self._timers_pending.set(count)

    def restoring(self, partition: int, *, remaining: int, read: int) -> None:
        """Says how far a restore is: offsets that remain, and records read since the last call."""
        self._restore_remaining.labels(str(partition)).set(remaining)
        self._restore_records.inc(read)


class MetricsServer:
    """Serves /metrics, /healthz (the process answers) and /readyz (it owns what it was given and processes it)."""

    def __init__(self, metrics: Metrics, *, host: str, port: int, is_ready: Callable[[], bool]) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(metrics, is_ready))
        except OSError as error:
            raise EnvironmentProblem(
                f"metrics cannot be served on {host}:{port}: {error.strerror}",
                hint="choose another --metrics-port; 0 takes a free one",
            ) from error
        self._server.daemon_threads = True
        bound = self._server.server_address
        self.url = f"http://{host}:{bound[1]}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()


def _handler(metrics: Metrics, is_ready: Callable[[], bool]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, content_type = exposition.choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, encode(metrics.registry), content_type)
            elif path == "/healthz":
                self._answer(HTTPStatus.OK, b"ok\n", "text/plain")
            elif path == "/readyz":
                ready = is_ready()
                status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, b"ready\n" if ready else b"not ready\n", "text/plain")
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"see /metrics, /healthz, /readyz\n", "text/plain")

        def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a scrape every few seconds is not worth a line."""

    return Handler
