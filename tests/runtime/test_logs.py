from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from orchestrator.runtime.logs import configure_logs


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_lines_carry_level_time_and_fields() -> None:
    stream = io.StringIO()
    configure_logs(log_format="json", level="info", stream=stream)
    structlog.stdlib.get_logger("orchestrator.test").info("partition restored", partition=3)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["partition"]) == ("partition restored", "info", 3)
    assert line["timestamp"].endswith("Z")


def test_the_libraries_loggers_go_the_same_way() -> None:
    stream = io.StringIO()
    configure_logs(log_format="json", level="info", stream=stream)
    logging.getLogger("aiokafka.conn").error("connection %s lost", 7)
    assert json.loads(stream.getvalue())["event"] == "connection 7 lost"


def test_faust_does_not_chat_at_info_and_does_at_debug() -> None:
    quiet, loud = io.StringIO(), io.StringIO()
    configure_logs(log_format="json", level="info", stream=quiet)
    logging.getLogger("faust.app.base").info("Starting...")
    configure_logs(log_format="json", level="debug", stream=loud)
    logging.getLogger("faust.app.base").info("Starting...")
    assert (quiet.getvalue(), "Starting" in loud.getvalue()) == ("", True)


def test_text_lines_are_one_line_each_and_without_colour_off_a_terminal() -> None:
    stream = io.StringIO()
    configure_logs(log_format="text", level="info", stream=stream)
    structlog.stdlib.get_logger("orchestrator.test").warning("registry is away", reason="x")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_an_exception_is_one_json_line_with_its_traceback() -> None:
    stream = io.StringIO()
    configure_logs(log_format="json", level="info", stream=stream)
    structlog.stdlib.get_logger("orchestrator.test").error("ends", exc_info=ValueError("broken"))
    assert "ValueError: broken" in json.loads(stream.getvalue())["exception"]
