from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from orchestrator.cli.tail import command
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tail import Decoder, Tail, tail
from orchestrator.runtime.topics import TopicSpec, create_topics
from orchestrator.stack.stack import Stack

pytestmark = pytest.mark.broker


@pytest.fixture
def topic(stack: Stack, topic_prefix: str) -> str:
    settings = Settings(bootstrap_servers=stack.bootstrap_servers)
    name = f"{topic_prefix}actions.email"
    create_topics(settings, [TopicSpec(name, 2)])
    return name


@pytest.fixture
def producer(stack: Stack, topic_prefix: str) -> Iterator[Producer]:
    made = Producer({"bootstrap.servers": stack.bootstrap_servers, "transactional.id": f"{topic_prefix}test"})
    made.init_transactions()
    yield made
    made.flush()


def unknown(_schema_id: int) -> str | None:
    return None


def test_records_of_aborted_transactions_are_never_shown(stack: Stack, topic: str, producer: Producer) -> None:
    for value, is_committed in ((b"one", True), (b"never", False), (b"two", True)):
        producer.begin_transaction()
        producer.produce(topic, value, b"c")
        if is_committed:
            producer.commit_transaction()
        else:
            producer.flush()
            producer.abort_transaction()
    source = Tail(
        Brokers(stack.bootstrap_servers), [topic], Decoder(unknown, show_personal_data=True), from_beginning=True
    )
    try:
        values = [record.value for record in tail(source, follow=False)]
    finally:
        source.close()
    assert values == ["b25l", "dHdv"]


def test_from_the_end_only_new_records_come(stack: Stack, topic: str, producer: Producer) -> None:
    def write(key: bytes) -> None:
        producer.begin_transaction()
        producer.produce(topic, b"x", key)
        producer.commit_transaction()

    write(b"old")
    source = Tail(Brokers(stack.bootstrap_servers), [topic], Decoder(unknown))
    try:
        # At the end once, so what is written from here on is new.
        while not source.at_end:
            assert source.poll() == []
        writing = threading.Thread(target=write, args=(b"new",))
        writing.start()
        assert [record.key for record in tail(source, follow=True, records_max=1)] == ["new"]
        writing.join()
    finally:
        source.close()


def test_all_action_topics_are_read_when_none_is_named(
    stack: Stack, topic: str, topic_prefix: str, producer: Producer
) -> None:
    producer.begin_transaction()
    producer.produce(topic, b"x", b"c")
    producer.commit_transaction()
    options = [f"--bootstrap-servers={stack.bootstrap_servers}", f"--registry-url={stack.registry_url}"]
    result = CliRunner().invoke(
        command, [*options, f"--topic-prefix={topic_prefix}", "--from-beginning", "--no-follow"], catch_exceptions=False
    )
    assert [json.loads(line)["topic"] for line in result.stdout.splitlines()] == [topic]


def test_a_topic_that_does_not_exist_is_named(stack: Stack) -> None:
    with pytest.raises(EnvironmentProblem, match="topic nowhere does not exist"):
        Tail(Brokers(stack.bootstrap_servers), ["nowhere"], Decoder(unknown))
