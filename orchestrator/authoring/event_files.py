"""Files of events: JSON Lines, one event a line, plain or gzip, or the standard input.

    {"type": "app_installed", "occurred_at": "2026-03-02T09:00:00Z", "customer_id": "c1", "platform": "android"}

`occurred_at` is ISO 8601 or milliseconds since the epoch; `event_id` may be left out and is then the line's number.
"""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from orchestrator.authoring.event_values import BadValue, EventShape, event_from
from orchestrator.model.events import Event
from orchestrator.model.problems import EnvironmentProblem

STANDARD_INPUT = "-"
_GZIP_MAGIC = b"\x1f\x8b"
_LINE_BYTES_MAX = 1 << 20

Decode = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no event: its number (1-based) and why not, without anything that it holds."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event, when it happened (milliseconds since the epoch, UTC) and its line's number."""

    number: int
    at_ms: int
    event: Event


@contextmanager
def open_events(path: str) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed where they are gzip; `-` is the standard input.

    Raises: EnvironmentProblem if the file cannot be opened.
    """
    if path == STANDARD_INPUT:
        yield _decompressed(io.BufferedReader(sys.stdin.buffer))  # type: ignore[arg-type]
    else:
        with _open(path) as file:
            yield _decompressed(file)


def read_events(stream: BinaryIO, shapes: Mapping[str, EventShape]) -> Iterator[EventLine | BadLine]:
    """Each line's event, or why it is none; empty lines are skipped.

    Raises: EnvironmentProblem if the file ends in the middle of its compression.
    """
    decode: Decode = msgspec.json.Decoder(float_hook=Decimal).decode
    number = 0
    try:
        while line := stream.readline(_LINE_BYTES_MAX):
            number += 1
            if len(line) == _LINE_BYTES_MAX and not line.endswith(b"\n"):
                _skip_line(stream)
                yield BadLine(number, f"is longer than {_LINE_BYTES_MAX} bytes")
            elif not line.isspace():
                yield _parse(line, number, decode, shapes)
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise EnvironmentProblem(
            f"the events cannot be read beyond line {number}: {error}", hint="the file is damaged or was cut off"
        ) from error


def _parse(line: bytes, number: int, decode: Decode, shapes: Mapping[str, EventShape]) -> EventLine | BadLine:
    try:
        written = decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return BadLine(number, "is not JSON")
    if not isinstance(written, dict):
        return BadLine(number, "is not a JSON object")
    event_type = written.pop("type", None)
    shape = shapes.get(event_type) if isinstance(event_type, str) else None
    if shape is None:
        return BadLine(number, "has no type" if event_type is None else "has a type that no schema describes")
    written.setdefault("event_id", f"line-{number}")
    try:
        event = event_from(shape, written)
    except BadValue as bad:
        return BadLine(number, f"{shape.name}: {bad}")
    return EventLine(number, event.fields["occurred_at"], event)


def _open(path: str) -> io.BufferedReader:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise EnvironmentProblem(
            f"{path} cannot be read: {error.strerror}", hint="name a file of JSON Lines, or - for the standard input"
        ) from error


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(_LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
        pass


def _decompressed(raw: io.BufferedReader) -> BinaryIO:
    return gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP_MAGIC else raw  # type: ignore[return-value]
