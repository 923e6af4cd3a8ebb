"""What an event or a timer means for one customer."""

from __future__ import annotations

import pytest

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.engine.ids import SCALE
from orchestrator.engine.turn import UnknownVersion
from orchestrator.model.actions import Effects
from orchestrator.model.customer import (
    FINISHED,
    HELD_OUT,
    NEVER_MS,
    RECENT_EVENTS_MAX,
    Customer,
    Sent,
    decode_customer,
    encode_customer,
    wake_at_ms,
)
from orchestrator.model.journey import (
    Arm,
    Awaited,
    Branch,
    Cap,
    Case,
    JourneySet,
    ProfileRule,
    ReEntry,
    SetProfile,
    Split,
    Status,
    Wait,
    WaitFor,
)
from tests.engine.build import (
    DAY,
    HOUR,
    START,
    broken_render,
    captured,
    event,
    event_field,
    expression,
    goal,
    journey,
    journeys,
    ordered,
    reachable,
    send,
)


def kinds(effects: Effects) -> list[str]:
    return [t.kind for t in effects.transitions]


def reasons(effects: Effects) -> list[str]:
    return [t.reason for t in effects.transitions]


def run(given: JourneySet, customer: Customer, *events: tuple[int, str]) -> Effects:
    """Applies (instant, event type) pairs, each event with its own id."""
    effects = Effects()
    for number, (at_ms, event_type) in enumerate(events):
        apply_event(given, customer, event(event_type, number), at_ms, effects)
    return effects


def test_entry_runs_steps_until_the_first_wait() -> None:
    given = journeys(journey(send("hello", "pause"), Wait("pause", DAY, "again"), send("again", "_end")))
    customer = reachable()
    effects = run(given, customer, (START, "registered"))
    assert [a.step for a in effects.actions] == ["hello"]
    assert effects.actions[0].address == "a@example.com"
    assert effects.actions[0].expires_at_ms == START + DAY
    assert wake_at_ms(customer) == START + DAY


def test_a_timer_fires_at_its_due_time_even_if_the_worker_is_late() -> None:
    given = journeys(journey(Wait("pause", DAY, "again"), send("again", "_end")))
    customer = reachable()
    run(given, customer, (START, "registered"))
    effects = Effects()
    fire_timers(given, customer, "c1", START + 3 * DAY, effects)
    assert effects.actions[0].created_at_ms == START + DAY
    assert effects.timers_fired == 1
    assert wake_at_ms(customer) == NEVER_MS


def test_own_timers_fire_before_an_event_at_the_same_instant() -> None:
    wait = WaitFor("react", (Awaited("clicked", None, "_end"),), HOUR, "late")
    given = journeys(journey(wait, send("late", "_end")))
    customer = reachable()
    effects = run(given, customer, (START, "registered"), (START + HOUR, "clicked"))
    assert reasons(effects) == ["", "timeout", "sent", "finished"]


def test_an_event_before_the_timeout_matches() -> None:
    wait = WaitFor("react", (Awaited("clicked", None, "_end"),), HOUR, "late")
    given = journeys(journey(wait, send("late", "_end")))
    effects = run(given, reachable(), (START, "registered"), (START + HOUR - 1, "clicked"))
    assert reasons(effects) == ["", "clicked", "finished"]
    assert effects.actions == []


def test_time_never_runs_backwards_for_a_customer() -> None:
    given = journeys(journey(Wait("pause", DAY, "_end")))
    customer = reachable()
    effects = run(given, customer, (START, "clicked"), (START - HOUR, "registered"))
    assert effects.transitions[0].at_ms == START
    assert customer.instances[0].timer_at_ms == START + DAY


def test_duplicate_event_changes_nothing() -> None:
    given = journeys(journey(send("hello", "_end"), reentry=ReEntry("always")))
    customer = reachable()
    effects = Effects()
    apply_event(given, customer, event("registered"), START, effects)
    before = encode_customer(customer)
    apply_event(given, customer, event("registered"), START + DAY, effects)
    assert effects.duplicates == 1
    assert len(effects.actions) == 1
    assert encode_customer(customer) == before


def test_only_the_last_events_are_remembered() -> None:
    given = journeys(journey(Wait("pause", DAY, "_end")))
    customer = reachable()
    run(given, customer, *[(START, "clicked")] * (RECENT_EVENTS_MAX + 5))
    assert len(customer.recent) == RECENT_EVENTS_MAX * 8


