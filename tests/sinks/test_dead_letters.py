"""`orchestrator dead-letters` on what a real sink and a real broker have refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from orchestrator.cli.main import run
from orchestrator.runtime.connectors import Connector
from orchestrator.runtime.privacy import held
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import create_topics, topic_names, topic_specs
from orchestrator.stack.stack import Stack
from tests.sinks.receiver import Answer, Receiver
from tests.sinks.traffic import Commands, dead_letters, eventually

pytestmark = pytest.mark.broker

YES = ("--why", "mended", "--yes")
Call = Callable[..., tuple[int, list[Any], str]]


@pytest.fixture
def orchestrator(
    stack: Stack, topic_prefix: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Call:
    """The exit code, the lines of output as JSON where they are, and what went to standard error."""
    monkeypatch.setenv("ORCHESTRATOR_BOOTSTRAP_SERVERS", stack.bootstrap_servers)
    monkeypatch.setenv("ORCHESTRATOR_REGISTRY_URL", stack.registry_url)
    monkeypatch.setenv("ORCHESTRATOR_TOPIC_PREFIX", topic_prefix)

    settings = Settings(bootstrap_servers=stack.bootstrap_servers, topic_prefix=topic_prefix)
    audit = topic_names(settings).audit
    create_topics(settings, [spec for spec in topic_specs(settings, ()) if spec.name == audit])

    def call(*arguments: str) -> tuple[int, list[Any], str]:
        capsys.readouterr()
        code = run(["dead-letters", *arguments])
        printed = capsys.readouterr()
        lines = printed.out.splitlines()
        return code, [json.loads(line) if line.startswith("{") else line for line in lines], printed.err

    return call


@pytest.fixture
def refused(commands: Commands, apply: Callable[..., Connector], receiver: Receiver) -> str:
    """The dead-letter topic of a sink that has refused two commands for 404, one as expired, and a text."""
    connector = apply("http", HTTP_URL=receiver.url)
    receiver.answer = lambda request: Answer(404)
    commands.send("a", "b", headers=[("trace", b"t-1")])
    commands.send("late", expires_at=int(time.time() * 1000) - 1)
    commands.send_bytes(b"anna@example.test")
    commands.flush()
    topic = connector.config["errors.deadletterqueue.topic.name"]
    dead_letters(commands, topic, 4)
    receiver.answer = lambda request: Answer()
    return topic


def test_they_are_listed_counted_and_shown_without_what_they_hold(
    refused: str, orchestrator: Call, commands: Commands, topic_prefix: str
) -> None:
    code, listed, _ = orchestrator("list")
    assert code == 1
    assert [entry["reason"] for entry in listed] == ["http_404", "http_404", "expired", "not_avro"]
    assert listed[1]["id"] == f"{refused}:0:1"
    assert listed[1]["from"] == f"{commands.topic}:0:1"
    assert listed[1]["connector"] == f"{topic_prefix}http"
    _, counted, _ = orchestrator("list", "--count")
    assert {entry["reason"]: entry["count"] for entry in counted} == {"http_404": 2, "expired": 1, "not_avro": 1}
    code, shown, _ = orchestrator("show", f"{refused}:0:0", f"{refused}:0:3")
    assert code == 0
    assert shown[0]["headers"] == {"trace": "***"}
    text = json.dumps([listed, counted, shown])
    assert "anna" not in text
    assert "t-1" not in text


def test_what_they_hold_is_shown_when_asked_for(refused: str, orchestrator: Call) -> None:
    _, shown, _ = orchestrator("show", "--show-values", f"{refused}:0:0")
    assert shown[0]["type"] == "action_command"
    assert shown[0]["value"]["address"] == "anna@example.test"
    assert shown[0]["headers"] == {"trace": "t-1"}


def test_they_are_part_of_what_is_given_out_about_a_customer(
    refused: str, stack: Stack, topic_prefix: str, commands: Commands
) -> None:
    settings = Settings(
        bootstrap_servers=stack.bootstrap_servers,
        registry_url=stack.registry_url,
        topic_prefix=topic_prefix,
        app_id=f"{topic_prefix}app",
    )
    create_topics(settings, topic_specs(settings, ()))
    topics = held(settings, "user_1")["topics"]
    assert [record["value"]["action_id"] for record in topics[refused][:3]] == ["a", "b", "late"]
    assert held(settings, "user_2")["topics"] == {}


def test_a_selection_by_reason_time_topic_and_number(refused: str, orchestrator: Call, topic_prefix: str) -> None:
    assert [entry["reason"] for entry in orchestrator("list", "--reason", "expired")[1]] == ["expired"]
    assert len(orchestrator("list", "--since", "1 hour")[1]) == 4
    assert orchestrator("list", "--since", "2100-01-01")[:2] == (0, [])
    # The prefix of the installation may be left out.
    assert len(orchestrator("list", "--topic", refused.removeprefix(topic_prefix))[1]) == 4
    code, listed, errors = orchestrator("list", "--max", "2")
    assert (code, len(listed)) == (1, 2)
    assert "there are more" in errors


def test_a_replay_brings_the_same_bytes_and_key_back_with_a_header_that_says_so(
    refused: str, orchestrator: Call, commands: Commands, receiver: Receiver
) -> None:
    code, printed, _ = orchestrator("replay", "--reason", "http_404", *YES)
    assert (code, printed) == (0, [f"replayed 2 of 2: 2 to {commands.topic}"])
    eventually(lambda: receiver.accepted == ["a", "b"])
    before, after = record(commands, 0), record(commands, 4)
    assert (before.key(), before.value()) == (after.key(), after.value())
    assert after.headers() == [("trace", b"t-1"), ("replayed-from", f"{refused}:0:0".encode())]
    # Once more: the same ids again, which receivers drop.
    assert orchestrator("replay", f"{refused}:0:0", *YES)[0] == 0
    eventually(lambda: receiver.accepted == ["a", "b", "a"])


def test_expired_commands_are_replayed_only_when_named(refused: str, orchestrator: Call, commands: Commands) -> None:
    assert orchestrator("replay", "--topic", refused, *YES)[1] == [f"replayed 3 of 3: 3 to {commands.topic}"]
    assert orchestrator("replay", "--reason", "expired", *YES)[1] == [f"replayed 1 of 1: 1 to {commands.topic}"]


def test_a_replay_without_a_selection_or_without_anyone_to_ask_does_nothing(refused: str, orchestrator: Call) -> None:
    assert orchestrator("replay", *YES)[0] == 2
    code, printed, errors = orchestrator("replay", "--reason", "http_404", *YES[:2])
    assert (code, printed) == (2, [])
    assert "--yes" in errors


def test_what_is_not_there_is_said(refused: str, orchestrator: Call) -> None:
    assert orchestrator("show", f"{refused}:0:99")[0] == 1
    assert orchestrator("show", "nonsense")[0] == 2
    assert orchestrator("replay", f"{refused}:7:0", *YES)[0] == 1
    assert orchestrator("list", "--topic", "nowhere.dead-letters")[0] == 3


def test_where_nothing_was_refused_the_list_is_empty_and_the_exit_code_0(orchestrator: Call) -> None:
    assert orchestrator("list") == (0, [], "")


def record(commands: Commands, offset: int) -> Any:
    consumer = Consumer({"bootstrap.servers": commands.bootstrap_servers, "group.id": "look", "log_level": 0})
    consumer.assign([TopicPartition(commands.topic, 0, offset)])
    try:
        (message,) = consumer.consume(1, 30)
        return message
    finally:
        consumer.close()
