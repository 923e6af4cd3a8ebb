"""A customer who is forgotten while commands are on their way, on a real Kafka Connect."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from orchestrator.cli.main import run
from orchestrator.model.actions import Recall
from orchestrator.resources import journeys_dir
from orchestrator.runtime.connectors import Connector, ConnectWorker
from orchestrator.runtime.recalls import customer_digest, recall_record
from orchestrator.stack.stack import Stack, kill_connect, start_connect
from tests.runtime.worker_process import START_MS, Installation, until
from tests.sinks.receiver import Answer, Receiver, Request
from tests.sinks.traffic import HOUR_MS, WAIT_S, Commands, command, dead_letter_count, dead_letters, eventually

pytestmark = pytest.mark.broker

Apply = Callable[..., Connector]
BUSY = Answer(503)
NOW_MS = command("any")["created_at"]


def recalls_topic(commands: Commands) -> str:
    return commands.topic.replace("actions.webhook", "journeys.recalls")


def recall(commands: Commands, recalls: Iterable[Recall]) -> None:
    """As a worker does it."""
    for one in recalls:
        key, value = recall_record(one)
        commands.producer.produce(recalls_topic(commands), value, key)
    commands.flush()


def until_visible(commands: Commands) -> None:
    """The broker says that a transaction is committed before it has told the partitions."""
    consumer = Consumer(
        {"bootstrap.servers": commands.bootstrap_servers, "group.id": "look", "isolation.level": "read_committed"}
    )
    consumer.assign([TopicPartition(recalls_topic(commands), number, 0) for number in range(2)])
    try:
        assert consumer.consume(1, WAIT_S)
    finally:
        consumer.close()


def dead_letters_topic(connector: Connector) -> str:
    return connector.config["errors.deadletterqueue.topic.name"]


def test_held_commands_of_who_is_forgotten_are_not_delivered_and_leave_no_bytes_behind(
    commands: Commands, apply: Apply, receiver: Receiver, connect_log: Callable[[], str]
) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    receiver.answer = lambda request: BUSY
    commands.send("anna-1", customer_id="anna", headers=[("trace", b"t-1")])
    commands.send("anna-late", customer_id="anna", expires_at=NOW_MS - 1)
    commands.send("berta-1", customer_id="berta")
    eventually(lambda: len(receiver.requests) > 1)
    recall(commands, [Recall("anna", NOW_MS + HOUR_MS)])
    (forgotten, late) = dead_letters(commands, dead_letters_topic(connector), 2)
    receiver.answer = lambda request: Answer()
    eventually(lambda: receiver.accepted == ["berta-1"])
    # Whoever comes back is written to again; what was asked for in the same instant was before it.
    later = NOW_MS + HOUR_MS + 1
    commands.send("anna-same", customer_id="anna", created_at=later - 1, expires_at=later + HOUR_MS)
    commands.send("anna-2", customer_id="anna", created_at=later, expires_at=later + HOUR_MS)
    eventually(lambda: receiver.accepted == ["berta-1", "anna-2"])
    for offset, (value, headers) in enumerate([forgotten, late]):
        assert (value, headers["dlq.reason"], headers["dlq.offset"]) == (b"", "recalled", str(offset))
        assert "trace" not in headers
    eventually(lambda: dead_letter_count(commands, dead_letters_topic(connector)) == 3)
    counted = re.compile(rf" {re.escape(connector.name)}: {{[^}}]*recalled=(\d+)")
    eventually(lambda: sum(map(int, counted.findall(connect_log()))) == 3)
    assert "anna" not in connect_log()


def test_removals_are_carried_out_and_additions_are_not(commands: Commands, apply: Apply, receiver: Receiver) -> None:
    recall(commands, [Recall("anna", NOW_MS + HOUR_MS)])
    commands.send("in", customer_id="anna", kind="audience_add", target="vip")
    commands.send("task", customer_id="anna", kind="task", target="callers")
    commands.send("out", customer_id="anna", kind="audience_remove", target="vip")
    connector = apply("http", HTTP_URL=receiver.url)
    eventually(lambda: receiver.accepted == ["out"])
    found = dead_letters(commands, dead_letters_topic(connector), 2)
    assert [headers["dlq.offset"] for _, headers in found] == ["0", "1"]


def test_many_recalls_are_read_whole_before_the_first_command_and_anew_after_a_while(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    everybody = [f"customer-{number}" for number in range(5_000)]
    recall(commands, (Recall(customer, NOW_MS) for customer in everybody))
    commands.producer.produce(recalls_topic(commands), b"{}", b"no digest")
    commands.producer.produce(recalls_topic(commands), None, customer_digest("nobody").encode())
    wanted = [f"act-{number}" for number in range(0, 5_000, 100)]
    for number in range(0, 5_000, 100):
        old = {"customer_id": everybody[number], "created_at": NOW_MS}
        commands.send_bytes(commands.encoded(action_id=f"old-{number}", **old))
        commands.send_bytes(commands.encoded(action_id=f"act-{number}", **{**old, "created_at": NOW_MS + 1}))
    commands.flush()
    quick = {"put.time.max.ms": "200", "recalls.anew.ms": "300"}
    connector = apply("http", settings=quick, HTTP_URL=receiver.url)
    eventually(lambda: len(receiver.accepted) >= 50)
    assert receiver.accepted == wanted
    eventually(lambda: dead_letter_count(commands, dead_letters_topic(connector)) == 50)


def test_recalls_of_an_open_or_aborted_transaction_do_not_count(
    commands: Commands, apply: Apply, receiver: Receiver, topic_prefix: str
) -> None:
    producer = Producer({"bootstrap.servers": commands.bootstrap_servers, "transactional.id": topic_prefix})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    key, value = recall_record(Recall("anna", NOW_MS + HOUR_MS))
    producer.produce(recalls_topic(commands), value, key)
    assert producer.flush(WAIT_S) == 0
    apply("http", HTTP_URL=receiver.url)
    commands.send("open", customer_id="anna")
    eventually(lambda: receiver.accepted == ["open"])
    producer.abort_transaction(WAIT_S)
    commands.send("aborted", customer_id="anna")
    eventually(lambda: receiver.accepted == ["open", "aborted"])
    producer.begin_transaction()
    producer.produce(recalls_topic(commands), value, key)
    producer.commit_transaction(WAIT_S)
    until_visible(commands)
    commands.send("recalled", customer_id="anna")
    commands.send("berta", customer_id="berta")
    eventually(lambda: "berta" in receiver.accepted)
    assert receiver.accepted == ["open", "aborted", "berta"]


def test_while_there_is_no_topic_of_recalls_commands_are_held(
    commands: Commands, apply: Apply, receiver: Receiver, connect_log: Callable[[], str], connect: Stack
) -> None:
    elsewhere = f"{recalls_topic(commands)}.elsewhere"
    apply("http", settings={"recalls.topic": elsewhere}, HTTP_URL=receiver.url)
    commands.send("a")
    eventually(lambda: f"there is no topic {elsewhere}" in connect_log())
    assert receiver.requests == []
    admin = AdminClient({"bootstrap.servers": connect.bootstrap_servers})
    for future in admin.create_topics([NewTopic(elsewhere, 1, 1)]).values():
        future.result(WAIT_S)
    eventually(lambda: receiver.accepted == ["a"])


def test_a_topic_of_recalls_that_was_made_again_is_read_again(
    commands: Commands, apply: Apply, receiver: Receiver, connect: Stack
) -> None:
    again = f"{recalls_topic(commands)}.again"
    admin = AdminClient({"bootstrap.servers": connect.bootstrap_servers})

    def make(*recalled: str) -> None:
        for future in admin.create_topics([NewTopic(again, 1, 1)]).values():
            future.result(WAIT_S)
        producer = Producer({"bootstrap.servers": connect.bootstrap_servers})
        for customer in recalled:
            key, value = recall_record(Recall(customer, NOW_MS + HOUR_MS))
            producer.produce(again, value, key)
        assert producer.flush(WAIT_S) == 0

    make("anna", "berta", "carla")
    apply("http", settings={"recalls.topic": again}, HTTP_URL=receiver.url)
    commands.send("a", customer_id="anna")
    commands.send("d", customer_id="dora")
    eventually(lambda: receiver.accepted == ["d"])
    for future in admin.delete_topics([again]).values():
        future.result(WAIT_S)
    eventually(lambda: again not in admin.list_topics(timeout=WAIT_S).topics)
    make("dora")
    commands.send("d-2", customer_id="dora")
    commands.send("e", customer_id="emil")
    eventually(lambda: "e" in receiver.accepted)
    assert receiver.accepted == ["d", "e"]


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"recalls.topic": ""}, "recalls.topic"),
        ({"recalls.bootstrap.servers": ""}, "recalls.bootstrap.servers"),
        ({"recalls.consumer": "${env:SINK_NOT_SET}"}, "recalls.consumer"),
    ],
)
def test_a_sink_that_could_not_know_of_recalls_is_refused(
    change: dict[str, str], setting: str, commands: Commands, apply: Apply, receiver: Receiver, connect: Stack
) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    changed = Connector(connector.name, {**connector.config, **change})
    assert [fault.setting for fault in ConnectWorker(connect.connect_url).faults(changed)] == [setting]


ADVERTISING = """\
journey: advertising
owner: lifecycle@shop.example
status: live
entry: {on: customer_registered}
steps:
  advertise: {audience: {add: win_back_ads}, expires: 7 days}
