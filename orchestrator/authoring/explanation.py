"""What happened to one customer, and why, in sentences: from the decisions on record and the customer's own record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.engine.ids import address_digest
from orchestrator.engine.population import is_entry_clock
from orchestrator.model.action_steps import HUMAN
from orchestrator.model.actions import Transition
from orchestrator.model.customer import ACTIVE, FINISHED, HELD_OUT, NEVER_MS, PAUSED, Customer, Instance, wake_at_ms
from orchestrator.model.journey import Journey, WaitFor
from orchestrator.model.pauses import Pause

MASK = "***"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Versions = Mapping[tuple[str, str], Journey]
"""(journey, version) -> the compiled journey, as far as it could be found."""

NOT_SENT = {
    "capped": "sent nothing: the frequency caps leave no room for another message",
    "global_holdout": "sent nothing: the customer is in the global holdout, which gets no promotional messages",
    "no_consent": "sent nothing: the customer has not agreed to be written to on any channel that could be used",
    "unreachable": "sent nothing: the customer has no address on any of its channels, or none that leads anywhere",
    "skipped_quiet_hours": "sent nothing: it was quiet hours, in which promotional messages do not go out",
    "rate_limited": "sent nothing: the channel's rate had no slot for the message soon enough",
    "template_failed": "sent nothing: the template failed",
    "shadow": "would have sent a message, but the journey is in shadow and sends nothing",
}
NOT_EMITTED = {
    "invalid_event": "published nothing: the values do not fit the event's schema",
    "too_many_events": "published nothing: too many events were published about the customer within an hour",
}
ENTERED = {
    "segment": "because of a segment",
    "schedule": "by the schedule",
    "date": "because the date had come",
    "command": "because somebody asked for it",
    "journey": "because another journey started it",
    "backfill": "because the customer matched already as the journey came into force",
}
NOT_ENTERED = {
    "reentry": "did not enter: the customer has been in, and may not enter again (yet)",
    "missing_key": "did not enter: the event lacks the value that tells passages apart",
    "limit": "did not enter: the customer has entered as often as the journey's limit allows",
    "limit_of_all": "did not enter: as many customers have entered as the journey's limit allows",
    "exit_condition": "did not enter: a condition that ends the journey holds already",
}
LEFT = {
    "goal": "left: the goal was reached",
    "expired_in_pause": "left: the journey was paused, and those who stood still do not go on",
    "expired": "left: the longest time that a passage may take is over",
    "exit_condition": "left: a condition that ends the journey holds",
    "runaway": "was stopped: too many steps without a wait",
    "failed": "was stopped: the decision failed",
    "stopped_by_journey": "was stopped by another journey",
    "removed_by_operator": "was stopped because somebody asked for it",
}
ENDED = {
    "waited": "the wait was over",
    "timeout": "nothing that it waited for came in time",
    "otherwise": "no condition held",
    "set": "set attributes of the profile",
    "start_asked": "asked that the customer enter another journey",
    "stop_asked": "asked that the customer leave another journey",
    "not_running": "nobody is let into the other journey now",
    "incremented": "added to attributes of the profile",
    "added": "asked to add the customer to an audience",
    "removed": "asked to remove the customer from an audience",
    "already_in": "the customer is in the audience already",
    "not_in": "the customer is not in the audience",
    "over": "the condition for waiting did not hold any more",
    "missing": "there is no date or instant to wait for",
    "past": "what it waits for is past",
}
DROPPED = {
    "no_room": "the passage has kept as many events as it may",
    "too_old": "it came too long before the journey ran again",
}
AUDIENCE_CHANGES = {
    "added": "asked to add the customer to",
    "removed": "asked to remove the customer from",
    "already_in": "did nothing, the customer is already in",
    "not_in": "did nothing, the customer is not in",
    "no_consent": "did not add, for want of consent, the customer to",
    "unreachable": "did not add, for want of the attribute that says who the customer is there, the customer to",
    "shadow": "in shadow, changed nothing in",
    "consent_withdrawn": "the consent was taken back, so the customer is removed from",
}
REFUSED = frozenset({"no_consent", "unreachable", "shadow"})
GROUPS = {"held_out": " by the control group", "global_holdout": " without promotional messages (global holdout)"}
WHEREABOUTS = {ACTIVE: "active", HELD_OUT: "held_out", FINISHED: "finished", PAUSED: "paused"}


@dataclass(frozen=True, slots=True)
class Said:
    """One decision with its sentence. `is_refusal`: something that might have been done was not."""

    decision: Transition
    sentence: str
    is_refusal: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where the customer is in one journey. Instants are milliseconds; None for none."""

    instance: Instance
    sentence: str
    timer_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is said about one customer; `customer` is None if there is no record of it. `owners` answer for
    the journeys in it, by the version of the newest decision.
    """

    customer_id: str
    decisions: tuple[Said, ...]
    places: tuple[Place, ...]
    customer: Customer | None
    owners: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether anything at all is on record."""
        return bool(self.decisions) or self.customer is not None


