"""Transactions and restores on the real broker, killed producers included."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from orchestrator.model.customer import NEVER_MS
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.ports import TransactionFailed
from orchestrator.runtime.restore import (
    Progress,
    Restored,
    RestoreStopped,
    committed_offsets,
    restore_partition,
)
from orchestrator.runtime.store import MemoryCustomerStore
from orchestrator.runtime.transaction import KafkaTransactionLog, group_metadata, parse_offset_note
from orchestrator.stack.stack import Stack

pytestmark = pytest.mark.broker


@dataclass(frozen=True)
class Topics:
    bootstrap: str
    prefix: str

    @property
    def events(self) -> str:
        return f"{self.prefix}events"

    @property
    def changelog(self) -> str:
        return f"{self.prefix}changelog"

    @property
    def group(self) -> str:
        return f"{self.prefix}group"

    def log(self, name: str, *, membership: bytes | None = None) -> KafkaTransactionLog:
        member = membership or group_metadata(self.group, -1, "")
        log = KafkaTransactionLog(
            brokers=Brokers(self.bootstrap),
            transactional_id=f"{self.prefix}{name}",
            changelog_topic=self.changelog,
            membership=lambda: member,
        )
        log.start()
        return log

    def restore(self, store: MemoryCustomerStore, *, own: str = "new") -> Restored:
        return restore_partition(
            brokers=Brokers(self.bootstrap),
            group_id=self.group,
            event_topics=[self.events],
            changelog_topic=self.changelog,
            partition=0,
            store=store,
            own_transactional_id=f"{self.prefix}{own}",
        )

    def read(self, topic: str, *, isolation: str = "read_committed") -> list[tuple[bytes | None, bytes | None]]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"{self.group}-reader",
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[tuple[bytes | None, bytes | None]] = []
        try:
            while True:
                for message in consumer.consume(500, 0.3):
                    if message.error():
                        return found
                    found.append((message.key(), message.value()))
        finally:
            consumer.close()


@pytest.fixture
def topics(stack: Stack, topic_prefix: str) -> Topics:
    made = Topics(stack.bootstrap_servers, topic_prefix)
    admin = AdminClient({"bootstrap.servers": made.bootstrap})
    wanted = [NewTopic(name, 1, 1) for name in (made.events, made.changelog, f"{topic_prefix}actions")]
    for future in admin.create_topics(wanted).values():
        future.result(20)
    return made


def customer(wake_ms: int = NEVER_MS, body: bytes = b"x") -> bytes:
    return b"\x01" + wake_ms.to_bytes(8, "big") + body


def commit(
    log: KafkaTransactionLog, topics: Topics, changes: list[tuple[bytes, bytes | None]], offset: int
) -> int | None:
    log.begin()
    log.produce_changelog(0, changes)
    log.produce_many(f"{topics.prefix}actions", 0, [(b"c1", b"action")])
    return log.commit({(topics.events, 0): offset}, stream_times={0: 77}).get(0)


def test_everything_of_a_transaction_becomes_visible_with_its_offsets(topics: Topics) -> None:
    log = topics.log("a")
    position = commit(log, topics, [(b"c1", customer()), (b"c2", customer(5))], 42)
    assert position == 2
    assert commit(log, topics, [(b"c3", customer())], 43) == 4
    assert topics.read(f"{topics.prefix}actions") == [(b"c1", b"action")] * 2
    found = committed_offsets(Brokers(topics.bootstrap), topics.group, [(topics.events, 0)])[topics.events, 0]
    assert (found.offset, found.transactional_id, found.stream_time_ms) == (43, f"{topics.prefix}a", 77)


def test_an_aborted_transaction_leaves_nothing(topics: Topics) -> None:
    log = topics.log("a")
    log.begin()
    log.produce_changelog(0, [(b"c1", customer())])
    log.produce(f"{topics.prefix}actions", 0, b"c1", b"action", [("dlq.reason", b"failed")])
    log.abort()
    assert topics.read(topics.changelog) == []
    store = MemoryCustomerStore()
    restored = topics.restore(store)
    assert (store.records, restored.records, restored.offsets) == ({}, 0, {topics.events: None})


def test_a_batch_larger_than_the_producers_queue_is_sent_in_full(topics: Topics) -> None:
    log = KafkaTransactionLog(
        brokers=Brokers(topics.bootstrap),
        transactional_id=f"{topics.prefix}small",
        changelog_topic=topics.changelog,
        membership=lambda: group_metadata(topics.group, -1, ""),
        overrides={"queue.buffering.max.messages": 50, "batch.num.messages": 50},
    )
    log.start()
    changes: list[tuple[bytes, bytes | None]] = [(b"c%d" % n, customer()) for n in range(500)]
    assert commit(log, topics, changes, 1) == 500
    assert topics.read(topics.changelog) == changes


def test_offsets_of_a_member_that_the_group_does_not_know_are_refused_and_nothing_is_visible(topics: Topics) -> None:
    log = topics.log("zombie", membership=group_metadata(topics.group, 3, "gone-member"))
    with pytest.raises(TransactionFailed, match="send_offsets_to_transaction"):
        commit(log, topics, [(b"c1", customer())], 42)
    assert topics.read(topics.changelog) == []


def test_a_restarted_worker_fences_its_former_self(topics: Topics) -> None:
    former = topics.log("same")
    former.begin()
    former.produce_changelog(0, [(b"c1", customer())])
    topics.log("same")
    with pytest.raises(TransactionFailed) as failed:
        former.commit({(topics.events, 0): 1}, stream_times={})
    assert "c1" not in str(failed.value)
    assert topics.read(topics.changelog) == []


def test_a_store_is_restored_with_its_timers_and_goes_on_where_it_was(topics: Topics) -> None:
    log = topics.log("a")
    commit(log, topics, [(b"c1", customer(5)), (b"c2", customer(9))], 1)
    store = MemoryCustomerStore()
    restored = topics.restore(store)
    assert (restored.records, restored.offsets, restored.stream_time_ms) == (2, {topics.events: 1}, 77)
    assert store.index == [(5, b"c1"), (9, b"c2")]
    commit(log, topics, [(b"c1", customer(7)), (b"c2", None)], 2)
    again = topics.restore(store)
    assert (again.records, again.offsets) == (2, {topics.events: 2})
    assert (store.records, store.index) == ({b"c1": customer(7)}, [(7, b"c1")])
    assert topics.restore(store).records == 0


def test_a_store_that_is_ahead_of_the_changelog_is_anothers_or_the_last_copy_and_then_it_is_kept(
    topics: Topics,
) -> None:
    store = MemoryCustomerStore()
    store.write([(b"stale", None, customer(3))], position=900)
    topics.restore(store)
    assert (store.records, store.index) == ({}, [])
    commit(topics.log("a"), topics, [(b"c1", customer())], 1)
    topics.restore(store)
    assert list(store.records) == [b"c1"]
    # Events were processed, and the changelog has not what became of them: it was deleted, and made anew.
    store.write([(b"c2", None, customer(3))], position=900)
    with pytest.raises(EnvironmentProblem, match=r"changelog .*-0 ends at \d, but the store .* up to 900") as refused:
        topics.restore(store)
    assert "only copy" in refused.value.hint
    assert list(store.records) == [b"c1", b"c2"]


KILLED = """
import sys, time
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.transaction import KafkaTransactionLog, group_metadata
bootstrap, prefix, has_offsets = sys.argv[1:]
log = KafkaTransactionLog(
    brokers=Brokers(bootstrap), transactional_id=prefix + "killed", changelog_topic=prefix + "changelog",
    membership=lambda: group_metadata(prefix + "group", -1, ""),
)
log.start()
record = b"\\x01" + b"\\x7f" + b"\\xff" * 7 + b"x"
log.begin()
log.produce_changelog(0, [(b"committed", record)])
log.commit({(prefix + "events", 0): 10}, stream_times={0: 5})
log.begin()
log.produce_changelog(0, [(b"open", record)])
log._producer.flush()
if has_offsets == "yes":
    from confluent_kafka import TopicPartition
    log._producer.send_offsets_to_transaction([TopicPartition(prefix + "events", 0, 20)], log._metadata)
