"""Simulations of journeys that customers enter without an event."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.authoring.event_files import EventLine
from orchestrator.authoring.simulate import simulate
from orchestrator.authoring.simulation_report import report_values
from orchestrator.model.customer import NEVER_MS
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet, OnDate, ProfileRule, Wait
from orchestrator.model.triggers import Bounds, EntryLimit
from tests.engine.build import HOUR, START, event_field, expression, journey, journeys


def dated(*limits: EntryLimit) -> JourneySet:
    """A journey that is entered at the instant `at` of the profile, for three hours."""
    moment = expression(lambda scope: scope.customer.profile.get("at"), "profile.at")
    one = journey(
        Wait("pause", 3 * HOUR, "_end"), name="dated", trigger=OnDate(moment, False, 0, 0, 0, None, None, False, "at")
    )
    one = replace(one, entry=replace(one.entry, bounds=Bounds(0, NEVER_MS, limits)))
    rules: dict[str, tuple[ProfileRule, ...]] = {
        "changed": (ProfileRule("changed", (("at", event_field("at"), None),), ()),)
    }
    return replace(journeys(one), profile_rules=rules, wanted=frozenset({"changed"}), alignment="rules")


def changed(number: int, after_ms: int, customer_id: str, at_ms: int | None = None) -> EventLine:
    event = Event("changed", f"e{number}", customer_id, {"at": at_ms})
    return EventLine(number, START + after_ms, event)


def test_entries_are_counted_by_what_lets_customers_in() -> None:
    given = dated()
    result = simulate(given, [changed(1, 0, "c1", START + HOUR), changed(2, 0, "c2", START + 2 * HOUR)])
    assert report_values(result, ["dated"], seconds=1)["journeys"]["dated"]["entered_by"] == {"date": 2}


def test_where_customers_share_a_limit_timers_fire_in_time_order_among_events() -> None:
    given = dated(EntryLimit(1, None, is_of_all=True))
    lines = [
        changed(1, 0, "late", START + 3 * HOUR),
        changed(2, 0, "early", START + HOUR),
        # This one makes the late customer's timer fire, before that of the early one if nobody sees to it.
        changed(3, 4 * HOUR, "late"),
    ]
    report = simulate(given, lines, until_ms=START + 5 * HOUR).journeys["dated"]
    assert (report.entered_by, report.not_entered) == ({"date": 1}, {"limit_of_all": 1})
    assert report.steps["pause"].waiting == 0, "the late customer has entered, and waits still"
