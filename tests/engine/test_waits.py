"""Waits in the customer's zone: when they are over, and what happens where there is nothing to wait for."""

from __future__ import annotations

from datetime import datetime

import pytest

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.model.actions import Effects
from orchestrator.model.customer import NEVER_MS, Customer, decode_customer, encode_customer, wake_at_ms
from orchestrator.model.journey import (
    ClockTime,
    Expression,
    JourneySet,
    ProfileRule,
    SetProfile,
    WaitMonths,
    WaitUntilMoment,
    WaitUntilTime,
    WaitWhile,
)
from orchestrator.model.types import INSTANT
from tests.engine.build import DAY, HOUR, event, event_field, expression, journey, journeys, ordered, reachable, send

RENEWAL = Expression("profile.renewal", INSTANT, lambda scope: scope.customer.profile.get("renewal"))


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


START = ms("2026-03-02T20:00:00+00:00")
NEW_YORK = {"email": "a@example.com", "time_zone": "America/New_York"}


def until(**changes: object) -> WaitUntilMoment:
    options: dict[str, object] = {
        "is_date": False,
        "months": 0,
        "days": 0,
        "offset_ms": 0,
        "at": None,
        "zone": None,
        "missing": "no_date",
        "past": "too_late",
        **changes,
    }
    return WaitUntilMoment(name="wait", until=RENEWAL, next="mail", **options)  # type: ignore[arg-type]


def with_profile_rules(given: JourneySet) -> JourneySet:
    attributes = tuple((name, event_field(name), None) for name in ("renewal", "time_zone"))
    given.profile_rules["changed"] = (ProfileRule("changed", attributes, ()),)
    return given


def renewals(step: WaitUntilMoment) -> JourneySet:
    return with_profile_rules(
        journeys(journey(step, send("mail", "_end"), send("no_date", "_end"), send("too_late", "_end")))
    )


def start(given: JourneySet, customer: Customer, at_ms: int = START) -> Effects:
    effects = Effects()
    apply_event(given, customer, event("registered"), at_ms, effects)
    return effects


def steps_sent(effects: Effects) -> list[str]:
    return [action.step for action in effects.actions]


def test_a_wait_until_a_time_of_day_ends_then_in_the_customers_zone() -> None:
    given = journeys(journey(WaitUntilTime("wait", ClockTime(9, 0), frozenset(), None, "mail"), send("mail", "_end")))
    customer = reachable(profile=NEW_YORK)
    start(given, customer)
    assert wake_at_ms(customer) == ms("2026-03-03T09:00:00-05:00")
    effects = Effects()
    fire_timers(given, customer, "c1", START + 9 * DAY, effects)
    assert [(a.step, a.created_at_ms) for a in effects.actions] == [("mail", ms("2026-03-03T09:00:00-05:00"))]
    assert [t.reason for t in effects.transitions] == ["waited", "sent", "finished"]


def test_a_customer_without_a_zone_waits_in_the_default_one_and_a_step_can_name_its_own() -> None:
    for fixed, expected in ((None, "2026-03-03T09:00:00+00:00"), ("Asia/Kathmandu", "2026-03-03T09:00:00+05:45")):
        given = journeys(journey(WaitUntilTime("wait", ClockTime(9, 0), frozenset({2, 3}), fixed, "_end")))
        customer = reachable()
        start(given, customer)
        assert wake_at_ms(customer) == ms(expected)


def test_a_loop_around_a_time_of_day_comes_round_once_a_day() -> None:
    wait = WaitUntilTime("wait", ClockTime(9, 0), frozenset(), None, "mail")
    given = journeys(journey(wait, send("mail", "wait")))
    customer = reachable(profile=NEW_YORK)
    start(given, customer)
    effects = Effects()
    fire_timers(given, customer, "c1", START + 3 * DAY, effects)
    assert steps_sent(effects) == ["mail"] * 3


