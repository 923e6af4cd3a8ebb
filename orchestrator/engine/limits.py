"""May this message go out to this customer now? Consent, reachability and frequency caps, across all journeys."""

from __future__ import annotations

from orchestrator.engine.ids import draw
from orchestrator.engine.reach import is_cut_off
from orchestrator.model.customer import Customer, Sent
from orchestrator.model.journey import Cap, Channel, Journey, JourneySet, Send
from orchestrator.model.policies import Basis, Purpose

PROMOTIONAL = "promotional"


def counts_for(cap: Cap, message: Sent) -> bool:
    """Whether the cap counts such a message."""
    return (
        (cap.channels is None or message.channel in cap.channels)
        and (cap.purposes is None or message.purpose in cap.purposes)
        and (cap.journeys is None or message.journey in cap.journeys)
    )


def is_capped(caps: tuple[Cap, ...], sends: list[Sent], message: Sent) -> bool:
    """Whether one more promotional message, this one, would break a cap.

    A window is half open: a message sent exactly `per_ms` ago no longer counts.

    >>> weekly, sends = Cap("weekly", None, 1, 7), [Sent(10, "email")]
    >>> is_capped((weekly,), sends, Sent(16, "sms")), is_capped((weekly,), sends, Sent(17, "sms"))
    (True, False)
    """
    for cap in caps:
        if not counts_for(cap, message):
            continue
        since = message.at_ms - cap.per_ms
        count = 0
        # Not in time order where a new journey set let the customer in before timers that were overdue fired.
        for sent in sends:
            if sent.at_ms > since and counts_for(cap, sent):
                count += 1
        if count >= cap.max:
            return True
    return False


def purpose_of(journeys: JourneySet, step: Send) -> str:
    """What the step's messages are for; "" if nothing is said."""
    return step.purpose or (journeys.default_purpose if step.message_class == PROMOTIONAL else "")


def has_agreed(customer: Customer, channel: Channel, purpose: Purpose | None) -> bool:
    """Whether a message for this purpose (None: nothing is said) may go out on this channel.

    The channel's consent and the purpose's are both needed; where the basis is a legitimate interest, neither may
    have been taken back; a contract needs none.
    """
    consent = customer.consent
    if purpose is None:
        return consent.get(channel.consent, False)
    if purpose.basis is Basis.CONTRACT:
        return True
    is_free = purpose.basis is Basis.LEGITIMATE_INTEREST
    key = purpose.by_channel.get(channel.name, purpose.consent)
    return consent.get(channel.consent, is_free) and consent.get(key, is_free)


def choose_channel(
    journeys: JourneySet, customer: Customer, journey: Journey, step: Send, now_ms: int
) -> tuple[Channel | None, str]:
    """The first channel on which the customer can be reached now and its address; or None and the reason why not.

    Reasons, the most telling first: `capped`, `no_consent`, `unreachable`. Transactional messages ignore caps.
    """
    reason = "unreachable"
    named = purpose_of(journeys, step)
    purpose = journeys.purposes.get(named)
    if named and purpose is None:
        # Nobody can have agreed to what nobody describes any more.
        return None, "no_consent"
    for name in step.channels:
        channel = journeys.channels[name]
        address = customer.profile.get(channel.address)
        if not address or (customer.unreachable and is_cut_off(customer, channel, str(address))):
            continue
        if not has_agreed(customer, channel, purpose):
            if reason == "unreachable":
                reason = "no_consent"
            continue
        if step.message_class == PROMOTIONAL and is_capped(
            journeys.caps, customer.sends, Sent(now_ms, name, journey.name, named)
        ):
            reason = "capped"
            continue
        return channel, str(address)
    return None, reason


def is_left_alone(journeys: JourneySet, customer_id: str, step: Send) -> bool:
    """Whether the message is withheld because the customer is in the global holdout."""
    holdout = journeys.global_holdout
    return (
        holdout is not None
        and step.message_class == PROMOTIONAL
        and purpose_of(journeys, step) not in holdout.excepted
        and is_in_global_holdout(journeys, customer_id)
    )


def is_in_global_holdout(journeys: JourneySet, customer_id: str) -> bool:
    """Whether this is one of the customers whom no journey sends promotional messages."""
    holdout = journeys.global_holdout
    return holdout is not None and draw(f"global_holdout/{holdout.salt}", customer_id) < holdout.share


def measured_globally(journeys: JourneySet, journey: Journey, customer_id: str) -> bool:
    """Whether the passage tells what happens without promotional messages: the journey has such, and not for this
    customer.
    """
    return is_in_global_holdout(journeys, customer_id) and any(
        isinstance(step, Send) and is_left_alone(journeys, customer_id, step) for step in journey.steps.values()
    )


def remember_send(caps: tuple[Cap, ...], customer: Customer, message: Sent) -> None:
    """Adds a promotional message to the send history and forgets what no cap looks at any more.

    What is kept is what some cap counts and its window still holds: at most as many messages as all caps together
    allow.
    """
    if not caps:
        return
    customer.sends = [
        sent
        for sent in (*customer.sends, message)
        if any(sent.at_ms > message.at_ms - cap.per_ms and counts_for(cap, sent) for cap in caps)
    ]
