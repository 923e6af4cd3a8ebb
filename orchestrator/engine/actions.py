"""Steps that ask for something other than a message, or change what is known about the customer."""

from __future__ import annotations

from typing import assert_never

from orchestrator.engine.audiences import change_audiences
from orchestrator.engine.turn import (
    Request,
    Turn,
    ask,
    end_step,
    fail,
    id_of,
    note,
    note_change,
    record,
    value_of,
    values_of,
)
from orchestrator.model.action_steps import (
    HUMAN,
    WEBHOOK,
    ActionStep,
    ChangeAudience,
    Emit,
    Increment,
    StartJourney,
    StopJourney,
    Task,
    Webhook,
)
from orchestrator.model.actions import ActionCommand
from orchestrator.model.customer import Instance
from orchestrator.model.events import EmittedEvent, Event
from orchestrator.model.journey import Journey, RenderProblem, SetProfile, Status

CONTEXT = "context"
"""The part of a task's content that tells, as JSON, where it comes from and with what values."""

STOPPED = "stopped_by_journey"
"""The reason with which a passage ends that another journey stops."""

EMITTED_MAX = 100
EMITTED_WITHIN_MS = 3_600_000
"""At most so many events are emitted for a customer within an hour: journeys that set each other off come to an end."""


def act(turn: Turn, journey: Journey, instance: Instance, step: ActionStep | SetProfile) -> str:
    """Does what the step says; gives the step that follows."""
    match step:
        case SetProfile():
            return set_profile(turn, journey, instance, step)
        case Increment():
            return increment(turn, journey, instance, step)
        case ChangeAudience():
            return change_audiences(turn, journey, instance, step)
        case Task():
            return ask_person(turn, journey, instance, step)
        case Webhook():
            return ask_endpoint(turn, journey, instance, step)
        case Emit():
            return emit(turn, journey, instance, step)
        case StartJourney() | StopJourney():
            return start_or_stop(turn, journey, instance, step)
        case _:
            assert_never(step)


def set_profile(turn: Turn, journey: Journey, instance: Instance, step: SetProfile) -> str:
    """Sets profile attributes; null takes an attribute away."""
    profile = turn.customer.profile
    for attribute, expression, store in step.assignments:
        value = value_of(turn, expression, journey, instance, step.name)
        kept = value if value is None or store is None else store(value)
        if profile.get(attribute) == kept:
            continue
        note_change(turn, attribute)
        if kept is None:
            profile.pop(attribute, None)
        else:
            profile[attribute] = kept
    if step.keeps_result:
        note(instance, step.name, turn.now_ms, "set")
    record(turn, journey, instance, "step", step=step.name, to=step.next, reason="set")
    return step.next


def increment(turn: Turn, journey: Journey, instance: Instance, step: Increment) -> str:
    """Adds to profile attributes. A sum that is null or cannot be computed leaves its attribute as it is."""
    profile = turn.customer.profile
    for attribute, expression, store in step.sums:
        total = value_of(turn, expression, journey, instance, step.name)
        if total is None:
            continue
        kept = total if store is None else store(total)
        if profile.get(attribute) != kept:
            profile[attribute] = kept
            note_change(turn, attribute)
    if step.keeps_result:
        note(instance, step.name, turn.now_ms, "incremented")
    record(turn, journey, instance, "step", step=step.name, to=step.next, reason="incremented")
    return step.next


def ask_person(turn: Turn, journey: Journey, instance: Instance, step: Task) -> str:
    """Asks a person of the queue; the outcome is `asked`, `shadow` or `template_failed`."""
    values = values_of(turn, step.variables, journey, instance, step.name)
    printed = {name: step.print_as[name](value) if name in step.print_as else value for name, value in values.items()}
    printed["profile"] = turn.customer.profile
    wanted = turn.customer.profile.get("language")
    try:
        language, content = step.render(wanted if isinstance(wanted, str) else "", printed)
    except RenderProblem as problem:
        fail(turn, journey, instance, step.name, f"template {step.template}: {problem}")
        return finish(turn, journey, instance, step, "template_failed", None, HUMAN)
    content[CONTEXT] = step.context(journey.title, instance.entered_at_ms, values)
    command = ActionCommand(
        id_of(turn, journey, instance, step.name),
        turn.customer_id,
        journey.name,
        journey.version,
        instance.number,
        step.name,
        HUMAN,
        "",
        step.template,
        language,
        content,
        step.message_class,
        step.priority,
        turn.now_ms,
        turn.now_ms + step.expires_after_ms,
        "task",
        step.queue,
        None if step.due_after_ms is None else turn.now_ms + step.due_after_ms,
        instance.exposed,
    )
    return finish(turn, journey, instance, step, "asked", command, HUMAN)


