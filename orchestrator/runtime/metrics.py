"""What operators see in Prometheus: one update per batch, labels that cannot grow with customers or data.

Names follow Prometheus' conventions: base units, `_total` for counters, `_seconds`, `_bytes`, `_records`; what has no
unit counts what it is named after. `docs/operations/metrics.md` lists them all, and is written from here.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from orchestrator import __version__
from orchestrator.model.journey import JourneySet, Send
from orchestrator.runtime.codec import REASONS
from orchestrator.runtime.histograms import BatchHistogram
from orchestrator.runtime.ports import BatchReport, Standing

UNKNOWN = "unknown"
TEMPLATE_FAILED = "template_failed"
"""Also steps that ask a person or call a webhook have templates."""

# A second and a half is where a person notices; a minute and more is an outage or a backlog.
_DELAY_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
_LATENESS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
_TRANSACTION_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCH_RECORDS = (0.0, 1.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 20000.0, 30000.0)
_RESTORE_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)

# A series beside each counter that says when it began: nobody asks for it, and with a thousand journeys it is as many
# series once more.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The worker's metrics in a registry of their own; a `BatchSink`, and gauges that the worker sets."""

    def __init__(
        self, event_types: Iterable[str], journeys: JourneySet, *, partitions: int = 0, data_dir: Path | None = None
    ) -> None:
        self._event_types: frozenset[str] = frozenset()
        self._sends: frozenset[tuple[str, str]] = frozenset()
        self._lags: set[tuple[str, str]] = set()
        self._oldest_ms: int | None = None
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._count_what_was_decided()
        self._time_the_batches()
        self._watch_the_backlog()
        self._watch_partitions()
        self._watch_the_store(data_dir)
        self._watch_journey_sets()
        self._gauge("orchestrator_partitions", "Partitions of every topic, as set.").set(partitions)
        self._build = self._info("orchestrator_build", "Version of the orchestrator.")
        self._build.info({"version": __version__})
        self._journey_set = self._info("orchestrator_journey_set", "Hash of the journeys in force.")
        self.in_force(event_types, journeys)

    def _count_what_was_decided(self) -> None:
        self._events = self._counter(
            "orchestrator_events",
            "Event records taken, by what became of them (applied, skipped, duplicate, rejected).",
            "type",
            "outcome",
        )
        self._heartbeats = self._counter(
            "orchestrator_heartbeats", "Stream heartbeat records taken; they only move time on."
        )
        self._decisions = self._counter("orchestrator_decisions", "Decisions made: applied events and fired timers.")
        self._customers = self._counter(
            "orchestrator_customers_written", "Customer records written, once per customer and batch."
        )
        self._misplaced = self._counter(
            "orchestrator_customers_misplaced",
            "New customers whose events came on another partition than their key's. Not all are looked at.",
            "topic",
        )
        self._transitions = self._counter(
            "orchestrator_transitions",
            "Decisions about passages through journeys, by journey, step and kind.",
            "journey",
            "step",
            "kind",
        )
        self._actions = self._counter("orchestrator_actions", "Action commands published.", "channel", "journey")
        self._emitted = self._counter("orchestrator_events_emitted", "Events that journeys published.", "type")
        self._not_sent = self._counter(
            "orchestrator_not_sent",
            "Messages that a journey wanted and that were not sent, by reason (capped, no_consent, no_address, ...).",
            "journey",
            "reason",
        )
        self._dead_letters = self._counter(
            "orchestrator_dead_letters", "Records copied to the dead-letter topic.", "reason"
        )
        # An alert on a rise needs the zero before it.
        for reason in REASONS:
            self._dead_letters.labels(reason)
        self._timers_fired = self._counter("orchestrator_timers_fired", "Timers fired.")
        self._lateness = BatchHistogram(
            "orchestrator_timer_lateness_seconds",
            "How long after it was due a timer fired.",
            buckets=_LATENESS_S,
            registry=self.registry,
        )

    def _time_the_batches(self) -> None:
        self._delay = BatchHistogram(
            "orchestrator_event_delay_seconds",
            "From a record's timestamp to the commit that makes its actions visible. Wall clock only.",
            buckets=_DELAY_S,
            registry=self.registry,
        )
        self._transaction = Histogram(
            "orchestrator_transaction_seconds",
            "Time to produce and commit a batch's transaction.",
            buckets=_TRANSACTION_S,
            registry=self.registry,
        )
        self._phases = self._counter(
            "orchestrator_batch_phase_seconds",
            "Time spent in each phase of the batches (compute, commit, apply).",
            "phase",
        )
        self._batch = Histogram(
            "orchestrator_batch_records",
            "Records in one transaction; 0 is a transaction of timers alone.",
            buckets=_BATCH_RECORDS,
            registry=self.registry,
        )
        self._retries = self._counter(
            "orchestrator_transaction_retries",
            "Calls of a transaction that the broker asked to make again. One that fails for good ends the process.",
            "call",
        )
        self._committed = self._gauge(
            "orchestrator_last_commit_timestamp_seconds", "When the last transaction committed; 0 before the first."
        )
        self._cycled = self._gauge(
            "orchestrator_last_cycle_timestamp_seconds",
            "When the cycles last came round. They look for work every tick, also when there is none.",
        )
        self._broker_up = self._gauge(
            "orchestrator_broker_up", "1 while a broker answers, 0 while none does. Asked every few seconds."
        )
        self._registry_failures = self._counter(
            "orchestrator_registry_failures",
            "Looks at the schema registry without an answer while records waited for a schema.",
        )

    def _watch_the_backlog(self) -> None:
        self._lag = self._gauge(
            "orchestrator_lag_records", "Records on the broker that are not applied yet.", "topic", "partition"
        )
        self._oldest = self._gauge(
            "orchestrator_oldest_record_age_seconds",
            "Age of the oldest record that was fetched and is not applied yet; 0 if none is.",
        )
        self._oldest.set_function(self._oldest_age_s)
        self._timers_pending = self._gauge("orchestrator_timers_pending", "Customers that wait for a timer, about.")

    def _watch_partitions(self) -> None:
        self._partitions = self._gauge("orchestrator_partitions_owned", "Partitions that this worker owns.")
        self._restoring_now = self._gauge(
            "orchestrator_partitions_restoring", "Partitions whose store is being brought level with the changelog."
        )
        self._rebalances = self._counter(
            "orchestrator_rebalances", "Assignments of partitions that this worker went through."
        )
        self._restore_records = self._counter("orchestrator_restore_records", "Changelog records read while restoring.")
        self._restore_remaining = self._gauge(
            "orchestrator_restore_remaining_records",
            "Changelog offsets that a restore still has before it.",
            "partition",
        )
        self._restore_seconds = Histogram(
            "orchestrator_restore_seconds",
            "Time to bring one partition's store level with the changelog.",
            buckets=_RESTORE_S,
            registry=self.registry,
        )

    def _watch_the_store(self, data_dir: Path | None) -> None:
        self._store_bytes = self._gauge("orchestrator_store_bytes", "Size of the customer stores' files, about.")
        free = self._gauge("orchestrator_data_dir_free_bytes", "Free space where the customer stores are.")
        size = self._gauge("orchestrator_data_dir_size_bytes", "All space where the customer stores are.")
        if data_dir is not None:
            free.set_function(lambda: shutil.disk_usage(data_dir).free)
            size.set_function(lambda: shutil.disk_usage(data_dir).total)

    def _watch_journey_sets(self) -> None:
        self._aligned = self._counter(
            "orchestrator_customers_aligned",
            "Customers without events who were brought in line with a new journey set.",
        )
        self._refused = self._gauge(
            "orchestrator_journey_sets_refused",
            "Published journey sets, newer than the one in force, that this worker cannot use.",
        )
        self._taken_up_at = self._gauge(
            "orchestrator_journeys_taken_up_timestamp_seconds", "When this worker took the journeys in force up."
        )

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self.registry)

    def _info(self, name: str, documentation: str) -> Info:
        return Info(name, documentation, registry=self.registry)

    def in_force(self, event_types: Iterable[str], journeys: JourneySet) -> None:
        """Says which journeys decide from now on, on which events."""
        self._event_types = frozenset(event_types)
        self._sends = frozenset(
            (journey.name, step.name)
            for journey in journeys.versions.values()
            for step in journey.steps.values()
            if isinstance(step, Send)
        )
        self._journey_set.info({"set": journeys.set_id})
        self._taken_up_at.set_to_current_time()

    def refused(self, count: int) -> None:
        """So many newer journey sets are published that cannot be used."""
        self._refused.set(count)

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
        for topic, count in report.misplaced.items():
            self._misplaced.labels(topic).inc(count)
        self._transitions_of(report)
        for (channel, journey), count in report.actions.items():
            self._actions.labels(channel, journey).inc(count)
        for event_type, count in report.emitted.items():
            self._emitted.labels(event_type).inc(count)
        self._timers_fired.inc(report.timers_fired)
        self._aligned.inc(report.aligned)
        if report.lateness_ms:
            self._lateness.observe_sorted_ms(sorted(max(0, late_ms) for late_ms in report.lateness_ms))
        for times_ms in report.record_times_ms:
            self._delay.observe_ages_ms(times_ms, report.committed_at_ms)
        self._transaction.observe(report.commit_seconds)
        self._committed.set(report.committed_at_ms / 1000)
        self._batch.observe(report.records)
        self._phases.labels("compute").inc(report.compute_seconds)
        self._phases.labels("commit").inc(report.commit_seconds)
        self._phases.labels("apply").inc(report.apply_seconds)

    def _transitions_of(self, report: BatchReport) -> None:
        kinds: Tally[tuple[str, str, str]] = Tally()
        for (journey, step, kind, reason), count in report.transitions.items():
            kinds[journey, step, kind] += count
            if kind == "step" and (reason == TEMPLATE_FAILED or (reason != "sent" and (journey, step) in self._sends)):
                self._not_sent.labels(journey, reason).inc(count)
        for labels, count in kinds.items():
            self._transitions.labels(*labels).inc(count)

    def standing(self, standing: Standing) -> None:
        """Takes over how things stand: what is owned, what waits to be applied, and the size of the stores."""
        self._partitions.set(standing.partitions)
        for (topic, partition), count in standing.lag.items():
            self._lag.labels(topic, str(partition)).set(count)
        lags = {(topic, str(partition)) for topic, partition in standing.lag}
        for gone in self._lags - lags:
            self._lag.remove(*gone)
        self._lags = lags
        self._oldest_ms = standing.oldest_ms
        self._timers_pending.set(standing.timers_pending)
        self._store_bytes.set(standing.store_bytes)

    def _oldest_age_s(self) -> float:
        return 0.0 if self._oldest_ms is None else max(0.0, time.time() - self._oldest_ms / 1000)

    def cycles(self, silent_s: Callable[[], float]) -> None:
        """Asks this at each scrape how long ago the cycles last came round."""
        self._cycled.set_function(lambda: time.time() - silent_s())

    def watch_broker(self, is_up: Callable[[], bool]) -> None:
        """Asks this at each scrape: whether a broker answered last."""
        self._broker_up.set_function(lambda: float(is_up()))

    def assigned(self) -> None:
        """Partitions were assigned, all restored, and the worker begins to process them."""
        self._rebalances.inc()
        self._restore_remaining.clear()

    def restore_begins(self) -> None:
        """One more partition's store is being brought level with the changelog."""
        self._restoring_now.inc()

    def restoring(self, partition: int, *, remaining: int, read: int) -> None:
        """Says how far a restore is: offsets that remain, and records read since the last call."""
        self._restore_remaining.labels(str(partition)).set(remaining)
        self._restore_records.inc(read)

    def restore_ended(self, seconds: float | None) -> None:
        """The store is level after this time; None if the partition was taken away meanwhile, or the restore failed."""
        self._restoring_now.dec()
        if seconds is not None:
            self._restore_seconds.observe(seconds)

    def transaction_retried(self, call: str) -> None:
        """The broker asked to make a transaction's call again."""
        self._retries.labels(call).inc()

    def registry_failed(self) -> None:
        """The schema registry gave no answer while records waited for it."""
        self._registry_failures.inc()