def test_months_are_those_of_the_customers_calendar() -> None:
    given = journeys(journey(WaitMonths("wait", 1, "mail"), send("mail", "_end")))
    # The evening of the 31st in New York is the 1st in UTC.
    customer = reachable(profile=NEW_YORK)
    start(given, customer, ms("2026-01-31T20:00:00-05:00"))
    assert wake_at_ms(customer) == ms("2026-02-28T20:00:00-05:00")


@pytest.mark.parametrize(
    ("step", "renewal", "expected"),
    [
        (until(), ms("2026-05-01T10:00:00+00:00"), "2026-05-01T10:00:00+00:00"),
        (until(offset_ms=-HOUR), ms("2026-05-01T10:00:00+00:00"), "2026-05-01T09:00:00+00:00"),
        (until(days=-30), ms("2026-04-01T10:00:00-04:00"), "2026-03-02T10:00:00-05:00"),
        (until(months=1), ms("2026-03-31T10:00:00-04:00"), "2026-04-30T10:00:00-04:00"),
        (until(days=1, at=ClockTime(9, 0)), ms("2026-05-01T23:00:00-04:00"), "2026-05-02T09:00:00-04:00"),
        (until(is_date=True), 20_574, "2026-05-01T00:00:00-04:00"),
        (until(is_date=True, days=-30, at=ClockTime(9, 0)), 20_574, "2026-04-01T09:00:00-04:00"),
        (until(is_date=True, months=-1, zone="Asia/Kathmandu"), 20_574, "2026-04-01T00:00:00+05:45"),
    ],
)
def test_a_wait_until_a_moment_of_the_profile(step: WaitUntilMoment, renewal: int, expected: str) -> None:
    given = renewals(step)
    customer = reachable(profile={**NEW_YORK, "renewal": renewal})
    before = ms("2026-03-01T00:00:00+00:00")
    start(given, customer, before)
    assert wake_at_ms(customer) == ms(expected)
    effects = Effects()
    fire_timers(given, customer, "c1", ms(expected), effects)
    assert steps_sent(effects) == ["mail"]


@pytest.mark.parametrize("nothing", [None, 2**62, -(2**62)])
def test_without_a_moment_the_declared_way_is_taken_at_once(nothing: int | None) -> None:
    customer = reachable(profile={**NEW_YORK, "renewal": nothing})
    effects = start(renewals(until()), customer)
    assert steps_sent(effects) == ["no_date"]
    assert "missing" in [t.reason for t in effects.transitions]


@pytest.mark.parametrize("since_ms", [0, 1, DAY])
def test_a_moment_that_has_come_or_gone_by_is_past(since_ms: int) -> None:
    effects = start(renewals(until()), reachable(profile={**NEW_YORK, "renewal": START - since_ms}))
    assert steps_sent(effects) == ["too_late"]
    assert "past" in [t.reason for t in effects.transitions]


def test_a_wait_is_set_anew_when_its_attribute_changes() -> None:
    given = renewals(until())
    customer = reachable(profile={**NEW_YORK, "renewal": START + 5 * DAY})
    start(given, customer)
    effects = Effects()
    apply_event(given, customer, event("changed", 2, renewal=START + 9 * DAY), START + DAY, effects)
    assert wake_at_ms(customer) == START + 9 * DAY
    assert [(t.kind, t.reason, t.step) for t in effects.transitions] == [("waiting", "rebased", "wait")]
    apply_event(given, customer, event("changed", 3, renewal=START + 9 * DAY), START + 2 * DAY, effects)
    assert len(effects.transitions) == 1
    customer = decode_customer(encode_customer(customer))
    fire_timers(given, customer, "c1", START + 8 * DAY, effects)
    assert effects.actions == []
    fire_timers(given, customer, "c1", START + 9 * DAY, effects)
    assert steps_sent(effects) == ["mail"]


