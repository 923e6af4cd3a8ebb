"""A turn: one decision in progress. Everything that the verbs of a decision pass to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.engine.ids import action_id
from orchestrator.model.action_steps import Task, Webhook
from orchestrator.model.actions import Effects, Failure, Transition
from orchestrator.model.customer import ACTIVE, PAUSED, Customer, Instance, StepResult
from orchestrator.model.journey import Expression, Journey, JourneySet, Scope, Send
from orchestrator.model.pauses import Pause


class UnknownVersion(LookupError):
    """A customer is inside a journey version that the journey set does not hold.

    Never the data's fault: the worker must load the version's definition before it goes on.
    """


@dataclass(frozen=True, slots=True)
class Request:
    """That the customer be let into a journey, or be taken out of it with `reason`; both when the decision is made.

    `key` tells parallel passages apart; None, when leaving, is all of them.
    """

    journey: str
    is_start: bool
    reason: str
    key: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CatchUp:
    """That a passage that goes on after a pause sees the next thing that it missed, when the rest is decided."""

    instance: Instance


@dataclass(slots=True, eq=False)
class Contender:
    """A passage that has come to a promotional message, for which other passages may take the room under the caps."""

    journey: Journey
    instance: Instance
    step: Send


class Turn(Scope):
    """One decision about one customer; also the scope in which the decision's expressions are evaluated."""

    __slots__ = (
        "changed_attributes",
        "contenders",
        "effects",
        "event_id",
        "has_entries",
        "journeys",
        "profile_changed",
        "requests",
        "rounds",
        "segment_changes",
    )

    def __init__(
        self,
        journeys: JourneySet,
        customer: Customer,
        customer_id: str,
        event: Mapping[str, Any],
        event_id: str | None,
        now_ms: int,
        effects: Effects,
    ) -> None:
        self.journeys = journeys
        self.customer = customer
        self.customer_id = customer_id
        self.event = event
        self.event_id = event_id
        self.now_ms = now_ms
        self.effects = effects
        self.instance = None
        self.profile_changed = False
        # Those of which the entry clocks have not been told yet; None for none.
        self.changed_attributes: set[str] | None = None
        self.requests: list[Request | CatchUp] | None = None
        self.segment_changes: list[tuple[str, bool]] | None = None
        self.rounds = 0
        self.contenders: list[Contender] | None = None
        # Whether this decision may let the customer into further journeys.
        self.has_entries = True


def note_change(turn: Turn, attribute: str) -> None:
    """Says that the attribute has another value now, for all that depends on the profile."""
    turn.profile_changed = True
    if turn.changed_attributes is None:
        turn.changed_attributes = {attribute}
    else:
        turn.changed_attributes.add(attribute)


def version_of(journeys: JourneySet, instance: Instance) -> Journey:
    """The version that the instance is pinned to."""
    journey = journeys.versions.get((instance.journey, instance.version))
    if journey is None:
        raise UnknownVersion(f"journey {instance.journey} version {instance.version} is not loaded")
    return journey


def record(
    turn: Turn,
    journey: Journey,
    instance: Instance,
    kind: str,
    *,
    step: str = "",
    to: str = "",
    reason: str = "",
    action_id: str | None = None,
    value: str | None = None,
) -> None:
    """Adds a transition to the decision's effects."""
    turn.effects.transitions.append(
        Transition(
            turn.customer_id,
            journey.name,
            journey.version,
            instance.number,
            kind,
            step,
            to,
            reason,
            turn.now_ms,
            turn.event_id,
            action_id,
            value,
        )
    )


def holds(turn: Turn, condition: Expression | None, journey: Journey, instance: Instance, place: str) -> bool:
    """Whether the condition holds. One that cannot be evaluated does not hold; that it failed is recorded."""
    if condition is None:
        return True
    try:
        return bool(condition.evaluate(turn))
    except ArithmeticError as error:
        fail(turn, journey, instance, place, f"{type(error).__name__} in {condition.text}")
        return False


def value_of(turn: Turn, expression: Expression, journey: Journey, instance: Instance, place: str) -> Any:
    """The expression's value, or None if it cannot be evaluated; that it failed is recorded."""
    try:
        return expression.evaluate(turn)
    except ArithmeticError as error:
        fail(turn, journey, instance, place, f"{type(error).__name__} in {expression.text}")
        return None


