"""A replay of chosen partitions, and its comparison with what the workers left on the topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.model.shared import Shared, decode_shared
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.definitions import read_definitions
from orchestrator.runtime.replay import (
    Differences,
    Fingerprint,
    ReadSlice,
    action_fingerprint,
    customer_differences,
    differences,
    engine_for,
    replay_entry,
    transition_fingerprint,
)
from orchestrator.runtime.replay_kafka import (
    Avro,
    Bounds,
    TopicReader,
    found_actions,
    found_records,
    found_transitions,
    journal_entries,
    journey_sets,
    slice_reader,
)
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import TopicNames, topic_names


@dataclass(slots=True)
class PartitionReplay:
    """What one partition's journal led to. `is_moving`: workers went on while the topics were read."""

    partition: int
    entries: int = 0
    events: int = 0
    actions: int = 0
    transitions: int = 0
    customers: int = 0
    is_moving: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """A replay's comparison with the topics. `customers` are the ids of those whose records differ, `shared` the
    partitions where the record of what they share does.
    """

    partitions: tuple[PartitionReplay, ...]
    differences: Differences
    customers: tuple[str, ...]
    shared: tuple[int, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether the topics hold what the replay gives."""
        return not self.differences.count and not self.customers and not self.shared


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where the topics end. The journal is looked at before and after the others: what lies between may be in them."""

    journal_before: dict[int, int]
    records: dict[tuple[str, int], Bounds]
    changelog: dict[int, Bounds]
    journal: dict[int, Bounds]


@dataclass(slots=True)
class _Tallies:
    replayed: Counter[Fingerprint] = field(default_factory=Counter)
    not_yet_visible: Counter[Fingerprint] = field(default_factory=Counter)
    found: Counter[Fingerprint] = field(default_factory=Counter)


OnEntry = Callable[[int, int, int], None]
"""(partition, journal offset, end of the journal), after each entry."""


class Replay:
    """Connections of one replay; `partitions` empty means all.

    Raises: EnvironmentProblem if broker or registry do not answer, or topics are missing. Methods raise
    ReplayImpossible if the topics no longer hold what a replay needs.
    """

    def __init__(self, settings: Settings, partitions: Sequence[int] = ()) -> None:
        self._names: TopicNames = topic_names(settings)
        self._reader = TopicReader(brokers_of(settings))
        self._avro = Avro(registry_of(settings))
        self._topics = self._reader.topics()
        self._or_hidden = brokers_of(settings).or_hidden
        count = self._partitions_of(self._names.journal)
        self.partitions = tuple(sorted(set(partitions))) or tuple(range(count))
        if self.partitions[-1] >= count:
            self._reader.close()
            raise EnvironmentProblem(
                f"topic {self._names.journal} has no partition {self.partitions[-1]}",
                hint=f"its partitions are 0 to {count - 1}",
            )
        self._count = count
        self._is_whole = len(self.partitions) == count
        self._definitions = read_definitions(brokers_of(settings), self._names.definitions)
        self._sets = journey_sets(self._definitions)

    def close(self) -> None:
        """Ends all connections."""
        self._reader.close()

    def effects(self, partition: int, *, on_entry: OnEntry = lambda *_: None) -> Iterator[Effects]:
        """What the partition's journal led to, in order."""
        bounds = self._reader.bounds(self._names.journal, partition)
        read_slice = self._slices(partition)
        engine: OfflineEngine | None = None
        for offset, entry in journal_entries(self._reader, self._avro, self._names.journal, partition, bounds):
            engine = engine_for(engine, entry, self._sets, partitions=self._count)
            yield from replay_entry(engine, entry, read_slice)
            on_entry(partition, offset + 1, bounds.end)

    def verify(self, *, on_entry: OnEntry = lambda *_: None) -> Verified:
        """How the action topics, the transitions and the customers' records differ from the replay."""
        ends = self._ends()
        tallies = _Tallies()
        results: list[PartitionReplay] = []
        wrong_customers: list[str] = []
        wrong_shared: list[int] = []
        replayed: set[str] = set()
        for partition in self.partitions:
            result, customers, shared = self._replay(partition, ends, tallies, on_entry)
            results.append(result)
            replayed |= customers.keys()
            if not result.is_moving:
                found = found_records(self._reader, self._names.changelog, partition, ends.changelog[partition])
                wrong_customers += customer_differences(customers, found.customers)
                if shared != decode_shared(found.shared, partition=partition, partitions=self._count):
                    wrong_shared.append(partition)
        self._count_found(ends, tallies, None if self._is_whole else replayed)
        compared = differences(tallies.replayed, tallies.found, not_yet_visible=tallies.not_yet_visible)
        return Verified(tuple(results), compared, tuple(wrong_customers), tuple(wrong_shared))

    def _replay(
        self, partition: int, ends: _Ends, tallies: _Tallies, on_entry: OnEntry
    ) -> tuple[PartitionReplay, dict[str, Customer], Shared]:
        result = PartitionReplay(partition)
        bounds = ends.journal[partition]
        result.is_moving = bounds.end != ends.journal_before[partition]
        read_slice = self._slices(partition)
        engine: OfflineEngine | None = None
        for offset, entry in journal_entries(self._reader, self._avro, self._names.journal, partition, bounds):
            engine = engine_for(engine, entry, self._sets, partitions=self._count)
            result.entries += 1
            for effects in replay_entry(engine, entry, read_slice):
                result.events += 1
                result.actions += len(effects.actions)
                result.transitions += len(effects.transitions)
                prints = [*map(action_fingerprint, effects.actions)]
                prints += map(transition_fingerprint, effects.transitions)
                tallies.replayed.update(prints)
                if offset >= ends.journal_before[partition]:
                    tallies.not_yet_visible.update(prints)
            # The last effects of an entry are those of its timers.
            result.events -= 1
            on_entry(partition, offset + 1, bounds.end)
        customers = {} if engine is None else engine.customers
        result.customers = len(customers)
        return result, customers, Shared(partition, self._count) if engine is None else engine.shared

    def _slices(self, partition: int) -> ReadSlice:
        return slice_reader(self._reader, self._avro, partition, self._sets, self._definitions)

    def _ends(self) -> _Ends:
        reader, names = self._reader, self._names
        before = {p: reader.bounds(names.journal, p).end for p in self.partitions}
        topics = [names.transitions, *(t for t in self._topics if t.startswith(names.actions_prefix))]
        records = {(t, p): reader.bounds(t, p) for t in topics for p in range(self._partitions_of(t))}
        self._partitions_of(names.changelog)
        changelog = {p: reader.bounds(names.changelog, p) for p in self.partitions}
        return _Ends(before, records, changelog, {p: reader.bounds(names.journal, p) for p in self.partitions})

    def _count_found(self, ends: _Ends, tallies: _Tallies, customers: set[str] | None) -> None:
        """Counts what is on the topics; of these customers only, if the replay was not of all partitions."""
        for (topic, partition), bounds in ends.records.items():
            if topic == self._names.transitions:
                for transition in found_transitions(self._reader, self._avro, topic, partition, bounds):
                    if customers is None or transition.customer_id in customers:
                        tallies.found[transition_fingerprint(transition)] += 1
            else:
                for action in found_actions(self._reader, self._avro, topic, partition, bounds):
                    if customers is None or action.customer_id in customers:
                        tallies.found[action_fingerprint(action)] += 1

    def _partitions_of(self, topic: str) -> int:
        if topic not in self._topics:
            raise EnvironmentProblem(
                f"topic {topic} does not exist{self._or_hidden}",
                hint="are --bootstrap-servers, --topic-prefix and --app-id right?",
            )
        return self._topics[topic]
