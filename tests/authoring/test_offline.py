from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.actions import Effects, Transition
from orchestrator.model.customer import encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import Wait
from tests.engine.build import DAY, HOUR, START, journey, journeys, reachable, send
from tests.journeys.shipped import MINUTE, shipped_journeys, shop_event

TWO_MESSAGES = journeys(journey(send("first", "rest"), Wait("rest", HOUR, "second"), send("second", "_end")))
CUSTOMERS = ("ann", "bob", "zoë", "é")


def registered(customer_id: str, number: int = 1) -> Event:
    return Event("registered", f"{customer_id}-{number}", customer_id, {})


def engine_with(*customer_ids: str) -> OfflineEngine:
    engine = OfflineEngine(TWO_MESSAGES)
    for customer_id in customer_ids:
        engine.put(customer_id, reachable())
    return engine


def who_and_when(effects: Effects) -> list[tuple[str, int]]:
    return [(action.customer_id, action.created_at_ms - START) for action in effects.actions]


def test_timers_due_at_the_same_instant_fire_in_byte_order_of_the_customer_ids() -> None:
    engine = engine_with(*CUSTOMERS)
    for customer_id in ("é", "bob", "zoë", "ann"):
        engine.apply(START, registered(customer_id))
    fired = who_and_when(engine.advance(START + HOUR))
    assert fired == [("ann", HOUR), ("bob", HOUR), ("zoë", HOUR), ("é", HOUR)]


def test_timers_fire_in_due_order_whoever_they_belong_to() -> None:
    engine = engine_with("ann", "bob")
    engine.apply(START, registered("bob"))
    engine.apply(START + MINUTE, registered("ann"))
    assert who_and_when(engine.advance(START + DAY)) == [("bob", HOUR), ("ann", HOUR + MINUTE)]


def test_a_customers_next_timer_waits_for_the_others_that_are_due_before_it() -> None:
    steps = (send("first", "rest"), Wait("rest", HOUR, "second"), send("second", "again"))
    engine = OfflineEngine(journeys(journey(*steps, Wait("again", HOUR, "third"), send("third", "_end"))))
    for customer_id, at_ms in (("ann", START), ("bob", START + MINUTE)):
        engine.put(customer_id, reachable())
        engine.apply(at_ms, registered(customer_id))
    fired = who_and_when(engine.advance(START + DAY))
    assert fired == [("ann", HOUR), ("bob", HOUR + MINUTE), ("ann", 2 * HOUR), ("bob", 2 * HOUR + MINUTE)]


def test_the_bound_includes_its_customer_and_nobody_after() -> None:
    engine = engine_with("ann", "bob", "eve")
    for customer_id in ("ann", "bob", "eve"):
        engine.apply(START, registered(customer_id))
    assert who_and_when(engine.advance(START + HOUR, b"bob")) == [("ann", HOUR), ("bob", HOUR)]
    assert who_and_when(engine.advance(START + HOUR)) == [("eve", HOUR)]


def test_a_bound_before_the_due_time_fires_nothing() -> None:
    engine = engine_with("ann")
    engine.apply(START, registered("ann"))
    assert engine.advance(START + HOUR - 1).transitions == []
    assert engine.next_wake() == (START + HOUR, b"ann")


def test_a_timer_fires_before_an_event_at_the_same_instant() -> None:
    engine = engine_with("ann")
    engine.apply(START, registered("ann"))
    effects = engine.apply(START + HOUR, registered("ann", 2))
    assert [(t.kind, t.step, t.event_id) for t in effects.transitions][:2] == [
        ("step", "rest", None),
        ("step", "second", None),
    ]


def test_an_event_that_comes_late_is_decided_at_the_customers_last_decision() -> None:
    engine = engine_with("ann")
    engine.apply(START + DAY, registered("ann"))
    engine.apply(START, registered("ann", 2))
    assert engine.customers["ann"].last_at_ms == START + DAY


def test_a_redelivered_event_changes_nothing() -> None:
    engine = engine_with("ann")
    engine.apply(START, registered("ann"))
    before = encode_customer(engine.customers["ann"])
    effects = engine.apply(START + DAY, registered("ann"))
    assert (effects.duplicates, effects.transitions) == (1, [])
    assert encode_customer(engine.customers["ann"]) == before
    assert engine.next_wake() == (START + HOUR, b"ann")


def test_no_timer_is_left_when_everybody_is_done() -> None:
    engine = engine_with("ann")
    engine.apply(START, registered("ann"))
    engine.advance(START + DAY)
    assert engine.next_wake() is None


