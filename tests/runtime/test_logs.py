from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from orchestrator.runtime.logs import LessRepetition, configure_logs


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


def test_lines_of_a_kafka_client_that_repeat_are_shown_once_in_a_while_with_their_number() -> None:
    now = [100.0]
    less = LessRepetition(lambda: now[0])

    def shown(name: str, message: str, *values: object) -> str:
        record = logging.LogRecord(name, logging.ERROR, "", 0, message, values, None)
        return record.getMessage() if less.filter(record) else ""

    refused = ("aiokafka", "Unable connect to node with id %s: %s", 1)
    assert shown(*refused, "[Errno 111]") == "Unable connect to node with id 1: [Errno 111]"
    now[0] += 29.9
    assert [shown(*refused, "[Errno 111]"), shown(*refused, "[Errno 113]")] == ["", ""]
    # Another node is another matter, and so is what the worker says itself.
    assert shown("aiokafka", "Unable connect to node with id %s: %s", 2, "x") != ""
    assert [shown("orchestrator.runtime.pump", "the batch waits") for _ in range(2)] == ["the batch waits"] * 2
    now[0] += 0.1
    assert shown(*refused, "x") == "Unable connect to node with id 1: x (2 such lines left out before)"
    now[0] += 30.0
    assert shown(*refused, "x") == "Unable connect to node with id 1: x"


def test_at_debug_every_line_is_shown() -> None:
    quiet, loud = io.StringIO(), io.StringIO()
    for stream, level in ((quiet, "info"), (loud, "debug")):
        configure_logs(log_format="json", level=level, stream=stream)
        for _ in range(3):
            logging.getLogger("aiokafka").error("Unable to update metadata from %s", [1])
    assert (quiet.getvalue().count("\n"), loud.getvalue().count("\n")) == (1, 3)
