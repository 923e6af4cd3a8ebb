"""The audit log: what people and programs did to the installation, in a topic that is kept for ever.

An act whose effect is a record on a topic is written with it in one transaction. Any other act is written twice:
`intended` before anything is done, and how it ended after it. So there can be an intention without an act, where the
program was killed in between, but no act without a record. Customers whose data it was about are named by a keyed
digest.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import fastavro
import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from orchestrator import __version__
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import schemas_dir
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.codec import frame
from orchestrator.runtime.explain import committed_reader
from orchestrator.runtime.schemas import SchemaFile, read_schema_files, register_schemas
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tail import Decoder, Tail, tail
from orchestrator.runtime.topics import topic_names

NAME = "audit_record"
TIMEOUT_S = 15.0
RETRY_S = 0.1
INTENDED, DONE, REFUSED, FAILED = "intended", "done", "refused", "failed"
JOURNEYS, RULES = "journeys", "rules"
"""What acts on the whole set, and on the rules for all journeys, are about."""
DIGEST_CHARACTERS = 32
OPTIONS: dict[str, Any] = {
    "enable.idempotence": True,
    # A broker that makes topics by itself would give the log its own retention, and lose approvals after a week.
    "allow.auto.create.topics": False,
    # A topic that is not there is a mistake to be told, nothing that comes by waiting.
    "message.timeout.ms": 10_000,
    "topic.metadata.propagation.max.ms": 0,
    "log_level": 0,
}


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record: the value form of `schemas/records/audit_record.avsc`. Instants are milliseconds since the epoch."""

    id: str
    at_ms: int
    act: str
    outcome: str
    about: str
    who: str
    why: str
    environment: str = ""
    release: str = __version__
    set_id: str = ""
    journey: str = ""
    version: str = ""
    changes: list[str] = []
    detail: dict[str, str] = {}


@dataclass(slots=True)
class Act:
    """An act under way. What is found out while it is done may be added until it ends."""

    record: AuditRecord
    detail: dict[str, str]

    def ended(self, outcome: str) -> AuditRecord:
        """The record of its end."""
        return msgspec.structs.replace(
            self.record, outcome=outcome, at_ms=now_ms(), detail={**self.record.detail, **self.detail}
        )


def about_journey(name: str) -> str:
    """What an act on one journey is about."""
    return f"journey/{name}"


def about_customer(settings: Settings, customer_id: str) -> str:
    """What an act on one customer's data is about: a keyed digest, that only who has the key can compare.

    Without a key it is the same for all customers: a digest without one could be found by trying ids.
    Raises: EnvironmentProblem if the key cannot be read.
    """
    if not settings.audit_key_file:
        return "customer/-"
    try:
        key = Path(settings.audit_key_file).read_bytes().strip()
    except OSError as error:
        raise EnvironmentProblem(
            f"the audit key cannot be read: {error.strerror}", hint="set --audit-key-file to a file with the key"
        ) from error
    if not key:
        raise EnvironmentProblem("the audit key is empty", hint="write 32 random bytes to the file")
    digest = hmac.new(key, customer_id.encode(), hashlib.sha256).hexdigest()
    return f"customer/{digest[:DIGEST_CHARACTERS]}"


def new_record(settings: Settings, *, act: str, about: str, who: str, why: str, **more: Any) -> AuditRecord:
    """A record of an act of now; `outcome` is `done` unless given."""
    values: dict[str, Any] = {"outcome": DONE, "environment": settings.environment, **more}
    return AuditRecord(id=uuid4().hex, at_ms=now_ms(), act=act, about=about, who=who, why=why, **values)


@contextmanager
def audited(settings: Settings, *, act: str, about: str, who: str, why: str, **more: Any) -> Iterator[Act]:
    """Writes that the act is intended before what is done within, and how it ended after it.

    Raises: EnvironmentProblem if the intention cannot be written, then nothing is done; or if its end cannot be.
    """
    record = new_record(settings, act=act, about=about, who=who, why=why, outcome=INTENDED, **more)
    encode = encoder(settings)
    append_audit(settings, record, encode)
    under_way = Act(record, {})
    try:
        yield under_way
    except BaseException as error:
        under_way.detail["failure"] = type(error).__name__
        # What went wrong first is what has to be known; the intention is on record anyway.
        with suppress(EnvironmentProblem):
            append_audit(settings, under_way.ended(FAILED), encode)
        raise
    reason = _appended(settings, under_way.ended(DONE), encode)
    if reason:
        topic = topic_names(settings).audit
        raise EnvironmentProblem(
            f"it was done, but {topic} has only that it was intended, and not its end: {reason}",
            hint="nothing needs to be done again; put on record by hand that it was done",
        )


Encode = Callable[[AuditRecord], bytes]


def audit_schema() -> SchemaFile:
    """The schema of the records, as this release writes them."""
    return next(file for file in read_schema_files(schemas_dir() / "records") if file.name == NAME)


def encoder(settings: Settings) -> Encode:
    """Frames and encodes records; registers their schema where it is not there yet.

    Raises: EnvironmentProblem if the registry does not answer or refuses the schema.
    """
    file = audit_schema()
    schema_id = register_schemas(registry_of(settings), [file])[NAME]
    return lambda record: encode_audit(record, schema_id)


def encode_audit(record: AuditRecord, schema_id: int) -> bytes:
    """The framed bytes of a record."""
    out = io.BytesIO()
    fields = {("at" if name == "at_ms" else name): value for name, value in msgspec.structs.asdict(record).items()}
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(audit_schema().text)), fields)
    return frame(schema_id) + out.getvalue()


