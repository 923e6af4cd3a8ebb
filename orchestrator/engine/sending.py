"""A send step: on which channel and when a message goes out, or why it does not."""

from __future__ import annotations

from orchestrator.engine.limits import PROMOTIONAL, choose_channel, is_left_alone, purpose_of, remember_send
from orchestrator.engine.quiet_hours import quiet_until
from orchestrator.engine.shared import next_slot_us, reserve_slot, return_slot
from orchestrator.engine.turn import Turn, end_step, fail, id_of, record, values_of
from orchestrator.model.actions import ActionCommand
from orchestrator.model.customer import Instance, Sent
from orchestrator.model.journey import Channel, Journey, RenderProblem, Send, Status


def send(turn: Turn, journey: Journey, instance: Instance, step: Send) -> str | None:
    """Asks for the message on the first channel that may be used; whatever comes of it, the next step follows. None if
    the message waits: for quiet hours to end, or for its slot of the channel's rate. Then everything is decided again.
    """
    reserved, instance.reserved = instance.reserved, ""
    if is_left_alone(turn.journeys, turn.customer_id, step):
        return end_step(turn, journey, instance, step, "global_holdout", None)
    channel, address_or_reason = choose_channel(turn.journeys, turn.customer, journey, step, turn.now_ms)
    if channel is None:
        return end_step(turn, journey, instance, step, address_or_reason, None)
    if turn.journeys.quiet_hours and step.message_class == PROMOTIONAL:
        free_ms = quiet_until(turn.journeys, turn.customer, channel.name, turn.now_ms)
        if free_ms is None:
            return end_step(turn, journey, instance, step, "skipped_quiet_hours", channel.name)
        if free_ms > turn.now_ms:
            _wait(turn, journey, instance, step, channel, free_ms, "held")
            return None
    if turn.journeys.rates and reserved != channel.name and journey.status is not Status.SHADOW:
        slot_ms = _slot_ms(turn, channel)
        if slot_ms is None:
            return end_step(turn, journey, instance, step, "rate_limited", channel.name)
        if slot_ms > turn.now_ms:
            instance.reserved = channel.name
            _wait(turn, journey, instance, step, channel, slot_ms, "rate")
            return None
    return _sent(turn, journey, instance, step, channel, address_or_reason)


def _slot_ms(turn: Turn, channel: Channel) -> int | None:
    """The instant of the message's slot, which is taken; None if it lies too far ahead."""
    rates = tuple(rate for rate in turn.journeys.rates if rate.channels is None or channel.name in rate.channels)
    if not rates:
        return turn.now_ms
    shared = turn.effects.shared
    if shared is None:
        raise LookupError("a rate is kept in the partition's shared state, and there is none")
    slot_us = next_slot_us(shared, rates, turn.now_ms)
    slot_ms = -(-slot_us // 1000)
    late_after_ms = min((rate.late_after_ms for rate in rates if rate.late_after_ms is not None), default=None)
    if late_after_ms is not None and slot_ms - turn.now_ms > late_after_ms:
        return None
    reserve_slot(shared, rates, slot_us)
    return slot_ms


def give_back(turn: Turn, instance: Instance) -> None:
    """The message does not wait for its slot any more; the next one has it, unless later ones are given away too."""
    channel, instance.reserved = instance.reserved, ""
    if turn.effects.shared is not None:
        rates = tuple(rate for rate in turn.journeys.rates if rate.channels is None or channel in rate.channels)
        return_slot(turn.effects.shared, rates, instance.timer_at_ms)


def _sent(turn: Turn, journey: Journey, instance: Instance, step: Send, channel: Channel, address: str) -> str:
    rendered = render(turn, journey, instance, step, channel.name)
    if rendered is None:
        return end_step(turn, journey, instance, step, "template_failed", channel.name)
    if journey.status is Status.SHADOW:
        return end_step(turn, journey, instance, step, "shadow", channel.name)
    language, content = rendered
    sent_as = id_of(turn, journey, instance, step.name)
    turn.effects.actions.append(
        ActionCommand(
            sent_as,
            turn.customer_id,
            journey.name,
            journey.version,
            instance.number,
            step.name,
            channel.name,
            address,
            step.template,
            language,
            content,
            step.message_class,
            step.priority,
            turn.now_ms,
            turn.now_ms + step.expires_after_ms,
            experiments=instance.exposed,
        )
    )
    if step.message_class == PROMOTIONAL:
        sent = Sent(turn.now_ms, channel.name, journey.name, purpose_of(turn.journeys, step))
        remember_send(turn.journeys.caps, turn.customer, sent)
    return end_step(turn, journey, instance, step, "sent", channel.name, sent_as)


def _wait(
    turn: Turn, journey: Journey, instance: Instance, step: Send, channel: Channel, until_ms: int, why: str
) -> None:
    """The passage stays in the step until then."""
    instance.timer_at_ms = until_ms
    record(turn, journey, instance, "waiting", step=step.name, to=step.name, reason=why, value=channel.name)


def render(
    turn: Turn, journey: Journey, instance: Instance, step: Send, channel: str
) -> tuple[str, dict[str, str]] | None:
    """(language, content) of the message, or None if the template failed; that it failed is recorded."""
    variables = values_of(turn, step.variables, journey, instance, step.name)
    variables["profile"] = turn.customer.profile
    language = turn.customer.profile.get("language")
    try:
        return step.renders[channel](language if isinstance(language, str) else "", variables)
    except RenderProblem as problem:
        fail(turn, journey, instance, step.name, f"template {step.template}: {problem}")
        return None