def fail(turn: Turn, journey: Journey, instance: Instance, place: str, detail: str) -> None:
    """Records that a condition or template failed; the passage goes on."""
    turn.effects.failures.append(Failure(journey.name, place, detail))
    record(turn, journey, instance, "failed", step=place, reason=detail)


def go_on(turn: Turn, journey: Journey, instance: Instance, step: str, go: str, outcome: str) -> str:
    """Keeps and records how the step ended; gives the step that follows."""
    note(instance, step, turn.now_ms, outcome)
    record(turn, journey, instance, "step", step=step, to=go, reason=outcome)
    return go


def note(
    instance: Instance, step: str, at_ms: int, outcome: str, sent_as: str | None = None, channel: str | None = None
) -> None:
    """Keeps how the step ended, for later conditions and for the next visit's number."""
    before = instance.results.get(step)
    visits = 1 if before is None else before.visits + 1
    instance.results[step] = StepResult(visits, at_ms, outcome, sent_as, channel)


def ask(turn: Turn, request: Request) -> None:
    """Keeps what is to follow when the decision is made: in the order asked, but before what passages have missed."""
    if turn.requests is None:
        turn.requests = []
    first = next((place for place, one in enumerate(turn.requests) if isinstance(one, CatchUp)), len(turn.requests))
    turn.requests.insert(first, request)
    if request.is_start:
        turn.has_entries = True


def come_to_a_step(turn: Turn, instance: Instance, pause: Pause) -> None:
    """The step that the passage comes to has seen nothing yet of what it kept in a pause."""
    pause.shown = 0
    pause.came_ms, pause.over_ms = max(pause.came_ms or 0, pause.over_ms or pause.since_ms), None
    ask_to_catch_up(turn, instance)


def ask_to_catch_up(turn: Turn, instance: Instance) -> None:
    """Has the passage look at what it missed in a pause, after all else that is to follow; once is enough."""
    if turn.requests is None:
        turn.requests = []
    if not any(isinstance(one, CatchUp) and one.instance is instance for one in turn.requests):
        turn.requests.append(CatchUp(instance))


def takes_part(turn: Turn, journey: Journey, instance: Instance, step: Send) -> bool:
    """Whether the message has to wait until all passages have come as far as they come with this decision; if so it is
    kept (`engine/contest.py`).
    """
    if step.message_class != "promotional" or not (turn.journeys.caps or turn.journeys.rates):
        return False
    if not turn.has_entries:
        for other in turn.customer.instances:
            if other is instance:
                continue
            # One that stands still comes to a message too, if its turn to go on is now.
            if other.state == ACTIVE or (other.state == PAUSED and other.timer_at_ms <= turn.now_ms):
                break
        else:
            # Nobody is there who could come to a message too.
            return False
    if turn.contenders is None:
        turn.contenders = []
    turn.contenders.append(Contender(journey, instance, step))
    return True


def values_of(
    turn: Turn, variables: tuple[tuple[str, Expression], ...], journey: Journey, instance: Instance, place: str
) -> dict[str, Any]:
    """The variables' values; null for one that cannot be computed, which is recorded."""
    return {name: value_of(turn, expression, journey, instance, place) for name, expression in variables}


def id_of(turn: Turn, journey: Journey, instance: Instance, step: str) -> str:
    """The id of what this visit of the step asks for."""
    before = instance.results.get(step)
    visit = 1 if before is None else before.visits + 1
    return action_id(turn.customer_id, journey.name, instance.number, instance.entered_at_ms, step, visit)


def end_step(
    turn: Turn,
    journey: Journey,
    instance: Instance,
    step: Send | Task | Webhook,
    outcome: str,
    channel: str | None,
    sent_as: str | None = None,
) -> str:
    """Keeps and records how the step ended; gives the step that follows."""
    note(instance, step.name, turn.now_ms, outcome, sent_as, channel)
    record(
        turn,
        journey,
        instance,
        "step",
        step=step.name,
        to=step.next,
        reason=outcome,
        action_id=sent_as,
        value=channel,
    )
    return step.next