def test_a_correlated_wait_sees_the_entry_and_the_sent_action() -> None:
    same_action = expression(
        lambda s: s.event.get("action_id") == s.instance.results["hello"].action_id if s.instance else False
    )
    given = journeys(
        journey(send("hello", "react"), WaitFor("react", (Awaited("clicked", same_action, "_end"),), None, "_end"))
    )
    customer = reachable()
    effects = Effects()
    apply_event(given, customer, event("registered", 1), START, effects)
    apply_event(given, customer, event("clicked", 2, action_id="other"), START, effects)
    assert customer.instances[0].step == "react"
    apply_event(given, customer, event("clicked", 3, action_id=effects.actions[0].action_id), START, effects)
    assert customer.instances == []


def test_nothing_is_sent_without_consent_or_address() -> None:
    given = journeys(journey(send("hello", "_end")))
    for customer, reason in (
        (reachable(consent={}), "no_consent"),
        (reachable(profile={}), "unreachable"),
    ):
        effects = run(given, customer, (START, "registered"))
        assert effects.actions == []
        assert reasons(effects) == ["", reason, "finished"]


def test_the_first_usable_channel_is_taken() -> None:
    given = journeys(journey(send("hello", "_end", channels=("email", "sms"))))
    effects = run(given, reachable(consent={"sms": True}), (START, "registered"))
    assert [a.channel for a in effects.actions] == ["sms"]


def test_a_cap_holds_across_journeys_and_slides() -> None:
    cap = Cap("weekly", None, 2, 7 * DAY)
    steps = (send("a", "b"), send("b", "c"), send("c", "w"), Wait("w", 7 * DAY, "d"), send("d", "_end"))
    customer = reachable()
    given = journeys(journey(*steps), caps=(cap,))
    effects = run(given, customer, (START, "registered"))
    fire_timers(given, customer, "c1", START + 7 * DAY, effects)
    assert [a.step for a in effects.actions] == ["a", "b", "d"]
    assert "capped" in reasons(effects)
    assert customer.sends == [Sent(START + 7 * DAY, "email", "welcome")]


def test_transactional_messages_ignore_caps() -> None:
    cap = Cap("none", None, 0, DAY)
    given = journeys(journey(send("receipt", "_end", message_class="transactional")), caps=(cap,))
    assert len(run(given, reachable(), (START, "registered")).actions) == 1


def test_consent_withdrawn_stops_at_once() -> None:
    condition = expression(lambda s: not s.customer.consent.get("email", False))
    given = journeys(journey(Wait("pause", DAY, "mail"), send("mail", "_end"), exits_when=(condition,)))
    customer = reachable()
    effects = run(given, customer, (START, "registered"))
    apply_event(given, customer, event("consented", 9, channel="email", granted=False), START + 1, effects)
    assert kinds(effects)[-1] == "exited"
    fire_timers(given, customer, "c1", START + 9 * DAY, effects)
    assert effects.actions == []


def test_a_customer_for_whom_an_exit_condition_holds_does_not_enter() -> None:
    given = journeys(journey(Wait("pause", DAY, "_end"), exits_when=(expression(lambda _: True),)))
    effects = run(given, reachable(), (START, "registered"))
    assert kinds(effects) == ["not_entered"]


def test_reaching_the_goal_ends_the_passage_and_is_worth_something() -> None:
    given = journeys(journey(Wait("pause", DAY, "_end"), goal=goal(value=event_field("total")), exits_on=(ordered(),)))
    customer = reachable()
    effects = run(given, customer, (START, "registered"))
    apply_event(given, customer, event("ordered", 7, total="12.50"), START + 1, effects)
    assert kinds(effects) == ["entered", "goal", "exited"]
    assert effects.transitions[1].value == "12.50"
    assert reasons(effects)[-1] == "goal"
    assert customer.instances == []


def test_the_goal_still_counts_after_the_last_step() -> None:
    given = journeys(journey(send("hello", "_end"), goal=goal(within_ms=7 * DAY)))
    customer = reachable()
    run(given, customer, (START, "registered"))
    assert customer.instances[0].state == FINISHED
    effects = Effects()
    apply_event(given, customer, event("ordered", 5), START + 7 * DAY - 1, effects)
    assert kinds(effects) == ["goal"]


def test_the_goal_no_longer_counts_after_its_window() -> None:
    given = journeys(journey(send("hello", "_end"), goal=goal(within_ms=DAY)))
    customer = reachable()
    run(given, customer, (START, "registered"))
    effects = Effects()
    apply_event(given, customer, event("ordered", 5), START + DAY, effects)
    assert kinds(effects) == []
    assert customer.instances == []


