"""Plain Faust on the same log and at the same rates, for comparison."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.ground import prepared
from benchmarks.latency import drive
from orchestrator.runtime.settings import Settings
from orchestrator.stack.stack import Stack

READY_TIMEOUT_S = 60.0


@contextmanager
def running(settings: Settings, directory: Path, *, count: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A context with a plain Faust worker on the settings' topics; it writes its result after `count` records."""
    directory.mkdir(parents=True, exist_ok=True)
    result = directory / "result.json"
    given = {
        "bootstrap_servers": settings.bootstrap_servers,
        "registry_url": settings.registry_url,
        "topic_prefix": settings.topic_prefix,
        "schemas": str(settings.schemas),
        "app_id": settings.app_id,
        "data_dir": str(directory / "data"),
        "partitions": settings.partitions,
        "count": count,
        "result": str(result),
    }
    command = [
        sys.executable,
        "-m",
        "faust",
        "-A",
        "benchmarks.peers.plain_faust",
        "worker",
        "--without-web",
        "-l",
        "warn",
    ]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PLAIN_FAUST": json.dumps(given)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process, result
        finally:
            # Faust may hang in its own shutdown; nothing of a benchmark's peer is worth waiting for.
            process.kill()
            process.wait()


def _check(process: subprocess.Popen[bytes], directory: Path) -> None:
    if process.poll() is not None:
        raise SystemExit(
            f"plain Faust ended with code {process.returncode}:\n{(directory / 'log').read_text()[-2000:]}"
        )


def catch_up(settings: Settings, directory: Path, *, count: int, note: Callable[[str], None]) -> dict[str, Any]:
    """How fast plain Faust takes the first `count` records of a log that is already there."""
    note(f"plain Faust, the first {count:,} records")
    own = replace(settings, app_id=f"{settings.app_id}-plain")
    with running(own, directory, count=count) as (process, result):
        while not result.exists():
            _check(process, directory)
            time.sleep(0.2)
        figures = json.loads(result.read_text())
    return {
        "records": figures["records"],
        "records_per_second": round(figures["records"] / figures["seconds"]),
        "cpu_us_per_record": round(figures["cpu_seconds"] / figures["records"] * 1e6, 1),
    }


def latency(stack: Stack, directory: Path, *, rate: int, seconds: float, note: Callable[[str], None]) -> dict[str, Any]:
    """Plain Faust's latency at this rate, measured as ours."""
    settings = prepared(stack, f"plainlatency{rate}", directory, clock="wall")
    note("plain Faust")
    with running(settings, directory / f"plain-{rate}", count=-1) as (process, _result):
        # It tells nobody when it is ready; its assignment takes a few seconds.
        time.sleep(15)
        return drive(
            settings,
            process.pid,
            lambda: _check(process, directory / f"plain-{rate}"),
            rate=rate,
            seconds=seconds,
            note=note,
        )
