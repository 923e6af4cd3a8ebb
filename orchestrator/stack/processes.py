"""Processes that can be found again and stopped without ever touching another one's process id.

A process id alone may be given to a stranger after a crash or a reboot, and start times move when the clock is set. So
each process carries a token of its own on its command line, and only a process that shows it is taken for ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from orchestrator.stack.java import java

LOG_BYTES_MAX = 10_000_000
TAIL_LINES = 25
STOP_GRACE_S = 15.0
EXEC_POLLS, EXEC_POLL_S = 50, 0.01
KEPT_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ")
"""Java and Quarkus take settings from the environment; the stack's come from its own files alone."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process as it is remembered on disk."""

    pid: int
    token: str


@dataclass(frozen=True, slots=True)
class JavaCommand:
    """What to run: options and class path of the virtual machine, the main class (or ``-jar``) and its arguments."""

    options: tuple[str, ...]
    arguments: tuple[str, ...]
    class_path: tuple[Path, ...] = ()
    environment_prefix: str = ""
    """Variables whose names begin so are handed on; the empty one hands none on."""


def start_java(command: JavaCommand, *, log: Path, cwd: Path, owned: bool) -> ProcessRecord:
    """The record of a Java process just started, whose output goes to `log`.

    An `owned` one ends with this process, however this process ends; any other outlives it.
    """
    token = f"-Dorchestrator.process={uuid.uuid4().hex}"
    arguments = [java(), token, *command.options, *command.arguments]
    if owned:
        leash = Path(__file__).with_name("leash.py")
        arguments = [sys.executable, "-I", "-S", str(leash), str(os.getpid()), str(STOP_GRACE_S), *arguments]
    environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    if prefix := command.environment_prefix:
        environment |= {name: value for name, value in os.environ.items() if name.startswith(prefix)}
    if command.class_path:
        environment["CLASSPATH"] = os.pathsep.join(map(str, command.class_path))
    log.parent.mkdir(parents=True, exist_ok=True)
    _rotate(log)
    with log.open("ab") as output:
        process = psutil.Popen(
            arguments,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return ProcessRecord(pid=process.pid, token=token)


def find(record: ProcessRecord) -> psutil.Process | None:
    """The running process of the record, if it still runs and is the one that was started."""
    try:
        process = psutil.Process(record.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            # An ended child of this very process: collected here, so that none is left behind.
            process.wait(timeout=0)
            return None
        return process if record.token in _command_line(process) else None
    except psutil.Error:
        return None


def stop(records: Iterable[ProcessRecord]) -> None:
    """Every process is gone: asked first, all at once, and killed where it does not follow within the grace."""
    processes = [process for record in records if (process := find(record)) is not None]
    _send(processes, psutil.Process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=STOP_GRACE_S)
    _send(alive, psutil.Process.kill)
    psutil.wait_procs(alive, timeout=STOP_GRACE_S)


def kill(record: ProcessRecord) -> None:
    """The process is gone at once, as in a crash."""
    process = find(record)
    if process is not None:
        _send([process], psutil.Process.kill)
        psutil.wait_procs([process], timeout=STOP_GRACE_S)


def log_tail(log: Path) -> str:
    """The last lines of a log, for the person who must find out why something did not start."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-TAIL_LINES:])


def _command_line(process: psutil.Process) -> list[str]:
    """The arguments of a process. While one program replaces another, there are none for a moment."""
    for _ in range(EXEC_POLLS):
        if arguments := process.cmdline():
            return list(arguments)
        time.sleep(EXEC_POLL_S)
    return []


def _send(processes: Sequence[psutil.Process], signal: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        try:
            signal(process)
        except psutil.NoSuchProcess:
            continue


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".old.log"))
