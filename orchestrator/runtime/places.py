"""How many customers are where: each journey, version and step, counted from the customers' changelog.

It is read committed, up to where it ends at the start, and belongs to no consumer group: workers are not disturbed, and
need not run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Position

from orchestrator.model.customer import ACTIVE, FINISHED, HELD_OUT, PAUSED, decode_customer
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.model.shared import SHARED_KEY
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.explain import committed_reader
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names

TIMEOUT_S = 15.0
GIVE_UP_S = 30.0
READ_RECORDS = 5_000
STATES = {ACTIVE: "active", HELD_OUT: "held_out", FINISHED: "finished", PAUSED: "paused"}
INSIDE = frozenset({"active", "paused"})

Progress = Callable[[int, int], None]
"""Told the offsets that were read so far, and all that are to be read."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A step of a journey's version; `step` is empty where the passage has no step any more: `held_out`, `finished`."""

    journey: str
    version: str
    state: str
    step: str


@dataclass(slots=True)
class Places:
    """How many passages are where, of how many customers. `damaged` records could not be read."""

    customers: int = 0
    passages: Counter[Place] = field(default_factory=Counter)
    damaged: int = 0

    def inside(self, journey: str, version: str | None = None) -> int:
        """How many are in a step of the journey, or of one of its versions."""
        return sum(
            count
            for place, count in self.passages.items()
            if place.journey == journey and place.state in INSIDE and version in {None, place.version}
        )

    def paused(self, journey: str) -> int:
        """How many stand still in the journey, because it is paused or they have not gone on yet."""
        return sum(
            count for place, count in self.passages.items() if place.journey == journey and place.state == "paused"
        )

    def versions(self) -> frozenset[tuple[str, str]]:
        """The (journey, version) pairs that somebody is inside of, or is measured in."""
        return frozenset((place.journey, place.version) for place in self.passages)

    def steps(self, journey: str) -> dict[str, int]:
        """Step → how many are there, over all versions of the journey."""
        found: Counter[str] = Counter()
        for place, count in self.passages.items():
            if place.journey == journey and place.state in INSIDE:
                found[place.step] += count
        return dict(found)


def count_places(settings: Settings, *, progress: Progress = lambda *_: None) -> Places:
    """Counts them.

    Raises: EnvironmentProblem if the changelog is missing or cannot be read to its end.
    """
    topic = topic_names(settings).changelog
    consumer = committed_reader(settings, "places")
    try:
        return _count(consumer, topic, progress)
    except KafkaException as error:
        raise EnvironmentProblem(
            f"topic {topic} at {brokers_of(settings).servers} cannot be read: {error.args[0].str()}",
            hint="is the broker running, and is --app-id right?",
        ) from None
    finally:
        consumer.close()


def _count(consumer: Consumer, topic: str, progress: Progress) -> Places:
    known = consumer.list_topics(topic, TIMEOUT_S).topics[topic]
    if known.error is not None:
        raise KafkaException(known.error)
    places = Places()
    # What a customer's earlier record said is taken back when a later one comes; equal places are one object.
    latest: dict[bytes, tuple[Place, ...]] = {}
    one_of: dict[Place, Place] = {}
    ends = {number: consumer.get_watermark_offsets(Position(topic, number), TIMEOUT_S) for number in known.partitions}
    total = sum(high - low for low, high in ends.values())
    consumer.assign([Position(topic, number, low) for number, (low, _) in ends.items()])
    at = {number: low for number, (low, _) in ends.items()}
    open_partitions = {number for number, (low, high) in ends.items() if low < high}
    moved_at = time.monotonic()
    while open_partitions:
        messages = consumer.consume(READ_RECORDS, 0.2)
        if messages:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > GIVE_UP_S:
            raise EnvironmentProblem(f"topic {topic} cannot be read to its end", hint="is the broker overloaded?")
        for message in messages:
            error, number, offset = message.error(), message.partition() or 0, message.offset() or 0
            if error is None:
                at[number] = offset + 1
                _take(places, latest, one_of, message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name for it
                at[number] = max(at[number], offset)
            elif not error.retriable():
                raise KafkaException(error)
            if at[number] >= ends[number][1]:
                open_partitions.discard(number)
        progress(sum(at[number] - low for number, (low, _) in ends.items()), total)
    places.customers = len(latest)
    for found in latest.values():
        places.passages.update(found)
    return places


def _take(
    places: Places,
    latest: dict[bytes, tuple[Place, ...]],
    one_of: dict[Place, Place],
    key: bytes | None,
    value: bytes | None,
) -> None:
    if key is None or key == SHARED_KEY:
        return
    if value is None:
        latest.pop(key, None)
        return
    try:
        customer = decode_customer(value)
    except ValueError:
        places.damaged += 1
        return
    made = (Place(i.journey, i.version, STATES[i.state], i.step) for i in customer.instances)
    latest[key] = tuple(one_of.setdefault(place, place) for place in made)
