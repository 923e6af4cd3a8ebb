"""May this message go out to this customer now? Consent, reachability and frequency caps, across all journeys."""

from __future__ import annotations

from orchestrator.model.customer import Customer
from orchestrator.model.journey import Cap, Channel, JourneySet


def is_capped(caps: tuple[Cap, ...], sends: list[tuple[int, str]], channel: str, now_ms: int) -> bool:
    """Whether one more promotional message on this channel would break a cap.

    A window is half open: a message sent exactly `per_ms` ago no longer counts.

    >>> weekly = Cap("weekly", None, 1, 7)
    >>> is_capped((weekly,), [(10, "email")], "sms", 16), is_capped((weekly,), [(10, "email")], "sms", 17)
    (True, False)
    """
    for cap in caps:
        if cap.channels is not None and channel not in cap.channels:
            continue
        since = now_ms - cap.per_ms
        count = 0
        for at_ms, sent_on in reversed(sends):
            if at_ms <= since:
                break
            if cap.channels is None or sent_on in cap.channels:
                count += 1
        if count >= cap.max:
            return True
    return False


def choose_channel(
    journeys: JourneySet, customer: Customer, channels: tuple[str, ...], message_class: str, now_ms: int
) -> tuple[Channel | None, str]:
    """The first channel on which the customer can be reached now and its address; or None and the reason why not.

    Reasons, the most telling first: `capped`, `no_consent`, `unreachable`. Transactional messages ignore caps.
    """
    reason = "unreachable"
    for name in channels:
        channel = journeys.channels[name]
        address = customer.profile.get(channel.address)
        if not address:
            continue
        if not customer.consent.get(channel.consent, False):
            if reason == "unreachable":
                reason = "no_consent"
            continue
        if message_class == "promotional" and is_capped(journeys.caps, customer.sends, name, now_ms):
            reason = "capped"
            continue
        return channel, str(address)
    return None, reason


def remember_send(caps: tuple[Cap, ...], customer: Customer, channel: str, now_ms: int) -> None:
    """Adds a promotional message to the send history and forgets what no cap looks at any more."""
    if not caps:
        return
    horizon = now_ms - max(cap.per_ms for cap in caps)
    kept = [sent for sent in customer.sends if sent[0] > horizon]
    kept.append((now_ms, channel))
    customer.sends = kept
