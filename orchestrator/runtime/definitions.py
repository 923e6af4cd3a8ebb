"""The journey sets that were ever in force, in a compacted topic: customers keep the version that they entered.

A worker publishes the sources that it starts with, and compiles all earlier ones too, so that a passage begun under
last month's text goes on under last month's text. `replay` reads the same topic.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as Position

from orchestrator.authoring.compiler import compile_journeys, with_pinned
from orchestrator.authoring.event_schemas import event_types_from_texts, load_event_types, read_schema_texts
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.model.journey import JourneySet
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.model.types import EventType

TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Definition:
    """One journey set as text: file name → content of the journeys directory and of the event schemas."""

    set_id: str
    sources: Mapping[str, str]
    schemas: Mapping[str, str]
    offset: int = -1
    """Where it stands in the topic; -1 if it is not published."""


def encode_definition(definition: Definition) -> bytes:
    """The record's value: JSON `{"sources": {path: text}, "schemas": {file name: text}}`."""
    return json.dumps(
        {"sources": dict(definition.sources), "schemas": dict(definition.schemas)}, ensure_ascii=False, sort_keys=True
    ).encode()


def decode_definition(key: bytes, value: bytes, *, offset: int) -> Definition:
    """The definition in these bytes. Raises: EnvironmentProblem if they are none."""
    try:
        body = json.loads(value)
        return Definition(key.decode(), dict(body["sources"]), dict(body["schemas"]), offset)
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(
            f"the record at offset {offset} of the definitions topic is not a journey set",
            hint="something else writes to this topic; use another --topic-prefix",
        ) from error


def read_definitions(bootstrap_servers: str, topic: str) -> list[Definition]:
    """Every published journey set in the order of publication; of a set published twice, the later one counts.

    Raises: EnvironmentProblem if the broker does not answer or the topic is missing.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            # Only assigned, never subscribed, never committed: the name is just required.
            "group.id": f"{topic}-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    found: dict[str, Definition] = {}
    try:
        low, high = consumer.get_watermark_offsets(Position(topic, 0), TIMEOUT_S)
        consumer.assign([Position(topic, 0, low)])
        deadline = time.monotonic() + TIMEOUT_S
        position = low
        while position < high:
            if time.monotonic() > deadline:
                raise EnvironmentProblem(f"topic {topic} cannot be read to its end", hint="is the broker overloaded?")
            message = consumer.poll(0.5)
            if message is None:
                continue
            offset, error = message.offset() or 0, message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                    raise KafkaException(error)  # noqa: TRY301 - turned into our words below, with all others
                position = max(position, offset)
                continue
            position = offset + 1
            key, value = message.key(), message.value()
            if key is not None and value is not None:
                definition = decode_definition(key, value, offset=offset)
                found.pop(definition.set_id, None)
                found[definition.set_id] = definition
    except KafkaException as error:
        raise _broker_problem(topic, error) from None
    finally:
        consumer.close()
    return list(found.values())


def publish_definition(bootstrap_servers: str, topic: str, definition: Definition) -> None:
    """Writes the definition and waits until the broker has it.

    Raises: EnvironmentProblem if the broker does not take it.
    """
    failures: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failures.append(str(error.str()))

    producer = Producer({"bootstrap.servers": bootstrap_servers, "enable.idempotence": True, "log_level": 0})
    producer.produce(topic, encode_definition(definition), definition.set_id.encode(), on_delivery=delivered)
    if producer.flush(TIMEOUT_S) or failures:
        raise EnvironmentProblem(
            f"the journeys could not be published to {topic}: {failures[0] if failures else 'no answer'}",
            hint="is the broker running and reachable?",
        )


def compile_definition(definition: Definition) -> JourneySet | None:
    """The journey set of these texts, or None if this version of the compiler finds problems in them."""
    types = event_types_from_texts(definition.schemas)
    if types.problems:
        return None
    return compile_journeys(Sources(files=dict(definition.sources)), types.types).journeys


@dataclass(frozen=True, slots=True)
class Loaded:
    """The journeys of a directory: compiled, and the texts that they were compiled from."""

    journeys: JourneySet
    definition: Definition
    event_types: Mapping[str, EventType]


def load_journeys(journeys: Path, schemas: Path) -> Loaded:
    """The journeys of a directory, checked against the event schemas of `schemas/events`.

    Raises: EnvironmentProblem if a directory is missing or the journeys have problems.
    """
    texts = read_schema_texts(schemas / "events")
    types = load_event_types(schemas / "events")
    sources = read_sources(journeys)
    compilation = compile_journeys(sources, types)
    if compilation.journeys is None:
        errors = [problem for problem in compilation.problems if problem.severity == "error"]
        first = f"{errors[0].path}:{errors[0].line}: {errors[0].message}" if errors else "no journeys"
        raise EnvironmentProblem(
            f"the journeys in {journeys} have {len(errors)} problems; the first: {first}",
            hint=f"see them all with: orchestrator validate {journeys}",
        )
    current = compilation.journeys
    return Loaded(current, Definition(current.set_id, dict(sources.files), texts), types)


def journeys_in_force(
    bootstrap_servers: str, topic: str, loaded: Loaded, *, publish: bool
) -> tuple[JourneySet, Sequence[str]]:
    """The current set with every older version that customers may still be in, and the ids of sets left out.

    With `publish`, the current set is written unless it is the newest in the topic already. A set is left out if it
    does not compile any more.
    Raises: EnvironmentProblem if the broker fails.
    """
    current = loaded.journeys
    published = read_definitions(bootstrap_servers, topic)
    if publish and (not published or published[-1].set_id != current.set_id):
        publish_definition(bootstrap_servers, topic, loaded.definition)
    older, left_out = [], []
    for definition in published:
        if definition.set_id == current.set_id:
            continue
        compiled = compile_definition(definition)
        if compiled is None:
            left_out.append(definition.set_id)
        else:
            older.append(compiled)
    return with_pinned(current, older), left_out


def _broker_problem(topic: str, error: KafkaException) -> EnvironmentProblem:
    cause = error.args[0]
    return EnvironmentProblem(
        f"topic {topic} cannot be read: {cause.str()}", hint="is the broker running, and are the topics created?"
    )
