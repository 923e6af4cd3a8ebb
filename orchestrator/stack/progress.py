"""What a person sees while the stack is fetched and started: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress

MEGABYTE = 1_000_000


class Progress(Protocol):
    """Where the stack reports what it is doing."""

    def note(self, text: str, /) -> None:
        """One line, at once."""
        ...

    def task(self, text: str, total_bytes: int, /) -> AbstractContextManager[Callable[[int], None]]:
        """A context in which a function takes the number of bytes just done, from any thread."""
        ...


class Quiet:
    """No report at all."""

    def note(self, _text: str, /) -> None:
        """Nothing."""

    @contextmanager
    def task(self, _text: str, _total_bytes: int, /) -> Iterator[Callable[[int], None]]:
        """A context whose function does nothing."""
        yield lambda _count: None


QUIET: Progress = Quiet()


class Plain:
    """Lines for a log: one for each tenth of a task."""

    def note(self, text: str, /) -> None:
        """One line to standard error."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def task(self, text: str, total_bytes: int, /) -> Iterator[Callable[[int], None]]:
        """A context whose function prints a line whenever another tenth is done."""
        lock = threading.Lock()
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            with lock:
                before, done = done, done + count
                if total_bytes and before * 10 // total_bytes < done * 10 // total_bytes:
                    self.note(f"{text}: {done // MEGABYTE} of {total_bytes // MEGABYTE} MB")

        self.note(f"{text}: {total_bytes // MEGABYTE} MB")
        yield advance


class Terminal:
    """A live bar on standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def note(self, text: str, /) -> None:
        """One dim line."""
        self._console.print(text, style="dim", highlight=False)

    @contextmanager
    def task(self, text: str, total_bytes: int, /) -> Iterator[Callable[[int], None]]:
        """A context whose function moves the bar on."""
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with RichProgress(*columns, console=self._console) as bar:
            task = bar.add_task(text, total=total_bytes)
            yield lambda count: bar.advance(task, count)


def console_progress() -> Progress:
    """The report that suits standard error: a bar on a terminal, lines elsewhere."""
    return Terminal() if sys.stderr.isatty() else Plain()
