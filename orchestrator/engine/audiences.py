"""Lists of people elsewhere that journeys add customers to and remove them from.

What the customer was added to is kept in the record, so adding twice asks for nothing twice. A customer who takes
the consent back is removed at once, whatever any journey does.
"""

from __future__ import annotations

from orchestrator.engine.ids import action_id
from orchestrator.engine.turn import Turn, note, record
from orchestrator.model.action_steps import ChangeAudience
from orchestrator.model.actions import ActionCommand, Transition
from orchestrator.model.customer import Instance
from orchestrator.model.journey import Audience, Journey, Status

REMOVAL_EXPIRES_MS = 365 * 86_400_000
"""A removal is worth doing however late it is: it is what the customer asked for."""

REMOVAL_PRIORITY = 9
WITHDRAWN = "consent_withdrawn"


def change_audiences(turn: Turn, journey: Journey, instance: Instance, step: ChangeAudience) -> str:
    """Adds or removes the customer; each audience has its outcome, and the last one is the step's."""
    before = instance.results.get(step.name)
    visit = 1 if before is None else before.visits + 1
    outcome = ""
    for name in step.audiences:
        audience = turn.journeys.audiences[name]
        command_id = action_id(
            turn.customer_id, journey.name, instance.number, instance.entered_at_ms, f"{step.name}:{name}", visit
        )
        outcome, identity = add(turn, audience) if step.is_add else remove(turn, audience)
        is_asked = identity is not None
        if identity is not None and journey.status is Status.SHADOW:
            outcome, is_asked = "shadow", False
        elif identity is not None:
            keep(turn, name, identity, is_member=step.is_add)
            turn.effects.actions.append(_command(turn, journey, instance, step, audience, identity, command_id))
        sent_as = command_id if is_asked else None
        record(
            turn, journey, instance, "audience", step=step.name, reason=outcome, action_id=sent_as, value=audience.name
        )
    note(instance, step.name, turn.now_ms, outcome)
    record(turn, journey, instance, "step", step=step.name, to=step.next, reason=outcome)
    return step.next


def add(turn: Turn, audience: Audience) -> tuple[str, str | None]:
    """(outcome, who the customer is there), the latter None if nothing is to be asked for."""
    if audience.name in turn.customer.audiences:
        return "already_in", None
    identity = turn.customer.profile.get(audience.identity)
    if not identity:
        return "unreachable", None
    if not turn.customer.consent.get(audience.consent, False):
        return "no_consent", None
    return "added", str(identity)


def remove(turn: Turn, audience: Audience) -> tuple[str, str | None]:
    """(outcome, who the customer was when added), the latter None if nothing is to be asked for."""
    member = turn.customer.audiences.get(audience.name)
    return ("not_in", None) if member is None else ("removed", member[1])


def keep(turn: Turn, name: str, identity: str, *, is_member: bool) -> None:
    """Keeps that the customer is in the audience, or is not any more."""
    turn.profile_changed = True
    if is_member:
        turn.customer.audiences[name] = (turn.now_ms, identity)
    else:
        del turn.customer.audiences[name]


def withdraw(turn: Turn) -> None:
    """Removes the customer from the audiences whose consent is not given any more."""
    audiences, consent = turn.journeys.audiences, turn.customer.consent
    lost = [name for name in turn.customer.audiences if name in audiences and not consent.get(audiences[name].consent)]
    withdraw_from(turn, lost, reason=WITHDRAWN)


def withdraw_from(turn: Turn, names: list[str], *, reason: str) -> None:
    """Removes the customer from these audiences at once. One that no journey set declares any more is left alone."""
    for name in names:
        audience = turn.journeys.audiences.get(name)
        if audience is None:
            continue
        since_ms, identity = turn.customer.audiences.pop(name)
        turn.profile_changed = True
        command_id = action_id(turn.customer_id, "", 0, since_ms, f"{name}:{reason}:{turn.event_id}", 1)
        turn.effects.actions.append(
            ActionCommand(
                command_id,
                turn.customer_id,
                "",
                "",
                0,
                "",
                audience.channel,
                identity,
                "",
                "",
                {},
                "transactional",
                REMOVAL_PRIORITY,
                turn.now_ms,
                turn.now_ms + REMOVAL_EXPIRES_MS,
                "audience_remove",
                name,
            )
        )
        turn.effects.transitions.append(
            Transition(
                turn.customer_id, "", "", 0, "audience", "", "", reason, turn.now_ms, turn.event_id, command_id, name
            )
        )


def _command(
    turn: Turn,
    journey: Journey,
    instance: Instance,
    step: ChangeAudience,
    audience: Audience,
    identity: str,
    command_id: str,
) -> ActionCommand:
    return ActionCommand(
        command_id,
        turn.customer_id,
        journey.name,
        journey.version,
        instance.number,
        step.name,
        audience.channel,
        identity,
        "",
        "",
        {},
        "promotional",
        step.priority,
        turn.now_ms,
        turn.now_ms + (step.expires_after_ms if step.is_add else REMOVAL_EXPIRES_MS),
        "audience_add" if step.is_add else "audience_remove",
        audience.name,
        experiments=instance.exposed,
    )
