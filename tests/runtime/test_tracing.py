"""The trace that a producer began goes on with what its event leads to, and with nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.model.journey import ReEntry
from orchestrator.runtime.store import MemoryCustomerStore
from orchestrator.runtime.tracing import Traces, placed_traces, trace_of
from tests.engine.build import event_field, journey, journeys, send
from tests.runtime.cycle_build import FakeRecord, World, record, reminders, run
from tests.runtime.test_emitted import TELL, emitting

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = b"00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-00"


def traced(offset: int, customer: str, *headers: tuple[str, bytes], mood: str = "") -> FakeRecord:
    return replace(record("events.a", offset, 500 + offset, customer, mood=mood), headers=headers)


def greeting() -> World:
    """Whoever registers is greeted at once, on the email channel."""
    base = reminders()
    greet = journey(send("hello", "_end"), name="greet", reentry=ReEntry("always"))
    return World(
        topics=("events.a",), journeys=replace(journeys(greet), profile_rules=base.profile_rules, wanted=base.wanted)
    )


def sent_to(world: World, records: Sequence[FakeRecord]) -> list[tuple[str, tuple[tuple[str, bytes | None], ...]]]:
    cycle = world.cycle(is_warm=True)
    cycle.assign(0, MemoryCustomerStore())
    cycle.offer("events.a", 0, records, highwater=len(records))
    run(cycle)
    return [
        ((sent.key or b"").decode(), sent.headers)
        for sent in world.log.sent
        if sent.topic not in {"transitions", "journal", "dead"}
    ]


def test_a_commands_headers_have_its_events_trace_and_the_order_stays() -> None:
    records = [
        traced(0, "c1", ("traceparent", TRACE), ("tracestate", b"vendor=secret")),
        traced(1, "c2"),
        traced(2, "c3", ("Traceparent", OTHER)),
        traced(3, "c4", ("else", b"x")),
    ]
    assert sent_to(greeting(), records) == [
        ("c1", (("traceparent", TRACE),)),
        ("c2", ()),
        ("c3", (("traceparent", OTHER),)),
        ("c4", ()),
    ]


def test_the_trace_also_goes_on_where_another_record_of_the_batch_raises() -> None:
    world = greeting()
    boom = traced(1, "c2", ("traceparent", OTHER), mood="x" * 2_000_000)
    found = sent_to(world, [traced(0, "c1", ("traceparent", TRACE)), boom, traced(2, "c3")])
    assert found == [("c1", (("traceparent", TRACE),)), ("c3", ())]
    assert [letter["dlq.reason"] for letter in world.dead_letters()] == ["failed"]


def test_an_event_that_a_journey_emits_carries_the_trace_on() -> None:
    made = emitting()
    at_once = journey(TELL, name="teller", key=event_field("event_id"), reentry=ReEntry("always"))
    world = World(topics=("events.a",), journeys=replace(made, entries={"registered": (at_once,)}))
    sent_to(world, [traced(0, "c1"), traced(1, "c2", ("traceparent", TRACE))])
    emitted = [dict(sent.headers) for sent in world.log.sent if sent.topic == "events.b"]
    assert [headers.get("traceparent") for headers in emitted] == [None, TRACE]


def test_what_a_timer_leads_to_has_no_trace() -> None:
    world = World(is_strict=False, topics=("events.a",))
    found = sent_to(world, [traced(0, "c1", ("traceparent", TRACE))])
    assert [(customer, headers) for customer, headers in found] == [("c1", ())] * len(found)
    assert found


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00-short-00f067aa0ba902b7-01",
        b"ff" + TRACE[2:],
        TRACE.upper(),
        b"00-" + b"0" * 32 + TRACE[35:],
        TRACE[:36] + b"0" * 16 + b"-01",
        TRACE + b"\r\nx-injected: 1",
    ],
)
def test_a_trace_that_is_not_well_formed_is_not_passed_on(value: bytes) -> None:
    assert trace_of([("traceparent", value)]) is None


def test_traces_are_found_again_by_channel() -> None:
    traces = Traces(actions={1: TRACE, 3: OTHER})
    assert placed_traces(traces, ["email", "sms", "email", "email", "push"]) == {1: {0: TRACE}, 0: {2: OTHER}}
