"""The rules that hold for every customer, counted again from what was sent, without the engine's code."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from orchestrator.model.actions import ActionCommand, Effects, Transition
from orchestrator.model.customer import ACTIVE, Customer, Instance
from orchestrator.model.events import Event
from orchestrator.model.journey import Expression, Scope, Send
from tests.properties.playing import Happening, Played
from tests.properties.random_logs import CUSTOMERS

ZONES = available_timezones()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_caps(played: Played) -> None:
    """No window of a cap's length holds more promotional messages than the cap allows, and no message is capped where
    there was room.
    """
    for customer_id in CUSTOMERS:
        sent: list[tuple[int, str]] = []
        for one, effects in _decisions(played, customer_id):
            messages = {m.action_id: m for m in _promotional(effects)}
            for made in effects.transitions:
                message = messages.get(made.action_id or "")
                if message is not None:
                    sent.append((message.created_at_ms, message.channel))
                    assert not _is_full(played, sent, message.channel, made.at_ms, room=0), (message, sent)
                elif made.reason == "capped":
                    channels = _send_step(played, made).channels
                    assert any(_is_full(played, sent, name, made.at_ms, room=1) for name in channels), (made, sent, one)


def _is_full(played: Played, sent: list[tuple[int, str]], channel: str, now_ms: int, *, room: int) -> bool:
    """Whether a cap of the channel would be broken by so many messages more."""
    for cap in played.journeys.caps:
        if cap.channels is None or channel in cap.channels:
            counted = [at for at, on in sent if cap.channels is None or on in cap.channels]
            if sum(now_ms - cap.per_ms < at <= now_ms for at in counted) + room > cap.max:
                return True
    return False


def check_quiet_hours(played: Played) -> None:
    """No promotional message is sent in quiet hours; none is held or skipped outside of them."""
    for customer_id in CUSTOMERS:
        zone: object = None
        for one, effects in _decisions(played, customer_id):
            if effects is one.after:
                zone = one.then.profile.get("time_zone")
            for message in _promotional(effects):
                assert not _is_quiet(played, message.channel, message.created_at_ms, zone), message
            for made in effects.transitions:
                if made.reason == "held":
                    assert _is_quiet(played, str(made.value), made.at_ms, zone), made
                elif made.reason == "skipped_quiet_hours":
                    channels = _send_step(played, made).channels
                    assert any(_is_quiet(played, name, made.at_ms, zone) for name in channels), made


def _decisions(played: Played, customer_id: str) -> Iterator[tuple[Happening, Effects]]:
    for one in played.happenings:
        if one.customer_id == customer_id:
            yield one, one.before
            yield one, one.after


def _send_step(played: Played, made: Transition) -> Send:
    step = played.journeys.versions[made.journey, made.version].steps[made.step]
    assert isinstance(step, Send)
    return step


def _promotional(effects: Effects) -> Iterator[ActionCommand]:
    return (one for one in effects.actions if one.kind == "send" and one.message_class == "promotional")


def _is_quiet(played: Played, channel: str, at_ms: int, profile_zone: object) -> bool:
    own = profile_zone if isinstance(profile_zone, str) and profile_zone in ZONES else played.journeys.default_zone
    for rule in played.journeys.quiet_hours:
        if rule.channels is None or channel in rule.channels:
            local = (EPOCH + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(rule.zone or own)).time()
            start, end = time(rule.start.hour, rule.start.minute), time(rule.end.hour, rule.end.minute)
            if start <= local < end if start < end else not end <= local < start:
                return True
    return False


def check_exits(played: Played) -> None:
    """Nothing happens to a passage after its exit but that its goal is reached."""
    for customer_id in CUSTOMERS:
        gone: set[int] = set()
        for made in played.transitions(customer_id):
            if made.kind in {"step", "waiting", "entered", "exited", "held_out"}:
                assert made.instance not in gone, made
            if made.kind in {"exited", "held_out"}:
                gone.add(made.instance)
    for one in played.happenings:
        for effects in (one.before, one.after):
            sent = [made.action_id for made in effects.transitions if made.reason == "sent"]
            assert sent == [action.action_id for action in effects.actions]


def check_exit_criteria(played: Played) -> None:
    """Nobody whom an exit criterion takes out is still inside after the event."""
    for one in played.happenings:
        if one.event is None or one.after.duplicates:
            continue
        moved = {made.instance for made in one.after.transitions if made.kind != "not_entered"}
        has_set = any(made.reason == "set" for made in one.after.transitions)
        for instance in one.was.instances:
            if instance.state != ACTIVE or instance.number in moved - _inside(one.then):
                continue
            journey = played.journeys.versions[instance.journey, instance.version]
            assert all(rule.on != one.event.type or rule.where is not None for rule in journey.exits_on), one
            if instance.number not in moved and not has_set:
                assert not any(_holds(one, instance, condition) for condition in journey.exits_when), one


def _inside(customer: Customer) -> set[int]:
    return {instance.number for instance in customer.instances if instance.state == ACTIVE}


def _holds(one: Happening, instance: Instance, condition: Expression) -> bool:
    scope = Scope()
    scope.customer, scope.customer_id, scope.instance, scope.now_ms = one.then, one.customer_id, instance, one.at_ms
    try:
        return bool(condition.evaluate(scope))
    except ArithmeticError:
        return False


def check_consent(played: Played) -> None:
    """No message goes out on a channel without consent, as the customer's events gave and took it."""
    granted: dict[str, dict[str, bool]] = {}
    for one in played.happenings:
        known = granted.setdefault(one.customer_id, {})
        for message in one.before.actions:
            assert known.get(message.channel), message
        if one.event is not None and not one.after.duplicates:
            _note_consent(known, one.event)
        for message in one.after.actions:
            assert known.get(message.channel), message


def _note_consent(known: dict[str, bool], event: Event) -> None:
    if event.type == "registered":
        known |= {channel: event.fields[f"{channel}_ok"] for channel in ("email", "sms", "push")}
    elif event.type == "consent_changed":
        known[event.fields["channel"]] = event.fields["granted"]


def check_order_and_ids(played: Played) -> None:
    """Decisions are in time order; each message has an id of its own."""
    for customer_id in CUSTOMERS:
        times = [made.at_ms for made in played.transitions(customer_id)]
        assert times == sorted(times)
        ids = [message.action_id for message in played.messages(customer_id)]
        assert len(set(ids)) == len(ids)


EXPECTED_FAILURES = ("ZeroDivisionError", "DivisionByZero", "DivisionUndefined", "InvalidOperation", "OverflowError")


def check_failures(played: Played) -> None:
    """What fails is a value that nobody could know beforehand: a division by zero, a template on a missing value."""
    for customer_id in CUSTOMERS:
        for made in played.transitions(customer_id):
            if made.kind == "failed":
                assert made.reason.startswith((*EXPECTED_FAILURES, "template risky")), made
            assert made.reason != "runaway", made


CHECKS = (
    check_caps,
    check_quiet_hours,
    check_exits,
    check_exit_criteria,
    check_consent,
    check_order_and_ids,
    check_failures,
)
