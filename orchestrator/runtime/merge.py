"""The order in which the records of a partition's co-partitioned topics are taken.

Place in the data flow: fetched record lists come in with `offer`, `Cycle` takes merged batches out. The order is that
of `docs/architecture.md` ("Time"): repeatedly the head with the smallest (timestamp, topic name), so that each topic
keeps its offset order. What may be taken already is one of two policies:

- wall clock: a topic that is known to be behind (its position is below its high watermark) holds the others back to
  what it has shown, but for no longer than `merge_wait_ms`. Topics that are caught up hold nobody back.
- stream time (strict): a record with timestamp t is taken only when every other topic has shown t, however long that
  takes, so that the order does not depend on arrival. An event shows that its topic is complete before its
  timestamp; a heartbeat, that it is complete at its timestamp too.

A record whose timestamp is far in the future would move stream time for good, so in the strict policy it is taken
without its timestamp, as the last one of its topic in a batch, and the caller rejects it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import attrgetter

from orchestrator.runtime.codec import Slice
from orchestrator.runtime.ports import Record

NOTHING_SHOWN_MS = -1
DAY_MS = 86_400_000
_by_timestamp = attrgetter("timestamp")


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """How records are merged.

    `buffer_records_max` bounds each topic's buffer: a fuller one is to be paused. A timestamp more than
    `future_ms_max` ahead of the clock is not believed (strict policy only).
    """

    is_strict: bool = False
    merge_wait_ms: int = 200
    buffer_records_max: int = 20_000
    future_ms_max: int = DAY_MS


@dataclass(slots=True)
class Taken:
    """Records in the order in which they are to be applied. `future` holds those with unbelievable timestamps."""

    records: list[Record]
    slices: list[Slice]
    future: frozenset[tuple[str, int]] = frozenset()


@dataclass(slots=True)
class _Topic:
    """One topic's buffer. `times` are its records' timestamps; `shown_ms` the greatest one ever offered."""

    name: str
    shown_ms: int
    complete_ms: int
    records: list[Record] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    future: set[int] = field(default_factory=set)
    latest: list[Record] = field(default_factory=list)
    """Records with the timestamp `shown_ms` of which it is not known yet whether one is a heartbeat."""
    is_sorted: bool = True
    position: int | None = None
    highwater: int | None = None
    blocking_since_ms: int | None = None
    is_waived: bool = False

    def is_behind(self) -> bool:
        """Whether records are known, or not known not, to be on the broker that were not offered yet."""
        return self.position is None or self.highwater is None or self.position < self.highwater


class PartitionMerge:
    """The buffers of one partition's topics, and the order between them.

    `stream_time_ms` is the greatest timestamp taken so far. At the start it is what the former owner committed.
    `is_heartbeat` says None of a record whose schema is not known yet.
    """

    def __init__(
        self,
        topics: Sequence[str],
        *,
        options: MergeOptions,
        is_heartbeat: Callable[[Record], bool | None],
        stream_time_ms: int = NOTHING_SHOWN_MS,
    ) -> None:
        self.stream_time_ms = stream_time_ms
        self._options = options
        self._is_heartbeat = is_heartbeat
        # What was applied up to now had been shown by every topic, so a new owner need not see it again.
        self._topics = [_Topic(name, stream_time_ms, stream_time_ms) for name in sorted(topics)]
        self._by_name = {topic.name: topic for topic in self._topics}

    def offer(
        self, name: str, records: Sequence[Record], *, highwater: int | None, now_ms: int, position: int | None = None
    ) -> None:
        """Takes in the next records of a topic, and what is known about how much more there is.

        `position` is the next offset to fetch, where that is known better than from the last record.
        """
        topic = self._by_name[name]
        if highwater is not None:
            topic.highwater = highwater
        if records:
            if topic.position is not None and records[0].offset < topic.position:
                raise ValueError(f"records of {name} were offered twice: {records[0].offset} < {topic.position}")
            self._extend(topic, records, now_ms)
            topic.position = records[-1].offset + 1
            topic.blocking_since_ms = None
            topic.is_waived = False
        if position is not None:
            topic.position = position if topic.position is None else max(topic.position, position)

    def _extend(self, topic: _Topic, records: Sequence[Record], now_ms: int) -> None:
        times = [record.timestamp for record in records]
        greatest = max(times)
        if self._options.is_strict and greatest > now_ms + self._options.future_ms_max:
            bound = now_ms + self._options.future_ms_max
            topic.future.update(record.offset for record in records if record.timestamp > bound)
            greatest = max((time for time in times if time <= bound), default=topic.shown_ms)
            topic.is_sorted = False
        if topic.is_sorted:
            last = topic.times[-1] if topic.times else NOTHING_SHOWN_MS
            topic.is_sorted = last <= times[0] and times == sorted(times)
        topic.records.extend(records)
        topic.times.extend(times)
        if self._options.is_strict and greatest >= topic.shown_ms:
            latest = [record for record, time in zip(records, times, strict=True) if time == greatest]
            topic.latest = latest if greatest > topic.shown_ms else topic.latest + latest
        topic.shown_ms = max(topic.shown_ms, greatest)

    def full(self) -> list[str]:
        """Topics whose buffers hold as much as they may."""
        return [topic.name for topic in self._topics if len(topic.records) >= self._options.buffer_records_max]

    def buffered(self) -> int:
        """How many records are waiting to be taken."""
        return sum(len(topic.records) for topic in self._topics)

    def lag(self) -> dict[str, int]:
        """Topic -> records known to be on the broker or in the buffer, and not yet taken."""
        return {
            topic.name: len(topic.records) + max(0, topic.highwater - topic.position)
            for topic in self._topics
            if topic.highwater is not None and topic.position is not None
        }

    def oldest_ms(self) -> int | None:
        """The timestamp of the oldest record that waits to be taken, by each topic's first one; None for none."""
        return min((topic.times[0] for topic in self._topics if topic.times), default=None)

    def is_caught_up(self) -> bool:
        """Whether everything known to be on the broker was taken; a topic that never answered is not waited for."""
        for topic in self._topics:
            is_silent = topic.position is None and topic.is_waived
            if topic.records or (topic.is_behind() and not is_silent):
                return False
        return True

    def is_ready(self, now_ms: int) -> bool:
        """Whether `take` would give something now."""
        return any(self._ends(now_ms, 1).values())

    def first_ms(self, now_ms: int) -> int | None:
        """The time up to which the first record moves the partition on that `take` would give now; None for none."""
        ends = self._ends(now_ms, 1)
        return min((_keys(topic, 1)[0] for topic in self._topics if ends.get(topic.name)), default=None)

    def take(self, records_max: int, now_ms: int, *, span_ms: int | None = None) -> Taken | None:
        """Up to `records_max` records in order, within `span_ms` of the first; None if nothing may be taken yet."""
        ends = self._ends(now_ms, records_max)
        chosen = [topic for topic in self._topics if ends.get(topic.name)]
        if not chosen:
            return None
        keys = {topic.name: _keys(topic, records_max) for topic in chosen}
        if span_ms is not None:
            until_ms = min(keys[topic.name][0] for topic in chosen) + span_ms
            for topic in chosen:
                ends[topic.name] = bisect_right(keys[topic.name], until_ms, 0, ends[topic.name])
        if sum(ends.values()) > records_max:
            ends = _cut([topic.name for topic in chosen], keys, ends, records_max)
        taken = _merge([topic for topic in chosen if ends[topic.name]], keys, ends)
        for topic in chosen:
            end = ends[topic.name]
            if end:
                self.stream_time_ms = max(self.stream_time_ms, keys[topic.name][end - 1])
                _drop(topic, end)
        return taken

    def _ends(self, now_ms: int, records_max: int) -> dict[str, int]:
        """Topic -> how many of its first records may be taken as far as the other topics are concerned."""
        ends = {}
        holders = [topic for topic in self._topics if self._holds_back(topic)]
        for topic in self._topics:
            if not topic.records:
                continue
            end = min(len(topic.records), records_max)
            if topic.future:
                end = min(end, _first_future(topic) + 1)
            for other in holders:
                if other is topic:
                    continue
                bound = self._complete_ms(other) if other.name < topic.name else other.shown_ms
                allowed = bisect_right(_keys(topic, end), bound, 0, end)
                if allowed == 0:
                    self._wait_for(other, now_ms)
                    if other.is_waived:
                        continue
                end = allowed
                if end == 0:
                    break
            ends[topic.name] = end
        return ends

    def _holds_back(self, topic: _Topic) -> bool:
        return self._options.is_strict or (topic.is_behind() and not topic.is_waived)

    def _wait_for(self, topic: _Topic, now_ms: int) -> None:
        """Notes that others wait for this topic; on the wall clock it is waived once they waited long enough."""
        if self._options.is_strict or topic.records:
            return
        if topic.blocking_since_ms is None:
            topic.blocking_since_ms = now_ms
        elif now_ms - topic.blocking_since_ms >= self._options.merge_wait_ms:
            topic.is_waived = True

    def _complete_ms(self, topic: _Topic) -> int:
        """Up to when the topic has nothing more to show, that instant included."""
        topic.complete_ms = max(topic.complete_ms, topic.shown_ms - 1)
        unsettled: list[Record] = []
        for record in topic.latest:
            is_heartbeat = self._is_heartbeat(record)
            if is_heartbeat:
                topic.complete_ms = topic.shown_ms
                unsettled = []
                break
            if is_heartbeat is None:
                unsettled.append(record)
        topic.latest = unsettled
        return topic.complete_ms


