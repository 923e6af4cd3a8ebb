"""Checked steps that ask for something other than a message -> what the engine executes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, assert_never

from orchestrator.authoring.drafts import (
    ActionDraft,
    ChangeAudienceDraft,
    EmitDraft,
    Formula,
    IncrementDraft,
    JourneyDraft,
    Ref,
    StartDraft,
    StopDraft,
    TaskDraft,
    WebhookDraft,
)
from orchestrator.authoring.emitted_events import event_builder, topic_of
from orchestrator.authoring.expression_closures import stored
from orchestrator.authoring.expression_nodes import Apply, Attribute, Constant
from orchestrator.authoring.expression_types import as_decimal
from orchestrator.authoring.expressions import Checked, compile_checked
from orchestrator.authoring.json_values import json_instant, json_of, json_text
from orchestrator.authoring.rendering import template_value
from orchestrator.authoring.world import World
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
from orchestrator.model.journey import Audience, Expression, Journey
from orchestrator.model.types import Kind, Type

if TYPE_CHECKING:
    from orchestrator.authoring.lowering import Lowering


def lower_action(step: ActionDraft, following: str, lowering: Lowering) -> ActionStep:
    """The step as the engine executes it."""
    match step:
        case IncrementDraft():
            attributes = lowering.world.attributes
            sums = tuple(
                (
                    attribute.name,
                    _sum(attribute.name, attributes[attribute.name], lowering.checked[formula], lowering),
                    stored(attributes[attribute.name]),
                )
                for attribute, formula in step.increments
            )
            return Increment(step.name.name, sums, following)
        case ChangeAudienceDraft():
            names = tuple(ref.name for ref in step.audiences)
            return ChangeAudience(step.name.name, names, step.is_add, step.priority, step.expires_ms, following)
        case TaskDraft():
            return _task(step, following, lowering)
        case WebhookDraft():
            return _webhook(step, following, lowering)
        case EmitDraft():
            event = lowering.world.event_types[step.event.name]
            variables = _variables(step.variables, lowering)
            topic = topic_of(event) or ""
            return Emit(step.name.name, event.name, topic, variables, event_builder(event), following)
        case StartDraft():
            return StartJourney(step.name.name, step.journey.name, following)
        case StopDraft():
            return StopJourney(step.name.name, step.journey.name, following)
        case _:
            assert_never(step)


def _task(step: TaskDraft, following: str, lowering: Lowering) -> Task:
    variables = _variables(step.variables, lowering)
    types = {name: expression.type for name, expression in variables}
    printers = {name: print_as for name, of in types.items() if (print_as := template_value(of)) is not None}
    as_json = json_of(types)

    def context(journey: str, entered_at_ms: int, values: dict[str, Any]) -> str:
        inner = f'{{"entered_at":"{json_instant(entered_at_ms)}","journey":{json_text(journey)},"variables":'
        return f"{inner}{as_json(values)}}}"

    return Task(
        name=step.name.name,
        queue=step.queue.name,
        template=step.template.name,
        render=lowering.render(step.template.name, HUMAN),
        variables=variables,
        print_as=printers,
        context=context,
        due_after_ms=step.due_ms,
        message_class=step.message_class,
        priority=step.priority,
        expires_after_ms=step.expires_ms,
        next=following,
    )


def _webhook(step: WebhookDraft, following: str, lowering: Lowering) -> Webhook:
    webhook = lowering.world.webhooks[step.webhook.name]
    variables = _variables(step.variables, lowering)
    return Webhook(
        name=step.name.name,
        webhook=webhook.name.name,
        endpoint=webhook.endpoint.name,
        method=webhook.method,
        variables=variables,
        body=json_of({name: expression.type for name, expression in variables}),
        message_class=webhook.message_class,
        priority=step.priority,
        expires_after_ms=webhook.expires_ms,
        next=following,
    )


def _variables(pairs: tuple[tuple[Ref, Formula], ...], lowering: Lowering) -> tuple[tuple[str, Expression], ...]:
    return tuple((name.name, lowering.expression(formula)) for name, formula in pairs)


def _sum(attribute: str, of: Type, by: Checked, lowering: Lowering) -> Expression:
    """The attribute, or nothing where there is none, and the increment; exact where the attribute is a decimal."""
    before = Attribute(Type(of.kind, nullable=True), attribute)
    is_decimal = of.kind is Kind.DECIMAL
    nothing = Constant(of, Decimal(0) if is_decimal else 0, "0")
    added = as_decimal(by.node) if is_decimal else by.node
    node = Apply(Type(of.kind, nullable=True), "+", (Apply(of, "??", (before, nothing)), added))
    return compile_checked(Checked(f"{attribute} + {by.text}", node), lowering.captured)


def lower_audiences(world: World) -> dict[str, Audience]:
    """The audiences by name."""
    return {
        name: Audience(
            name,
            audience.destination.name,
            f"actions.{audience.destination.name}",
            audience.identity.name,
            audience.consent.name,
        )
        for name, audience in sorted(world.audiences.items())
    }


def services_of(journey: Journey) -> frozenset[str]:
    """Of the channels of tasks and of webhooks, those that the journey uses."""
    found = {HUMAN for step in journey.steps.values() if isinstance(step, Task)}
    return frozenset(found | {WEBHOOK for step in journey.steps.values() if isinstance(step, Webhook)})


def emits_of(journey: Journey) -> dict[str, str]:
    """Event type → topic, of the events that the journey emits."""
    return {step.event_type: step.topic for step in journey.steps.values() if isinstance(step, Emit)}


def action_texts(draft: JourneyDraft, world: World) -> list[tuple[str, str]]:
    """What decides about the journey's actions besides the journey's own text, for its version."""
    texts: set[tuple[str, str]] = set()
    for step in draft.steps:
        match step:
            case ChangeAudienceDraft():
                for ref in step.audiences:
                    audience = world.audiences[ref.name]
                    kept = f"{audience.destination.name} {audience.identity.name} {audience.consent.name}"
                    texts.add((f"audience {ref.name}", kept))
            case TaskDraft():
                files = [file for file in world.templates[step.template.name] if file.channel == HUMAN]
                texts |= {(f"template {file.path}", file.text) for file in files}
            case WebhookDraft():
                of = world.webhooks[step.webhook.name]
                texts.add(
                    (f"webhook {of.name.name}", f"{of.endpoint.name} {of.method} {of.message_class} {of.expires_ms}")
                )
            case EmitDraft():
                event = world.event_types[step.event.name]
                texts.add((f"event {event.name}", json.dumps(json.loads(event.schema_json), sort_keys=True)))
            case _:
                pass
    return sorted(texts)
