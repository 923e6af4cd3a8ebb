"""A crash at any point yields the same actions as no crash, and the same as the offline engine over the same log."""

from __future__ import annotations

import heapq
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import fastavro
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet, Rate
from orchestrator.runtime.codec import JournalEntry, RejectedRecord, Slice
from orchestrator.runtime.cycle import Computed, Cycle
from orchestrator.runtime.replay import InForceKey, ReadSlice, SourceRecord, customer_differences, replay_partition
from orchestrator.runtime.store import MemoryCustomerStore
from tests.runtime.cycle_build import (
    HEARTBEAT_ID,
    OUTPUTS,
    TOPICS,
    FakeRecord,
    World,
    heartbeat,
    record,
    registry_texts,
    reminders,
)

PARTITIONS = (0, 1)
END_MS = 5_000
Logs = dict[tuple[str, int], list[FakeRecord]]


class Crash(BaseException):
    """The worker dies here; not an Exception, so that nothing handles it."""


@dataclass
class Death:
    """Dies at the nth moment, then never again until it is set anew."""

    moments_left: int

    def __call__(self, _moment: object) -> None:
        self.moments_left -= 1
        if self.moments_left == 0:
            raise Crash


@dataclass
class Story:
    """Generated logs and what happens to the workers that read them."""

    logs: Logs
    deaths: list[int]
    wipes: list[bool]
    chunk: int
    batch_records_max: int
    timers_max: int
    has_overlap: bool
    publish_at: tuple[int, ...] = ()
    """At which batch, counted over all workers, the next journey set is published and taken up."""
    align_max: int = 100


@st.composite
def stories(draw: st.DrawFn) -> Story:
    logs: Logs = {(topic, partition): [] for topic in TOPICS for partition in PARTITIONS}
    at_ms = 1_000
    for number in range(draw(st.integers(1, 25))):
        # No two records of a partition have the same timestamp: the order between topics is then one.
        at_ms += draw(st.integers(1, 20))
        customer = draw(st.integers(0, 5))
        partition = customer % 2
        topic = draw(st.sampled_from(TOPICS))
        name = draw(st.sampled_from(["registered", "registered", "clicked", "ignored"]))
        mood = draw(st.sampled_from(["", "", "", "boom", "divide"]))
        log = logs[topic, partition]
        identity = f"e{draw(st.integers(0, number))}"
        log.append(
            record(topic, len(log), at_ms, f"c{customer}", name, partition=partition, mood=mood, event_id=identity)
        )
    for (topic, partition), log in logs.items():
        log.append(heartbeat(topic, len(log), END_MS, partition=partition))
    return Story(
        logs,
        deaths=draw(st.lists(st.integers(1, 25), max_size=6)),
        wipes=draw(st.lists(st.booleans(), min_size=6, max_size=6)),
        chunk=draw(st.integers(1, 8)),
        batch_records_max=draw(st.integers(2, 12)),
        timers_max=draw(st.integers(1, 5)),
        has_overlap=draw(st.booleans()),
    )


@dataclass
class Workers:
    """One worker after another over the same broker; a store survives its worker unless it is wiped."""

    story: Story
    world: World
    stores: dict[int, MemoryCustomerStore] = field(default_factory=dict)
    batches: int = 0

    def publish(self, cycle: Cycle) -> None:
        """Brings the next set into force, where the story says so; a worker that starts later begins with it."""
        count = sum(at <= self.batches for at in self.story.publish_at)
        if count:
            offset = count - 1
            self.world.journeys, self.world.definition = PUBLISHED[offset % len(PUBLISHED)], offset
            cycle.take_up(self.world.journeys, offset)

    def work(self, death: Death) -> None:
        """Works until everything is read and done, or dies."""
        cycle = self.world.cycle(is_warm=True)
        next_offsets: dict[tuple[str, int], int] = {}
        for partition in PARTITIONS:
            store = self.stores.setdefault(partition, MemoryCustomerStore())
            store.before_write = None
            self.world.log.restore(partition, store)
            store.before_write = death
            cycle.assign(partition, store, stream_time_ms=self.world.log.stream_times.get(partition, -1))
            for topic in TOPICS:
                next_offsets[topic, partition] = self.world.log.offsets.get((topic, partition), 0)
        self.world.log.at = death
        while self.feed(cycle, next_offsets) | self.step(cycle):
            pass

    def feed(self, cycle: Cycle, next_offsets: dict[tuple[str, int], int]) -> bool:
        has_fed = False
        for (topic, partition), log in self.story.logs.items():
            start = next_offsets[topic, partition]
            records = log[start : start + self.story.chunk]
            if records:
                cycle.offer(topic, partition, records, len(log))
                next_offsets[topic, partition] = records[-1].offset + 1
                has_fed = True
        return has_fed

    def step(self, cycle: Cycle) -> bool:
        self.publish(cycle)
        computed = cycle.compute()
        self.batches += 1
        if computed is None:
            return False
        # Also between two batches of which the first one is not committed yet.
        self.publish(cycle)
        ahead: Computed | None = cycle.compute() if self.story.has_overlap else None
        for batch in (computed, ahead):
            if batch is not None:
                cycle.apply(batch, cycle.commit(batch))
        return True


