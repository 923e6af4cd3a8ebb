"""The replay against entries made by hand, and against what the worker's own cycle did with the same records."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import fastavro
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.engine.population import with_entries
from orchestrator.model.actions import ActionCommand, Transition
from orchestrator.model.customer import NEVER_MS, Customer, decode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet, OnDate, Rate, ReEntry, Wait
from orchestrator.model.pauses import Resume, ResumeRate
from orchestrator.model.shared import SHARED_KEY, Shared, decode_shared
from orchestrator.model.triggers import Bounds, EntryLimit
from orchestrator.runtime.codec import JournalEntry, RejectedRecord, Slice
from orchestrator.runtime.replay import (
    InForceKey,
    ReplayImpossible,
    SourceRecord,
    action_fingerprint,
    customer_differences,
    differences,
    in_force_key,
    replay_partition,
    transition_fingerprint,
)
from orchestrator.runtime.replay_kafka import integer_instants
from orchestrator.runtime.store import MemoryCustomerStore
from tests.engine.build import expression, journey
from tests.runtime.cycle_build import PARSED, TOPICS, FakeRecord, World, heartbeat, record, reminders, run

SET = reminders()
RATED = replace(
    SET, set_id="rated", rates=(Rate("mail", frozenset({"email"}), 3, 40), Rate("all", None, 9, 300)), uses_shared=True
)


def dated() -> JourneySet:
    """As SET, with a second journey: a moment that the profile says lets in, three customers of all at most."""
    moment = expression(lambda scope: 1_000_000 + 7 * len(scope.customer.profile.get("email", "")), "profile.at")
    one = journey(
        Wait("pause", 5, "_end"),
        name="dated",
        trigger=OnDate(moment, False, 0, 0, 20, None, None, False, "email"),
        reentry=ReEntry("always"),
        listens=frozenset(),
    )
    limits = (EntryLimit(3, None, is_of_all=True), EntryLimit(2, 30, is_of_all=False))
    one = replace(one, entry=replace(one.entry, bounds=Bounds(0, NEVER_MS, limits)))
    every = {**SET.current, one.name: one}
    versions = {(journey.name, journey.version): journey for journey in every.values()}
    made = replace(SET, set_id="dated", alignment="dated", current=every, versions=versions)
    return with_entries(made, [every[name] for name in sorted(every)])


def resumed(resume: Resume, **changes: Any) -> JourneySet:
    """As SET, with those who stood still going on so."""
    current = {name: replace(one, resume=resume) for name, one in SET.current.items()}
    return replace(SET, current=current, versions=DATED.versions, **changes)


DATED = dated()
PAUSED = replace(SET, set_id="paused", versions=DATED.versions, paused=frozenset(SET.current), alignment="paused")
PUBLISHED = (
    replace(SET, set_id="closed", entries={}, versions=DATED.versions, alignment="closed"),
    replace(SET, set_id="open again", versions=DATED.versions, alignment="open"),
    replace(RATED, set_id="rated again", versions=DATED.versions, alignment="open"),
    replace(DATED, set_id="dated again"),
    replace(SET, set_id="plain", versions=DATED.versions),
    PAUSED,
    resumed(Resume(over_ms=30), set_id="resumed", alignment="resumed"),
    replace(PAUSED, set_id="paused again", alignment="paused again", uses_shared=True),
    resumed(Resume(rate=ResumeRate(2, 20)), set_id="at a rate", alignment="at a rate", uses_shared=True),
    replace(PAUSED, set_id="paused once more", alignment="paused once more"),
    resumed(Resume(), set_id="slowly", alignment="slowly", uses_shared=True, rates=RATED.rates),
)
"""What is taken up while the worker runs, one after the other and then again."""
SETS: dict[InForceKey, JourneySet] = {one.set_id: one for one in (SET, RATED, DATED)}
SETS |= {offset: PUBLISHED[offset % len(PUBLISHED)] for offset in range(40)}
PARTITIONS = 2
"""As the cycle's world has them."""


