"""What is said where the audit log cannot be written, without a broker: done, not done, or not known."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime import approved, audit
from orchestrator.runtime.approved import approve
from orchestrator.runtime.audit import AuditRecord, audited, new_record, publish_with_audit
from orchestrator.runtime.settings import Settings

SETTINGS = Settings()
TIMED_OUT = KafkaError._TIMED_OUT


class Delivered:
    def topic(self) -> str:
        return "journeys.definitions"

    def offset(self) -> int:
        return 7


class FakeProducer:
    """Fails the records and commits that it is told to fail, in this order; "" and None succeed."""

    failures: ClassVar[list[str]] = []
    commits: ClassVar[list[KafkaError | None]] = []

    def __init__(self, _: dict[str, Any]) -> None:
        self.waiting: list[Any] = []

    def init_transactions(self, _: float) -> None: ...

    def begin_transaction(self) -> None: ...

    def produce(self, _: str, __: bytes, ___: bytes, *, on_delivery: Any) -> None:
        reason = self.failures.pop(0) if self.failures else ""
        error = KafkaError(TIMED_OUT, reason) if reason else None
        self.waiting.append(lambda: on_delivery(error, Delivered()))

    def flush(self, _: float) -> int:
        for tell in self.waiting:
            tell()
        return 0

    def commit_transaction(self, _: float) -> None:
        error = self.commits.pop(0) if self.commits else None
        if error is not None:
            raise KafkaException(error)
        self.flush(0)


@pytest.fixture(autouse=True)
def producer(monkeypatch: pytest.MonkeyPatch) -> type[FakeProducer]:
    made = type("Made", (FakeProducer,), {"failures": [], "commits": []})
    monkeypatch.setattr(audit, "Producer", made)
    monkeypatch.setattr(audit, "encoder", lambda _: encoded)
    monkeypatch.setattr(approved, "encoder", lambda _: encoded)
    monkeypatch.setattr(audit, "RETRY_S", 0)
    monkeypatch.setattr(audit, "_until_visible", lambda *_: None)
    return made


def encoded(record: AuditRecord) -> bytes:
    return record.id.encode()


def erase() -> list[str]:
    done: list[str] = []
    with audited(SETTINGS, act="erase", about="customer/-", who="anna", why="asked"):
        done.append("erased")
    return done


def publish() -> int:
    record = new_record(SETTINGS, act="apply", about="journeys", who="anna", why="spring")
    return publish_with_audit(SETTINGS, "journeys.definitions", b"k", b"v", record)


def test_nothing_is_done_where_the_intention_cannot_be_written(producer: type[FakeProducer]) -> None:
    producer.failures[:] = ["broker away"]
    with pytest.raises(EnvironmentProblem, match=r"^nothing was done"):
        erase()


def test_what_was_done_is_not_said_to_be_undone_where_only_its_end_cannot_be_written(
    producer: type[FakeProducer],
) -> None:
    producer.failures[:] = ["", "broker away"]
    with pytest.raises(EnvironmentProblem, match="it was done") as raised:
        erase()
    assert "nothing was done" not in str(raised.value)


def test_a_commit_is_tried_again_where_that_may_help(producer: type[FakeProducer]) -> None:
    producer.commits[:] = [KafkaError(TIMED_OUT, "slow", retriable=True), None]
    assert publish() == 7
    assert producer.commits == []


def test_a_commit_without_an_answer_is_not_known_and_one_that_was_ended_was_not_done(
    producer: type[FakeProducer],
) -> None:
    producer.commits[:] = [KafkaError(KafkaError._FATAL, "fenced", fatal=True)]
    with pytest.raises(EnvironmentProblem, match="it is not known whether"):
        publish()
    producer.commits[:] = [KafkaError(TIMED_OUT, "not delivered", txn_requires_abort=True)]
    with pytest.raises(EnvironmentProblem, match=r"^nothing was done"):
        publish()


def test_an_approval_without_an_answer_is_not_said_to_be_undone_and_what_to_do_is(
    producer: type[FakeProducer],
) -> None:
    word = new_record(SETTINGS, act="approve", about="rules", who="ben", why="as agreed", version="1")
    producer.commits[:] = [KafkaError(KafkaError._FATAL, "no answer", fatal=True)]
    with pytest.raises(EnvironmentProblem, match=r"it is not known whether .*orchestrator\.approvals") as raised:
        approve(SETTINGS, [word])
    assert "orchestrator audit --act approve" in raised.value.hint
    assert "nothing was done" not in str(raised.value)
    producer.commits[:] = [KafkaError(TIMED_OUT, "not delivered", txn_requires_abort=True)]
    with pytest.raises(EnvironmentProblem, match=r"^nothing was done"):
        approve(SETTINGS, [word])