def ask_endpoint(turn: Turn, journey: Journey, instance: Instance, step: Webhook) -> str:
    """Asks for a request to the endpoint; the outcome is `asked` or `shadow`."""
    values = values_of(turn, step.variables, journey, instance, step.name)
    command = ActionCommand(
        id_of(turn, journey, instance, step.name),
        turn.customer_id,
        journey.name,
        journey.version,
        instance.number,
        step.name,
        WEBHOOK,
        step.endpoint,
        "",
        "",
        {"method": step.method, "body": step.body(values)},
        step.message_class,
        step.priority,
        turn.now_ms,
        turn.now_ms + step.expires_after_ms,
        "webhook",
        step.webhook,
        experiments=instance.exposed,
    )
    return finish(turn, journey, instance, step, "asked", command, WEBHOOK)


def emit(turn: Turn, journey: Journey, instance: Instance, step: Emit) -> str:
    """Publishes the event; the outcome is `emitted`, `invalid_event`, `too_many_events` or `shadow`."""
    event_id = id_of(turn, journey, instance, step.name)
    head = {"event_id": event_id, "customer_id": turn.customer_id, "occurred_at": turn.now_ms}
    fields = step.build({**head, **values_of(turn, step.variables, journey, instance, step.name)})
    customer = turn.customer
    began_ms, count = customer.emitted
    if turn.now_ms - began_ms >= EMITTED_WITHIN_MS:
        began_ms, count = turn.now_ms, 0
    if fields is None:
        fail(turn, journey, instance, step.name, f"event {step.event_type}: the values do not fit its schema")
        outcome = "invalid_event"
    elif journey.status is Status.SHADOW:
        outcome = "shadow"
    elif count >= EMITTED_MAX:
        outcome = "too_many_events"
    else:
        outcome = "emitted"
        customer.emitted = (began_ms, count + 1)
        source = f"{journey.name}/{journey.version}/{instance.number}/{step.name}"
        event = Event(step.event_type, event_id, turn.customer_id, fields)
        turn.effects.events.append(EmittedEvent(event, step.topic, turn.now_ms, source))
    asked_as = event_id if outcome == "emitted" else None
    note(instance, step.name, turn.now_ms, outcome, asked_as)
    value = step.event_type
    record(
        turn, journey, instance, "step", step=step.name, to=step.next, reason=outcome, action_id=asked_as, value=value
    )
    return step.next


def start_or_stop(turn: Turn, journey: Journey, instance: Instance, step: StartJourney | StopJourney) -> str:
    """Asks that the customer enter or leave the other journey, which follows when this decision is made.

    The outcome is `start_asked` or `stop_asked`, `not_running` if nobody is let into the other one, or `shadow`.
    """
    is_start = isinstance(step, StartJourney)
    if journey.status is Status.SHADOW:
        outcome = "shadow"
    elif is_start and step.journey not in turn.journeys.entries_by_command:
        outcome = "not_running"
    else:
        outcome = "start_asked" if is_start else "stop_asked"
        ask(turn, Request(step.journey, is_start, "journey" if is_start else STOPPED))
    note(instance, step.name, turn.now_ms, outcome)
    record(turn, journey, instance, "step", step=step.name, to=step.next, reason=outcome, value=step.journey)
    return step.next


def finish(
    turn: Turn,
    journey: Journey,
    instance: Instance,
    step: Task | Webhook,
    outcome: str,
    command: ActionCommand | None,
    channel: str,
) -> str:
    """Asks for the command, if there is one and the journey is not in shadow; keeps and records how the step ended."""
    if command is not None and journey.status is Status.SHADOW:
        outcome, command = "shadow", None
    asked_as = None
    if command is not None:
        asked_as = command.action_id
        turn.effects.actions.append(command)
    return end_step(turn, journey, instance, step, outcome, channel if asked_as else None, asked_as)