@dataclass(slots=True)
class Sources:
    """Topics in memory; reads slices as the journal names them."""

    records: dict[str, list[SourceRecord]] = field(default_factory=dict)

    def add(self, topic: str, timestamp_ms: int, customer_id: str, event_type: str = "registered") -> int:
        log = self.records.setdefault(topic, [])
        identity = f"{topic}-{len(log)}"
        fields = {"event_id": identity, "customer_id": customer_id, "mood": ""}
        log.append(SourceRecord(len(log), timestamp_ms, Event(event_type, identity, customer_id, fields)))
        return len(log) - 1

    def read(self, _key: InForceKey, part: Slice, rejected: frozenset[int]) -> Iterator[SourceRecord]:
        for one in self.records[part.topic][part.first : part.last + 1]:
            yield SourceRecord(one.offset, one.timestamp_ms, None) if one.offset in rejected else one


def entry(*slices: Slice, until_ms: int = -1, customer: bytes | None = None, **more: object) -> JournalEntry:
    rejected = more.get("rejected", [])
    assert isinstance(rejected, list)
    return JournalEntry(0, list(slices), rejected, until_ms, customer, str(more.get("journeys", SET.set_id)))


def order_of(transitions: list[Transition]) -> list[tuple[str, int]]:
    return [(t.customer_id, t.at_ms) for t in transitions if t.kind == "entered"]


def test_slices_are_merged_by_time_and_then_by_topic() -> None:
    sources = Sources()
    for topic, timestamp_ms, customer_id in (("b", 5, "b5"), ("a", 5, "a5"), ("a", 9, "a9"), ("b", 7, "b7")):
        sources.add(topic, timestamp_ms, customer_id)
    result = replay_partition([entry(Slice("b", 0, 1), Slice("a", 0, 1))], sources.read, SETS)
    assert order_of(result.transitions) == [("a5", 5), ("b5", 5), ("b7", 7), ("a9", 9)]


def test_a_topics_own_order_is_kept_where_its_timestamps_go_back() -> None:
    sources = Sources()
    for topic, timestamp_ms, customer_id in (("a", 10, "a10"), ("a", 5, "a5"), ("b", 7, "b7"), ("b", 11, "b11")):
        sources.add(topic, timestamp_ms, customer_id)
    result = replay_partition([entry(Slice("a", 0, 1), Slice("b", 0, 1))], sources.read, SETS)
    assert [who for who, _ in order_of(result.transitions)] == ["b7", "a10", "a5", "b11"]


def test_rejected_records_are_not_applied() -> None:
    sources = Sources()
    for customer_id in ("c0", "c1", "c2"):
        sources.add("a", 1, customer_id)
    rejected = [RejectedRecord("a", 1, "failed"), RejectedRecord("b", 0, "failed")]
    result = replay_partition([entry(Slice("a", 0, 2), rejected=rejected)], sources.read, SETS)
    assert sorted(result.customers) == ["c0", "c2"]


def test_a_rejected_record_holds_back_what_follows_it_in_its_topic() -> None:
    sources = Sources()
    for topic, timestamp_ms, customer_id in (("a", 9, "poison"), ("a", 1, "a1"), ("b", 5, "b5")):
        sources.add(topic, timestamp_ms, customer_id)
    rejected = [RejectedRecord("a", 0, "failed")]
    result = replay_partition([entry(Slice("a", 0, 1), Slice("b", 0, 0), rejected=rejected)], sources.read, SETS)
    assert [who for who, _ in order_of(result.transitions)] == ["b5", "a1"]


def test_timers_fire_up_to_the_bound_of_the_entry_and_no_further() -> None:
    sources = Sources()
    for customer_id in ("c1", "c2", "c3"):
        sources.add("a", 1_000, customer_id)
    entries = [entry(Slice("a", 0, 2), until_ms=1_009), entry(until_ms=1_010, customer=b"c2")]
    result = replay_partition(entries, sources.read, SETS)
    assert [(a.customer_id, a.step) for a in result.actions] == [("c1", "first"), ("c2", "first")]
    result = replay_partition([*entries, entry(until_ms=1_010)], sources.read, SETS)
    assert [a.customer_id for a in result.actions] == ["c1", "c2", "c3"]


def test_an_entry_is_decided_under_the_journeys_that_were_in_force() -> None:
    sources = Sources()
    sources.add("a", 1_000, "c1")
    sources.add("a", 2_000, "c2")
    closed = replace(SET, set_id="closed", entries={})
    entries = [entry(Slice("a", 0, 0)), entry(Slice("a", 1, 1), until_ms=9_000, journeys="closed")]
    result = replay_partition(entries, sources.read, {**SETS, "closed": closed})
    assert order_of(result.transitions) == [("c1", 1_000)]
    assert [a.step for a in result.actions] == ["first", "second"]


