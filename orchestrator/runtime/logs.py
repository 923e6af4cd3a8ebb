"""Log lines as text or JSON on standard error; the libraries' loggers go the same way.

Nothing here knows about customers: callers pass counts, partitions and reasons, never ids or contents.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable
from typing import TextIO

import structlog

# Each is chatty at a level at which the worker itself says what matters.
_LEVEL_FLOORS = {
    "aiokafka": logging.WARNING,
    # A group error here is followed by a rejoin, which the worker logs in its own words.
    "aiokafka.consumer.group_coordinator": logging.CRITICAL,
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    # The overrides' services log through Faust, each start and stop of theirs.
    "orchestrator.runtime.faust_batches": logging.WARNING,
    "asyncio": logging.WARNING,
    "urllib3": logging.WARNING,
}
_SILENT = ("aiohttp.server",)
"""Never heard, whatever the level: it quotes what it could not read, a bearer token or a customer's words included."""

REPEATED_EVERY_S = 30.0
REPEATED_KINDS_MAX = 200
_REPETITIVE = ("aiokafka", "orchestrator.runtime.transaction", "orchestrator.runtime.restore")
"""Loggers of the Kafka clients: without a broker they would write dozens of equal lines a second, for hours."""


class LessRepetition(logging.Filter):
    """Lets a line of a Kafka client through once in a while, and then says how many like it came in between.

    Like it: of the same logger, in the same words, about the same thing, which is the first of their values.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is shown."""
        if not record.name.startswith(_REPETITIVE):
            return True
        about = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        kind, now = (record.name, str(record.msg), str(about)), self._clock()
        shown_at, left_out = self._seen.get(kind, (-REPEATED_EVERY_S, 0))
        if now - shown_at < REPEATED_EVERY_S:
            self._seen[kind] = shown_at, left_out + 1
            return False
        if len(self._seen) >= REPEATED_KINDS_MAX:
            self._seen.clear()
        self._seen[kind] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} such lines left out before)", ()
        return True


def stack_of(error: BaseException) -> str:
    """Where the error came from, and what it came from in turn: types and places, never messages.

    A bug's message may quote what it stumbled over (`KeyError: 'ada@example.com'`).
    """
    lines: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        lines = [*traceback.format_tb(seen.__traceback__), f"{type(seen).__name__}\n", *lines]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "".join(lines).rstrip()


def configure_logs(*, log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Every later log line of this process, whoever writes it, in one shape on one stream."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    target = stream if stream is not None else sys.stderr
    if log_format == "json":
        final: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        final = [
            structlog.dev.ConsoleRenderer(
                colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            )
        ]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    if level != "debug":
        handler.addFilter(LessRepetition())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    chosen = logging.getLevelName(level.upper())
    root.setLevel(chosen)
    for name, floor in _LEVEL_FLOORS.items():
        logging.getLogger(name).setLevel(logging.DEBUG if chosen == logging.DEBUG else floor)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
