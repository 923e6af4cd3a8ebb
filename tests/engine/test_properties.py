"""What holds for every customer, whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.engine.quiet_hours import is_quiet
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import (
    Arm,
    Awaited,
    Branch,
    Cap,
    Case,
    ClockTime,
    JourneySet,
    QuietHours,
    Rate,
    ReEntry,
    Split,
    Wait,
    WaitFor,
)
from orchestrator.model.policies import Basis, Purpose
from orchestrator.model.shared import Shared, decode_shared, encode_shared
from tests.engine.build import DAY, HOUR, START, event_field, expression, goal, journey, journeys, ordered, send

WEEKLY = Cap("weekly", None, 3, 7 * DAY)
NIGHT = QuietHours(frozenset({"email"}), ClockTime(22, 0), ClockTime(7, 0), "America/New_York", True, 6 * HOUR)
NOON = QuietHours(None, ClockTime(12, 0), ClockTime(13, 30), "Asia/Kathmandu", False, None)
NEWS = Purpose("news", Basis.CONSENT, "news")
ONE_IN_TWO_DAYS = Rate("all", None, 1, 2 * DAY)
MAIL_DAILY = Cap("mail_daily", frozenset({"email"}), 1, DAY)


def shop() -> JourneySet:
    """Two journeys that loop, split, wait for events, exit, and compete for the same caps, under quiet hours, a purpose
    and a rate.
    """
    withdrawn = expression(lambda s: not s.customer.consent.get("email", False))
    is_big = expression(lambda s: (s.event.get("n") or 0) > 5)
    nag = journey(
        send("first", "pause", channels=("email", "sms")),
        Wait("pause", 5 * HOUR, "react"),
        WaitFor("react", (Awaited("clicked", is_big, "_end"), Awaited("registered", None, "first")), DAY, "first"),
        name="nag",
        reentry=ReEntry("after", 2 * DAY),
        exits_on=(ordered(),),
        exits_when=(withdrawn,),
        goal=goal(within_ms=3 * DAY),
        holdout=1 << 62,
    )
    arms = Split("arms", "salt", (Arm("left", 1 << 63), Arm("right", 1 << 64)))
    carts = journey(
        arms,
        send("left", "wait", channels=("sms",)),
        Branch("right", (Case(is_big, "left"),), "wait"),
        Wait("wait", 36 * HOUR, "last"),
        send("last", "_end", priority=8),
        name="carts",
        on="clicked",
        key=event_field("n"),
        reentry=ReEntry("after", DAY),
    )
    return replace(
        journeys(nag, carts, caps=(WEEKLY, MAIL_DAILY)),
        quiet_hours=(NIGHT, NOON),
        purposes={"news": NEWS},
        default_purpose="news",
        rates=(ONE_IN_TWO_DAYS,),
        uses_shared=True,
    )


SHOP = shop()
TYPES = st.sampled_from(["registered", "clicked", "ordered", "stopped", "consented"])
FIELDS = st.fixed_dictionaries(
    {"n": st.integers(0, 9), "channel": st.sampled_from(["email", "sms", "news"]), "granted": st.booleans()}
)
GAPS = st.sampled_from([0, 1, HOUR, 5 * HOUR, DAY, 2 * DAY, 9 * DAY])


def new_customer() -> Customer:
    return Customer(
        profile={"email": "a@example.com", "phone": "+1"}, consent={"email": True, "sms": True, "news": True}
    )


class OneCustomer(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.customer = new_customer()
        self.effects = Effects(shared=Shared())
        self.now_ms = START
        self.log: list[tuple[int, Event | None]] = []

    @rule(event_type=TYPES, fields=FIELDS, gap=GAPS)
    def send_event(self, event_type: str, fields: dict[str, Any], gap: int) -> None:
        self.now_ms += gap
        event = Event(event_type, f"e{len(self.log)}", "c1", fields)
        self.log.append((self.now_ms, event))
        before, decided = dict(self.customer.consent), len(self.effects.transitions)
        apply_event(SHOP, self.customer, event, self.now_ms, self.effects)
        for transition in self.effects.transitions[decided:]:
            if transition.reason == "sent":
                # Timers that were due before the event, and at its instant, knew nothing of it.
                consent = before if transition.event_id is None else self.customer.consent
                assert consent[transition.value or ""]
                assert consent["news"]

    @rule(gap=GAPS)
    def advance_time(self, gap: int) -> None:
        self.now_ms += gap
        self.log.append((self.now_ms, None))
        fire_timers(SHOP, self.customer, "c1", self.now_ms, self.effects)

    @precondition(lambda self: any(event for _, event in self.log[-20:]))
    @rule(data=st.data())
    def redeliver(self, data: st.DataObject) -> None:
        at_ms, event = data.draw(st.sampled_from([one for one in self.log[-20:] if one[1] is not None]))
        assert event is not None
        before = encode_customer(self.customer)
        count = len(self.effects.actions), len(self.effects.transitions)
        apply_event(SHOP, self.customer, event, at_ms, self.effects)
        assert encode_customer(self.customer) == before
        assert (len(self.effects.actions), len(self.effects.transitions)) == count

    @rule()
    def restart(self) -> None:
        again = decode_customer(encode_customer(self.customer))
        assert again == self.customer
        self.customer = again
        assert self.effects.shared is not None
        self.effects.shared = decode_shared(encode_shared(self.effects.shared), partition=0, partitions=1)

    @invariant()
    def action_ids_are_unique(self) -> None:
        ids = [action.action_id for action in self.effects.actions]
        assert len(set(ids)) == len(ids)

    @invariant()
    def caps_hold_in_every_window(self) -> None:
        for cap in (WEEKLY, MAIL_DAILY):
            sent = [a.created_at_ms for a in self.effects.actions if cap.channels is None or a.channel in cap.channels]
            for end in sent:
                assert sum(end - cap.per_ms < at <= end for at in sent) <= cap.max

    @invariant()
    def quiet_hours_hold(self) -> None:
        for action in self.effects.actions:
            for rule_ in SHOP.quiet_hours:
                if rule_.channels is None or action.channel in rule_.channels:
                    local = datetime.fromtimestamp(action.created_at_ms / 1000, ZoneInfo(rule_.zone or "UTC")).time()
                    assert not is_quiet(rule_.start, rule_.end, local)

    @invariant()
    def the_rate_holds_in_every_window(self) -> None:
        sent = [action.created_at_ms for action in self.effects.actions]
        for end in sent:
            assert sum(end - ONE_IN_TWO_DAYS.per_ms < at <= end for at in sent) <= ONE_IN_TWO_DAYS.max

    @invariant()
    def nothing_is_sent_after_the_exit(self) -> None:
        gone: set[int] = set()
        for transition in self.effects.transitions:
            if transition.reason == "sent":
                assert transition.instance not in gone
            if transition.kind in {"exited", "held_out"}:
                gone.add(transition.instance)

    @invariant()
    def decisions_are_in_time_order(self) -> None:
        times = [transition.at_ms for transition in self.effects.transitions]
        assert times == sorted(times)

    def teardown(self) -> None:
        again, effects = new_customer(), Effects(shared=Shared())
        for at_ms, event in self.log:
            if event is not None:
                apply_event(SHOP, again, event, at_ms, effects)
            else:
                fire_timers(SHOP, again, "c1", at_ms, effects)
            again = decode_customer(encode_customer(again))
        assert effects.actions == self.effects.actions
        assert effects.transitions == self.effects.transitions
        assert encode_customer(again) == encode_customer(self.customer)
        assert effects.shared == self.effects.shared


OneCustomer.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOneCustomer = OneCustomer.TestCase


@given(events=st.lists(st.tuples(GAPS, TYPES, FIELDS), max_size=12), ticks=st.lists(GAPS, max_size=12))
@settings(deadline=None, max_examples=200)
def test_it_does_not_matter_when_a_worker_gets_to_a_timer(
    events: list[tuple[int, str, dict[str, Any]]], ticks: list[int]
) -> None:
    """Ticks between events, at any instants up to the next event, change no decision."""
    lazy, eager = new_customer(), new_customer()
    lazy_effects, eager_effects = Effects(shared=Shared()), Effects(shared=Shared())
    now_ms = START
    for number, (gap, event_type, fields) in enumerate(events):
        for tick in sorted(ticks):
            if tick <= gap:
                fire_timers(SHOP, eager, "c1", now_ms + tick, eager_effects)
        now_ms += gap
        event = Event(event_type, f"e{number}", "c1", fields)
        apply_event(SHOP, lazy, event, now_ms, lazy_effects)
        apply_event(SHOP, eager, event, now_ms, eager_effects)
    assert eager_effects.transitions == lazy_effects.transitions
    assert eager_effects.actions == lazy_effects.actions
    assert encode_customer(eager) == encode_customer(lazy)
