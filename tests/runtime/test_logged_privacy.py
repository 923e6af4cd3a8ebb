"""Personal data goes to the topics that are for it, and nowhere else: not into logs, metrics or headers."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from prometheus_client import generate_latest

from orchestrator.runtime.codec import frame
from orchestrator.runtime.faust_batches import RecordBatch
from orchestrator.runtime.logs import configure_logs, stack_of
from orchestrator.runtime.metrics import Metrics
from orchestrator.runtime.pump import Pump
from orchestrator.runtime.restore import Restored
from orchestrator.runtime.store import MemoryCustomerStore
from orchestrator.runtime.worker import _report
from tests.runtime.cycle_build import FakeRecord, World, record

MARK = "zz-personal-zz"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, at every level."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs(log_format="json", level="debug", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def marked_records() -> list[FakeRecord]:
    """A good event, and one for each way to fail, all with the mark in every place that it can be in."""

    def one(offset: int, mood: str, name: str = "registered") -> FakeRecord:
        return record(
            "events.a", offset, 500 + offset, f"{MARK}-{offset}", name, mood=mood, event_id=f"{MARK}-e{offset}"
        )

    good = [one(0, f"{MARK}@example.com"), one(1, "burst"), one(2, "boom"), one(3, "divide"), one(4, MARK, "clicked")]
    key = MARK.encode()
    bad = [
        FakeRecord("events.a", 0, 5, 505, key, MARK.encode()),
        FakeRecord("events.a", 0, 6, 506, key, frame(77) + MARK.encode()),
        FakeRecord("events.a", 0, 7, 507, key, frame(1) + b"\xff" + MARK.encode()),
        FakeRecord("events.a", 0, 8, 508, b"", good[0].value),
        FakeRecord("events.a", 0, 9, 509, b"other-" + key, good[0].value),
    ]
    return good + bad


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the commits run in another thread
            await asyncio.sleep(0.01)


async def test_no_personal_data_is_in_logs_metrics_or_headers(logged: io.StringIO) -> None:
    world = World(is_strict=False, topics=("events.a",))
    world.registry.is_down = True
    metrics = Metrics((), world.journeys)
    world.reports = metrics  # type: ignore[assignment]
    store = MemoryCustomerStore()
    pump = Pump(
        new_cycle=world.cycle,
        open_store=lambda _number: store,
        restore=lambda number, _store, _should_stop: Restored(number, 0, 0, {"events.a": 0}, -1, 0.0),
        on_started=lambda _partitions: None,
        on_standing=metrics.standing,
        on_registry_failure=metrics.registry_failed,
        tick_s=0.005,
        revoke_timeout_s=5,
    )
    running = asyncio.create_task(pump.run())
    await pump.restore(frozenset({0}), 1)
    pump.started()
    pump.offer(RecordBatch("events.a", 0, records=marked_records(), position=None, highwater=10, epoch=0))
    await until(lambda: metrics.registry.get_sample_value("orchestrator_registry_failures_total"))
    world.registry.is_down = False
    await until(lambda: world.log.offsets.get(("events.a", 0)) == 10)
    # The good customers' messages, too, which leave when their timers are due.
    await until(lambda: {sent.topic for sent in world.log.sent} > {"transitions", "journal", "dead"})
    running.cancel()

    reasons = {letter["dlq.reason"] for letter in world.dead_letters()}
    assert reasons >= {"not_avro", "unknown_schema", "undecodable", "missing_customer", "customer_mismatch", "failed"}
    assert any(MARK.encode() in (sent.value or b"") for sent in world.log.sent), "the mark did go through"
    assert not any(MARK in letter[name] for letter in world.dead_letters() for name in letter)
    assert MARK not in generate_latest(metrics.registry).decode()
    assert "the schema registry gives no answer" in logged.getvalue()
    assert MARK not in logged.getvalue()


def test_a_bug_is_reported_by_its_place_and_not_by_what_it_quotes(logged: io.StringIO) -> None:
    def stumble() -> None:
        try:
            {}[MARK]  # type: ignore[index]
        except KeyError as error:
            raise RuntimeError(f"no {MARK}") from error

    with pytest.raises(RuntimeError) as caught:
        stumble()
    assert _report(caught.value) == 70
    assert MARK not in logged.getvalue()
    stack = stack_of(caught.value)
    assert [part in stack for part in ("KeyError", "RuntimeError", "in stumble")] == [True, True, True]
    assert stack.index("KeyError") < stack.index("RuntimeError")