def rated() -> JourneySet:
    """The reminders with rates: what one customer gets depends on others of the partition, and so on the batches."""
    rates = (Rate("mail", frozenset({"email"}), 4, 40), Rate("all", None, 9, 300))
    return replace(reminders(), rates=rates, uses_shared=True)


PUBLISHED = tuple(replace(reminders(), set_id=name, alignment=f"rules-{name}") for name in ("one", "two", "three"))
SETS: dict[InForceKey, JourneySet] = {reminders().set_id: reminders()} | dict(enumerate(PUBLISHED * 3))


def lived_through(story: Story, journeys: JourneySet | None = None) -> Workers:
    world = World(
        batch_records_max=story.batch_records_max,
        timers_max=story.timers_max,
        align_max=story.align_max,
        journeys=journeys or reminders(),
    )
    workers = Workers(story, world)
    for death, is_wiped in zip(story.deaths, story.wipes, strict=False):
        try:
            workers.work(Death(death))
        except Crash:
            if is_wiped:
                workers.stores.clear()
    workers.work(Death(1_000_000))
    return workers


def in_order(logs: Logs, partition: int) -> Iterator[FakeRecord]:
    parts = [[(r.timestamp, topic, r.offset, r) for r in logs[topic, partition]] for topic in TOPICS]
    return (entry[3] for entry in heapq.merge(*parts))


def expected_of(logs: Logs) -> tuple[list[str], dict[str, bytes]]:
    """Action ids and customer records by the offline engine, one record at a time."""
    schemas = {number: json.loads(text) for number, text in registry_texts().items()}
    actions: list[str] = []
    customers: dict[str, bytes] = {}
    for partition in PARTITIONS:
        engine = OfflineEngine(reminders())
        for one in in_order(logs, partition):
            engine_value = one.value or b""
            number = int.from_bytes(engine_value[1:5], "big")
            fields = fastavro.schemaless_reader(io.BytesIO(engine_value[5:]), schemas[number], None)
            name = schemas[number]["name"]
            if number == HEARTBEAT_ID or name == "ignored":
                continue
            assert isinstance(fields, dict)
            event = Event(name, fields["event_id"], fields["customer_id"], fields)
            kept = engine.customers.get(event.customer_id)
            before = None if kept is None else encode_customer(kept)
            try:
                actions += [action.action_id for action in engine.apply(one.timestamp, event).actions]
            except RuntimeError:
                undo(engine, event.customer_id, before)
        actions += [action.action_id for action in engine.advance(END_MS).actions]
        customers |= {name: encode_customer(customer) for name, customer in engine.customers.items()}
    return sorted(actions), customers


def undo(engine: OfflineEngine, customer_id: str, before: bytes | None) -> None:
    engine.put(customer_id, Customer() if before is None else decode_customer(before))


@settings(max_examples=120, deadline=None)
@given(stories())
def test_a_crash_at_any_point_yields_the_same_actions_as_no_crash(story: Story) -> None:
    workers = lived_through(story)
    actions, customers = expected_of(story.logs)
    world = workers.world
    assert sorted(action["action_id"] for action in world.values("actions.email")) == actions
    found = {key.decode(): value for store in workers.stores.values() for key, value in store.records.items()}
    empty = {name for name, value in customers.items() if name not in found}
    assert {name: value for name, value in customers.items() if name not in empty} == found
    assert all(customers[name] == encode_customer(Customer()) for name in empty)


@settings(max_examples=50, deadline=None)
@given(stories())
def test_each_record_is_in_exactly_one_slice_and_each_store_is_level_with_its_changelog(story: Story) -> None:
    workers = lived_through(story)
    covered: dict[tuple[str, int], list[int]] = {}
    for entry in workers.world.values("journal"):
        for part in entry["slices"]:
            offsets = covered.setdefault((part["topic"], entry["partition"]), [])
            offsets += range(part["first"], part["last"] + 1)
    assert covered == {source: list(range(len(log))) for source, log in story.logs.items()}
    for partition, store in workers.stores.items():
        rebuilt = MemoryCustomerStore()
        workers.world.log.restore(partition, rebuilt)
        assert (rebuilt.records, rebuilt.index) == (store.records, store.index)


