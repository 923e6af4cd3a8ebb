"""Rates of channels: slots are given out one after the other, to all customers, never more than the share."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.engine.shared import WINDOW_PARTS, share_of, take
from orchestrator.model.actions import Effects
from orchestrator.model.customer import NEVER_MS, Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import ClockTime, JourneySet, QuietHours, Rate, ReEntry, Status
from orchestrator.model.shared import SHARED_KEY, Shared, decode_shared, encode_shared
from tests.engine.build import DAY, HOUR, MINUTE, START, event, event_field, expression, journey, journeys, send
from tests.engine.build import reachable as reachable_customer

TWO_A_MINUTE = Rate("sms", frozenset({"sms"}), 2, MINUTE)
TEN_AN_HOUR = Rate("all", None, 10, HOUR)
GONE = expression(lambda scope: "gone" in scope.customer.profile)


def rated(*rates: Rate, status: Status = Status.LIVE, message_class: str = "promotional") -> JourneySet:
    one = journey(
        send("text", "_end", channels=("sms", "email"), message_class=message_class),
        key=event_field("n"),
        reentry=ReEntry("always"),
        exits_when=(GONE,),
        status=status,
    )
    return replace(journeys(one), rates=rates, uses_shared=bool(rates))


def text(given: JourneySet, customer: Customer, number: int, at_ms: int, effects: Effects) -> None:
    apply_event(given, customer, event("registered", number, n=number), at_ms, effects)


def test_a_message_without_a_free_slot_waits_for_the_next_one() -> None:
    given = rated(TWO_A_MINUTE)
    effects = Effects(shared=Shared())
    first, second, third = reachable_customer(), reachable_customer(), reachable_customer()
    text(given, first, 1, START, effects)
    text(given, second, 2, START, effects)
    text(given, third, 3, START + 1, effects)
    assert [action.created_at_ms for action in effects.actions] == [START]
    waiting = [(t.step, t.reason, t.value) for t in effects.transitions if t.kind == "waiting"]
    assert waiting == [("text", "rate", "sms"), ("text", "rate", "sms")]
    assert [customer.instances[0].timer_at_ms - START for customer in (second, third)] == [MINUTE // 2, MINUTE]
    second, third = decode_customer(encode_customer(second)), decode_customer(encode_customer(third))
    fire_timers(given, second, "c1", START + DAY, effects)
    fire_timers(given, third, "c1", START + DAY, effects)
    assert [action.created_at_ms - START for action in effects.actions] == [0, MINUTE // 2, MINUTE]


def test_what_waits_for_its_slot_is_decided_again_when_its_time_has_come() -> None:
    given = rated(TWO_A_MINUTE)
    changes: list[tuple[dict[str, bool], dict[str, bool], str]] = [
        ({"sms": False, "email": False}, {}, "no_consent"),
        ({}, {"gone": True}, "exit_condition"),
    ]
    for consent, profile, reason in changes:
        effects = Effects(shared=Shared())
        customer = reachable_customer()
        text(given, reachable_customer(), 1, START, effects)
        text(given, customer, 2, START, effects)
        customer.consent.update(consent)
        customer.profile.update(profile)
        fire_timers(given, customer, "c1", START + DAY, effects)
        assert reason in [t.reason for t in effects.transitions]
        assert len(effects.actions) == 1


def test_another_channel_than_the_reserved_one_needs_a_slot_of_its_own() -> None:
    one_mail_an_hour = Rate("mail", frozenset({"email"}), 1, HOUR)
    given = rated(TWO_A_MINUTE, one_mail_an_hour)
    effects = Effects(shared=Shared())
    customer = reachable_customer()
    text(given, reachable_customer(), 1, START, effects)
    text(given, customer, 2, START, effects)
    effects.shared.slots["mail"] = (START + 7 * MINUTE) * 1000  # type: ignore[union-attr]
    customer.consent["sms"] = False
    fire_timers(given, customer, "c1", START + DAY, effects)
    assert [(a.channel, a.created_at_ms - START) for a in effects.actions] == [("sms", 0), ("email", 7 * MINUTE)]


def test_a_slot_in_quiet_hours_is_given_up() -> None:
    night = QuietHours(None, ClockTime(22, 14), ClockTime(8, 0), None, True, None)
    given = replace(rated(TWO_A_MINUTE), quiet_hours=(night,))
    # START is 22:13:20 in UTC: the first is sent, the second would have its slot in the night.
    effects = Effects(shared=Shared())
    customer, other = reachable_customer(), reachable_customer()
    text(given, other, 1, START + 20_000, effects)
    text(given, customer, 2, START + 20_000, effects)
    fire_timers(given, customer, "c1", START + DAY, effects)
    assert [t.reason for t in effects.transitions if t.kind == "waiting"] == ["rate", "held"]
    assert [(a.created_at_ms // MINUTE) % (24 * 60) for a in effects.actions] == [22 * 60 + 13, 8 * 60]


def test_a_message_that_would_wait_too_long_is_not_sent_and_takes_no_slot() -> None:
    given = rated(replace(TWO_A_MINUTE, late_after_ms=MINUTE // 2))
    effects = Effects(shared=Shared())
    for number in range(1, 5):
        text(given, reachable_customer(), number, START, effects)
    outcomes = [t.reason for t in effects.transitions if t.kind in {"step", "waiting"}]
    assert outcomes == ["sent", "rate", "rate_limited", "rate_limited"]
    later = reachable_customer()
    text(given, later, 5, START + MINUTE, effects)
    assert effects.actions[-1].created_at_ms == START + MINUTE


def test_transactional_messages_take_their_turn_too_and_shadow_takes_none() -> None:
    effects = Effects(shared=Shared())
    given = rated(TWO_A_MINUTE, message_class="transactional")
    for number in (1, 2):
        text(given, reachable_customer(), number, START, effects)
    assert [t.reason for t in effects.transitions if t.kind != "entered"][:2] == ["sent", "finished"]
    assert effects.transitions[-1].reason == "rate"
    effects = Effects(shared=Shared())
    for number in (1, 2):
        text(rated(TWO_A_MINUTE, status=Status.SHADOW), reachable_customer(), number, START, effects)
    assert effects.shared == Shared()


def test_without_rates_there_is_nothing_to_share_and_with_them_there_must_be() -> None:
    text(rated(), reachable_customer(), 1, START, Effects())
    with pytest.raises(LookupError, match="shared state"):
        text(rated(TWO_A_MINUTE), reachable_customer(), 1, START, Effects())


SENDS = st.lists(st.tuples(st.sampled_from([0, 1, 400, 30_000, MINUTE, HOUR]), st.integers(0, 4)), max_size=60)


@given(sends=SENDS, partitions=st.integers(1, 3), most=st.integers(3, 9), per_ms=st.sampled_from([7, 1_000, MINUTE]))
@settings(max_examples=150, deadline=None)
def test_no_window_holds_more_than_the_rate_over_all_partitions_and_nothing_is_lost(
    sends: list[tuple[int, int]], partitions: int, most: int, per_ms: int
) -> None:
    rates = (Rate("sms", frozenset({"sms"}), most, per_ms), TEN_AN_HOUR)
    engines = [OfflineEngine(rated(*rates), partition=p, partitions=partitions) for p in range(partitions)]
    for customer in range(5):
        engines[customer % partitions].put(f"c{customer}", reachable_customer())
    sent: list[tuple[int, int]] = []
    now_ms = START
    for number, (gap, customer) in enumerate(sends):
        now_ms += gap
        happened = Event("registered", f"e{number}", f"c{customer}", {"n": number})
        partition = customer % partitions
        # A worker gets to other customers' timers whenever it likes.
        if number % 3 == 0:
            sent += [(partition, a.created_at_ms) for a in engines[partition].advance(now_ms).actions]
        sent += [(partition, a.created_at_ms) for a in engines[partition].apply(now_ms, happened).actions]
    for partition, engine in enumerate(engines):
        sent += [(partition, a.created_at_ms) for a in engine.advance(NEVER_MS - 1).actions]
    assert len(sent) == len(sends)
    for rate in rates:
        for _, end in sent:
            inside = [partition for partition, at_ms in sent if end - rate.per_ms < at_ms <= end]
            assert len(inside) <= rate.max
            for partition, engine in enumerate(engines):
                assert inside.count(partition) <= share_of(engine.shared, rate.max)


@given(
    gaps=st.lists(st.sampled_from([-50, 0, 1, 7, 100, 900]), max_size=60),
    most=st.integers(1, 8),
    per_ms=st.sampled_from([10, 160, 1_000]) | st.none(),
    partitions=st.integers(1, 3),
)
@example(gaps=[-50, 0, -50, 100, -50], most=2, per_ms=10, partitions=1)
@settings(max_examples=200, deadline=None)
def test_a_limit_is_never_exceeded_in_any_window(
    gaps: list[int], most: int, per_ms: int | None, partitions: int
) -> None:
    taken: list[int] = []
    for partition in range(partitions):
        shared, now_ms = Shared(partition, partitions), START
        for gap in gaps:
            now_ms += gap
            shared = decode_shared(encode_shared(shared), partition=partition, partitions=partitions)
            if take(shared, "limit", most, per_ms, now_ms):
                taken.append(now_ms)
        assert len(shared.counts.get("limit", [])) <= 2 * WINDOW_PARTS + 12
    if per_ms is None:
        assert len(taken) <= most
    for end in taken:
        assert sum(end - (per_ms or DAY) < at_ms <= end for at_ms in taken) <= most


def test_the_shared_record_is_read_back_and_damage_is_noticed() -> None:
    shared = Shared(1, 4, {"sms": 5}, {"entries": [(1, 2)]})
    assert decode_shared(encode_shared(shared), partition=1, partitions=4) == shared
    assert decode_shared(None, partition=1, partitions=4) == Shared(1, 4)
    for damaged in (b"", b"\x02" + encode_shared(shared)[1:], encode_shared(shared)[:-1]):
        with pytest.raises(ValueError, match="shared record"):
            decode_shared(damaged, partition=0, partitions=1)
    with pytest.raises(UnicodeDecodeError):
        SHARED_KEY.decode()