def _keys(topic: _Topic, count: int) -> list[int]:
    """The first records' sort keys: each topic's greatest timestamp so far, which is what keeps offset order.

    Taking the head with the smallest timestamp puts a record with an earlier timestamp right behind its predecessor:
    that is the order of the running maximum.
    """
    if topic.is_sorted:
        return topic.times
    times = topic.times[:count]
    if topic.future:
        times = [
            NOTHING_SHOWN_MS if record.offset in topic.future else time
            for record, time in zip(topic.records[:count], times, strict=True)
        ]
    return list(accumulate(times, max))


def _first_future(topic: _Topic) -> int:
    return next(
        (index for index, record in enumerate(topic.records) if record.offset in topic.future), len(topic.records)
    )


def _cut(names: list[str], keys: dict[str, list[int]], ends: dict[str, int], records_max: int) -> dict[str, int]:
    """The ends of the first `records_max` records in (key, topic) order.

    Sorting everything that is buffered to take a fraction of it would cost more than deciding: this looks for the
    greatest instant up to which all records fit, and fills up from the next one in topic order.
    """
    low = min(keys[name][0] for name in names) - 1
    high = max(keys[name][ends[name] - 1] for name in names)
    while high - low > 1:
        middle = (low + high) // 2
        if sum(bisect_right(keys[name], middle, 0, ends[name]) for name in names) <= records_max:
            low = middle
        else:
            high = middle
    chosen = {name: bisect_right(keys[name], low, 0, ends[name]) for name in names}
    room = records_max - sum(chosen.values())
    for name in names:
        more = min(room, bisect_right(keys[name], low + 1, 0, ends[name]) - chosen[name])
        chosen[name] += more
        room -= more
    return chosen