def explain(
    customer_id: str,
    decisions: Sequence[Transition],
    customer: Customer | None,
    versions: Versions,
    *,
    journey: str | None = None,
    since_ms: int | None = None,
) -> Explanation:
    """The decisions in order and the places now, of one journey or of all, those before `since_ms` left out."""
    chosen = [
        decision
        for decision in decisions
        if (journey is None or decision.journey == journey) and (since_ms is None or decision.at_ms >= since_ms)
    ]
    instances = [] if customer is None else [i for i in customer.instances if journey in {None, i.journey}]
    # The newest decision is of the newest version that this customer has met.
    told = [(i.journey, i.version) for i in instances] + [(one.journey, one.version) for one in chosen]
    return Explanation(
        customer_id,
        tuple(_said(decision, versions) for decision in chosen),
        tuple(_place(instance, versions) for instance in instances),
        customer,
        dict(sorted((key[0], versions[key].owner) for key in dict(told).items() if key in versions)),
    )


def render_explanation(explanation: Explanation, *, show_personal_data: bool) -> str:
    """The explanation for people: what happened, what was not done and why, how things stand."""
    lines = [f"customer {explanation.customer_id}", "", "What happened"]
    for said in explanation.decisions:
        cause = "timer" if said.decision.event_id is None else f"event {said.decision.event_id}"
        lines.append(f"  {shown(said.decision.at_ms)}  {_passage(said.decision)}: {said.sentence} ({cause})")
    if not explanation.decisions:
        lines.append("  no decision is on record")
    refusals = Counter(
        (said.decision.journey, said.sentence.partition("; ")[0]) for said in explanation.decisions if said.is_refusal
    )
    if refusals:
        lines += ["", "What was not done, and why"]
        for (journey, sentence), times in refusals.items():
            lines.append(f"  {journey}: {sentence}{f' ({times} times)' if times > 1 else ''}")
    lines += ["", "Now"]
    lines += [f"  {place.instance.journey} #{place.instance.number}: {place.sentence}" for place in explanation.places]
    if not explanation.places:
        lines.append("  in no journey")
    customer = explanation.customer
    if customer is not None:
        lines += [f"  {line}" for line in _standing(customer, show_personal_data=show_personal_data)]
    if explanation.owners:
        lines += ["", "Who answers for it", *(f"  {name}: {owner}" for name, owner in explanation.owners.items())]
    return "\n".join(lines)


def _passage(decision: Transition) -> str:
    if not decision.journey:
        return "all journeys"
    # Who did not enter has no passage yet.
    return decision.journey if decision.kind == "not_entered" else f"{decision.journey} #{decision.instance}"