def test_customers_are_brought_in_line_in_the_range_that_the_entry_names() -> None:
    sources = Sources()
    for customer_id in ("c1", "c2", "c3"):
        sources.add("a", 1_000, customer_id)
    ranged = JournalEntry(0, [], [], 1_005, None, "open again", 1, b"c1", b"c2")
    result = replay_partition([entry(Slice("a", 0, 2)), ranged], sources.read, SETS)
    assert {name: customer.aligned for name, customer in result.customers.items()} == {"c1": "", "c2": "open", "c3": ""}
    rest = JournalEntry(0, [], [], 1_005, None, "open again", 1, b"", None)
    result = replay_partition([entry(Slice("a", 0, 2)), ranged, rest], sources.read, SETS)
    assert {customer.aligned for customer in result.customers.values()} == {"open"}


def test_an_unknown_journey_set_is_named() -> None:
    with pytest.raises(ReplayImpossible, match="journey set gone is not among the definitions"):
        replay_partition([entry(journeys="gone")], Sources().read, SETS)


def test_an_empty_journal_gives_nothing() -> None:
    result = replay_partition([], Sources().read, SETS)
    assert (result.actions, result.transitions, result.customers) == ([], [], {})


def some_result() -> list[ActionCommand]:
    sources = Sources()
    sources.add("a", 1_000, "c1")
    return replay_partition([entry(Slice("a", 0, 0), until_ms=2_000)], sources.read, SETS).actions


def test_a_missing_a_doubled_and_a_changed_action_are_told_apart() -> None:
    first, second = map(action_fingerprint, some_result())
    changed = (first[0], b"other content")
    assert differences(Counter([first, second]), Counter([first])).lines(9) == [f"{second[0]} is not on its topic"]
    doubled = differences(Counter([first]), Counter([first, first]))
    assert doubled.lines(9) == [f"{first[0]} is on its topic, and should not be"]
    assert differences(Counter([first]), Counter([changed])).lines(9) == [f"{first[0]} differs in its content"]
    assert differences(Counter([first, second]), Counter([second, first])).count == 0


def test_what_may_not_be_visible_yet_may_be_missing_and_may_be_there() -> None:
    first, second = map(action_fingerprint, some_result())
    replayed, in_flight = Counter([first, second]), Counter([second])
    assert differences(replayed, Counter([first]), not_yet_visible=in_flight).count == 0
    assert differences(replayed, replayed, not_yet_visible=in_flight).count == 0
    assert differences(replayed, Counter([second]), not_yet_visible=in_flight).missing == (first[0],)


def test_more_differences_than_asked_for_are_counted() -> None:
    first, second = map(action_fingerprint, some_result())
    lines = differences(Counter([first, second]), Counter()).lines(1)
    assert lines[-1] == "and 1 more"


def test_differences_name_no_address_and_no_content() -> None:
    action = some_result()[0]
    identity, _ = action_fingerprint(action)
    assert action.address not in identity
    assert all(text not in identity for text in action.content.values())


def test_customers_are_compared_by_content_and_untouched_ones_need_no_record() -> None:
    known, other = Customer(last_at_ms=5), Customer(last_at_ms=6)
    assert customer_differences({"a": known, "b": known}, {"a": Customer(last_at_ms=5), "b": other, "c": known}) == [
        "b",
        "c",
    ]
    assert customer_differences({"a": Customer()}, {}) == []


# Few instants and gaps that equal the journey's waits, so that ties and due timers are common.
GAPS = st.sampled_from([0, 0, 1, 5, 10, 25])
STEPS = st.tuples(
    st.sampled_from(TOPICS),
    GAPS,
    st.sampled_from(["c1", "c2", "c3"]),
    st.sampled_from(["registered", "clicked", "ignored", "heartbeat", "publish"]),
    st.sampled_from(["", "", "", "boom", "divide"]),
    st.booleans(),
)


@dataclass(slots=True)
class Run:
    """What a worker's cycles left: the world with its topics, the sources, the store."""

    world: World
    records: dict[str, list[FakeRecord]]
    store: MemoryCustomerStore


