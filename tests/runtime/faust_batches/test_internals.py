"""The overrides were written against these sources of Faust, mode and aiokafka; any difference fails here, by name.

After an upgrade: read what changed, go through `orchestrator/runtime/faust_batches`, run the tests on the broker,
raise `VERSIONS`, and write the fingerprints anew with `python -m tests.runtime.faust_batches.test_internals`.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faust._cython

from orchestrator.runtime import faust_batches

GOLDEN = Path(__file__).parents[2] / "golden" / "faust_internals.json"

WATCHED = {
    "faust.transport.drivers.aiokafka": (
        "ConsumerRebalanceListener.on_partitions_revoked",
        "ConsumerRebalanceListener.on_partitions_assigned",
        "Consumer._new_consumer_thread",
        "AIOKafkaConsumerThread.__post_init__",
        "AIOKafkaConsumerThread.on_start",
        "AIOKafkaConsumerThread._create_consumer",
        "AIOKafkaConsumerThread._create_worker_consumer",
        "AIOKafkaConsumerThread.assignment",
        "AIOKafkaConsumerThread.getmany",
        "AIOKafkaConsumerThread._fetch_records",
        "AIOKafkaConsumerThread._ensure_consumer",
        "Transport.__init__",
    ),
    "faust.transport.consumer": (
        "Fetcher._fetcher",
        "Fetcher.on_stop",
        "Consumer.__init__",
        "Consumer._get_active_partitions",
        "Consumer._set_active_tps",
        "Consumer.perform_seek",
        "Consumer.stop_flow",
        "Consumer.resume_flow",
        "Consumer.pause_partitions",
        "Consumer.resume_partitions",
        "Consumer.on_partitions_revoked",
        "Consumer.on_partitions_assigned",
        "Consumer.on_stop",
        "Consumer.commit",
        "Consumer._commit_handler",
        "Consumer._commit_livelock_detector",
        "Consumer._drain_messages",
        "ThreadDelegateConsumer.threadsafe_partitions_revoked",
        "ThreadDelegateConsumer.threadsafe_partitions_assigned",
        "ThreadDelegateConsumer._getmany",
    ),
    "faust.transport.conductor": (
        "Conductor.on_partitions_assigned",
        "Conductor._update_tp_index",
        "Conductor._subscriber",
    ),
    "faust.tables.manager": (
        "TableManager.recovery",
        "TableManager.on_start",
        "TableManager._update_channels",
        "TableManager.on_rebalance",
        "TableManager.on_stop",
    ),
    "faust.tables.recovery": (
        "Recovery._add",
        "Recovery.on_rebalance",
        "Recovery._restart_recovery",
        "Recovery._wait",
        "Recovery.on_recovery_completed",
        "Recovery._build_highwaters",
        "Recovery._build_offsets",
        "Recovery._seek_offsets",
        "Recovery.need_recovery",
        "Recovery.active_remaining",
    ),
    "faust.tables.base": (
        "Collection.__init__",
        "Collection._new_store",
        "Collection._new_store_by_url",
        "Collection.data",
        "Collection.on_start",
        "Collection.on_rebalance",
        "Collection._changelog_topic_name",
    ),
    "faust.tables.table": ("Table.on_key_get", "Table.on_key_set", "Table.on_key_del", "Table.on_clear"),
    "faust.stores.base": ("Store.__init__", "Store.on_rebalance", "Store.need_active_standby_for"),
    "faust.app.base": (
        "BootStrategy.kafka_producer",
        "App._new_transport",
        "App._update_assignment",
        "App._on_partitions_revoked",
        "App._on_partitions_assigned",
        "App.on_stop",
    ),
    "mode.services": ("Service.crash", "Service._crash", "Service.wait_first"),
    "mode.threads": ("ServiceThread.start", "QueueServiceThread.on_thread_stop"),
    "aiokafka.consumer.consumer": ("AIOKafkaConsumer.__init__", "AIOKafkaConsumer.start", "AIOKafkaConsumer.stop"),
    "aiokafka.consumer.fetcher": (
        "FetchResult.getall",
        "Fetcher.fetched_records",
        "Fetcher._get_actions_per_node",
        "Fetcher.seek_to",
    ),
    "aiokafka.consumer.group_coordinator": (
        "GroupCoordinator._on_join_prepare",
        "GroupCoordinator._on_join_complete",
        "GroupCoordinator.close",
        "GroupCoordinator._maybe_leave_group",
    ),
    "aiokafka.consumer.subscription_state": (
        "TopicPartitionState.__init__",
        "TopicPartitionState.has_valid_position",
        "TopicPartitionState.position",
    ),
}


def source_of(module: str, name: str) -> str:
    found: Any = importlib.import_module(module)
    *owners, last = name.split(".")
    for owner in owners:
        found = getattr(found, owner)
    found = inspect.getattr_static(found, last)
    if isinstance(found, property):
        found = found.fget
    # mode wraps a service's background tasks.
    return inspect.getsource(getattr(found, "fun", found))


def fingerprints() -> dict[str, str]:
    found = {
        f"{module}.{name}": hashlib.sha256(source_of(module, name).encode()).hexdigest()[:16]
        for module, names in WATCHED.items()
        for name in names
    }
    # Compiled code has no source to inspect, but Faust ships what it was compiled from.
    for compiled in ("streams.pyx",):
        content = (Path(faust._cython.__file__).parent / compiled).read_bytes()
        found[f"faust._cython.{compiled}"] = hashlib.sha256(content).hexdigest()[:16]
    return found


def test_the_sources_behind_the_overrides_are_those_they_were_written_for() -> None:
    golden, found = json.loads(GOLDEN.read_text()), fingerprints()
    changed = sorted(name for name in golden.keys() | found.keys() if golden.get(name) != found.get(name))
    assert not changed, f"changed in Faust, mode or aiokafka: {changed}"


def test_the_installed_versions_are_the_pinned_ones() -> None:
    assert {name: version(name) for name in faust_batches.VERSIONS} == faust_batches.VERSIONS


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(fingerprints(), indent=1, sort_keys=True) + "\n")
