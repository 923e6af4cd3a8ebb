"""Throughput: how fast one worker catches up with a log that is already there, both journeys deciding."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.ground import GroupProgress, Progress, cpu_seconds, fill, prepared
from orchestrator.demo.clickstream import clickstream
from orchestrator.demo.run import worker_options
from orchestrator.demo.workers import check_alive, running_workers
from orchestrator.runtime.produce import Feed
from orchestrator.runtime.settings import Settings
from orchestrator.stack.stack import Stack

DAY_MS = 86_400_000
USERS = 600
"""Customers in one copy of the clickstream."""

_SAMPLE = re.compile(r"^(orchestrator_\w+_seconds_sum)(\{[^}]*\})? (\S+)$", re.MULTILINE)


def measure(
    stack: Stack, directory: Path, *, copies: int, note: Callable[[str], None]
) -> tuple[dict[str, Any], Settings]:
    """Fills a log with `copies` of the clickstream, then lets one worker catch up with it on stream time.

    Gives the figures, and the settings under which the log can be read again.
    """
    settings = prepared(stack, "catchup", directory, clock="stream")
    note(f"writing {copies} copies of the clickstream")
    events = fill(settings, clickstream(copies=copies), Feed(heartbeat_every_ms=DAY_MS, until_after_ms=DAY_MS), note)
    started = time.monotonic()
    options = [*worker_options(settings, "worker-1"), f"--topic-prefix={settings.topic_prefix}"]
    progress = GroupProgress(settings)
    with running_workers(1, lambda _name: options, log_dir=directory / "logs") as workers:
        ready = time.monotonic()
        note(f"worker ready after {ready - started:.1f} s")
        worker = workers[0]
        pid = worker.process.pid
        first: tuple[Progress, float] | None = None
        reported = time.monotonic()
        while True:
            check_alive(workers)
            now = progress.read()
            if first is None and now.done:
                first = now, cpu_seconds(pid)
            if now.done >= now.total:
                break
            if time.monotonic() - reported > 5:
                reported = time.monotonic()
                note(f"  {now.done:,} of {now.total:,} records")
            time.sleep(0.5)
        assert first is not None
        begin, cpu_begin = first
        cpu = cpu_seconds(pid) - cpu_begin
        seconds = now.at_s - begin.at_s
        if not seconds:
            raise SystemExit("the worker was done before it could be looked at twice: take more --copies")
        # Heartbeats are records as well; they are left out of the figure.
        share = events / now.total
        counted = (now.done - begin.done) * share
        with urllib.request.urlopen(worker.metrics_url, timeout=5) as page:
            phases = {name: float(value) for name, _, value in _SAMPLE.findall(page.read().decode())}
    progress.close()
    figures = {
        "events": events,
        "customers": copies * USERS,
        "records_with_heartbeats": now.total,
        "seconds": round(seconds, 2),
        "events_per_second": round(counted / seconds),
        "cpu_us_per_event": round(cpu / counted * 1e6, 1),
        "start_to_ready_seconds": round(ready - started, 1),
        "worker_seconds": {name: round(value, 1) for name, value in sorted(phases.items())},
    }
    return figures, settings
