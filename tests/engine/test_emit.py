"""Events that journeys emit: their identity, their bounds, and that they come back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.engine.actions import EMITTED_MAX, EMITTED_WITHIN_MS
from orchestrator.engine.decide import apply_event
from orchestrator.model.action_steps import Emit
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import Awaited, Journey, JourneySet, ReEntry, Status, Wait, WaitFor
from tests.engine.build import HOUR, MINUTE, START, event, expression, journey, journeys, reachable, send


def emit(name: str, following: str, event_type: str = "clicked", **changes: Any) -> Emit:
    variables = (("tier", expression(lambda scope: scope.customer.profile.get("tier", "none"))),)
    options: dict[str, Any] = {"variables": variables, "build": lambda values: values, **changes}
    return Emit(name, event_type, "events.a", next=following, **options)


def emitting(*every: Any) -> JourneySet:
    return replace(journeys(*every), emits={"clicked": "events.a", "ordered": "events.a"})


def waits_for_a_click(mail: str, *, timeout_ms: int | None = None, name: str = "a") -> Journey:
    wait = WaitFor("wait", (Awaited("clicked", None, mail),), timeout_ms, "_end")
    return journey(wait, send(mail, "_end"), name=name)


def once(made: JourneySet, customer: Customer, one: Event, at_ms: int = START) -> Effects:
    effects = Effects()
    apply_event(made, customer, one, at_ms, effects)
    return effects


def steps(effects: Effects) -> list[tuple[str, str]]:
    return [(t.step, t.reason) for t in effects.transitions if t.kind == "step"]


def test_an_event_is_emitted_with_the_head_that_every_event_has() -> None:
    effects = once(emitting(journey(emit("tell", "_end"))), reachable(profile={"tier": "gold"}), event("registered"))
    made = effects.events[0]
    told = next(t for t in effects.transitions if t.kind == "step")
    assert (told.reason, told.action_id, told.value) == ("emitted", made.event.event_id, "clicked")
    assert made.event.type == "clicked"
    assert made.event.fields == {
        "event_id": made.event.event_id,
        "customer_id": "c1",
        "occurred_at": START,
        "tier": "gold",
    }
    assert (made.topic, made.at_ms, made.source) == ("events.a", START, "welcome/v1/1/tell")


def test_values_that_do_not_fit_the_schema_are_a_recorded_outcome() -> None:
    made = emitting(journey(emit("tell", "_end", build=lambda _: None)))
    effects = once(made, reachable(), event("registered"))
    assert effects.events == []
    assert steps(effects) == [("tell", "invalid_event")]
    assert [failure.step for failure in effects.failures] == ["tell"]


def test_a_journey_in_shadow_emits_nothing() -> None:
    effects = once(emitting(journey(emit("tell", "_end"), status=Status.SHADOW)), reachable(), event("registered"))
    assert effects.events == []
    assert steps(effects) == [("tell", "shadow")]


def test_an_emitted_event_comes_back_to_whoever_waits_for_it_at_the_same_time() -> None:
    waiting = waits_for_a_click("mail")
    telling = journey(Wait("pause", HOUR, "tell"), emit("tell", "_end"), name="b")
    engine = OfflineEngine(emitting(waiting, telling))
    engine.put("c1", reachable())
    assert engine.apply(START, event("registered")).actions == []
    effects = engine.advance(START + 2 * HOUR)
    assert [action.created_at_ms for action in effects.actions] == [START + HOUR]
    assert engine.customers["c1"].last_at_ms == START + HOUR


def test_what_a_timer_emits_is_applied_before_the_next_timer_and_before_a_later_event() -> None:
    first = journey(Wait("pause", HOUR, "tell"), emit("tell", "_end"), name="a")
    waiting = waits_for_a_click("late", timeout_ms=2 * HOUR, name="b")
    engine = OfflineEngine(emitting(first, waiting))
    engine.put("c1", reachable())
    engine.apply(START, event("registered"))
    effects = engine.apply(START + 3 * HOUR, event("stopped", 2))
    assert [action.created_at_ms for action in effects.actions] == [START + HOUR]


def test_a_log_that_holds_emitted_events_already_is_taken_as_it_stands() -> None:
    waiting = waits_for_a_click("mail")
    telling = journey(emit("tell", "_end"), name="b")
    engine = OfflineEngine(emitting(waiting, telling), returns_emitted=False)
    engine.put("c1", reachable())
    effects = engine.apply(START, event("registered"))
    assert effects.actions == []
    returned = engine.apply(START + 5, effects.events[0].event)
    assert [action.created_at_ms for action in returned.actions] == [START + 5]
    assert engine.apply(START + 6, effects.events[0].event).duplicates == 1


def ring() -> JourneySet:
    """Two journeys that set each other off; the checker refuses such a thing."""
    again = ReEntry("always")
    return emitting(
        journey(emit("there", "_end"), name="a", on="ordered", reentry=again),
        journey(emit("back", "_end", "ordered"), name="b", on="clicked", reentry=again),
    )


def test_journeys_that_set_each_other_off_come_to_an_end_and_it_is_said_why() -> None:
    engine = OfflineEngine(ring())
    effects = engine.apply(START, event("ordered"))
    assert len(effects.events) == EMITTED_MAX
    assert steps(effects)[-1][1] == "too_many_events"
    assert steps(engine.apply(START + MINUTE, event("ordered", 2)))[-1] == ("there", "too_many_events")
    assert len(engine.apply(START + EMITTED_WITHIN_MS, event("ordered", 3)).events) == EMITTED_MAX


@given(st.lists(st.tuples(st.integers(0, 3 * HOUR), st.booleans()), max_size=12))
def test_no_hour_that_is_counted_has_more_events_than_are_allowed(story: list[tuple[int, bool]]) -> None:
    """Whatever comes when, and wherever the record was written and read again: ids differ, bounds hold."""
    engine = OfflineEngine(ring())
    at_ms = START
    ids: list[str] = []
    for number, (after_ms, is_restarted) in enumerate(story):
        at_ms += after_ms
        ids += [made.event.event_id for made in engine.apply(at_ms, event("ordered", number)).events]
        if is_restarted:
            engine.put("c1", decode_customer(encode_customer(engine.customers["c1"])))
        assert engine.customers["c1"].emitted[1] <= EMITTED_MAX
    assert len(set(ids)) == len(ids)
    assert len(ids) <= EMITTED_MAX * (1 + sum(after_ms for after_ms, _ in story) // EMITTED_WITHIN_MS)