def explanation_values(explanation: Explanation, *, show_personal_data: bool) -> dict[str, Any]:
    """The explanation as values for JSON; instants in ISO 8601."""
    customer = explanation.customer
    values: dict[str, Any] = {
        "customer_id": explanation.customer_id,
        "decisions": [_decision_values(said) for said in explanation.decisions],
        "places": [_place_values(place, show_personal_data=show_personal_data) for place in explanation.places],
        "owners": dict(explanation.owners),
    }
    if customer is not None:
        values |= {
            "next_timer_at": _iso_or_none(wake_at_ms(customer)),
            "last_decision_at": iso(customer.last_at_ms),
            "consent": dict(sorted(customer.consent.items())),
            "unreachable": _cut_off(customer),
            "segments": {name: iso(at_ms) for name, at_ms in sorted(customer.segments.items())},
            "audiences": {name: iso(at_ms) for name, (at_ms, _) in sorted(customer.audiences.items())},
            "profile": _profile(customer, show_personal_data=show_personal_data),
            "messages_counted": [{"at": iso(sent.at_ms), "channel": sent.channel} for sent in customer.sends],
        }
    return values


def shown(at_ms: int) -> str:
    """An instant for people, to the second."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at_ms: int) -> str:
    """An instant as ISO 8601 in UTC, to the millisecond."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _iso_or_none(at_ms: int) -> str | None:
    return None if at_ms >= NEVER_MS else iso(at_ms)


def _said(decision: Transition, versions: Versions) -> Said:
    reason = decision.reason
    match decision.kind:
        case "entered":
            cause = f" {ENTERED[reason]}" if reason in ENTERED else ""
            return Said(decision, f'entered{cause} and began with "{decision.to}"', is_refusal=False)
        case "held_out":
            return Said(decision, "is in the control group: gets nothing, and is measured", is_refusal=True)
        case "not_entered":
            return Said(decision, NOT_ENTERED.get(reason, f"did not enter: {reason}"), is_refusal=True)
        case "goal":
            worth = "" if decision.value is None else f", worth {decision.value}"
            group = GROUPS.get(reason, "")
            return Said(decision, f"the goal was reached{group}{worth}", is_refusal=False)
        case "exited":
            at = f' at "{decision.step}"' if decision.step else ""
            return Said(decision, f"{LEFT.get(reason, f'left: {reason}')}{at}", is_refusal=False)
        case "waiting":
            return Said(decision, _waiting_said(decision), is_refusal=False)
        case "paused" | "resumed" | "dropped":
            return Said(decision, _pause_said(decision), is_refusal=decision.kind == "dropped")
        case "exposed":
            sentence = f'"{decision.step}" exposed the customer to experiment {decision.reason}, arm {decision.value}'
            return Said(decision, sentence, is_refusal=False)
        case "migrated":
            to = f', from "{decision.step}" to "{decision.to}"' if decision.step else ""
            sentence = f"came from version {decision.reason} into version {decision.version}{to}"
            return Said(decision, sentence, is_refusal=False)
        case "audience":
            change = AUDIENCE_CHANGES.get(reason, reason)
            by = f'"{decision.step}" ' if decision.step else ""
            return Said(decision, f"{by}{change} audience {decision.value}", is_refusal=reason in REFUSED)
        case "failed":
            return Said(decision, f'"{decision.step}" failed: {reason}', is_refusal=True)
        case _:
            return _step_said(decision, versions)


def _pause_said(decision: Transition) -> str:
    match decision.kind:
        case "paused":
            return f'stands still at "{decision.step}": the journey is paused'
        case "resumed":
            kept = f" with {decision.value} kept events" if decision.value not in {None, "0"} else ""
            return f'goes on from "{decision.step}"{kept}: the journey runs again'
        case _:
            why = DROPPED.get(decision.value or "", decision.value)
            return f"{decision.reason} came while the journey was paused and was dropped: {why}"


def _waiting_said(decision: Transition) -> str:
    match decision.reason:
        case "held":
            return (
                f'"{decision.step}" holds its message by {decision.value} until quiet hours end; then it decides again'
            )
        case "rate":
            return f'"{decision.step}" waits for its slot of the rate of {decision.value}; then it decides again'
        case "rebased":
            return f'"{decision.step}" waits until another moment, because the profile changed'
        case reason:
            return f'"{decision.step}" waits on: {reason}'


