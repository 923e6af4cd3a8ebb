"""Quiet hours: promotional messages are held or skipped, and decided again at the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.engine.quiet_hours import quiet_until
from orchestrator.model.actions import Effects
from orchestrator.model.customer import NEVER_MS, Customer, Sent, decode_customer, encode_customer, wake_at_ms
from orchestrator.model.journey import Cap, ClockTime, JourneySet, QuietHours
from tests.engine.build import DAY, HOUR, event, expression, journey, journeys, reachable, send


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


NIGHT = QuietHours(frozenset({"email"}), ClockTime(21, 0), ClockTime(8, 0), None, True, None)
NEW_YORK = {"email": "a@example.com", "phone": "+1", "time_zone": "America/New_York"}
EVENING = ms("2026-03-02T22:00:00-05:00")
MORNING = ms("2026-03-03T08:00:00-05:00")


def quiet(*rules: QuietHours, caps: tuple[Cap, ...] = (), **changes: Any) -> JourneySet:
    one = journey(send("mail", "_end", **changes), exits_when=(expression(lambda s: "gone" in s.customer.profile),))
    return replace(journeys(one, caps=caps), quiet_hours=rules)


def start(given: JourneySet, customer: Customer, at_ms: int = EVENING) -> Effects:
    effects = Effects()
    apply_event(given, customer, event("registered"), at_ms, effects)
    return effects


def reasons(effects: Effects) -> list[str]:
    return [t.reason for t in effects.transitions]


def test_a_promotional_message_is_held_until_quiet_hours_end() -> None:
    given = quiet(NIGHT)
    customer = reachable(profile=NEW_YORK)
    effects = start(given, customer)
    assert effects.actions == []
    assert [(t.kind, t.reason, t.value) for t in effects.transitions[1:]] == [("waiting", "held", "email")]
    assert wake_at_ms(customer) == MORNING
    customer = decode_customer(encode_customer(customer))
    fire_timers(given, customer, "c1", MORNING, effects)
    assert [(a.created_at_ms, a.channel) for a in effects.actions] == [(MORNING, "email")]
    assert wake_at_ms(customer) == NEVER_MS


def test_a_held_message_has_the_id_that_it_would_have_had() -> None:
    held, free = reachable(profile=NEW_YORK), reachable(profile=NEW_YORK)
    effects = start(quiet(NIGHT), held)
    fire_timers(quiet(NIGHT), held, "c1", MORNING, effects)
    assert effects.actions[0].action_id == start(quiet(), free).actions[0].action_id


@pytest.mark.parametrize(
    ("change", "reason"),
    [("consent", "no_consent"), ("sends", "capped"), ("address", "unreachable"), ("gone", "exit_condition")],
)
def test_what_has_changed_while_a_message_was_held_counts(change: str, reason: str) -> None:
    given = quiet(NIGHT, caps=(Cap("daily", None, 1, DAY),))
    customer = reachable(profile=dict(NEW_YORK))
    start(given, customer)
    match change:
        case "consent":
            customer.consent["email"] = False
        case "sends":
            customer.sends = [Sent(EVENING + HOUR, "sms")]
        case "address":
            del customer.profile["email"]
        case _:
            customer.profile["gone"] = True
    effects = Effects()
    fire_timers(given, customer, "c1", MORNING, effects)
    assert effects.actions == []
    assert reasons(effects)[0] == reason


def test_transactional_messages_and_other_channels_go_out() -> None:
    assert len(start(quiet(NIGHT, message_class="transactional"), reachable(profile=NEW_YORK)).actions) == 1
    assert len(start(quiet(NIGHT, channels=("sms",)), reachable(profile=NEW_YORK)).actions) == 1


@pytest.mark.parametrize("rule", [replace(NIGHT, holds=False), replace(NIGHT, late_after_ms=10 * HOUR - 1)])
def test_a_message_is_skipped_where_the_rule_says_so_or_it_would_be_late(rule: QuietHours) -> None:
    effects = start(quiet(rule), reachable(profile=NEW_YORK))
    assert effects.actions == []
    assert reasons(effects)[1:] == ["skipped_quiet_hours", "finished"]


def test_a_message_that_is_held_just_so_long_is_not_late() -> None:
    assert "held" in reasons(start(quiet(replace(NIGHT, late_after_ms=10 * HOUR)), reachable(profile=NEW_YORK)))


def test_quiet_hours_that_follow_on_each_other_are_one_and_endless_ones_skip() -> None:
    early = replace(NIGHT, start=ClockTime(8, 0), end=ClockTime(9, 30))
    given = quiet(NIGHT, early)
    customer = reachable(profile=NEW_YORK)
    assert quiet_until(given, customer, "email", EVENING) == MORNING + 90 * 60_000
    day = replace(NIGHT, start=ClockTime(8, 0), end=ClockTime(21, 0), channels=None)
    assert quiet_until(quiet(NIGHT, day), customer, "email", EVENING) is None


@pytest.mark.parametrize(
    ("zone", "end", "now", "expected"),
    [
        ("America/New_York", ClockTime(2, 30), "2026-03-07T23:00:00-05:00", "2026-03-08T03:00:00-04:00"),
        ("America/New_York", ClockTime(1, 30), "2026-11-01T00:30:00-04:00", "2026-11-01T01:30:00-04:00"),
        ("America/New_York", ClockTime(1, 30), "2026-11-01T01:10:00-05:00", "2026-11-01T01:30:00-05:00"),
        ("Asia/Kathmandu", ClockTime(8, 0), "2026-03-02T23:00:00+05:45", "2026-03-03T08:00:00+05:45"),
    ],
)
def test_the_end_where_clocks_change(zone: str, end: ClockTime, now: str, expected: str) -> None:
    given = quiet(replace(NIGHT, end=end, zone=zone))
    assert quiet_until(given, reachable(), "email", ms(now)) == ms(expected)
    assert quiet_until(given, reachable(), "email", ms(expected)) == ms(expected)
