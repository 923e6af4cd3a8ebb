from __future__ import annotations

from typing import Any, cast

from confluent_kafka import Message

from orchestrator.runtime.dead_letters import DeadLetter, Place, dead_letter


class FakeMessage:
    def __init__(self, *headers: tuple[str, bytes | None]) -> None:
        self._headers = list(headers)

    def headers(self) -> Any:
        return self._headers or None

    def topic(self) -> str:
        return "sinks.crm.dead-letters"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000

    def key(self) -> bytes:
        return b"anna"

    def value(self) -> bytes:
        return b"value"


def letter(*headers: tuple[str, bytes | None]) -> DeadLetter:
    return dead_letter(cast("Message", FakeMessage(*headers)))


OWN = (
    ("dlq.topic", b"actions.crm"),
    ("dlq.partition", b"2"),
    ("dlq.offset", b"41"),
    ("dlq.timestamp", b"900"),
    ("dlq.reason", b"http_404"),
    ("dlq.detail", b"the receiver answered 404"),
    ("dlq.connector", b"crm"),
)


def test_what_the_record_brought_along_does_not_count_against_what_was_added() -> None:
    lies = (("dlq.reason", b"expired"), ("dlq.topic", b"events.orders"), ("trace", b"t"))
    found = letter(*lies, *OWN)
    assert (found.reason, found.source, found.source_at_ms) == ("http_404", Place("actions.crm", 2, 41), 900)
    assert found.headers == (("trace", b"t"),)


def test_dead_letters_of_other_connectors_tell_the_kind_of_failure_and_not_its_words() -> None:
    found = letter(
        ("__connect.errors.topic", b"actions.crm"),
        ("__connect.errors.partition", b"1"),
        ("__connect.errors.offset", b"5"),
        ("__connect.errors.connector.name", b"crm"),
        ("__connect.errors.stage", b"TASK_PUT"),
        ("__connect.errors.exception.class.name", b"org.acme.RefusedException"),
        ("__connect.errors.exception.message", b"anna@example.test is unknown"),
    )
    assert (found.reason, found.detail, found.connector) == ("RefusedException", "TASK_PUT", "crm")
    assert found.source == Place("actions.crm", 1, 5)
    assert found.headers == ()


def test_a_record_without_a_word_about_itself_has_no_way_back() -> None:
    assert (letter().reason, letter().source) == ("unknown", None)
    broken = letter(("dlq.reason", b"failed"), ("dlq.topic", b"x"), ("dlq.partition", b"-1"), ("dlq.offset", None))
    assert broken.source is None
