"""Worker processes that a test starts, kills and asks to leave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.runtime.settings import Settings


@dataclass
class Fleet:
    """Workers by name, each with a data directory of its own. `endings` is how each process ended."""

    settings: Settings
    directory: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    endings: list[tuple[str, int]] = field(default_factory=list)
    kills: int = 0

    def start(self, name: str) -> None:
        """Starts the worker; it need not be ready when this returns."""
        s = self.settings
        options = [
            f"--bootstrap-servers={s.bootstrap_servers}",
            f"--registry-url={s.registry_url}",
            f"--app-id={s.app_id}",
            f"--data-dir={self.directory / name}",
            f"--partitions={s.partitions}",
            f"--topic-prefix={s.topic_prefix}",
            f"--journeys={s.journeys}",
            f"--schemas={s.schemas}",
            f"--time={s.time}",
            f"--worker-id={name}",
            # Small batches and little patience: many transactions to be killed in.
            "--batch-records-max=200",
            "--timers-per-transaction-max=50",
        ]
        with (self.directory / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", "worker", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")},
            )

    def kill(self, name: str) -> None:
        """Kills with SIGKILL: no handler runs, nothing is flushed."""
        process = self.running.pop(name)
        assert process.poll() is None, f"{name} had ended by itself:\n{self.tail(name)}"
        process.kill()
        process.wait()
        self.kills += 1

    def leave(self, name: str, *, timeout_s: float = 20) -> int:
        """Asks the worker to end in good order; gives its exit code."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout_s)
        self.endings.append((name, code))
        return code

    def wipe(self, name: str) -> None:
        """Deletes the data directory of a worker that is not running."""
        assert name not in self.running
        shutil.rmtree(self.directory / name)

    def revive(self) -> None:
        """Starts again what has ended by itself, as a supervisor does."""
        for name, process in list(self.running.items()):
            code = process.poll()
            if code is not None:
                self.endings.append((name, code))
                del self.running[name]
                self.start(name)

    def tail(self, name: str) -> str:
        """The end of the worker's log."""
        return "\n".join((self.directory / f"{name}.log").read_text().splitlines()[-40:])

    def end(self) -> None:
        """Kills whatever is left."""
        for process in self.running.values():
            process.kill()
            process.wait()
        self.running.clear()


def until(condition: object, *, timeout_s: float, what: str) -> None:
    """Waits until the callable gives true.

    Raises: AssertionError with what was waited for.
    """
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.2)