def work(world: World, steps: list[tuple[str, int, str, str, str, bool]]) -> Run:
    """Offers records as they come, cycles now and then, and lets time pass."""
    records: dict[str, list[FakeRecord]] = {topic: [] for topic in TOPICS}
    store = MemoryCustomerStore()
    cycle = world.cycle(is_warm=True)
    cycle.assign(0, store)

    def offer(topic: str, new: FakeRecord) -> None:
        records[topic].append(new)
        cycle.offer(topic, 0, [new], len(records[topic]))

    def complete_until_now() -> None:
        for topic in TOPICS:
            offer(topic, heartbeat(topic, len(records[topic]), world.clock.ms))
        run(cycle)

    published = -1
    for topic, gap, customer_id, name, mood, is_time_to_work in steps:
        world.clock.ms += gap
        offset = len(records[topic])
        if name == "publish":
            published += 1
            cycle.take_up(PUBLISHED[published % len(PUBLISHED)], published)
        elif name == "heartbeat":
            offer(topic, heartbeat(topic, offset, world.clock.ms))
        else:
            offer(topic, record(topic, offset, world.clock.ms, customer_id, name, mood=mood))
        if is_time_to_work:
            complete_until_now()
    world.clock.ms += 1_000
    complete_until_now()
    return Run(world, records, store)


def journal_of(done: Run) -> list[JournalEntry]:
    return [
        JournalEntry(
            part["partition"],
            [Slice(**one) for one in part["slices"]],
            [RejectedRecord(**one) for one in part["rejected"]],
            part["timers_until"],
            part["timers_until_customer"],
            part["journeys"],
            part["definition"],
            part["aligned_after"],
            part["aligned_until"],
        )
        for part in done.world.values("journal")
    ]


def slices_of(done: Run, _key: InForceKey, part: Slice, rejected: frozenset[int]) -> Iterator[SourceRecord]:
    for one in done.records[part.topic][part.first : part.last + 1]:
        if one.offset in rejected:
            yield SourceRecord(one.offset, one.timestamp, None)
            continue
        schema_id = int.from_bytes((one.value or b"")[1:5], "big")
        name = ("", "registered", "clicked", "ignored", *[""] * 90)[schema_id]
        event = None
        if name in SET.wanted:
            fields = fastavro.schemaless_reader(io.BytesIO((one.value or b"")[5:]), PARSED[name], None)
            assert isinstance(fields, dict)
            event = Event(name, fields["event_id"], fields["customer_id"], fields)
        yield SourceRecord(one.offset, one.timestamp, event)


def replace_partitions(shared: Shared) -> Shared:
    """Also where no journal entry told the replay in which partition it is."""
    return Shared(0, PARTITIONS, shared.slots, shared.counts)


def customers_of(store: MemoryCustomerStore, customer_ids: Mapping[str, object]) -> dict[str, Customer]:
    keys = [customer_id.encode() for customer_id in customer_ids]
    return {
        key.decode(): decode_customer(found)
        for key, found in zip(keys, store.read(keys), strict=True)
        if found is not None
    }


