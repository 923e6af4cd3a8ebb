"""From the changelog to a partition's store, and where its sources go on: what a new owner does before it starts.

The order matters. First the committed offsets, read stable: that waits until the former owner's last transaction is
over, one way or the other. Then the changelog's end: whatever that transaction wrote lies before it. Then the
records, read_committed, up to that end. Everything here blocks and belongs in a thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as Position

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.ports import Change, CustomerStore, TopicPartition
from orchestrator.runtime.store import aligned_again
from orchestrator.runtime.transaction import TRANSACTION_TIMEOUT_MS, parse_offset_note

log = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""How long a transaction may hold back what we read before its owner is taken for dead and fenced."""

GIVE_UP_S = 3 * TRANSACTION_TIMEOUT_MS / 1000
"""How long nothing may move before the restore fails: the broker ends an abandoned transaction well before."""

READ_RECORDS = 5_000


class RestoreStopped(Exception):
    """The partition was taken away while it was being restored."""


@dataclass(frozen=True, slots=True)
class Committed:
    """Where a source partition goes on (None: nothing committed yet), who committed that and at which stream time."""

    offset: int | None
    transactional_id: str = ""
    stream_time_ms: int = -1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a restore is: changelog offsets, and records written so far."""

    partition: int
    position: int
    end: int
    records: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A store that is level with its changelog, where each of the partition's sources goes on, and its stream time."""

    partition: int
    position: int
    records: int
    offsets: Mapping[str, int | None]
    stream_time_ms: int
    seconds: float


def committed_offsets(
    brokers: Brokers,
    group_id: str,
    partitions: Sequence[TopicPartition],
    *,
    is_stable: bool = True,
    timeout_s: float = GIVE_UP_S,
) -> dict[TopicPartition, Committed]:
    """What the group has committed. Stable: an open transaction that holds offsets of these partitions is waited for.

    Raises: TimeoutError if the offsets did not become stable in time; EnvironmentProblem if the broker failed.
    """
    consumer = Consumer(
        brokers.client(
            {
                "group.id": group_id,
                "enable.auto.commit": False,
                "isolation.level": "read_committed" if is_stable else "read_uncommitted",
                "retry.backoff.ms": 10,
                "retry.backoff.max.ms": 100,
            }
        ),
        logger=log,
    )
    try:
        found = consumer.committed([Position(topic, number) for topic, number in partitions], timeout_s)
    except KafkaException as error:
        if error.args[0].code() in (KafkaError._TIMED_OUT, KafkaError.UNSTABLE_OFFSET_COMMIT):  # noqa: SLF001 - its name
            raise TimeoutError(f"committed offsets of group {group_id} are not stable") from None
        raise _broker_problem(brokers, error) from None
    finally:
        consumer.close()
    answer = {}
    for position in found:
        if position.error is not None:
            if position.error.code() == KafkaError.UNSTABLE_OFFSET_COMMIT:
                raise TimeoutError(f"committed offsets of group {group_id} are not stable")
            raise _broker_problem(brokers, KafkaException(position.error))
        offset = position.offset if position.offset >= 0 else None
        answer[position.topic, position.partition] = Committed(offset, *parse_offset_note(position.metadata))
    return answer


def fence(brokers: Brokers, transactional_id: str, *, timeout_s: float = 10.0) -> None:
    """Ends the open transaction of this transactional id at once; a producer that still uses the id fails.

    Raises: EnvironmentProblem if the broker does not answer in time.
    """
    producer = Producer(
        brokers.client({"transactional.id": transactional_id, "retry.backoff.ms": 10}),
        logger=log,
    )
    try:
        producer.init_transactions(timeout_s)
    except KafkaException as error:
        raise _broker_problem(brokers, error) from None