def test_a_moment_that_moves_into_the_past_takes_that_way_with_the_event() -> None:
    given = renewals(until())
    customer = reachable(profile={**NEW_YORK, "renewal": START + 5 * DAY})
    start(given, customer)
    effects = Effects()
    apply_event(given, customer, event("changed", 2, renewal=START), START + DAY, effects)
    assert steps_sent(effects) == ["too_late"]
    assert wake_at_ms(customer) == NEVER_MS


def test_a_set_step_of_another_journey_sets_the_wait_anew() -> None:
    forget = journey(
        SetProfile("forget", (("renewal", expression(lambda _: None), None),), "_end"), name="b", on="clicked"
    )
    waits = journey(until(), send("mail", "_end"), send("no_date", "_end"), send("too_late", "_end"))
    given = journeys(waits, forget)
    customer = reachable(profile={**NEW_YORK, "renewal": START + 5 * DAY})
    start(given, customer)
    effects = Effects()
    apply_event(given, customer, event("clicked", 2), START + DAY, effects)
    assert steps_sent(effects) == ["no_date"]


def test_an_exit_condition_holds_before_a_wait_is_left_for_a_missing_date() -> None:
    gone = expression(lambda scope: "renewal" not in scope.customer.profile)
    forget = journey(
        SetProfile("forget", (("renewal", expression(lambda _: None), None),), "_end"), name="b", on="clicked"
    )
    waits = journey(
        until(), send("mail", "_end"), send("no_date", "_end"), send("too_late", "_end"), exits_when=(gone,)
    )
    given = journeys(waits, forget)
    customer = reachable(profile={**NEW_YORK, "renewal": START + 5 * DAY})
    start(given, customer)
    effects = Effects()
    apply_event(given, customer, event("clicked", 2), START + DAY, effects)
    assert effects.actions == []
    assert "exit_condition" in [t.reason for t in effects.transitions]


def test_a_customer_who_moves_waits_for_the_time_of_day_of_the_new_zone() -> None:
    given = with_profile_rules(
        journeys(journey(WaitUntilTime("wait", ClockTime(9, 0), frozenset(), None, "mail"), send("mail", "_end")))
    )
    customer = reachable(profile=NEW_YORK)
    start(given, customer)
    apply_event(given, customer, event("changed", 2, time_zone="Asia/Kathmandu"), START + HOUR, Effects())
    assert wake_at_ms(customer) == ms("2026-03-03T09:00:00+05:45")


def whiles(timeout_ms: int | None = None) -> JourneySet:
    is_busy = expression(lambda scope: scope.customer.consent.get("sms", False))
    step = WaitWhile("wait", is_busy, timeout_ms, "late", "mail")
    return journeys(journey(step, send("mail", "_end"), send("late", "_end"), waits_while=True, exits_on=(ordered(),)))


def test_a_wait_while_ends_with_the_first_event_after_which_the_condition_does_not_hold() -> None:
    given = whiles()
    customer = reachable()
    start(given, customer)
    effects = Effects()
    apply_event(given, customer, event("clicked", 2), START + HOUR, effects)
    apply_event(given, customer, event("unheard_of", 3), START + HOUR, effects)
    assert effects.transitions == []
    apply_event(given, customer, event("consented", 4, channel="sms", granted=False), START + DAY, effects)
    assert steps_sent(effects) == ["mail"]
    assert effects.transitions[0].reason == "over"


def test_nobody_waits_while_a_condition_that_does_not_hold() -> None:
    effects = start(whiles(), reachable(consent={"email": True}))
    assert steps_sent(effects) == ["mail"]


def test_a_wait_while_has_a_timeout() -> None:
    given = whiles(DAY)
    customer = reachable()
    start(given, customer)
    effects = Effects()
    fire_timers(given, customer, "c1", START + DAY, effects)
    assert steps_sent(effects) == ["late"]


def test_an_exit_comes_before_the_end_of_a_wait_while() -> None:
    given = whiles()
    customer = reachable()
    start(given, customer)
    customer.consent["sms"] = False
    effects = Effects()
    apply_event(given, customer, event("ordered", 2), START + HOUR, effects)
    assert effects.actions == []
