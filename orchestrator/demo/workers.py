"""The demo's workers: real `orchestrator worker` processes, started, watched and stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.stack import leash
from orchestrator.stack.ports import HOST
from orchestrator.stack.processes import log_tail

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
"""Longer than a worker's own bound for ending, so that it is the worker that says why it could not."""

POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process, where its log is, and where it serves metrics and its health."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    port: int

    @property
    def metrics_url(self) -> str:
        """What Prometheus scrapes."""
        return f"http://{HOST}:{self.port}/metrics"


@contextmanager
def running_workers(
    count: int, options: Callable[[str], Sequence[str]], *, log_dir: Path
) -> Iterator[tuple[Worker, ...]]:
    """A context with `count` workers that are ready; all of them end with it.

    `options` gives the options of the worker with this name. Raises: EnvironmentProblem with the end of its log if a
    worker does not become ready.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    workers: list[Worker] = []
    try:
        for number in range(1, count + 1):
            name = f"worker-{number}"
            workers.append(_start(name, options(name), log_dir / f"{name}.log"))
        _await_ready(workers)
        yield tuple(workers)
    finally:
        _stop(workers)


def check_alive(workers: Sequence[Worker]) -> None:
    """Nothing, while all run.

    Raises: EnvironmentProblem with the end of the log of one that has ended.
    """
    for worker in workers:
        code = worker.process.poll()
        if code is not None:
            raise _problem(worker, f"ended with {_meaning(code)}")


def _start(name: str, options: Sequence[str], log: Path) -> Worker:
    port = _free_port()
    # On a leash the worker ends with this process even if that is killed.
    command = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), str(STOP_TIMEOUT_S)]
    command += [sys.executable, "-m", "orchestrator", "worker", *options]
    command += ["--worker-id", name, "--metrics-host", HOST, "--metrics-port", str(port)]
    # The demo's own options say everything; what is set for other workers must not reach these.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for this process, which then ends the workers in good order.
            start_new_session=True,
        )
    return Worker(name, process, log, port)


def _await_ready(workers: Sequence[Worker]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    for worker in workers:
        while not _is_ready(worker):
            check_alive(workers)
            if time.monotonic() > deadline:
                raise _problem(worker, f"is not ready after {READY_TIMEOUT_S:.0f} seconds")
            time.sleep(POLL_S)


def _is_ready(worker: Worker) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{worker.port}/readyz", timeout=2.0):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _stop(workers: Sequence[Worker]) -> None:
    """Asks all at once, then kills what does not follow."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.terminate()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for worker in workers:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


def _problem(worker: Worker, what: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"{worker.name} {what}; the end of its log:\n{log_tail(worker.log)}", hint=f"the whole log is {worker.log}"
    )


def _meaning(code: int) -> str:
    return f"code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
