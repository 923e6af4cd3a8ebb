"""Keys and partitions, as Kafka's Java clients have them."""

from __future__ import annotations

import pytest

from orchestrator.runtime.placing import LOOKED_AT, misplaced, partition_of
from tests.runtime.cycle_build import record


@pytest.mark.parametrize(
    ("key", "partition"),
    # From librdkafka with partitioner=murmur2_random, four partitions.
    [("user_0539", 1), ("user_0055", 3), ("user_0242", 3), ("user_0500", 3), ("user_0146", 1)],
)
def test_a_key_belongs_where_the_java_client_puts_it(key: str, partition: int) -> None:
    assert partition_of(key.encode(), 4) == partition


def test_new_customers_on_anothers_partition_are_counted_by_topic_and_known_ones_are_not() -> None:
    changes = [(b"user_0539", None, b"new"), (b"user_0055", None, b"new"), (b"user_0242", b"old", b"new")]
    records = [
        record("events.a", 1, 10, "user_0055"),
        record("events.b", 1, 10, "user_0539"),
        record("events.b", 2, 10, "user_0539"),
    ]
    assert misplaced(changes, records, partition=3, partitions=4) == {"events.b": 1}
    assert misplaced(changes, records, partition=1, partitions=4) == {"events.a": 1}
    assert misplaced([(b"user_0539", b"old", None)], records, partition=3, partitions=4) == {}


def test_only_some_of_a_batch_are_looked_at() -> None:
    keys = [b"customer-%d" % number for number in range(200)]
    changes = [(key, None, b"new") for key in keys]
    records = [record("events.a", 1, 10, key.decode()) for key in keys]
    assert 0 < misplaced(changes, records, partition=0, partitions=4).total() <= LOOKED_AT