@settings(max_examples=50, deadline=None)
@given(stories(), st.booleans())
def test_the_journal_alone_repeats_the_actions_in_their_order(story: Story, is_rated: bool) -> None:
    journeys = rated() if is_rated else reminders()
    workers = lived_through(story, journeys)
    schemas = {number: json.loads(text) for number, text in registry_texts().items()}
    engines = {
        partition: OfflineEngine(journeys, partition=partition, partitions=len(PARTITIONS)) for partition in PARTITIONS
    }
    actions: dict[int, list[str]] = {partition: [] for partition in PARTITIONS}
    for entry in workers.world.values("journal"):
        partition = entry["partition"]
        engine = engines[partition]
        rejected = {(r["topic"], r["offset"]) for r in entry["rejected"]}
        parts = {
            (s["topic"], partition): story.logs[s["topic"], partition][s["first"] : s["last"] + 1]
            for s in entry["slices"]
        }
        logs = {(topic, partition): parts.get((topic, partition), []) for topic in TOPICS}
        for one in in_order(logs, partition):
            value = one.value or b""
            schema = schemas[int.from_bytes(value[1:5], "big")]
            if schema["name"] not in {"registered", "clicked"} or (one.topic, one.offset) in rejected:
                continue
            fields = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
            assert isinstance(fields, dict)
            event = Event(schema["name"], fields["event_id"], fields["customer_id"], fields)
            actions[partition] += [a.action_id for a in engine.apply(one.timestamp, event).actions]
        fired = engine.advance(entry["timers_until"], entry["timers_until_customer"])
        actions[partition] += [a.action_id for a in fired.actions]
    schema = json.loads(OUTPUTS["action_command"])
    for partition in PARTITIONS:
        sent = [
            fastavro.schemaless_reader(io.BytesIO((s.value or b"")[5:]), schema, None)
            for s in workers.world.log.sent
            if s.topic == "actions.email" and s.partition == partition
        ]
        assert [value["action_id"] for value in sent if isinstance(value, dict)] == actions[partition]


def journal_of(workers: Workers) -> list[JournalEntry]:
    return [
        JournalEntry(
            **entry
            | {
                "slices": [Slice(**part) for part in entry["slices"]],
                "rejected": [RejectedRecord(**one) for one in entry["rejected"]],
            }
        )
        for entry in workers.world.values("journal")
    ]


def reader_of(logs: Logs, partition: int) -> ReadSlice:
    schemas = {number: json.loads(text) for number, text in registry_texts().items()}

    def read(_key: InForceKey, part: Slice, rejected: frozenset[int]) -> Iterator[SourceRecord]:
        for one in logs[part.topic, partition][part.first : part.last + 1]:
            value = one.value or b""
            schema = schemas[int.from_bytes(value[1:5], "big")]
            event = None
            if schema["name"] in {"registered", "clicked"} and one.offset not in rejected:
                fields = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
                assert isinstance(fields, dict)
                event = Event(schema["name"], fields["event_id"], fields["customer_id"], fields)
            yield SourceRecord(one.offset, one.timestamp, event)

    return read


HEARTBEATS: Logs = {
    (topic, number): [heartbeat(topic, 0, END_MS, partition=number)] for topic in TOPICS for number in PARTITIONS
}
REGISTERED: Logs = HEARTBEATS | {
    (TOPICS[0], 0): [
        record(TOPICS[0], 0, 1_001, "c0", event_id="e0"),
        record(TOPICS[0], 1, 1_002, "c0", event_id="e0"),
        heartbeat(TOPICS[0], 2, END_MS),
    ]
}


@settings(max_examples=120, deadline=None)
@example(
    # The rules of a later set come back to those that a store, which was behind, says everybody is in line with.
    Story(REGISTERED, [10, 23, 11], [False] * 6, 1, 2, 1, has_overlap=False),
    (0, 2, 2, 4),
    1,
)
@given(
    stories(),
    st.lists(st.integers(0, 12), min_size=1, max_size=5).map(lambda ats: tuple(sorted(ats))),
    st.sampled_from([1, 2, 100]),
)
def test_new_journeys_are_taken_up_and_all_customers_brought_in_line_whatever_crashes(
    story: Story, publish_at: tuple[int, ...], align_max: int
) -> None:
    workers = lived_through(replace(story, publish_at=publish_at, align_max=align_max))
    expected, _ = expected_of(story.logs)
    assert sorted(action["action_id"] for action in workers.world.values("actions.email")) == expected
    journal = journal_of(workers)
    for partition in PARTITIONS:
        entries = [entry for entry in journal if entry.partition == partition]
        result = replay_partition(entries, reader_of(story.logs, partition), SETS, partitions=len(PARTITIONS))
        found = {key.decode(): decode_customer(value) for key, value in workers.stores[partition].records.items()}
        assert customer_differences(result.customers, found) == []
        in_force = workers.world.journeys.alignment
        assert {customer.aligned for customer in found.values()} <= {in_force}
        if in_force:
            assert workers.stores[partition].aligned() == (in_force, None)
