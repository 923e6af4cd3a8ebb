"""The order in which co-partitioned records are taken, against a naive model and case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.merge import MergeOptions, PartitionMerge, Taken
from orchestrator.runtime.ports import Record
from tests.runtime.cycle_build import FakeRecord

NOW = 10_000_000


def at(topic: str, offset: int, timestamp: int, *, is_heartbeat: bool = False) -> FakeRecord:
    return FakeRecord(topic, 0, offset, timestamp, None if is_heartbeat else b"c", b"")


def merge(*topics: str, is_strict: bool = True, buffer: int = 100) -> PartitionMerge:
    options = MergeOptions(is_strict=is_strict, merge_wait_ms=50, buffer_records_max=buffer)
    return PartitionMerge(topics, options=options, is_heartbeat=lambda record: record.key is None)


def named(taken: Taken | None) -> list[tuple[str, int]]:
    return [] if taken is None else [(record.topic, record.offset) for record in taken.records]


def naive(logs: dict[str, list[FakeRecord]]) -> list[tuple[str, int]]:
    """Repeatedly the head with the smallest (timestamp, topic)."""
    left = {topic: list(log) for topic, log in logs.items() if log}
    order = []
    while left:
        topic = min(left, key=lambda name: (left[name][0].timestamp, name))
        order.append((topic, left[topic].pop(0).offset))
        if not left[topic]:
            del left[topic]
    return order


times = st.lists(st.integers(0, 30), max_size=12)


@given(st.fixed_dictionaries({"a": times, "b": times, "c": times}), st.integers(1, 40))
def test_what_is_taken_at_once_is_the_naive_merge_whatever_the_timestamps(
    drawn: dict[str, list[int]], records_max: int
) -> None:
    logs = {topic: [at(topic, n, t) for n, t in enumerate(drawn[topic])] for topic in drawn}
    buffers = merge("a", "b", "c", is_strict=False)
    for topic, log in logs.items():
        buffers.offer(topic, log, highwater=len(log), now_ms=NOW, position=len(log))
    assert named(buffers.take(records_max, NOW)) == naive(logs)[:records_max]


@given(
    st.fixed_dictionaries({"a": times, "b": times, "c": times}),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), max_size=30),
    st.integers(1, 9),
)
def test_the_strict_order_does_not_depend_on_arrival(
    drawn: dict[str, list[int]], arrivals: list[tuple[str, int]], records_max: int
) -> None:
    logs = {topic: [at(topic, n, t) for n, t in enumerate(sorted(drawn[topic]))] for topic in drawn}
    for topic, log in logs.items():
        log.append(at(topic, len(log), 99, is_heartbeat=True))
    buffers = merge("a", "b", "c")
    offered = dict.fromkeys(logs, 0)
    taken: list[tuple[str, int]] = []
    for topic, count in [*arrivals, *[(topic, 100) for topic in logs]]:
        records = logs[topic][offered[topic] : offered[topic] + count]
        offered[topic] += len(records)
        buffers.offer(topic, records, highwater=len(logs[topic]), now_ms=NOW)
        while (batch := buffers.take(records_max, NOW)) is not None:
            taken += named(batch)
    assert taken == naive(logs)
    assert buffers.buffered() == 0


@given(st.fixed_dictionaries({"a": times, "b": times, "c": times}), st.integers(1, 9), st.integers(0, 9))
def test_batches_that_span_little_time_have_the_same_order(
    drawn: dict[str, list[int]], records_max: int, span_ms: int
) -> None:
    logs = {topic: [at(topic, n, t) for n, t in enumerate(drawn[topic])] for topic in drawn}
    buffers = merge("a", "b", "c", is_strict=False)
    for topic, log in logs.items():
        buffers.offer(topic, log, highwater=len(log), now_ms=NOW, position=len(log))
    taken: list[tuple[str, int]] = []
    while (batch := buffers.take(records_max, NOW, span_ms=span_ms)) is not None:
        before, here = taken[:], named(batch)
        taken += here
        assert here
        reached = [max(drawn[topic][: offset + 1]) for topic, offset in here]
        assert max(reached) - min(reached) <= span_ms, before
    assert taken == naive(logs)


@given(st.fixed_dictionaries({"a": times, "b": times}), st.integers(1, 5))
def test_slices_cover_every_record_once_and_in_offset_order(drawn: dict[str, list[int]], records_max: int) -> None:
    buffers = merge("a", "b", is_strict=False)
    for topic, timestamps in drawn.items():
        log = [at(topic, n, t) for n, t in enumerate(timestamps)]
        buffers.offer(topic, log, highwater=len(log), now_ms=NOW, position=len(log))
    next_offset = {"a": 0, "b": 0}
    while (batch := buffers.take(records_max, NOW)) is not None:
        for part in batch.slices:
            offsets = [record.offset for record in batch.records if record.topic == part.topic]
            assert offsets == list(range(part.first, part.last + 1))
            assert part.first == next_offset[part.topic]
            next_offset[part.topic] = part.last + 1
    assert next_offset == {topic: len(timestamps) for topic, timestamps in drawn.items()}


def test_on_the_wall_clock_a_topic_that_is_caught_up_holds_nobody_back() -> None:
    buffers = merge("a", "b", is_strict=False)
    buffers.offer("a", [at("a", 0, 5)], highwater=1, now_ms=NOW)
    buffers.offer("b", [], highwater=7, now_ms=NOW, position=7)
    assert named(buffers.take(10, NOW)) == [("a", 0)]
    assert buffers.is_caught_up()


def test_on_the_wall_clock_a_topic_that_is_behind_is_waited_for_but_not_for_long() -> None:
    buffers = merge("a", "b", is_strict=False)
    buffers.offer("b", [at("b", 0, 3)], highwater=9, now_ms=NOW)
    buffers.offer("a", [at("a", 0, 2), at("a", 1, 5)], highwater=2, now_ms=NOW)
    assert named(buffers.take(10, NOW)) == [("a", 0), ("b", 0)]
    assert not buffers.is_ready(NOW + 1)
    assert buffers.take(10, NOW + 49) is None
    assert named(buffers.take(10, NOW + 51)) == [("a", 1)]
    assert not buffers.is_caught_up()


def test_records_that_arrive_from_a_topic_waited_for_end_the_wait() -> None:
    buffers = merge("a", "b", is_strict=False)
    buffers.offer("a", [at("a", 0, 5)], highwater=1, now_ms=NOW)
    assert buffers.take(10, NOW) is None
    buffers.offer("b", [at("b", 0, 4), at("b", 1, 6)], highwater=9, now_ms=NOW)
    assert named(buffers.take(10, NOW)) == [("b", 0), ("a", 0), ("b", 1)]


def test_a_full_buffer_is_paused_while_the_others_go_on() -> None:
    buffers = merge("a", "b", buffer=3)
    buffers.offer("a", [at("a", n, 100 + n) for n in range(3)], highwater=50, now_ms=NOW)
    assert buffers.full() == ["a"]
    assert buffers.take(10, NOW) is None
    for n in range(20):
        buffers.offer("b", [at("b", n, n)], highwater=50, now_ms=NOW)
        assert named(buffers.take(10, NOW)) == [("b", n)]
    assert buffers.full() == ["a"]


def test_equal_timestamps_wait_until_the_earlier_topic_is_known_to_be_complete() -> None:
    buffers = merge("a", "b")
    buffers.offer("b", [at("b", 0, 5)], highwater=None, now_ms=NOW)
    buffers.offer("a", [at("a", 0, 5)], highwater=None, now_ms=NOW)
    assert named(buffers.take(10, NOW)) == [("a", 0)]
    assert buffers.take(10, NOW) is None
    buffers.offer("a", [at("a", 1, 5), at("a", 2, 5, is_heartbeat=True)], highwater=None, now_ms=NOW)
    assert named(buffers.take(10, NOW)) == [("a", 1), ("a", 2), ("b", 0)]


def test_a_heartbeat_counts_once_its_schema_is_known_also_after_it_was_taken() -> None:
    known: list[bool] = []

    def is_heartbeat(record: Record) -> bool | None:
        return record.key is None if known else None

    buffers = PartitionMerge(["a", "b"], options=MergeOptions(is_strict=True), is_heartbeat=is_heartbeat)
    buffers.offer("a", [at("a", 0, 5, is_heartbeat=True)], highwater=None, now_ms=NOW)
    buffers.offer("b", [at("b", 0, 5, is_heartbeat=True)], highwater=None, now_ms=NOW)
    assert named(buffers.take(10, NOW)) == [("a", 0)]
    assert buffers.take(10, NOW) is None
    known.append(True)
    assert named(buffers.take(10, NOW)) == [("b", 0)]


def test_a_new_owner_goes_on_from_the_stream_time_of_the_former_one() -> None:
    options = MergeOptions(is_strict=True)
    buffers = PartitionMerge(["a", "b"], options=options, is_heartbeat=lambda _: False, stream_time_ms=9)
    buffers.offer("b", [at("b", 7, 9)], highwater=8, now_ms=NOW)
    assert named(buffers.take(10, NOW)) == [("b", 7)]


def test_a_future_timestamp_ends_its_topics_slice_and_does_not_move_stream_time() -> None:
    buffers = merge("a", "b")
    future = NOW + 2 * 86_400_000
    buffers.offer("a", [at("a", 0, 1), at("a", 1, future), at("a", 2, 3)], highwater=None, now_ms=NOW)
    buffers.offer("b", [at("b", 0, 2), at("b", 1, 9)], highwater=None, now_ms=NOW)
    first = buffers.take(10, NOW)
    assert first is not None
    assert named(first) == [("a", 0), ("a", 1), ("b", 0)]
    assert first.future == {("a", 1)}
    assert named(buffers.take(10, NOW)) == [("a", 2)]
    assert buffers.stream_time_ms == 3


def test_records_offered_twice_are_a_bug_and_not_applied_twice() -> None:
    buffers = merge("a")
    buffers.offer("a", [at("a", 0, 1)], highwater=None, now_ms=NOW)
    with pytest.raises(ValueError, match="twice"):
        buffers.offer("a", [at("a", 0, 1)], highwater=None, now_ms=NOW)