def restore_partition(
    *,
    brokers: Brokers,
    group_id: str,
    event_topics: Sequence[str],
    changelog_topic: str,
    partition: int,
    store: CustomerStore,
    own_transactional_id: str,
    progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Restored:
    """Brings the store level with the changelog and says where the sources go on. Blocks.

    Call it after the own producer has started (`KafkaTransactionLog.start`) and after the group has given us the
    partition. A store that is behind the changelog's start is wiped, and one that is ahead of its end where the group
    has processed nothing yet: the topic is another installation's.

    Raises: RestoreStopped if `should_stop` says so; EnvironmentProblem if the broker failed, a transaction held the
    changelog back for too long, or the changelog has lost what the store has.
    """
    started = time.monotonic()
    sources = [(topic, partition) for topic in event_topics]
    fencing = _Fencing(brokers, group_id, sources, own_transactional_id)
    committed = _stable_offsets(fencing)
    reader = _ChangelogReader(brokers, changelog_topic, partition)
    try:
        low, end = reader.bounds()
        position = store.position()
        if position is not None and position > end and any(found.offset is not None for found in committed.values()):
            raise _lost(changelog_topic, partition, position=position, end=end)
        if position is not None and not low <= position <= end:
            log.warning(
                "store of partition %d is at %d, outside the changelog's %d..%d: it is rebuilt",
                partition,
                position,
                low,
                end,
            )
            store.wipe()
            position = None
        start = low if position is None else position
        records = 0
        if start < end:
            records = _replay(
                reader, store, start=start, end=end, fencing=fencing, progress=progress, should_stop=should_stop
            )
        elif position is None:
            store.write([], position=end)
    finally:
        reader.close()
    offsets = {topic: committed[topic, partition].offset for topic in event_topics}
    stream_time_ms = max(found.stream_time_ms for found in committed.values())
    return Restored(partition, store.position() or 0, records, offsets, stream_time_ms, time.monotonic() - started)


def _stable_offsets(fencing: _Fencing) -> dict[TopicPartition, Committed]:
    try:
        return fencing.committed(timeout_s=PATIENCE_S)
    except TimeoutError:
        fencing.fence_last_owners()
    try:
        return fencing.committed(timeout_s=GIVE_UP_S)
    except TimeoutError as error:
        raise EnvironmentProblem(str(error), hint="is the transaction coordinator of the group available?") from None


def _replay(
    reader: _ChangelogReader,
    store: CustomerStore,
    *,
    start: int,
    end: int,
    fencing: _Fencing,
    progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> int:
    """Writes changelog records from `start` to `end` to the store; gives their number."""
    reader.seek(start)
    position = start
    records = 0
    moved_at = time.monotonic()
    while position < end:
        if should_stop():
            raise RestoreStopped
        latest, next_position, count = reader.read()
        if next_position > position:
            position = next_position
            moved_at = time.monotonic()
            keys = list(latest)
            changes: list[Change] = [(key, old, latest[key]) for key, old in zip(keys, store.read(keys), strict=True)]
            store.write(changes, position=position, aligned=aligned_again(store.aligned(), latest))
            records += count
            progress(Progress(reader.partition, position, end, records))
            continue
        idle_s = time.monotonic() - moved_at
        if idle_s > PATIENCE_S and not fencing.is_done:
            fencing.fence_last_owners()
        if idle_s > GIVE_UP_S:
            raise EnvironmentProblem(
                f"changelog {reader.topic}-{reader.partition} cannot be read past offset {position} of {end}",
                hint="a transaction that nobody ends holds it back, or the broker is down",
            )
    return records


class _Fencing:
    """Ends the open transactions of the partition's former owners, who are named beside the committed offsets."""

    def __init__(
        self, brokers: Brokers, group_id: str, sources: Sequence[TopicPartition], own_transactional_id: str
    ) -> None:
        self.brokers = brokers
        self.group_id = group_id
        self.sources = sources
        self.own_transactional_id = own_transactional_id
        self.is_done = False

    def committed(self, *, timeout_s: float, is_stable: bool = True) -> dict[TopicPartition, Committed]:
        return committed_offsets(self.brokers, self.group_id, self.sources, is_stable=is_stable, timeout_s=timeout_s)

    def fence_last_owners(self) -> None:
        self.is_done = True
        owners = {found.transactional_id for found in self.committed(timeout_s=GIVE_UP_S, is_stable=False).values()}
        for owner in sorted(owners - {"", self.own_transactional_id}):
            log.warning("an open transaction holds the partition back: its last owner %s is fenced", owner)
            fence(self.brokers, owner)


class _ChangelogReader:
    """One changelog partition, read_committed."""

    def __init__(self, brokers: Brokers, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self._brokers = brokers
        self._settings = brokers.reader(
            {
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
            }
        )
        self._consumer = Consumer(self._settings | {"isolation.level": "read_committed"}, logger=log)

    def bounds(self) -> tuple[int, int]:
        """The changelog's first offset and its end, open transactions included."""
        uncommitted = Consumer(self._settings | {"isolation.level": "read_uncommitted"}, logger=log)
        try:
            low, high = uncommitted.get_watermark_offsets(Position(self.topic, self.partition), 10.0)
        except KafkaException as error:
            raise _broker_problem(self._brokers, error) from None
        finally:
            uncommitted.close()
        return low, high

    def seek(self, offset: int) -> None:
        self._consumer.assign([Position(self.topic, self.partition, offset)])

    def read(self) -> tuple[dict[bytes, bytes | None], int, int]:
        """The latest record per key among the next ones, the position after them (-1: none yet), and their number."""
        latest: dict[bytes, bytes | None] = {}
        position = -1
        count = 0
        for message in self._consumer.consume(READ_RECORDS, 0.2):
            error = message.error()
            offset = message.offset()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                    raise _broker_problem(self._brokers, KafkaException(error))
                # The end of what can be read for now, past the markers that end transactions.
                position = max(position, -1 if offset is None else offset)
                continue
            key = message.key()
            if key is not None and offset is not None:
                latest[key] = message.value()
                position = max(position, offset + 1)
                count += 1
        return latest, position, count

    def close(self) -> None:
        self._consumer.close()


def _lost(topic: str, partition: int, *, position: int, end: int) -> EnvironmentProblem:
    """The topic was deleted and made anew, or its brokers lost records. The store may be the last copy of them."""
    return EnvironmentProblem(
        f"the changelog {topic}-{partition} ends at {end}, but the store here has what it held up to {position}",
        hint="keep the data directory, it may be the only copy left; see the run-book OrchestratorRestarting",
    )


def _broker_problem(brokers: Brokers, error: KafkaException) -> EnvironmentProblem:
    cause = error.args[0]
    return EnvironmentProblem(
        f"broker {brokers.servers}: {cause.name()}: {cause.str()}", hint="is the broker running and reachable?"
    )
