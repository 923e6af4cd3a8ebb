"""Everything that is held about one customer, and its erasure.

Erasure is an event like any other (`customer_erased`): it takes its place in the customer's log, so a replay forgets
at the same point. What is kept elsewhere, in event and action topics, goes with their retention.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from confluent_kafka import KafkaException

from orchestrator.engine.erasure import ERASED
from orchestrator.model.customer import Customer
from orchestrator.model.events import Event
from orchestrator.model.pauses import revived
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.dead_letters import SUFFIX
from orchestrator.runtime.explain import (
    TIMEOUT_S,
    Progress,
    broker_problem,
    committed_reader,
    places,
    readable_customer,
    records_of,
)
from orchestrator.runtime.produce import EventProducer, event_routes, produced_schemas, registered_ids
from orchestrator.runtime.schemas import read_schema_files
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tail import Decoder, TailedRecord, as_json, headers_of
from orchestrator.runtime.topics import TopicNames, topic_names

BY_KEY = -1
"""The partition that the customer's key belongs to."""


def held(settings: Settings, customer_id: str, *, progress: Progress = lambda _: None) -> dict[str, Any]:
    """What the topics hold about the customer, ready for JSON, personal data included.

    `record` is the customer's record (None if there is none), `topics` maps each other topic to its records about the
    customer, oldest first. `records_elsewhere` is there only where events of the customer came on several partitions,
    each of which then has a record. Raises: EnvironmentProblem if a topic is missing, or broker or registry do not
    answer.
    """
    names = topic_names(settings)
    decoder = Decoder(registry_of(settings).schema_text, show_personal_data=True)
    consumer = committed_reader(settings, "export")
    customers: dict[int, Customer | None] = {}
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        existing = brokers_of(settings).metadata(consumer, timeout_s=TIMEOUT_S).topics
        start = places(consumer, settings, dict.fromkeys(_topics(names, existing)))
        for message in records_of(consumer, start, customer_id.encode(), progress):
            topic, value = message.topic() or "", message.value()
            if topic == names.changelog:
                customers[message.partition() or 0] = None if value is None else readable_customer(value)
                continue
            kind, fields, note = decoder.decode(value)
            record = TailedRecord(
                topic,
                message.partition() or 0,
                message.offset() or 0,
                message.timestamp()[1],
                customer_id,
                kind,
                fields,
                note,
                headers_of(message),
            )
            found.setdefault(topic, []).append(as_json(record))
    except KafkaException as error:
        raise broker_problem(settings, error) from None
    finally:
        consumer.close()
    kept = sorted((one for one in customers.values() if one is not None), key=lambda one: one.last_at_ms, reverse=True)
    return {
        "customer_id": customer_id,
        "record": plain_record(kept[0]) if kept else None,
        **({"records_elsewhere": [plain_record(other) for other in kept[1:]]} if len(kept) > 1 else {}),
        "topics": dict(sorted(found.items())),
    }


def erase_customer(
    settings: Settings, customer_id: str, *, requested_by: str, timeout_s: float, wait: Callable[[float], None]
) -> bool:
    """Asks for the customer to be forgotten; gives whether a worker has done it within `timeout_s`.

    `wait` is called between two looks. Raises: EnvironmentProblem if broker or registry do not answer or refuse.
    """
    names, files = topic_names(settings), produced_schemas(read_schema_files(settings.schemas))
    ids = registered_ids(registry_of(settings), files)
    routes = event_routes(files, ids, topic_prefix=settings.topic_prefix, event_topics=settings.event_topics)
    producer = EventProducer(brokers_of(settings), routes, event_topics=names.events, linger_ms=0)
    event_id, now_ms = uuid4().hex, int(time.time() * 1000)
    fields = {
        "event_id": event_id,
        "customer_id": customer_id,
        "occurred_at": now_ms,
        "requested_by": requested_by,
    }
    # Where the record is, and where producers with another partitioner than ours, or a mistake, put one as well.
    for partition in sorted(record_partitions(settings, customer_id)) or [BY_KEY]:
        producer.send(Event(ERASED, event_id, customer_id, fields), timestamp_ms=0, partition=partition)
    producer.flush()
    if producer.failed:
        raise EnvironmentProblem(f"the request was not delivered: {producer.failure}", hint="try again")
    deadline = time.monotonic() + timeout_s
    while record_partitions(settings, customer_id):
        if time.monotonic() > deadline:
            return False
        wait(0.5)
    return True


def record_partitions(settings: Settings, customer_id: str) -> frozenset[int]:
    """The partitions with a record of the customer; more than one only if producers differ in where they put the
    customer's events. Raises: EnvironmentProblem.
    """
    consumer = committed_reader(settings, "export")
    latest: dict[int, bytes | None] = {}
    try:
        start = places(consumer, settings, {topic_names(settings).changelog: None})
        for message in records_of(consumer, start, customer_id.encode(), lambda _: None):
            latest[message.partition() or 0] = message.value()
    except KafkaException as error:
        raise broker_problem(settings, error) from None
    finally:
        consumer.close()
    return frozenset(partition for partition, record in latest.items() if record is not None)


def _topics(names: TopicNames, existing: Any) -> list[str]:
    """The topics whose records have customers for keys."""
    actions = sorted(topic for topic in existing if topic.startswith(names.actions_prefix))
    refused = sorted(topic for topic in existing if topic.startswith(names.sinks_prefix) and topic.endswith(SUFFIX))
    return [*names.events, names.transitions, names.dead_letters, names.changelog, *actions, *refused]


def plain_record(value: Any) -> Any:
    """A record's parts by name; ids of events, which are hashes, as hexadecimal digits, decimals as text."""
    value = revived(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(name): plain_record(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_record(part) for part in value]
    if hasattr(value, "__struct_fields__"):
        return {name: plain_record(getattr(value, name)) for name in value.__struct_fields__}
    return value
