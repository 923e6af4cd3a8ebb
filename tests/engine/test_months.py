"""Time-outs, windows of goals and re-entry in months of the customer's calendar."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.durations import Span, parse_span
from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.engine.local_time import instant_of, local_of, months_later, zone_called
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer
from orchestrator.model.events import Event
from orchestrator.model.journey import Goal, Journey, ReEntry, Wait, WaitFor, WaitWhile
from tests.engine.build import DAY, expression, journey, journeys

ZONES = ("America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham")


def local(text: str, zone: str) -> int:
    return instant_of(datetime.fromisoformat(text), zone_called(zone))


def entered(one: Journey, at_ms: int, zone: str) -> tuple[Customer, Effects]:
    customer, effects = Customer(profile={"time_zone": zone}), Effects()
    apply_event(journeys(one), customer, Event("registered", "e1", "c1", {}), at_ms, effects)
    return customer, effects


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "step",
    [
        WaitFor("stay", (), 1, "_end", 1),
        WaitWhile("stay", expression(lambda _: True), 1, "_end", "_end", 1),
    ],
)
def test_a_timeout_of_a_month_comes_at_the_same_local_time(step: WaitFor | WaitWhile, zone: str) -> None:
    customer, _ = entered(journey(step), local("2024-01-31T09:30", zone), zone)
    (instance,) = customer.instances
    assert local_of(instance.timer_at_ms, zone_called(zone)).isoformat()[:16] == "2024-02-29T09:30"


@pytest.mark.parametrize("zone", ZONES)
def test_a_goal_counts_for_months_of_the_calendar(zone: str) -> None:
    one = journey(Wait("stay", 9999 * DAY, "_end"), goal=Goal("ordered", None, 1, None, 12))
    customer, _ = entered(one, local("2024-02-29T12:00", zone), zone)
    (instance,) = customer.instances
    assert local_of(instance.goal_until_ms, zone_called(zone)).isoformat()[:16] == "2025-02-28T12:00"


@pytest.mark.parametrize("key", [None, expression(lambda _: "k")])
@pytest.mark.parametrize("zone", ZONES)
def test_re_entry_after_a_month_is_open_from_its_very_end(zone: str, key: Any) -> None:
    one = journey(Wait("stay", 1, "_end"), key=key, reentry=ReEntry("after", 27 * DAY, 1))
    start_ms, end_ms = local("2026-01-31T09:00", zone), local("2026-02-28T09:00", zone)
    customer, effects = entered(one, start_ms, zone)
    for number, at_ms in enumerate((end_ms - 1, end_ms)):
        fire_timers(journeys(one), customer, "c1", at_ms, effects)
        apply_event(journeys(one), customer, Event("registered", f"again{number}", "c1", {}), at_ms, effects)
    kinds = [(t.kind, t.at_ms) for t in effects.transitions if t.kind in {"entered", "not_entered"}]
    assert kinds == [("entered", start_ms), ("not_entered", end_ms - 1), ("entered", end_ms)]


@settings(deadline=None)
@given(st.integers(1, 120), st.integers(0, 60 * 365), st.sampled_from((*ZONES, "Pacific/Apia")))
def test_no_months_are_shorter_than_their_lower_bound(months: int, day: int, zone: str) -> None:
    span = parse_span(f"{months} months")
    assert isinstance(span, Span)
    start_ms = day * DAY
    longest_ms = (31 * months + 1) * DAY
    assert span.ms <= months_later(start_ms, months, zone_called(zone)) - start_ms <= longest_ms


def test_an_entry_with_another_key_forgets_none_that_still_counts() -> None:
    one = journey(
        Wait("stay", 1, "_end"),
        key=expression(lambda scope: scope.event["key"]),
        reentry=ReEntry("after", 27 * DAY, 1),
    )
    customer, effects = Customer(), Effects()
    for day, key in ((0, "a"), (29, "b"), (30, "a"), (31, "a"), (32, "b")):
        event = Event("registered", f"e{day}", "c1", {"key": key})
        apply_event(journeys(one), customer, event, local("2026-01-31T09:00", "UTC") + day * DAY - 3 * DAY, effects)
    assert [t.kind for t in effects.transitions if t.kind in {"entered", "not_entered"}] == [
        *("entered", "entered", "not_entered", "entered", "not_entered")
    ]
