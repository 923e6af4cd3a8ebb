"""Whether customers' events come on the partitions that their keys belong to.

All producers must choose partitions alike, as Kafka's Java clients do: whoever does not (librdkafka's default is
another one) gives a customer a second record, with consents, caps and passages of its own, and messages are sent twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aiokafka.partitioner import murmur2

from orchestrator.runtime.ports import Change, Record

LOOKED_AT = 10
"""So many new customers of a batch are looked at: a hash costs as much as a decision, and who errs errs often."""


def partition_of(key: bytes, partitions: int) -> int:
    """The partition in which the Java client's default partitioner puts this key."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def misplaced(changes: Sequence[Change], records: Sequence[Record], *, partition: int, partitions: int) -> Counter[str]:
    """Topic -> how many of a batch's first new customers came on it although their keys belong elsewhere."""
    new = [key for key, old, record in changes if old is None and record is not None][:LOOKED_AT]
    strangers = {key for key in new if partition_of(key, partitions) != partition}
    found: Counter[str] = Counter()
    if strangers:
        for record in records:
            if record.key in strangers:
                strangers.discard(record.key)
                found[record.topic] += 1
    return found
