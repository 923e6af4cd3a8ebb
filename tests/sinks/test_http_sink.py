"""The HTTP sink on a real Kafka Connect, against an endpoint that counts what arrives."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from orchestrator.runtime.connectors import Connector, ConnectWorker
from orchestrator.stack.stack import Stack, kill_connect, start_connect
from tests.sinks.conftest import TOKEN
from tests.sinks.receiver import Answer, Receiver, Request
from tests.sinks.traffic import HOUR_MS, WAIT_S, Commands, dead_letter_count, dead_letters, eventually

pytestmark = pytest.mark.broker

Apply = Callable[..., Connector]


def dead_letters_topic(connector: Connector) -> str:
    return connector.config["errors.deadletterqueue.topic.name"]


def test_a_command_arrives_as_json_with_its_id_as_idempotency_key_and_the_configured_headers(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    apply("http", HTTP_URL=receiver.url)
    commands.send("act-1", expires_at=int(time.time() * 1000) // 1000 * 1000 + HOUR_MS)
    eventually(lambda: bool(receiver.accepted))
    request = receiver.requests[0]
    assert (request.method, request.path) == ("POST", "/commands")
    assert request.key == "act-1"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Content-Type"] == "application/json"
    body = request.json
    assert body["content"] == {"subject": "Grüße", "body": 'a "quoted" line'}
    assert body["message_class"] == "promotional"
    assert body["kind"] == "send"
    assert body["expires_at"].endswith("Z")


def test_a_secret_is_in_no_answer_of_connect_and_in_no_log(
    commands: Commands, apply: Apply, receiver: Receiver, connect: Stack, connect_log: Callable[[], str]
) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    commands.send("act-1")
    eventually(lambda: bool(receiver.accepted))
    for path in ("", "/config", "/status", "/tasks"):
        with urllib.request.urlopen(f"{connect.connect_url}/connectors/{connector.name}{path}") as answer:
            assert TOKEN not in answer.read().decode()
    wrong = Connector(connector.name, {**connector.config, "http.url": "nonsense", "read.timeout.ms": "-1"})
    faults = ConnectWorker(connect.connect_url).faults(wrong)
    assert {fault.setting for fault in faults} == {"http.url", "read.timeout.ms"}
    assert TOKEN not in str(faults)
    assert TOKEN not in connect_log()


def test_what_a_secret_resolves_to_is_not_shown_by_validation(
    connect: Stack, apply: Apply, commands: Commands, receiver: Receiver
) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    worker = ConnectWorker(connect.connect_url)
    path = "/connector-plugins/HttpSinkConnector/config/validate"
    status, body = worker._call("PUT", path, connector.config)
    assert status == 200
    assert TOKEN not in str(body)


def test_a_secret_that_connect_cannot_find_is_not_sent_as_its_own_name(
    connect: Stack, apply: Apply, commands: Commands, receiver: Receiver
) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    for name in ("SINK_NOT_SET", "HOME"):
        wrong = {**connector.config, "http.headers": f"Authorization: ${{env:{name}}}"}
        faults = ConnectWorker(connect.connect_url).faults(Connector(connector.name, wrong))
        assert [fault.setting for fault in faults] == ["http.headers"]
        assert "cannot find" in faults[0].text


def test_headers_of_a_record_change_nothing_of_the_request(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    apply("http", HTTP_URL=receiver.url)
    commands.send("plain")
    hostile = [
        ("Authorization", b"Bearer mine"),
        ("Idempotency-Key", b"other"),
        ("CamelHeader.CamelHttpUri", b"http://127.0.0.1:1/elsewhere"),
        ("X-Evil\r\nX-Injected", b"1\r\nX-Other: 2"),
        ("http.url", b"http://127.0.0.1:1/elsewhere"),
        ("dlq.reason", b"expired"),
    ]
    commands.send("hostile", headers=hostile)
    eventually(lambda: len(receiver.accepted) == 2)
    plain, attacked = receiver.requests
    differing = {"Idempotency-Key", "Content-Length"}
    assert attacked.key == "hostile"
    assert attacked.path == plain.path
    assert {name: value for name, value in attacked.headers.items() if name not in differing} == {
        name: value for name, value in plain.headers.items() if name not in differing
    }


def test_while_the_endpoint_is_down_commands_are_held_and_then_delivered_in_order(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    commands.send("first")
    eventually(lambda: receiver.accepted == ["first"])
    receiver.close()
    held = [f"held-{number:03}" for number in range(200)]
    commands.send(*held)
    time.sleep(3)
    assert receiver.accepted == ["first"]
    receiver.reopen()
    eventually(lambda: len(receiver.accepted) >= 201)
    assert receiver.accepted == ["first", *held]
    assert dead_letter_count(commands, dead_letters_topic(connector)) == 0


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_an_answer_that_means_later_holds_the_command_and_those_after_it(
    status: int, commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    refusals = iter(range(3))
    receiver.answer = lambda request: Answer(status if next(refusals, None) is not None else 200)
    commands.send("a", "b", "c")
    eventually(lambda: len(receiver.accepted) == 3)
    assert [request.key for request in receiver.requests] == ["a", "a", "a", "a", "b", "c"]
    assert dead_letter_count(commands, dead_letters_topic(connector)) == 0


def test_the_endpoint_says_how_long_to_wait(commands: Commands, apply: Apply, receiver: Receiver) -> None:
    apply("http", HTTP_URL=receiver.url)
    asked: list[float] = []

    def answer(request: Request) -> Answer:
        asked.append(time.monotonic())
        return Answer(429, (("Retry-After", "3"),)) if len(asked) == 1 else Answer()

    receiver.answer = answer
    commands.send("a")
    eventually(lambda: bool(receiver.accepted))
    assert asked[1] - asked[0] >= 3


def test_an_endpoint_that_does_not_answer_in_time_is_asked_again(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    apply("http", settings={"connect.timeout.ms": "200", "read.timeout.ms": "300"}, HTTP_URL=receiver.url)
    slow = iter([Answer(204, delay_s=5)])
    receiver.answer = lambda request: next(slow, Answer())
    commands.send("a", "b")
    eventually(lambda: "b" in receiver.accepted)
    # What was taken just before the time was over comes a second time, with the same key.
    assert receiver.accepted == ["a", "a", "b"]


def test_a_slow_receiver_does_not_cost_the_task_its_place_in_the_group(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    # Without coming back to Connect in between, the batch would take longer than the group waits.
    quick = {"put.time.max.ms": "500", "consumer.override.max.poll.interval.ms": "2000"}
    wanted = [f"{number:02}" for number in range(30)]
    receiver.answer = lambda request: Answer(delay_s=0.1)
    commands.send(*wanted)
    apply("http", settings=quick, HTTP_URL=receiver.url)
    eventually(lambda: len(set(receiver.accepted)) == 30)
    assert receiver.accepted == wanted


@pytest.mark.parametrize("status", [400, 404, 410, 301])
def test_a_command_that_is_refused_for_good_is_a_dead_letter_with_its_reason(
    status: int, commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    receiver.answer = lambda request: Answer(
        status if request.key == "b" else 200, (("Location", "http://127.0.0.1:1/elsewhere"),)
    )
    commands.send("a", "b", "c", headers=[("trace", b"t-1"), ("dlq.reason", b"a lie")])
    eventually(lambda: receiver.accepted == ["a", "c"])
    ((value, headers),) = dead_letters(commands, dead_letters_topic(connector), 1)
    assert value[5:].startswith(b"\x02b")
    assert headers["dlq.reason"] == f"http_{status}"
    assert headers["dlq.topic"] == commands.topic
    assert headers["dlq.offset"] == "1"
    assert headers["dlq.connector"] == connector.name
    assert headers["trace"] == "t-1"


def test_records_that_are_no_commands_are_dead_letters_with_their_bytes(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    whole = commands.encoded(action_id="cut")
    before_content = commands.encoded(action_id="huge").partition(b"\x04\x0esubject")[0]
    assert before_content.endswith(b"en")
    wrong = [
        (b"{}", "not_avro"),
        (b"\0\xff\xff\xff\xff1", "unknown_schema"),
        (whole[:40], "undecodable"),
        (whole + b"\0", "undecodable"),
        (before_content + b"\x80\x80\x80\x80\x08\x02k\x02v", "undecodable"),
        (commands.encoded(action_id="a\r\nX-Injected: 1"), "bad_action_id"),
        (commands.encoded(action_id=""), "not_a_command"),
    ]
    for value, _ in wrong:
        commands.send_bytes(value)
    commands.send("after")
    eventually(lambda: receiver.accepted == ["after"])
    found = dead_letters(commands, dead_letters_topic(connector), len(wrong))
    assert [(value, headers["dlq.reason"]) for value, headers in found] == wrong


def test_an_expired_command_is_not_sent_and_says_so(commands: Commands, apply: Apply, receiver: Receiver) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    commands.send("late", expires_at=int(time.time() * 1000) - 1)
    commands.send("fresh")
    eventually(lambda: bool(receiver.accepted))
    assert [request.key for request in receiver.requests] == ["fresh"]
    ((_, headers),) = dead_letters(commands, dead_letters_topic(connector), 1)
    assert headers["dlq.reason"] == "expired"


def test_a_command_that_expires_while_it_is_held_is_let_go(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    connector = apply("http", HTTP_URL=receiver.url)
    receiver.answer = lambda request: Answer(500 if request.key == "poison" else 200)
    commands.send("poison", expires_at=int(time.time() * 1000) + 2_000)
    commands.send("next")
    eventually(lambda: receiver.accepted == ["next"])
    ((_, headers),) = dead_letters(commands, dead_letters_topic(connector), 1)
    assert headers["dlq.reason"] == "expired"


def test_while_the_registry_is_down_commands_are_held(commands: Commands, apply: Apply, receiver: Receiver) -> None:
    registry = Receiver()
    registry.close()
    connector = apply("http", settings={"registry.url": registry.url}, HTTP_URL=receiver.url)
    commands.send("a")
    time.sleep(1)
    assert receiver.requests == []
    assert dead_letter_count(commands, dead_letters_topic(connector)) == 0


def test_commands_of_an_aborted_transaction_are_not_sent(
    commands: Commands, apply: Apply, receiver: Receiver, topic_prefix: str
) -> None:
    apply("http", HTTP_URL=receiver.url)
    producer = Producer({"bootstrap.servers": commands.bootstrap_servers, "transactional.id": topic_prefix})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    producer.produce(commands.topic, commands.encoded(action_id="aborted"))
    assert producer.flush(WAIT_S) == 0
    producer.abort_transaction(WAIT_S)
    producer.begin_transaction()
    producer.produce(commands.topic, commands.encoded(action_id="committed"))
    producer.commit_transaction(WAIT_S)
    eventually(lambda: bool(receiver.accepted))
    assert [request.key for request in receiver.requests] == ["committed"]


def test_a_killed_connect_loses_nothing_and_its_repeats_have_the_same_key(
    commands: Commands, apply: Apply, receiver: Receiver, connect: Stack
) -> None:
    apply("http", HTTP_URL=receiver.url)
    wanted = [f"act-{number:05}" for number in range(3_000)]
    commands.send(*wanted)
    eventually(lambda: len(receiver.accepted) > 1_000)
    kill_connect(connect)
    arrived = len(receiver.accepted)
    assert arrived < 3_000
    start_connect(connect)
    eventually(lambda: len(set(receiver.accepted)) == 3_000)
    # A receiver that drops repeated keys has each command once, in order.
    assert list(dict.fromkeys(receiver.accepted)) == wanted
