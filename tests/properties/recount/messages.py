"""When messages may go out to one customer: caps and quiet hours; and that every command is one of a kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from orchestrator.model.actions import ActionCommand, Transition
from orchestrator.model.journey import Cap, JourneySet, Send, Status
from tests.properties.playing import Happening, Played
from tests.properties.random_logs import CUSTOMERS

ZONES = available_timezones()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Message = tuple[int, str, str, str]
"""When, on which channel, of which journey, for what purpose."""


def check_caps(played: Played) -> None:
    """No window of a cap's length holds more promotional messages than the cap allows, and no message is capped where
    there was room.
    """
    for customer_id in CUSTOMERS:
        sent: list[Message] = []
        for one in played.of(customer_id):
            messages = {m.action_id: m for m in promotional(one)}
            for made in one.effects.transitions:
                message = messages.get(made.action_id or "")
                if message is not None:
                    sent.append(_counted(played, made, message.channel))
                    assert not _is_full(played, sent, sent[-1], room=0), (message, sent)
                elif made.reason == "capped":
                    channels = send_step(played, made).channels
                    assert any(_is_full(played, sent, _counted(played, made, name), room=1) for name in channels), made
            if one.event is not None and one.event.type == "customer_erased":
                sent = []


def _counted(played: Played, made: Transition, channel: str) -> Message:
    return made.at_ms, channel, made.journey, purpose_of(played.journeys, send_step(played, made))


def _is_full(played: Played, sent: list[Message], message: Message, *, room: int) -> bool:
    """Whether a cap that counts the message would be broken by so many more of its kind."""
    for cap in played.journeys.caps:
        if _counts(cap, message):
            counted = [one for one in sent if _counts(cap, one) and message[0] - cap.per_ms < one[0] <= message[0]]
            if len(counted) + room > cap.max:
                return True
    return False


def _counts(cap: Cap, message: Message) -> bool:
    _, channel, journey, purpose = message
    limits = ((cap.channels, channel), (cap.journeys, journey), (cap.purposes, purpose))
    return all(allowed is None or named in allowed for allowed, named in limits)


def check_quiet_hours(played: Played) -> None:
    """No promotional message is sent in quiet hours; none is held or skipped outside of them."""
    for one in played.happenings:
        # Only events change the zone, and they do so before anything is decided.
        zone = one.then.profile.get("time_zone")
        for message in promotional(one):
            assert not _is_quiet(played, message.channel, message.created_at_ms, zone), message
        for made in one.effects.transitions:
            if made.reason == "held":
                assert _is_quiet(played, str(made.value), made.at_ms, zone), made
            elif made.reason == "skipped_quiet_hours":
                channels = send_step(played, made).channels
                assert any(_is_quiet(played, name, made.at_ms, zone) for name in channels), made


def _is_quiet(played: Played, channel: str, at_ms: int, profile_zone: object) -> bool:
    own = profile_zone if isinstance(profile_zone, str) and profile_zone in ZONES else played.journeys.default_zone
    for rule in played.journeys.quiet_hours:
        if rule.channels is None or channel in rule.channels:
            local = (EPOCH + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(rule.zone or own)).time()
            start, end = time(rule.start.hour, rule.start.minute), time(rule.end.hour, rule.end.minute)
            if start <= local < end if start < end else not end <= local < start:
                return True
    return False


def check_commands(played: Played) -> None:
    """Every command and emitted event is asked for by a transition, once, by a journey that is not in shadow."""
    for customer_id in CUSTOMERS:
        known: dict[str, int] = {}
        for one in played.of(customer_id):
            asked = [made.action_id for made in one.effects.transitions if made.action_id is not None]
            emitted = [emitted.event.event_id for emitted in one.effects.events]
            acted = [action.action_id for action in one.effects.actions]
            assert [each for each in asked if each not in emitted] == acted
            assert [each for each in asked if each in emitted] == emitted
            assert not known.keys() & set(asked)
            assert len(set(asked)) == len(asked)
            known |= dict.fromkeys(asked, one.at_ms)
            for action in one.effects.actions:
                assert action.created_at_ms == one.at_ms < action.expires_at_ms
                if action.journey:
                    assert played.journeys.versions[action.journey, action.version].status is not Status.SHADOW
            if one.event is not None and one.event.type == "customer_erased":
                # Whoever comes back begins anew with the first passage, and its instant tells it from the one before.
                known = {asked_as: at_ms for asked_as, at_ms in known.items() if at_ms < one.at_ms}


def promotional(one: Happening) -> Iterator[ActionCommand]:
    """The promotional messages of the decision."""
    return (a for a in one.effects.actions if a.kind == "send" and a.message_class == "promotional")


def send_step(played: Played, made: Transition) -> Send:
    """The send step that the transition is about."""
    step = played.journeys.versions[made.journey, made.version].steps[made.step]
    assert isinstance(step, Send)
    return step


def purpose_of(journeys: JourneySet, step: Send) -> str:
    """What the step's messages are for; "" if nobody says."""
    if not step.purpose and step.message_class == "promotional":
        return journeys.default_purpose
    return step.purpose


CHECKS = (check_caps, check_quiet_hours, check_commands)