print("open", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("has_offsets", ["yes", "no"])
def test_the_open_transaction_of_a_killed_worker_is_ended_by_the_next_owner(topics: Topics, has_offsets: str) -> None:
    command = [sys.executable, "-c", KILLED, topics.bootstrap, topics.prefix, has_offsets]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "open\n"
        killed.send_signal(signal.SIGKILL)
    assert len(topics.read(topics.changelog, isolation="read_uncommitted")) == 2
    store = MemoryCustomerStore()
    own = topics.log("next")
    started = time.monotonic()
    restored = topics.restore(store, own="next")
    # Well before the broker's own timeout of ten seconds would have ended it.
    assert time.monotonic() - started < 8
    assert list(store.records) == [b"committed"]
    assert restored.offsets == {topics.events: 10}
    assert commit(own, topics, [(b"c1", customer())], 11) is not None


def test_a_restore_stops_when_its_partition_is_taken_away(topics: Topics) -> None:
    commit(topics.log("a"), topics, [(b"c1", customer())], 1)
    seen: list[Progress] = []
    with pytest.raises(RestoreStopped):
        restore_partition(
            brokers=Brokers(topics.bootstrap),
            group_id=topics.group,
            event_topics=[topics.events],
            changelog_topic=topics.changelog,
            partition=0,
            store=MemoryCustomerStore(),
            own_transactional_id="x",
            progress=seen.append,
            should_stop=lambda: True,
        )
    assert seen == []


def test_a_changelog_that_does_not_exist_is_an_environment_problem(topics: Topics) -> None:
    with pytest.raises(EnvironmentProblem, match="UNKNOWN"):
        restore_partition(
            brokers=Brokers(topics.bootstrap),
            group_id=topics.group,
            event_topics=[topics.events],
            changelog_topic=f"{topics.prefix}missing",
            partition=0,
            store=MemoryCustomerStore(),
            own_transactional_id="x",
        )


def test_notes_of_other_programs_beside_offsets_are_ignored() -> None:
    assert parse_offset_note("some text") == ("", -1)
    assert parse_offset_note(None) == ("", -1)
    assert parse_offset_note("worker one 12") == ("worker one", 12)