def test_the_goal_of_a_passage_under_way_no_longer_counts_after_its_window() -> None:
    given = journeys(journey(Wait("pause", 9 * DAY, "_end"), goal=goal(within_ms=DAY)))
    effects = run(given, reachable(), (START, "registered"), (START + DAY, "ordered"))
    assert kinds(effects) == ["entered"]


def test_an_exit_condition_that_time_makes_true_is_seen_before_the_next_step() -> None:
    too_late = expression(lambda s: s.now_ms >= START + DAY)
    given = journeys(journey(Wait("pause", DAY, "mail"), send("mail", "_end"), exits_when=(too_late,)))
    customer = reachable()
    effects = run(given, customer, (START, "registered"))
    fire_timers(given, customer, "c1", START + DAY, effects)
    assert reasons(effects) == ["", "exit_condition"]
    assert effects.actions == []


def test_the_control_group_gets_nothing_but_is_measured() -> None:
    given = journeys(journey(send("hello", "_end"), goal=goal(), holdout=SCALE))
    customer = reachable()
    effects = run(given, customer, (START, "registered"), (START + 1, "ordered"))
    assert effects.actions == []
    assert kinds(effects) == ["held_out", "goal"]
    assert effects.transitions[1].reason == "held_out"


def test_held_out_customers_do_not_enter_again_while_they_are_measured() -> None:
    given = journeys(journey(send("hello", "_end"), goal=goal(), holdout=SCALE, reentry=ReEntry("always")))
    customer = reachable()
    effects = run(given, customer, (START, "registered"), (START + 1, "registered"))
    assert kinds(effects) == ["held_out"]
    assert [i.state for i in customer.instances] == [HELD_OUT]


@pytest.mark.parametrize(
    ("rule", "later", "entries"),
    [
        (ReEntry("never"), DAY, 1),
        (ReEntry("always"), DAY, 2),
        (ReEntry("after", 2 * DAY), 2 * DAY - 1, 1),
        (ReEntry("after", 2 * DAY), 2 * DAY, 2),
    ],
)
def test_reentry(rule: ReEntry, later: int, entries: int) -> None:
    given = journeys(journey(send("hello", "_end"), reentry=rule))
    effects = run(given, reachable(), (START, "registered"), (START + later, "registered"))
    assert kinds(effects).count("entered") == entries


def test_one_instance_for_each_key() -> None:
    given = journeys(journey(Wait("pause", DAY, "_end"), key=event_field("cart"), reentry=ReEntry("after", DAY)))
    customer = reachable()
    effects = Effects()
    for number, cart in enumerate(("a", "b", "a", None)):
        apply_event(given, customer, event("registered", number, cart=cart), START, effects)
    assert [i.key for i in customer.instances] == ["a", "b"]
    assert reasons(effects)[-1] == "missing_key"
    assert set(customer.entered) == {"welcome|a", "welcome|b"}


def test_entries_are_forgotten_once_reentry_cannot_ask_for_them() -> None:
    given = journeys(journey(send("hello", "_end"), key=event_field("cart"), reentry=ReEntry("after", DAY)))
    customer = reachable()
    for number in range(5):
        apply_event(given, customer, event("registered", number, cart=number), START + number * DAY, Effects())
    assert set(customer.entered) == {"welcome|4"}


def test_split_and_branch_and_set() -> None:
    given = journeys(
        journey(
            Split("choose", "s", (Arm("left", 0), Arm("right", SCALE))),
            SetProfile("left", (("side", expression(lambda _: "left"), None),), "_end"),
            SetProfile("right", (("side", expression(lambda _: "right"), None),), "check"),
            Branch("check", (Case(expression(lambda s: s.customer.profile["side"] == "right"), "clear"),), "_end"),
            SetProfile("clear", (("side", expression(lambda _: None), None),), "_end"),
        )
    )
    customer = reachable()
    effects = run(given, customer, (START, "registered"))
    assert reasons(effects) == ["", "right", "set", "case_1", "set", "finished"]
    assert "side" not in customer.profile


def test_a_failing_condition_does_not_hold_and_is_told() -> None:
    bad = expression(lambda _: 1 / 0, "1 / 0")
    given = journeys(journey(Branch("check", (Case(bad, "mail"),), "_end"), send("mail", "_end")))
    effects = run(given, reachable(), (START, "registered"))
    assert [f.step for f in effects.failures] == ["check"]
    assert kinds(effects) == ["entered", "failed", "step", "exited"]
    assert effects.actions == []