def read_audit(settings: Settings, *, follow: bool = False) -> Iterator[AuditRecord]:
    """The committed records, oldest first; with `follow` also those to come, without an end.

    Raises: as `read_records`.
    """
    return read_records(settings, topic_names(settings).audit, follow=follow)


def read_records(settings: Settings, topic: str, *, follow: bool = False) -> Generator[AuditRecord]:
    """The committed audit records of a topic, oldest first; with `follow` also those to come, without an end.

    A record that is none of ours is left out. Raises: EnvironmentProblem if broker or registry do not answer, or the
    topic is missing.
    """
    source = Tail(
        brokers_of(settings),
        [topic],
        Decoder(registry_of(settings).schema_text),
        from_beginning=True,
    )
    try:
        for record in tail(source, follow=follow):
            found = audit_record(record.value)
            if found is not None:
                yield found
    finally:
        source.close()


def audit_record(fields: Any) -> AuditRecord | None:
    """The record of these decoded fields; what an earlier release did not write is empty. None if it is none."""
    try:
        at = datetime.fromisoformat(fields["at"])
        return msgspec.convert({**fields, "at_ms": round(at.timestamp() * 1000)}, AuditRecord)
    except (KeyError, TypeError, ValueError):
        return None


def append_audit(settings: Settings, record: AuditRecord, encode: Encode | None = None) -> None:
    """Writes one record and waits until the broker has it.

    Raises: EnvironmentProblem if broker or registry do not take it.
    """
    reason = _appended(settings, record, encode or encoder(settings))
    if reason:
        raise unwritten(topic_names(settings).audit, reason)


def _appended(settings: Settings, record: AuditRecord, encode: Encode) -> str:
    """Why the record was not written; "" if it was."""
    failures: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(str(error.str()))

    producer = Producer(brokers_of(settings).client(OPTIONS))
    producer.produce(topic_names(settings).audit, encode(record), record.about.encode(), on_delivery=delivered)
    unanswered = producer.flush(TIMEOUT_S)
    return failures[0] if failures else "no answer" if unanswered else ""


def publish_with_audit(
    settings: Settings, topic: str, key: bytes, value: bytes, record: AuditRecord, encode: Encode | None = None
) -> int:
    """Writes a record to a topic of one partition together with the audit record, in one transaction; gives its offset.

    Raises: EnvironmentProblem if they were not written: then neither was; or if that is not known.
    """
    return publish_together(settings, topic, [(key, value)], [record], encode or encoder(settings), look=LOOK)


LOOK = "wait ten seconds and look with `orchestrator versions` and `audit` before trying again"


def publish_together(
    settings: Settings,
    topic: str,
    pairs: Sequence[tuple[bytes, bytes]],
    records: Sequence[AuditRecord],
    encode: Encode,
    *,
    look: str,
) -> int:
    """Writes these keys and values to a topic of one partition, and the audit records, all in one transaction; gives
    the offset of the last. `look` says what to do where it is not known whether they were written.

    Raises: EnvironmentProblem if they were not written: then none was; or if that is not known.
    """
    log = topic_names(settings).audit
    audited_values = [(record.about.encode(), encode(record)) for record in records]
    offsets: dict[str, int] = {}
    refused: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(f"{message.topic()}: {error.str()}")
        else:
            offsets[message.topic() or ""] = message.offset() or 0

    # A name of its own for each publication: nobody who publishes at the same time is shut out.
    name = f"{settings.app_id}-audit-{records[0].id[:12]}"
    producer = Producer(
        brokers_of(settings).client({**OPTIONS, "transactional.id": name, "transaction.timeout.ms": 10_000})
    )
    try:
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        for key, value in pairs:
            producer.produce(topic, value, key, on_delivery=delivered)
        for key, value in audited_values:
            producer.produce(log, value, key, on_delivery=delivered)
    except KafkaException as error:
        raise unwritten(topic, error.args[0].str()) from error
    _commit(producer, topic, look, refused)
    for written, offset in offsets.items():
        _until_visible(settings, written, offset)
    return offsets[topic]


def _commit(producer: Producer, topic: str, look: str, refused: Sequence[str]) -> None:
    """Ends the transaction; what may help is tried again, because only an answer says whether it was committed."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            producer.commit_transaction(max(0.1, deadline - time.monotonic()))
        except KafkaException as error:
            cause = error.args[0]
            if cause.txn_requires_abort():
                # The commit itself only says that some record was not taken.
                raise unwritten(topic, refused[0] if refused else cause.str()) from error
            if cause.retriable() and time.monotonic() < deadline:
                time.sleep(RETRY_S)
                continue
            raise EnvironmentProblem(
                f"it is not known whether it was written to {topic}: {cause.str()}",
                hint=look,
            ) from error
        else:
            return


def unwritten(topic: str, reason: str) -> EnvironmentProblem:
    """The problem that nothing could be written, and so nothing was done."""
    return EnvironmentProblem(
        f"nothing was done, because it cannot be written to {topic}: {reason}",
        hint="is the broker running, and does `orchestrator topics check` find the topic?",
    )


def now_ms() -> int:
    """The clock."""
    return time.time_ns() // 1_000_000


def _until_visible(settings: Settings, topic: str, offset: int) -> None:
    """The broker answers a commit before readers see what was committed; whoever reads next would miss it."""
    consumer = committed_reader(settings, "audit")
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while consumer.get_watermark_offsets(TopicPartition(topic, 0), TIMEOUT_S)[1] <= offset:
            if time.monotonic() > deadline:
                raise EnvironmentProblem(
                    f"what was written to {topic} is there, but cannot be read yet", hint="is the broker overloaded?"
                )
            time.sleep(0.02)
    finally:
        consumer.close()
