"""One batch cycle: what is sent, what is written, and what a bug or a bad record does to the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.engine.erasure import ERASED
from orchestrator.model.customer import decode_customer
from orchestrator.model.journey import Rate
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.ports import Standing, TransactionFailed
from orchestrator.runtime.recalls import customer_digest
from orchestrator.runtime.store import MemoryCustomerStore
from tests.runtime.cycle_build import FakeRecord, World, heartbeat, record, reminders, run


def started(world: World, store: MemoryCustomerStore | None = None) -> tuple[World, MemoryCustomerStore]:
    return world, store or MemoryCustomerStore()


def test_a_batch_commits_actions_transitions_journal_changelog_and_offsets_together() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 5, 1000), heartbeat("events.a", 6, 1010)], 7)
    assert run(cycle) == 1
    assert world.log.transactions == 1
    assert [action["step"] for action in world.values("actions.email")] == ["first"]
    assert world.values("transitions")[0]["kind"] == "entered"
    assert world.log.offsets == {("events.a", 0): 7}
    assert store.position() == 1
    assert store.read([b"c1"]) == [world.log.changelogs[0][0][1]]  # type: ignore[index]
    entry = world.values("journal")[0]
    assert entry["slices"] == [{"topic": "events.a", "first": 5, "last": 6}]
    assert (entry["timers_until"], entry["timers_until_customer"]) == (1010, None)


def test_skipped_records_and_heartbeats_alone_still_commit_their_offsets() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, 1000, name="ignored"), heartbeat("events.a", 1, 1001)], 2)
    assert run(cycle) == 1
    assert world.log.offsets == {("events.a", 0): 2}
    assert world.log.changelogs == {}
    report = world.reports.reports[0]
    assert (report.skipped, report.heartbeats, report.records) == ({"ignored": 1}, 1, 2)


def test_nothing_to_do_makes_no_transaction() -> None:
    world, store = started(World(is_strict=False))
    cycle = world.cycle()
    cycle.assign(0, store)
    assert not cycle.has_work()
    assert run(cycle) == 0
    assert world.log.transactions == 0


def test_timers_fire_on_the_wall_clock_without_records() -> None:
    world, store = started(World(is_strict=False, topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, world.clock.ms)], 1)
    run(cycle)
    assert world.values("actions.email") == []
    assert not cycle.has_work()
    world.clock.ms += 13
    assert cycle.has_work()
    assert run(cycle) == 1
    assert [action["step"] for action in world.values("actions.email")] == ["first"]
    assert world.reports.reports[-1].lateness_ms == [3]
    assert world.values("journal")[-1]["slices"] == []
    assert not cycle.has_work()


def test_a_partition_that_is_behind_fires_timers_only_up_to_its_last_record() -> None:
    world, store = started(World(is_strict=False, topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    first = world.clock.ms - 1000
    cycle.offer("events.a", 0, [record("events.a", 0, first), record("events.a", 1, first + 5, "c2")], 99)
    run(cycle)
    assert world.values("actions.email") == []
    cycle.offer("events.a", 0, [record("events.a", 2, first + 12, "c3")], 99)
    run(cycle)
    assert [action["customer_id"] for action in world.values("actions.email")] == ["c1"]
    assert world.values("journal")[-1]["timers_until"] == first + 12


def test_timers_are_bounded_and_the_journal_says_how_far_they_came() -> None:
    world, store = started(World(topics=("events.a",), timers_max=2))
    cycle = world.cycle()
    cycle.assign(0, store)
    records = [record("events.a", n, 1000, f"c{n}") for n in range(5)]
    cycle.offer("events.a", 0, [*records, heartbeat("events.a", 5, 1010)], 6)
    assert run(cycle) == 3
    bounds = [(e["timers_until"], e["timers_until_customer"]) for e in world.values("journal")]
    assert bounds == [(1010, b"c1"), (1010, b"c3"), (1010, None)]
    assert [a["customer_id"] for a in world.values("actions.email")] == ["c0", "c1", "c2", "c3", "c4"]


def test_timers_fire_in_due_order_and_a_customer_who_is_due_again_is_put_back() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    records = [record("events.a", 0, 1000, "c2"), record("events.a", 1, 1020, "c1")]
    cycle.offer("events.a", 0, [*records, heartbeat("events.a", 2, 2000)], 3)
    run(cycle)
    sent = [(a["customer_id"], a["step"]) for a in world.values("actions.email")]
    assert sent == [("c2", "first"), ("c1", "first"), ("c2", "second"), ("c1", "second")]


def test_a_redelivered_event_changes_nothing() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, 1000, event_id="same")], 1)
    run(cycle)
    before = dict(store.records)
    cycle.offer("events.a", 0, [record("events.a", 1, 1001, event_id="same")], 2)
    run(cycle)
    assert store.records == before
    assert world.reports.reports[-1].duplicates == 1
    assert world.log.offsets == {("events.a", 0): 2}


def test_a_record_whose_decision_raises_is_rejected_and_the_others_are_applied() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    records = [
        record("events.a", 0, 1000),
        record("events.a", 1, 1001, mood="boom"),
        record("events.a", 2, 1002, "c2", mood="boom"),
        record("events.a", 3, 1003, "c2"),
    ]
    cycle.offer("events.a", 0, records, 4)
    assert run(cycle) == 1
    letters = world.dead_letters()
    assert [(x["dlq.reason"], x["dlq.offset"]) for x in letters] == [("failed", "1"), ("failed", "2")]
    assert letters[0]["dlq.detail"].startswith("RuntimeError in cycle_build.py")
    assert "personal" not in letters[0]["dlq.detail"]
    entered = [t["customer_id"] for t in world.values("transitions") if t["kind"] == "entered"]
    assert entered == ["c1", "c2"]
    assert [r["offset"] for r in world.values("journal")[0]["rejected"]] == [1, 2]
    assert decode_customer(store.records[b"c1"]).entries == 1
    assert world.reports.reports[0].applied == {"registered": 2}


def test_a_failing_condition_is_applied_and_also_dead_lettered() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, 1000, mood="divide")], 1)
    run(cycle)
    assert [letter["dlq.reason"] for letter in world.dead_letters()] == ["condition_failed"]
    assert world.values("journal")[0]["rejected"] == []
    assert decode_customer(store.records[b"c1"]).profile == {"email": "divide"}


def test_a_timer_that_raises_ends_its_passage_and_the_others_go_on() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    records = [record("events.a", 0, 1000, "c1", mood="burst"), record("events.a", 1, 1001, "c2")]
    cycle.offer("events.a", 0, [*records, heartbeat("events.a", 2, 1050)], 3)
    run(cycle)
    assert [(a["customer_id"], a["step"]) for a in world.values("actions.email")] == [("c2", "first"), ("c2", "second")]
    last = [t for t in world.values("transitions") if t["customer_id"] == "c1"][-2:]
    assert [(t["kind"], t["step"]) for t in last] == [("failed", "pause"), ("exited", "pause")]
    assert last[0]["reason"].startswith("timer: RuntimeError in")
    assert store.index == []
    assert not cycle.has_work()


def test_what_cannot_be_decoded_goes_to_the_dead_letters_with_its_bytes_and_headers() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    good = record("events.a", 9, 1000)
    other = record("events.a", 0, 1000, "c2").value
    keyless = FakeRecord("events.a", 0, 4, 1000, None, good.value, (("trace", b"t1"),))
    records = [
        FakeRecord("events.a", 0, 0, 1000, b"c1", None),
        FakeRecord("events.a", 0, 1, 1000, b"c1", b"\x07text"),
        FakeRecord("events.a", 0, 2, 1000, b"c1", b"\0\0\0\0\x63rest"),
        FakeRecord("events.a", 0, 3, 1000, b"c1", (good.value or b"")[:9]),
        keyless,
        FakeRecord("events.a", 0, 5, 1000, b"c1", other),
    ]
    cycle.offer("events.a", 0, records, 6)
    run(cycle)
    reasons = [letter["dlq.reason"] for letter in world.dead_letters()]
    assert sorted(reasons) == sorted(
        ["not_avro", "not_avro", "unknown_schema", "undecodable", "missing_customer", "customer_mismatch"]
    )
    letters = {letter["dlq.offset"]: letter for letter in world.dead_letters()}
    assert letters["4"] == {
        "trace": "t1",
        "dlq.topic": "events.a",
        "dlq.partition": "0",
        "dlq.offset": "4",
        "dlq.timestamp": "1000",
        "dlq.reason": "missing_customer",
        "dlq.detail": "",
    }
    assert [sent.value for sent in world.log.sent if sent.topic == "dead" and sent.key is None] == [good.value]
    assert store.records == {}
    assert world.log.offsets == {("events.a", 0): 6}


def test_a_timestamp_far_in_the_future_is_rejected_and_stream_time_stays() -> None:
    world, store = started(World())
    cycle = world.cycle()
    cycle.assign(0, store)
    future = world.clock.ms + 2 * 86_400_000
    cycle.offer("events.a", 0, [record("events.a", 0, future), record("events.a", 1, 1000)], 2)
    cycle.offer("events.b", 0, [record("events.b", 0, 999, "c2"), heartbeat("events.b", 1, 1001)], 2)
    cycle.offer("events.a", 0, [heartbeat("events.a", 2, 1001)], 3)
    run(cycle)
    assert [(x["dlq.reason"], x["dlq.offset"]) for x in world.dead_letters()] == [("future_timestamp", "0")]
    assert cycle.stream_times() == {0: 1001}
    assert world.log.offsets == {("events.a", 0): 3, ("events.b", 0): 2}


def test_records_wait_while_the_registry_is_down_and_are_not_dead_lettered() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    world.registry.is_down = True
    cycle.offer("events.a", 0, [record("events.a", 0, 1000)], 1)
    assert cycle.compute() is None
    assert cycle.needs_schemas()
    assert not cycle.has_work()
    with pytest.raises(ConnectionError):
        cycle.prepare()
    assert cycle.compute() is None
    world.registry.is_down = False
    cycle.prepare()
    assert cycle.has_work()
    assert run(cycle) == 1
    assert world.dead_letters() == []
    assert b"c1" in store.records


def test_an_unknown_schema_id_is_asked_for_again_after_a_while() -> None:
    world, store = started(World(topics=("events.a",)))
    text = world.registry.texts.pop(1)
    cycle = world.cycle()
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, 1000), record("events.a", 1, 1000)], 2)
    run(cycle)
    assert world.registry.asked == [1]
    assert [x["dlq.reason"] for x in world.dead_letters()] == ["unknown_schema", "unknown_schema"]
    world.registry.texts[1] = text
    world.clock.ms += 60_000
    cycle.offer("events.a", 0, [record("events.a", 2, 1000)], 3)
    run(cycle)
    assert len(world.dead_letters()) == 2
    assert b"c1" in store.records


def test_a_batch_computed_during_a_commit_sees_that_batch() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle(is_warm=True)
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, 1000)], 1)
    first = cycle.compute()
    assert first is not None
    cycle.offer("events.a", 0, [record("events.a", 1, 1005), heartbeat("events.a", 2, 1012)], 3)
    second = cycle.compute()
    assert second is not None
    assert store.records == {}
    cycle.apply(first, cycle.commit(first))
    cycle.apply(second, cycle.commit(second))
    assert decode_customer(store.records[b"c1"]).entries == 2
    assert [a["instance"] for a in world.values("actions.email")] == [1]
    assert store.index == [(1015, b"c1")]


def test_a_timer_that_fired_in_the_batch_being_committed_does_not_fire_again() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle(is_warm=True)
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, 1000)], 1)
    run(cycle)
    cycle.offer("events.a", 0, [heartbeat("events.a", 1, 1011)], 2)
    first = cycle.compute()
    assert first is not None
    cycle.offer("events.a", 0, [heartbeat("events.a", 2, 1012)], 3)
    second = cycle.compute()
    assert second is not None
    cycle.apply(first, cycle.commit(first))
    cycle.apply(second, cycle.commit(second))
    assert len(world.values("actions.email")) == 1


def test_a_batch_computed_before_a_revoke_cannot_be_committed() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle(is_warm=True)
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, 1000)], 1)
    computed = cycle.compute()
    assert computed is not None
    cycle.revoke(0)
    with pytest.raises(TransactionFailed, match="revoked"):
        cycle.commit(computed)
    assert world.log.transactions == 0


def test_a_failed_transaction_is_aborted_and_the_store_stays_as_it_was() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle(is_warm=True)
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, 1000)], 1)
    computed = cycle.compute()
    assert computed is not None

    def refuse(moment: str) -> None:
        if moment == "offsets":
            raise TransactionFailed("fenced")

    world.log.at = refuse
    with pytest.raises(TransactionFailed, match="fenced"):
        cycle.commit(computed)
    assert world.log.sent == []
    assert store.records == {}


def test_a_damaged_customer_record_stops_the_process_and_says_what_to_do() -> None:
    world, store = started(World(topics=("events.a",)))
    store.records[b"c1"] = b"\x01" + b"\x7f" + b"\xff" * 7 + b"\xc1"
    cycle = world.cycle()
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, 1000)], 1)
    with pytest.raises(EnvironmentProblem, match="partition 0 is damaged"):
        run(cycle)


@pytest.mark.parametrize("is_strict", [True, False])
def test_a_message_of_a_timer_does_not_wait_for_slots_that_later_events_took(is_strict: bool) -> None:
    later = 1000 + 8 * 86_400_000
    rates = (Rate("mail", frozenset({"email"}), 60_000, 60_000),)
    rated = replace(reminders(), set_id="rated", rates=rates, uses_shared=True)
    world, store = started(World(topics=("events.a",), is_strict=is_strict, journeys=rated, partitions=1))
    world.clock.ms = later + 1000
    cycle = world.cycle()
    cycle.assign(0, store)
    records = [
        record("events.a", 0, 1000, "early"),
        record("events.a", 1, later, "late"),
        # Before this event the customer's own timer fires, which takes a slot.
        record("events.a", 2, later + 20, "late", "clicked"),
    ]
    cycle.offer("events.a", 0, [*records, heartbeat("events.a", 3, later + 30)], 4)
    run(cycle)
    sent = [(a["customer_id"], a["step"], a["created_at"].timestamp()) for a in world.values("actions.email")]
    assert ("early", "first", 1.01) in sent
    assert not [t for t in world.values("transitions") if t["kind"] == "waiting"]


def test_each_partition_gets_its_share_of_a_batch() -> None:
    world, first = started(World(topics=("events.a",), batch_records_max=10))
    cycle = world.cycle(is_warm=True)
    cycle.assign(0, first)
    cycle.assign(1, MemoryCustomerStore())
    for number in (0, 1):
        cycle.offer("events.a", number, [record("events.a", n, 1000 + n, partition=number) for n in range(50)], 50)
    computed = cycle.compute()
    assert computed is not None
    assert computed.offsets == {("events.a", 0): 5, ("events.a", 1): 5}


def test_a_customer_record_that_grows_too_large_rejects_the_event_that_did_it() -> None:
    world, store = started(World(topics=("events.a",)))
    cycle = world.cycle()
    cycle.assign(0, store)
    records = [record("events.a", 0, 1000, mood="x" * 950_000), record("events.a", 1, 1001, "c2")]
    cycle.offer("events.a", 0, records, 2)
    run(cycle)
    assert [(x["dlq.reason"], x["dlq.offset"]) for x in world.dead_letters()] == [("failed", "0")]
    assert list(store.records) == [b"c2"]


def test_what_waits_is_known_with_its_age_also_while_a_schema_is_looked_up() -> None:
    world = World(is_strict=False, topics=("events.a",))
    cycle = world.cycle()
    cycle.assign(0, MemoryCustomerStore())
    assert cycle.standing() == Standing(partitions=1)
    cycle.offer("events.a", 0, [record("events.a", 0, 500), record("events.a", 1, 700)], highwater=9)
    standing = cycle.standing()
    assert (standing.lag, standing.oldest_ms) == ({("events.a", 0): 9}, 500)
    world.registry.is_down = True
    assert cycle.compute() is None
    # Taken out of the buffers and held: they count all the same.
    assert cycle.needs_schemas()
    standing = cycle.standing()
    assert (standing.lag, standing.oldest_ms) == ({("events.a", 0): 9}, 500)
    world.registry.is_down = False
    run(cycle)
    standing = cycle.standing()
    assert (standing.lag, standing.oldest_ms, standing.timers_pending) == ({("events.a", 0): 7}, None, 1)
    assert standing.store_bytes > 0


def test_the_report_says_when_records_came_and_when_they_were_committed_on_the_wall_clock_only() -> None:
    for is_strict in (False, True):
        world = World(is_strict=is_strict, topics=("events.a",))
        cycle = world.cycle(is_warm=True)
        cycle.assign(0, MemoryCustomerStore())
        cycle.offer("events.a", 0, [record("events.a", 0, 500), record("events.a", 1, 700)], highwater=2)
        run(cycle)
        report = world.reports.reports[0]
        assert report.record_times_ms == ([] if is_strict else [[500, 700]])
        assert report.committed_at_ms == world.clock.ms


def test_a_forgotten_customer_leaves_a_tombstone_also_where_the_batch_before_is_still_committing() -> None:
    world = World(topics=("events.a",), batch_records_max=1)
    world.journeys = replace(world.journeys, wanted=world.journeys.wanted | {ERASED})
    store = MemoryCustomerStore()
    cycle = world.cycle(is_warm=True)
    cycle.assign(0, store)
    records = [record("events.a", 0, 1000), record("events.a", 1, 1001, name=ERASED), record("events.a", 2, 1002)]
    cycle.offer("events.a", 0, [*records, heartbeat("events.a", 3, 1003)], 4)
    first, forgotten = cycle.compute(), cycle.compute()
    assert first is not None
    assert forgotten is not None
    cycle.apply(first, cycle.commit(first))
    again = cycle.compute()
    assert again is not None
    cycle.apply(forgotten, cycle.commit(forgotten))
    assert (store.read([b"c1"]), store.due(10_000, 10)) == ([None], [])
    cycle.apply(again, cycle.commit(again))
    written = [record for record in world.log.changelogs[0] if record is not None]
    assert [value is None for _, value in written] == [False, True, False]
    (passage,) = decode_customer(store.read([b"c1"])[0] or b"").instances
    assert (passage.key, passage.number) == ("events.a-0-2", 1)
    assert [t["reason"] for t in world.values("transitions") if t["kind"] == "exited"] == [ERASED]


@pytest.mark.parametrize("mood", ["", "boom"])
def test_an_erasure_recalls_in_its_own_transaction_also_where_another_record_of_the_batch_raises(mood: str) -> None:
    world = World(topics=("events.a",))
    world.journeys = replace(world.journeys, wanted=world.journeys.wanted | {ERASED})
    cycle = world.cycle(is_warm=True)
    cycle.assign(1, MemoryCustomerStore())
    records = [
        record("events.a", 0, 1000, partition=1),
        record("events.a", 1, 1001, "c2", partition=1, mood=mood),
        record("events.a", 2, 1002, partition=1, name=ERASED),
    ]
    cycle.offer("events.a", 1, [*records, heartbeat("events.a", 3, 1003, partition=1)], 4)
    assert run(cycle) == 1
    assert len(world.dead_letters()) == (1 if mood else 0)
    (sent,) = [sent for sent in world.log.sent if sent.topic == "recalls"]
    assert (sent.partition, sent.value) == (1, b'{"recalled_at":1002}')
    assert sent.key == customer_digest("c1").encode()
