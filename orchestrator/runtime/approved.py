"""Who approved of what: a topic of its own, which only those may write who are there to approve.

A record has the form of an audit record, and is written in one transaction with the same record of the audit log. Its
key is what it is about, which content and whose word: compacted, the topic keeps the newest word of each person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing

import msgspec
from confluent_kafka import KafkaException, TopicPartition

from orchestrator.authoring.approvals import Approval, Given, given_approvals
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.audit import (
    DONE,
    TIMEOUT_S,
    AuditRecord,
    encoder,
    new_record,
    publish_together,
    read_audit,
    read_records,
)
from orchestrator.runtime.explain import committed_reader
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names

APPROVE, WITHDRAW, CARRY_OVER = "approve", "withdraw", "carry_over"
LOOK = "wait ten seconds and look with `orchestrator audit --act approve`; approving of the same once more does no harm"


def approvals(settings: Settings) -> Given:
    """Who approved of what. Raises: EnvironmentProblem if the topic of approvals cannot be read."""
    return given_approvals(
        Approval(record.about, record.version, record.who, record.act == APPROVE)
        for record in _words(read_records(settings, topic_names(settings).approvals))
    )


def approve(settings: Settings, words: Sequence[AuditRecord]) -> None:
    """Writes somebody's words, all of them or none, with their records in the audit log.

    Raises: EnvironmentProblem if they were not written, or if that is not known.
    """
    _write(settings, words, words)


def words_of_the_log(settings: Settings) -> list[AuditRecord]:
    """The approvals in the audit log, where releases before this one have them, as far as they still stand.

    Raises: EnvironmentProblem if it cannot be read.
    """
    newest: dict[bytes, AuditRecord] = {}
    for record in _words(read_audit(settings)):
        newest[_key(record)] = record
    return [record for record in newest.values() if record.act == APPROVE]


def has_approvals(settings: Settings) -> bool:
    """Whether anything was ever written to the topic of approvals; what was broken off was not, though the topic has an
    end then. Raises: EnvironmentProblem if the topic is not there, or has to be read and cannot be.
    """
    consumer = committed_reader(settings, "approvals")
    try:
        position = TopicPartition(topic_names(settings).approvals, 0)
        # Who may write may see where it ends, and needs no right to read it at first.
        if consumer.get_watermark_offsets(position, TIMEOUT_S)[1] <= 0:
            return False
    except KafkaException as error:
        raise brokers_of(settings).problem(error) from None
    finally:
        consumer.close()
    with closing(read_records(settings, position.topic)) as records:
        return next(records, None) is not None


def carry_over(settings: Settings, words: Sequence[AuditRecord], *, who: str, why: str) -> None:
    """Writes words that were given to an earlier release as they were given; the audit log says who took them over.

    Raises: EnvironmentProblem if they were not written, or if that is not known.
    """
    changes = [f"{word.about} version {word.version} by {word.who}" for word in words]
    _write(
        settings, words, [new_record(settings, act=CARRY_OVER, about="approvals", who=who, why=why, changes=changes)]
    )


def _write(settings: Settings, words: Sequence[AuditRecord], records: Sequence[AuditRecord]) -> None:
    encode = encoder(settings)
    pairs = [(_key(word), encode(word)) for word in words]
    publish_together(settings, topic_names(settings).approvals, pairs, records, encode, look=LOOK)


def _words(records: Iterable[AuditRecord]) -> Iterable[AuditRecord]:
    return (record for record in records if record.act in {APPROVE, WITHDRAW} and record.outcome == DONE)


def _key(word: AuditRecord) -> bytes:
    return msgspec.json.encode([word.about, word.version, word.who])
