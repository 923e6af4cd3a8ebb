"""What is on record about one customer: the decisions and the customer's own record, read from the topics.

Nothing is asked of the workers, and reading belongs to no consumer group, so it disturbs nobody. A customer is in one
partition, but which one depends on the producers' partitioner: all are read, and other keys skipped undecoded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from orchestrator.model.actions import Transition
from orchestrator.model.customer import Customer, decode_customer
from orchestrator.model.journey import Journey
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.codec import FRAME_BYTES, event_reader
from orchestrator.runtime.definitions import read_definitions
from orchestrator.runtime.in_force import compile_definition
from orchestrator.runtime.schemas import Registry
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names
from orchestrator.runtime.wire import Reader

TIMEOUT_S = 15.0
GIVE_UP_S = 30.0
"""How long nothing may come while there is more to read; an open transaction holds readers back for ten seconds."""
READ_RECORDS = 5_000
MASK = "***"

Progress = Callable[[int], None]
"""Told how many records were looked at so far."""


@dataclass(slots=True)
class Records:
    """What the topics hold about one customer. `customer` is None if there is no record, or it was erased."""

    decisions: list[Transition] = field(default_factory=list)
    customer: Customer | None = None


def read_records(
    settings: Settings,
    customer_id: str,
    *,
    since_ms: int | None = None,
    show_personal_data: bool = False,
    progress: Progress = lambda _: None,
) -> Records:
    """The committed decisions about the customer, in order, and the customer's latest record: of several, where
    producers put events on several partitions, that with the latest decision.

    Decisions recorded before `since_ms` are not read; one is never recorded before its own time.
    Raises: EnvironmentProblem if a topic is missing, or the broker or the registry does not answer.
    """
    names = topic_names(settings)
    found = Records()
    customers: dict[int, Customer | None] = {}
    decode = _Decisions(registry_of(settings), show_personal_data=show_personal_data)
    consumer = committed_reader(settings, "explain")
    try:
        start = places(consumer, settings, {names.transitions: since_ms, names.changelog: None})
        for message in records_of(consumer, start, customer_id.encode(), progress):
            value = message.value()
            if message.topic() == names.changelog:
                customers[message.partition() or 0] = None if value is None else readable_customer(value)
            elif value is not None:
                found.decisions.append(decode(value))
    except KafkaException as error:
        raise broker_problem(settings, error) from None
    finally:
        consumer.close()
    kept = (customer for customer in customers.values() if customer is not None)
    found.customer = max(kept, key=lambda customer: customer.last_at_ms, default=None)
    return found


def read_versions(settings: Settings, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Journey]:
    """The wanted (journey, version) pairs, compiled from the definitions topic; those that are not there are left out.

    Raises: EnvironmentProblem if the topic cannot be read.
    """
    missing, found = set(wanted), {}
    if missing:
        for definition in reversed(read_definitions(brokers_of(settings), topic_names(settings).definitions)):
            journeys = compile_definition(definition)
            for key in missing & (journeys.versions.keys() if journeys is not None else set()):
                if journeys is not None:
                    found[key] = journeys.versions[key]
            missing -= found.keys()
            if not missing:
                break
    return found


class _Decisions:
    """Decodes transitions; each schema is looked up once."""

    def __init__(self, registry: Registry, *, show_personal_data: bool) -> None:
        self._registry = registry
        self._show = show_personal_data
        self._readers: dict[int, tuple[Reader, frozenset[str]]] = {}

    def __call__(self, value: bytes) -> Transition:
        if len(value) < FRAME_BYTES or value[0] != 0:
            raise _not_ours("has no schema id")
        schema_id = int.from_bytes(value[1:FRAME_BYTES], "big")
        if schema_id not in self._readers:
            text = self._registry.schema_text(schema_id)
            if text is None:
                raise _not_ours(f"was written with schema {schema_id}, which the registry does not know")
            personal = frozenset(one["name"] for one in json.loads(text)["fields"] if one.get("pii"))
            self._readers[schema_id] = event_reader(text, None), personal
        read, personal = self._readers[schema_id]
        fields = {name: self._view(name, part, personal) for name, part in read(value, FRAME_BYTES).items()}
        fields["at_ms"] = fields.pop("at")
        return Transition(**{name: fields[name] for name in Transition.__struct_fields__ if name in fields})

    def _view(self, name: str, value: Any, personal: frozenset[str]) -> Any:
        return MASK if name in personal and not self._show and value is not None else value


def _not_ours(why: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"a record of the transitions topic {why}", hint="check --registry-url, --topic-prefix and --app-id"
    )


def readable_customer(record: bytes) -> Customer:
    """The customer in a changelog record. Raises: EnvironmentProblem if it cannot be read."""
    try:
        return decode_customer(record)
    except ValueError as error:
        raise EnvironmentProblem(
            f"the customer's record cannot be read: {error}", hint="was it written by a newer orchestrator?"
        ) from None


def places(consumer: Consumer, settings: Settings, topics: Mapping[str, int | None]) -> list[TopicPartition]:
    """Where reading begins: topic -> the instant from which on, None for the beginning.

    Raises: EnvironmentProblem if a topic does not exist.
    """
    brokers = brokers_of(settings)
    existing = brokers.metadata(consumer, timeout_s=TIMEOUT_S).topics
    found: list[TopicPartition] = []
    for topic, since_ms in topics.items():
        if topic not in existing:
            raise EnvironmentProblem(
                f"topic {topic} does not exist on {settings.bootstrap_servers}{brokers.or_hidden}",
                hint="set --topic-prefix and --app-id as the workers have them; see `orchestrator topics check`",
            )
        numbers = existing[topic].partitions
        if since_ms is None:
            found += [TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers]
        else:
            asked = [TopicPartition(topic, number, max(since_ms, 0)) for number in numbers]
            # Nothing that late is told as the end.
            found += [
                TopicPartition(topic, place.partition, place.offset if place.offset >= 0 else OFFSET_END)
                for place in consumer.offsets_for_times(asked, TIMEOUT_S)
            ]
    return found


def committed_reader(settings: Settings, purpose: str) -> Consumer:
    """A consumer that reads what was committed, to the end of each partition, and belongs to no group."""
    return Consumer(
        brokers_of(settings).reader(
            {
                "client.id": f"{settings.app_id}-{purpose}",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
    )


def records_of(consumer: Consumer, places: list[TopicPartition], key: bytes, progress: Progress) -> Iterator[Message]:
    """Every record with this key, up to the end of each partition; `progress` is told how many were looked at.

    Raises: EnvironmentProblem if a partition cannot be read to its end; KafkaException if the broker fails.
    """
    consumer.assign(places)
    open_places = {(place.topic, place.partition) for place in places}
    looked_at = 0
    moved_at = time.monotonic()
    while open_places:
        messages = consumer.consume(READ_RECORDS, 0.2)
        if messages:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > GIVE_UP_S:
            topic, partition = min(open_places)
            raise EnvironmentProblem(f"{topic}-{partition} cannot be read to its end", hint="is the broker overloaded?")
        for message in messages:
            error, topic = message.error(), message.topic() or ""
            if error is None:
                looked_at += 1
                if message.key() == key:
                    yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name for it
                open_places.discard((topic, message.partition() or 0))
            elif not error.retriable():
                raise KafkaException(error)
        progress(looked_at)


def broker_problem(settings: Settings, error: KafkaException) -> EnvironmentProblem:
    """The broker's failure in our words."""
    return brokers_of(settings).problem(error)
