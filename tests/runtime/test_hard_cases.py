"""What must not bring a worker down, bring a forgotten customer back, or leave one behind."""

from __future__ import annotations

import json
from dataclasses import replace

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.engine.erasure import ERASED
from orchestrator.engine.limits import is_capped
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, Sent, decode_customer, encode_customer
from orchestrator.model.events import EmittedEvent, Event
from orchestrator.model.journey import Cap
from orchestrator.runtime.decisions import RECORD_BYTES_MAX, drop_due_passages, is_too_large
from orchestrator.runtime.schemas import is_same_schema
from orchestrator.runtime.store import MemoryCustomerStore, aligned_again
from tests.runtime.cycle_build import World, heartbeat, record, run


def test_a_customer_who_is_forgotten_as_new_rules_come_in_stays_forgotten_live_and_in_a_replay() -> None:
    world = World(topics=("events.a",))
    world.journeys = replace(world.journeys, wanted=world.journeys.wanted | {ERASED})
    newer = replace(world.journeys, alignment="newer")
    store = MemoryCustomerStore()
    cycle = world.cycle(is_warm=True)
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", 0, 1000), heartbeat("events.a", 1, 1001)], 2)
    run(cycle)
    cycle.take_up(newer, 7)
    cycle.offer("events.a", 0, [record("events.a", 2, 1002, name=ERASED), heartbeat("events.a", 3, 1003)], 4)
    run(cycle)
    assert store.read([b"c1"]) == [None]
    engine = OfflineEngine(newer)
    engine.apply(1002, Event(ERASED, "e", "c1", {}))
    engine.bring_in_line(1003)
    assert encode_customer(engine.customers["c1"]) == encode_customer(Customer())


def test_what_a_broker_would_refuse_is_noticed_before_it_is_asked() -> None:
    small = EmittedEvent(Event("note", "e1", "c1", {"text": "short"}), "events.a", 0, "j/v/1/s")
    large = replace_text(small, "x" * (RECORD_BYTES_MAX + 1))
    assert not is_too_large(Effects(events=[small]))
    assert is_too_large(Effects(events=[small, large]))


def replace_text(emitted: EmittedEvent, text: str) -> EmittedEvent:
    return EmittedEvent(Event("note", "e2", "c1", {"text": text}), emitted.topic, emitted.at_ms, emitted.source)


def test_a_clock_that_could_not_be_fired_is_set_again_with_the_next_decision() -> None:
    customer = Customer(clocks={"tick:daily": 10, "tick:weekly": 90}, aligned="now", last_at_ms=5)
    drop_due_passages(customer, "c1", 10, "RuntimeError", Effects([], [], []))
    assert (customer.clocks, customer.aligned) == ({"tick:weekly": 90}, "")


def test_messages_that_are_not_in_time_order_are_all_counted() -> None:
    sends = [Sent(100, "email"), Sent(10, "email"), Sent(120, "email")]
    assert is_capped((Cap("two", None, 2, 50),), sends, Sent(130, "email"))


def test_a_store_forgets_how_far_it_was_in_line_where_another_owner_brought_some_in_line_with_other_rules() -> None:
    here, there = (encode_customer(Customer(aligned=text, last_at_ms=1)) for text in ("a" * 16, "b" * 16))
    assert decode_customer(here).aligned == "a" * 16
    assert aligned_again(("a" * 16, None), {b"c1": here, b"c2": None}) is None
    assert aligned_again(("a" * 16, None), {b"c1": here, b"c2": there}) == ("", None)
    assert aligned_again(None, {b"c2": there}) is None


def test_schemas_that_write_the_same_are_the_same_whatever_they_say_about_it() -> None:
    schema = {"type": "record", "name": "note", "fields": [{"name": "text", "type": "string"}]}
    described = {**schema, "doc": "A note."}
    nullable = {**schema, "fields": [{"name": "text", "type": ["null", "string"]}]}
    assert is_same_schema(json.dumps(schema), json.dumps(described))
    assert not is_same_schema(json.dumps(schema), json.dumps(nullable))


def test_after_a_change_of_journeys_the_store_says_so_from_the_first_batch_on() -> None:
    """More timers are due than one batch takes, so that nobody is swept with it; then the change is taken back."""
    world = World(is_strict=False, topics=("events.a",), timers_max=2)
    world.journeys = replace(world.journeys, alignment="a" * 16)
    store, cycle = MemoryCustomerStore(), world.cycle(is_warm=True)
    cycle.assign(0, store)
    cycle.offer("events.a", 0, [record("events.a", n, world.clock.ms, f"c{n}") for n in range(6)], 6)
    run(cycle)
    assert store.aligned() == ("a" * 16, None)
    world.clock.ms += 15
    cycle.take_up(replace(world.journeys, alignment="b" * 16), 1)
    batch = cycle.compute()
    assert batch is not None
    cycle.apply(batch, cycle.commit(batch))
    assert store.aligned() == ("b" * 16, b"")
    again = world.cycle(is_warm=True)
    again.assign(0, store)
    again.offer("events.a", 0, [], 6, position=6)
    run(again)
    assert store.aligned() == ("a" * 16, None)
    assert {decode_customer(kept).aligned for kept in store.read([f"c{n}".encode() for n in range(6)]) if kept} == {
        "a" * 16
    }