def test_an_exit_condition_that_fails_is_told_at_events_that_nobody_waits_for_and_later_ones_are_asked() -> None:
    bad = expression(lambda s: 1 // s.customer.profile.get("calls", 1) > 1, "1 / calls > 1")
    gone = expression(lambda s: s.customer.profile.get("gone", False))
    given = journeys(journey(Wait("rest", DAY, "_end"), exits_when=(bad, gone)))
    customer = reachable()
    run(given, customer, (START, "registered"))
    customer.profile["calls"] = 0
    effects = Effects()
    apply_event(given, customer, event("viewed", 7), START + 1, effects)
    assert kinds(effects) == ["failed"]
    assert customer.instances[0].step == "rest"
    customer.profile["gone"] = True
    apply_event(given, customer, event("viewed", 8), START + 2, effects)
    assert kinds(effects) == ["failed", "failed", "exited"]
    assert customer.instances == []


def test_a_failing_template_is_an_outcome() -> None:
    given = journeys(journey(send("mail", "_end", renders={"email": broken_render})))
    customer = reachable()
    effects = run(given, customer, (START, "registered"))
    assert effects.actions == []
    assert reasons(effects)[-2:] == ["template_failed", "finished"]
    assert customer.sends == []


def test_a_loop_without_a_wait_is_stopped() -> None:
    given = journeys(journey(SetProfile("a", (), "b"), SetProfile("b", (), "a")))
    customer = reachable()
    assert reasons(run(given, customer, (START, "registered")))[-1] == "runaway"
    assert customer.instances == []


def test_shadow_decides_but_sends_nothing() -> None:
    given = journeys(journey(send("hello", "_end"), status=Status.SHADOW), caps=(Cap("c", None, 1, DAY),))
    customer = reachable()
    effects = run(given, customer, (START, "registered"))
    assert effects.actions == []
    assert "shadow" in reasons(effects)
    assert customer.sends == []


def test_an_instance_of_an_unknown_version_is_never_decided_about() -> None:
    customer = reachable()
    run(journeys(journey(Wait("pause", DAY, "_end"))), customer, (START, "registered"))
    with pytest.raises(UnknownVersion, match="welcome"):
        fire_timers(journeys(), customer, "c1", START + DAY, Effects())


def test_exit_event_ends_the_passage_and_later_timers_do_nothing() -> None:
    same = expression(lambda s: s.event["cart"] == s.instance.entry[0] if s.instance else False)
    given = journeys(
        journey(
            Wait("pause", DAY, "mail"), send("mail", "_end"), exits_on=(ordered(same),), captured=(captured("cart"),)
        )
    )
    customer = reachable()
    effects = Effects()
    apply_event(given, customer, event("registered", 1, cart="a"), START, effects)
    apply_event(given, customer, event("ordered", 2, cart="b"), START + 1, effects)
    assert len(customer.instances) == 1
    apply_event(given, customer, event("ordered", 3, cart="a"), START + 2, effects)
    assert customer.instances == []
    fire_timers(given, customer, "c1", START + 9 * DAY, effects)
    assert effects.actions == []


def test_a_loop_through_a_wait_gives_each_visit_its_own_action() -> None:
    given = journeys(journey(send("mail", "pause"), Wait("pause", DAY, "mail")))
    customer = reachable()
    effects = run(given, customer, (START, "registered"))
    fire_timers(given, customer, "c1", START + 3 * DAY, effects)
    assert len(effects.actions) == 4
    assert len({a.action_id for a in effects.actions}) == 4


def test_encoding_a_customer_is_lossless() -> None:
    given = journeys(journey(send("mail", "pause"), Wait("pause", DAY, "mail"), goal=goal()))
    customer = reachable()
    run(given, customer, (START, "registered"))
    assert decode_customer(encode_customer(customer)) == customer


def test_null_takes_an_attribute_away_only_where_the_rule_says_so() -> None:
    phone = (("phone", event_field("phone"), None),)
    for nulls_clear, expected in ((False, "+1"), (True, None)):
        world = journeys()
        world.profile_rules["registered"] = (ProfileRule("registered", phone, (), nulls_clear),)
        customer = reachable()
        apply_event(world, customer, event("registered", phone=None), START, Effects([], [], []))
        assert customer.profile.get("phone") == expected