@given(
    steps=st.lists(STEPS, max_size=40),
    is_strict=st.booleans(),
    batch_records_max=st.sampled_from([1, 3, 100]),
    timers_max=st.sampled_from([1, 2, 100]),
    align_max=st.sampled_from([1, 2, 100]),
    in_force=st.sampled_from([SET.set_id, RATED.set_id, DATED.set_id]),
)
# Two timers due at the same instant, one in the store's index and one in the batch: the customer id decides.
@example(
    steps=[
        ("events.a", 0, "c2", "registered", "", True),
        ("events.a", 0, "c1", "registered", "", False),
        ("events.a", 10, "", "heartbeat", "", True),
    ],
    is_strict=False,
    batch_records_max=100,
    timers_max=1,
    align_max=1,
    in_force="set",
)
# Somebody enters, stands still while a click comes and the wait falls due, and goes on.
@example(
    steps=[
        ("events.a", 0, "c1", "registered", "", True),
        *(("events.a", 0, "c1", "publish", "", False) for _ in range(6)),
        ("events.a", 1, "c1", "clicked", "", True),
        ("events.a", 25, "c2", "registered", "", True),
        ("events.a", 0, "c1", "publish", "", True),
        ("events.a", 25, "c3", "registered", "", True),
        *(("events.a", 0, "c1", "publish", "", True) for _ in range(2)),
    ],
    is_strict=True,
    batch_records_max=1,
    timers_max=1,
    align_max=1,
    in_force="set",
)
# A click stays kept while the message before it waits for its slot: over a second pause and beyond.
@example(
    steps=[
        *(("events.a", 0, "c1", "registered", "", True) for _ in range(4)),
        *(("events.a", 0, "c1", "publish", "", False) for _ in range(10)),
        ("events.a", 15, "c1", "clicked", "", True),
        ("events.a", 1, "c1", "publish", "", True),
        ("events.a", 1, "c1", "heartbeat", "", True),
        *(("events.a", 0, "c1", "publish", "", False) for _ in range(6)),
        ("events.a", 1, "c1", "clicked", "", True),
        *(("events.a", 1, "c1", "publish", "", True) for _ in range(5)),
        ("events.a", 1, "c1", "clicked", "", True),
    ],
    is_strict=True,
    batch_records_max=1,
    timers_max=1,
    align_max=1,
    in_force="set",
)
# A decision that raises, and is taken back, has taken no slot.
@example(
    steps=[
        ("events.a", 0, "c1", "registered", "", True),
        ("events.a", 10, "c2", "registered", "", False),
        ("events.a", 0, "c1", "registered", "boom", False),
        ("events.b", 0, "c3", "registered", "", True),
    ],
    is_strict=False,
    batch_records_max=100,
    timers_max=100,
    align_max=1,
    in_force="rated",
)
@settings(max_examples=150, deadline=None)
def test_a_replay_gives_what_the_workers_cycle_gave(
    steps: list[tuple[str, int, str, str, str, bool]],
    is_strict: bool,
    batch_records_max: int,
    timers_max: int,
    align_max: int,
    in_force: str,
) -> None:
    world = World(
        is_strict=is_strict,
        batch_records_max=batch_records_max,
        timers_max=timers_max,
        align_max=align_max,
        partitions=PARTITIONS,
        journeys=SETS[in_force],
    )
    done = work(world, steps)

    def read(key: InForceKey, part: Slice, rejected: frozenset[int]) -> Iterator[SourceRecord]:
        return slices_of(done, key, part, rejected)

    result = replay_partition(journal_of(done), read, SETS, partitions=PARTITIONS)
    # The order within the partition is the same too, not only the multiset.
    sent = [action["action_id"] for action in world.values("actions.email")]
    assert [action.action_id for action in result.actions] == sent
    decided = [(t["customer_id"], t["kind"], t["step"], t["to"], t["reason"]) for t in world.values("transitions")]
    assert [(t.customer_id, t.kind, t.step, t.to, t.reason) for t in result.transitions] == decided
    assert customer_differences(result.customers, customers_of(done.store, result.customers)) == []
    if journal_of(done) and (last := SETS[in_force_key(journal_of(done)[-1])]).alignment:
        assert {customer.aligned for customer in result.customers.values()} <= {last.alignment}
    shared = done.store.read([SHARED_KEY])[0]
    assert shared is not None or not (result.shared.slots or result.shared.counts)
    assert decode_shared(shared, partition=0, partitions=PARTITIONS) == replace_partitions(result.shared)


def test_a_moment_of_the_profile_lets_in_until_the_limit_is_reached() -> None:
    world = World(partitions=PARTITIONS, journeys=DATED)
    work(world, [("events.a", 0, f"c{number}", "registered", "", False) for number in range(5)])
    found = [(t["journey"], t["kind"], t["reason"]) for t in world.values("transitions")]
    # Of three in all, two belong to the first of two partitions.
    assert found.count(("dated", "entered", "date")) == 2
    assert found.count(("dated", "not_entered", "limit_of_all")) == 3


def test_reading_a_schema_leaves_instants_integers_and_decimals_exact() -> None:
    fields = [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "paid", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
    ]
    schema = integer_instants(json.dumps({"type": "record", "name": "order", "fields": fields}))
    read = fastavro.schemaless_reader(io.BytesIO(b"\x02\x02\x04\x04\x01\x00"), schema, None)
    assert isinstance(read, dict)
    assert (read["at"], read["day"], str(read["paid"])) == (1, 2, "2.56")


def test_fingerprints_tell_transitions_apart() -> None:
    sources = Sources()
    sources.add("a", 1_000, "c1")
    found = replay_partition([entry(Slice("a", 0, 0), until_ms=9_000)], sources.read, SETS).transitions
    assert len({transition_fingerprint(t) for t in found}) == len(found)
