"""From an event to a mail: a real worker, Kafka Connect and mail server, two of them killed in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.connectors import Connector
from orchestrator.runtime.dead_letters import DeadLetter, read_dead_letters
from orchestrator.stack.stack import Stack, kill_connect, start_connect
from tests.runtime.worker_process import START_MS, Installation, until
from tests.sinks.mail_server import MailServer

pytestmark = pytest.mark.broker

Apply = Callable[..., Connector]
CUSTOMERS = [f"customer-{number:03}" for number in range(400)]


def deliver_by_mail(apply: Apply, server: MailServer) -> Connector:
    return apply(
        "email",
        SMTP_HOST="127.0.0.1",
        SMTP_PORT=str(server.port),
        SMTP_SECURITY="none",
        SMTP_FROM="The shop <shop@example.test>",
        # The shipped mails promise a link to sign off with.
        LINKS_URL="https://go.example.test/in",
        EMAIL_TASKS="2",
    )


def test_everyone_gets_one_mail_though_worker_and_connect_are_killed(
    connect: Stack, apply: Apply, topic_prefix: str, tmp_path: Path
) -> None:
    installation = Installation(connect, topic_prefix, tmp_path, time="wall")
    server = MailServer()
    try:
        deliver_by_mail(apply, server)
        for customer in CUSTOMERS[:200]:
            installation.register(customer, at_ms=START_MS)
        assert installation.producer.flush(30) == 0
        with installation.worker("a") as first:
            first.until_ready()
            until(lambda: len(server.mails) > 50, seconds=60, what="the first mails")
            for customer in CUSTOMERS[200:]:
                installation.register(customer, at_ms=START_MS)
            assert installation.producer.flush(30) == 0
            kill_connect(connect)
            first.process.kill()
        start_connect(connect)
        with installation.worker("b") as second:
            second.until_ready()
            # Dropping what has the same Message-ID, as receivers should.
            until(lambda: len({mail["Message-ID"] for mail in server.mails}) == 400, seconds=90, what="all mails")
            assert second.stop() == 0
    finally:
        server.close()
    delivered = {str(mail["Message-ID"]): str(mail["To"]) for mail in server.mails}
    assert sorted(delivered.values()) == [f"{customer}@example.com" for customer in CUSTOMERS]


def test_an_event_that_nobody_could_read_is_replayed_where_it_came_from(
    stack: Stack, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = Installation(stack, topic_prefix, tmp_path)
    with installation.worker("a") as worker:
        worker.until_ready()
        topic = installation.names.events[0]
        installation.producer.produce(topic, b"not avro", b"anna", 1, timestamp=START_MS)
        installation.heartbeat(at_ms=START_MS + 1)
        monkeypatch.setenv("ORCHESTRATOR_BOOTSTRAP_SERVERS", stack.bootstrap_servers)
        monkeypatch.setenv("ORCHESTRATOR_REGISTRY_URL", stack.registry_url)
        monkeypatch.setenv("ORCHESTRATOR_TOPIC_PREFIX", topic_prefix)
        until(lambda: run(["dead-letters", "list", "--reason", "not_avro"]) == 1, seconds=30, what="a dead letter")
        assert run(["dead-letters", "replay", "--reason", "not_avro", "--why", "why not", "--yes"]) == 0
        # It is as unreadable as before, so it comes back: from the same topic and partition, at the time of the event.
        installation.heartbeat(at_ms=START_MS + 2)
        letters = until(lambda: two(stack, installation), seconds=30, what="a second dead letter")
        assert worker.stop() == 0
    first, second = letters
    assert (first.source.topic, first.source.partition) == (second.source.topic, second.source.partition) == (topic, 1)
    assert (first.key, first.value, first.source_at_ms) == (second.key, second.value, second.source_at_ms)
    assert second.headers == (("replayed-from", str(first.place).encode()),)


def two(stack: Stack, installation: Installation) -> list[DeadLetter]:
    found = list(read_dead_letters(Brokers(stack.bootstrap_servers), [installation.names.dead_letters]))
    return found if len(found) == 2 else []
