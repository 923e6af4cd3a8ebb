"""A customer who is forgotten: nothing is kept, nothing that was due is still done."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.engine.erasure import ERASED
from orchestrator.model.actions import Effects, Recall
from orchestrator.model.customer import HELD_OUT, NEVER_MS, Customer, encode_customer, wake_at_ms
from orchestrator.model.journey import Audience, Wait
from tests.engine.build import DAY, HOUR, START, event, goal, journey, journeys, reachable, send

WELCOME = journey(Wait("pause", HOUR, "hello"), send("hello", "_end"), goal=goal(within_ms=30 * DAY))
UNKNOWN = encode_customer(Customer())


def inside() -> tuple[Customer, Effects]:
    customer, effects = reachable(), Effects([], [], [])
    apply_event(journeys(WELCOME), customer, event("registered"), START, effects)
    assert wake_at_ms(customer) == START + HOUR
    return customer, effects


def test_nothing_of_the_customer_is_kept_and_the_passage_ends() -> None:
    customer, effects = inside()
    apply_event(journeys(WELCOME), customer, event(ERASED, 2), START + 1, effects)
    assert encode_customer(customer) == UNKNOWN
    assert wake_at_ms(customer) == NEVER_MS
    last = effects.transitions[-1]
    assert (last.kind, last.step, last.reason, last.at_ms) == ("exited", "pause", ERASED, START + 1)


def test_what_was_due_before_is_not_done_any_more() -> None:
    customer, effects = inside()
    apply_event(journeys(WELCOME), customer, event(ERASED, 2), START + 2 * HOUR, effects)
    fire_timers(journeys(WELCOME), customer, "c1", START + DAY, effects)
    assert effects.actions == []


def test_who_is_in_a_control_group_and_not_inside_leaves_no_step() -> None:
    customer, effects = inside()
    customer.instances[0].state, customer.instances[0].step = HELD_OUT, ""
    made = len(effects.transitions)
    apply_event(journeys(WELCOME), customer, event(ERASED, 2), START + 1, effects)
    assert effects.transitions[made:] == []
    assert encode_customer(customer) == UNKNOWN


def test_a_second_delivery_changes_nothing() -> None:
    customer, effects = inside()
    apply_event(journeys(WELCOME), customer, event(ERASED, 2), START + 1, effects)
    before = len(effects.transitions)
    apply_event(journeys(WELCOME), customer, event(ERASED, 2), START + 1, effects)
    assert (encode_customer(customer), len(effects.transitions)) == (UNKNOWN, before)


def test_the_customer_is_taken_out_of_audiences_elsewhere() -> None:
    journeys_ = replace(
        journeys(WELCOME), audiences={"vip_ads": Audience("vip_ads", "ads", "email", "email", "actions.ads")}
    )
    customer = reachable(audiences={"vip_ads": (START, "a@example.com")})
    effects = Effects([], [], [])
    apply_event(journeys_, customer, event(ERASED), START + 1, effects)
    (command,) = effects.actions
    assert (command.kind, command.address, command.channel) == ("audience_remove", "a@example.com", "ads")
    assert encode_customer(customer) == UNKNOWN


def test_commands_that_are_on_their_way_are_recalled_up_to_the_instant_of_the_decision() -> None:
    customer, effects = inside()
    apply_event(journeys(WELCOME), customer, event(ERASED, 2), START + 7, effects)
    # Asked again, as by a redelivery, and with a timestamp before the customer's last decision.
    apply_event(journeys(WELCOME), customer, event(ERASED, 3), START + 8, effects)
    assert effects.recalls == [Recall("c1", START + 7), Recall("c1", START + 8)]
    late, effects = reachable(last_at_ms=START + 9), Effects()
    apply_event(journeys(WELCOME), late, event(ERASED), START + 1, effects)
    assert effects.recalls == [Recall("c1", START + 9)]


def test_who_comes_back_is_somebody_new() -> None:
    customer, effects = inside()
    apply_event(journeys(WELCOME), customer, event(ERASED, 2), START + 1, effects)
    apply_event(journeys(WELCOME), customer, event("registered"), START + DAY, effects)
    assert [instance.step for instance in customer.instances] == ["pause"]


def test_who_comes_back_gets_messages_with_new_ids() -> None:
    """Passages are counted from 1 again, and receivers drop what has an id that they know."""
    journeys_, effects = journeys(WELCOME), Effects([], [], [])
    customer = reachable()
    for day in (0, 1):
        apply_event(journeys_, customer, event("registered", 2 * day), START + day * DAY, effects)
        fire_timers(journeys_, customer, "c1", START + day * DAY + HOUR, effects)
        apply_event(journeys_, customer, event(ERASED, 2 * day + 1), START + day * DAY + 2 * HOUR, effects)
        customer.profile.update(reachable().profile)
        customer.consent.update(reachable().consent)
    first, second = effects.actions
    assert (first.instance, first.step) == (second.instance, second.step)
    assert first.action_id != second.action_id