"""


def test_an_erasure_reaches_what_sinks_hold_also_after_connect_was_killed(
    connect: Stack,
    apply: Apply,
    receiver: Receiver,
    topic_prefix: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    journeys = Path(shutil.copytree(journeys_dir(), tmp_path / "journeys"))
    (journeys / "advertising.yaml").write_text(ADVERTISING)
    installation = Installation(connect, topic_prefix, tmp_path, time="wall")
    settings = installation.settings
    options = ["--bootstrap-servers", settings.bootstrap_servers, "--topic-prefix", topic_prefix]
    receiver.answer = lambda request: BUSY
    apply("http", HTTP_CHANNEL="email", HTTP_URL=receiver.url)
    for template in ("ads-add", "ads-remove"):
        apply(template, ADS_URL=receiver.url)
    for customer in ("anna", "berta"):
        installation.register(customer, at_ms=START_MS)
    assert installation.producer.flush(30) == 0
    with installation.worker("a", journeys=journeys) as worker:
        worker.until_ready()
        until(lambda: {request.method for request in receiver.requests} == {"POST"}, seconds=60, what="both sinks try")
        until(lambda: len(installation.actions()) == 4, seconds=30, what="two commands for each")
        erase = ["erase", "anna", "--requested-by", "privacy-team", "--why", "request 7", "--yes"]
        erase += [*options, "--registry-url", settings.registry_url, "--app-id", settings.app_id]
        # What Connect knew is gone: it has to find out as it starts.
        kill_connect(connect)
        assert run(erase) == 0
        assert "sinks carry out none of the commands that they had not come to" in capsys.readouterr().out
        assert worker.stop() == 0
    before = len(receiver.requests)
    receiver.answer = lambda request: Answer()
    start_connect(connect)
    eventually(lambda: len(receiver.accepted) >= 3)
    run(["dead-letters", "list", "--count", *options])
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {entry["reason"] for entry in counted} == {"recalled"}
    assert {entry["topic"] for entry in counted} == {
        f"{topic_prefix}sinks.{topic_prefix}{name}.dead-letters" for name in ("http", "ads-add")
    }
    arrived = {(request.method, member(request)) for request in receiver.requests[before:]}
    assert arrived == {("POST", "berta"), ("POST", "berta@example.com"), ("DELETE", "anna@example.com")}
    replay = ["dead-letters", "replay", "--reason", "recalled", "--why", "x", "--yes", *options]
    assert run([*replay, "--registry-url", settings.registry_url]) == 1
    assert "replayed 0 of " in capsys.readouterr().out


def member(request: Request) -> str:
    """The customer of a message, the address of a member."""
    return str(request.json.get("customer_id") or request.json["member"])