def _step_said(decision: Transition, versions: Versions) -> Said:
    reason, then = decision.reason, f'; then "{decision.to}"' if decision.to else ""
    if reason in NOT_SENT:
        return Said(decision, f'"{decision.step}" {NOT_SENT[reason]}{then}', is_refusal=True)
    if reason == "emitted":
        sentence = f'"{decision.step}" published the event {decision.value}, event {decision.action_id}'
        return Said(decision, f"{sentence}{then}", is_refusal=False)
    if reason in NOT_EMITTED:
        return Said(decision, f'"{decision.step}" {NOT_EMITTED[reason]}{then}', is_refusal=True)
    if reason == "asked":
        asked = "asked a person" if decision.value == HUMAN else "asked for a request to another system"
        return Said(decision, f'"{decision.step}" {asked}, action {decision.action_id}{then}', is_refusal=False)
    if reason == "sent":
        sentence = f'"{decision.step}" sent a message by {decision.value}, action {decision.action_id}'
        return Said(decision, f"{sentence}{then}", is_refusal=False)
    journey = versions.get((decision.journey, decision.version))
    step = None if journey is None else journey.steps.get(decision.step)
    if isinstance(step, WaitFor) and reason in {awaited.on for awaited in step.awaited}:
        ended = f"{reason} came"
    elif reason.startswith("case_") and reason.removeprefix("case_").isdigit():
        ended = f"condition {reason.removeprefix('case_')} held"
    elif reason == decision.to:
        ended = "chance chose"
    else:
        ended = ENDED.get(reason, reason)
    return Said(decision, f'"{decision.step}": {ended}{then}', is_refusal=False)


def _place(instance: Instance, versions: Versions) -> Place:
    timer_at_ms = min(instance.timer_at_ms, instance.goal_until_ms)
    key = f" (for {instance.key})" if instance.key else ""
    journey = versions.get((instance.journey, instance.version))
    measured = ""
    if instance.goal_until_ms < NEVER_MS:
        measured = f"; the goal counts until {shown(instance.goal_until_ms)}"
    if instance.state == HELD_OUT:
        sentence = f"in the control group since {shown(instance.entered_at_ms)}{key}{measured}"
    elif instance.state == FINISHED:
        sentence = f"done with its steps{key}{measured}"
    elif instance.state == PAUSED and instance.pause is not None:
        sentence = f"{_standing_still(instance, instance.pause)}{key}{measured}"
    else:
        sentence = f'in step "{instance.step}"{key}, entered on {shown(instance.entered_at_ms)}'
        step = None if journey is None else journey.steps.get(instance.step)
        if isinstance(step, WaitFor):
            sentence += f"; waits for {' or '.join(dict.fromkeys(awaited.on for awaited in step.awaited))}"
        if instance.timer_at_ms < NEVER_MS:
            sentence += f"; goes on at the latest on {shown(instance.timer_at_ms)}"
        if instance.pause is not None:
            sentence += f"; still has {_kept(instance.pause)} from a pause, for steps that it comes to"
        sentence += measured
    return Place(instance, sentence, None if timer_at_ms >= NEVER_MS else timer_at_ms)


def _standing_still(instance: Instance, pause: Pause) -> str:
    """Since when a passage stands still, what it keeps, and when it goes on."""
    where = f'{"before" if pause.is_before_step else "in"} step "{instance.step}"'
    since = f"since {shown(pause.since_ms)}, because the journey is paused"
    sentence = f"stands still {where} {since}; has kept {_kept(pause)}"
    if instance.timer_at_ms < NEVER_MS:
        return f"{sentence}; goes on at {shown(instance.timer_at_ms)}"
    return sentence