def _merge(topics: list[_Topic], keys: dict[str, list[int]], ends: dict[str, int]) -> Taken:
    """The chosen records in order; `topics` are in name order, and sorting is stable."""
    records: list[Record] = []
    slices = []
    for topic in topics:
        part = topic.records[: ends[topic.name]]
        slices.append(Slice(topic.name, part[0].offset, part[-1].offset))
        records += part
    if len(topics) > 1:
        if all(topic.is_sorted for topic in topics):
            records.sort(key=_by_timestamp)
        else:
            order = [key for topic in topics for key in keys[topic.name][: ends[topic.name]]]
            records = [records[index] for index in sorted(range(len(records)), key=order.__getitem__)]
    future = frozenset(
        (topic.name, offset)
        for topic in topics
        if topic.future
        for offset in topic.future
        if offset <= _last(slices, topic)
    )
    return Taken(records, slices, future)


def _last(slices: list[Slice], topic: _Topic) -> int:
    return next(part.last for part in slices if part.topic == topic.name)


def _drop(topic: _Topic, count: int) -> None:
    """Removes the first records from the buffer."""
    last = topic.records[count - 1].offset
    del topic.records[:count]
    del topic.times[:count]
    if topic.future:
        topic.future = {offset for offset in topic.future if offset > last}
    if not topic.records:
        topic.is_sorted = True