def shop_events() -> st.SearchStrategy[tuple[str, str, dict[str, Any]]]:
    carts = st.sampled_from(["k1", "k2"])
    return st.one_of(
        st.tuples(
            st.just("customer_registered"),
            st.sampled_from(CUSTOMERS),
            st.fixed_dictionaries({"email": st.just("a@example.com"), "email_consent": st.booleans()}),
        ),
        st.tuples(
            st.just("cart_updated"),
            st.sampled_from(CUSTOMERS),
            st.fixed_dictionaries({"cart_id": carts, "value": st.sampled_from([0, 20, 150])}),
        ),
        st.tuples(
            st.just("order_placed"),
            st.sampled_from(CUSTOMERS),
            st.fixed_dictionaries({"cart_id": carts, "total": st.just(20)}),
        ),
        st.tuples(
            st.just("consent_changed"),
            st.sampled_from(CUSTOMERS),
            st.fixed_dictionaries({"channel": st.sampled_from(["email", "web"]), "granted": st.booleans()}),
        ),
    )


# Gaps that meet the journeys' waits exactly are the interesting ones.
GAPS = st.sampled_from([0, 1, MINUTE, HOUR - 1, HOUR, DAY, DAY + HOUR, 3 * DAY, 5 * DAY])
LOGS = st.lists(st.tuples(GAPS, shop_events()), max_size=25)
END = START + 200 * DAY


def timed(log: list[tuple[int, tuple[str, str, dict[str, Any]]]]) -> list[tuple[int, Event]]:
    at_ms, events = START, []
    for number, (gap, (event_type, customer_id, fields)) in enumerate(log):
        at_ms += gap
        events.append((at_ms, shop_event(event_type, f"e{number}", customer_id, at_ms, **fields)))
    return events


def by_customer(transitions: list[Transition]) -> dict[str, list[Transition]]:
    found = defaultdict(list)
    for transition in transitions:
        found[transition.customer_id].append(transition)
    return found


def states(engine: OfflineEngine) -> dict[str, bytes]:
    return {customer_id: encode_customer(customer) for customer_id, customer in engine.customers.items()}


@given(log=LOGS, stops=st.lists(st.tuples(GAPS, st.sampled_from([None, *CUSTOMERS])), max_size=30))
@settings(max_examples=60, deadline=None)
def test_advancing_in_pieces_is_advancing_at_once(
    log: list[tuple[int, tuple[str, str, dict[str, Any]]]], stops: list[tuple[int, str | None]]
) -> None:
    at_once, in_pieces = OfflineEngine(shipped_journeys()), OfflineEngine(shipped_journeys())
    for at_ms, event in timed(log):
        at_once.apply(at_ms, event)
        in_pieces.apply(at_ms, event)
    until_ms = START
    found: list[Transition] = []
    for gap, customer_id in stops:
        until_ms += gap
        found += in_pieces.advance(until_ms, None if customer_id is None else customer_id.encode()).transitions
    found += in_pieces.advance(END).transitions
    assert found == at_once.advance(END).transitions
    assert states(in_pieces) == states(at_once)


@given(log=LOGS)
@settings(max_examples=60, deadline=None)
def test_when_a_timer_is_got_to_does_not_matter_to_its_customer(
    log: list[tuple[int, tuple[str, str, dict[str, Any]]]],
) -> None:
    punctual, late = OfflineEngine(shipped_journeys()), OfflineEngine(shipped_journeys())
    found: tuple[list[Transition], list[Transition]] = ([], [])
    for at_ms, event in timed(log):
        found[0].extend(punctual.advance(at_ms).transitions)
        found[0].extend(punctual.apply(at_ms, event).transitions)
        found[1].extend(late.apply(at_ms, event).transitions)
    found[0].extend(punctual.advance(END).transitions)
    found[1].extend(late.advance(END).transitions)
    assert by_customer(found[0]) == by_customer(found[1])
    assert states(punctual) == states(late)


@given(log=LOGS)
@settings(max_examples=40, deadline=None)
def test_a_customers_decisions_do_not_depend_on_other_customers(
    log: list[tuple[int, tuple[str, str, dict[str, Any]]]],
) -> None:
    together = OfflineEngine(shipped_journeys())
    for at_ms, event in timed(log):
        together.apply(at_ms, event)
    together.advance(END)
    for customer_id in together.customers:
        alone = OfflineEngine(shipped_journeys())
        for at_ms, event in timed(log):
            if event.customer_id == customer_id:
                alone.apply(at_ms, event)
        alone.advance(END)
        assert states(alone)[customer_id] == states(together)[customer_id]