def _kept(pause: Pause) -> str:
    """How many events of which types."""
    kept = Counter(event.type for event in pause.kept)
    return ", ".join(f"{count} {event_type}" for event_type, count in kept.items()) or "nothing"


def _standing(customer: Customer, *, show_personal_data: bool) -> list[str]:
    """How things stand for all journeys together."""
    lines = []
    wake = wake_at_ms(customer)
    if wake < NEVER_MS:
        lines.append(f"next timer: {shown(wake)}")
    for name, due_ms in sorted(customer.clocks.items()):
        if is_entry_clock(name):
            lines.append(f"{name.partition(':')[2]} may let the customer in on {shown(due_ms)}")
    for title, is_granted in (("agreed to", True), ("not agreed to", False)):
        keys = [key for key, granted in sorted(customer.consent.items()) if granted is is_granted]
        if keys:
            lines.append(f"{title}: {', '.join(keys)}")
    if cut_off := _cut_off(customer):
        lines.append(f"the address is of no use on: {', '.join(cut_off)}")
    if customer.segments:
        members = ", ".join(f"{name} since {shown(at_ms)}" for name, at_ms in sorted(customer.segments.items()))
        lines.append(f"in segments: {members}")
    if customer.audiences:
        inside = ", ".join(f"{name} since {shown(at_ms)}" for name, (at_ms, _) in sorted(customer.audiences.items()))
        lines.append(f"in audiences: {inside}")
    profile = _profile(customer, show_personal_data=show_personal_data)
    if profile:
        lines.append(f"profile: {', '.join(f'{name} {value}' for name, value in profile.items())}")
    if customer.sends:
        sent = ", ".join(f"{one.channel} on {shown(one.at_ms)}" for one in customer.sends)
        lines.append(f"messages that caps last counted: {sent}")
    lines.append(f"last decision: {shown(customer.last_at_ms)}")
    return lines


def _cut_off(customer: Customer) -> list[str]:
    """The channels whose address is known to be of no use, as far as it is still the profile's."""
    if not customer.unreachable:
        return []
    digests = {address_digest(value) for value in customer.profile.values() if isinstance(value, str)}
    return sorted(name for name, digest in customer.unreachable.items() if digest in digests)


def _profile(customer: Customer, *, show_personal_data: bool) -> dict[str, Any]:
    # Which attributes came from personal fields the record does not say, so all of them may have.
    return {name: value if show_personal_data else MASK for name, value in sorted(customer.profile.items())}


def _decision_values(said: Said) -> dict[str, Any]:
    decision = said.decision
    values: dict[str, Any] = {
        "at": iso(decision.at_ms),
        "journey": decision.journey,
        "version": decision.version,
        "instance": decision.instance,
        "kind": decision.kind,
        "step": decision.step,
        "to": decision.to,
        "reason": decision.reason,
        "event_id": decision.event_id,
        "action_id": decision.action_id,
        "value": decision.value,
        "sentence": said.sentence,
        "is_refusal": said.is_refusal,
    }
    return {name: value for name, value in values.items() if value not in ("", None)}


def _place_values(place: Place, *, show_personal_data: bool) -> dict[str, Any]:
    instance = place.instance
    return {
        "journey": instance.journey,
        "version": instance.version,
        "instance": instance.number,
        "key": instance.key,
        "state": WHEREABOUTS[instance.state],
        "step": instance.step,
        "entered_at": iso(instance.entered_at_ms),
        "timer_at": _iso_or_none(instance.timer_at_ms),
        "goal_until": _iso_or_none(instance.goal_until_ms),
        **({} if instance.pause is None else _pause_values(instance, instance.pause)),
        "sentence": place.sentence,
        **({"entry": instance.entry} if show_personal_data else {}),
    }


def _pause_values(instance: Instance, pause: Pause) -> dict[str, Any]:
    kept = Counter(event.type for event in pause.kept)
    since = {"paused_since": iso(pause.since_ms)} if instance.state == PAUSED else {}
    return {**since, "kept_events": dict(sorted(kept.items()))}
