"""Steps that ask for something other than a message, and what they refer to, against the world."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, assert_never

from orchestrator.authoring.drafts import (
    ActionDraft,
    ChangeAudienceDraft,
    EmitDraft,
    IncrementDraft,
    JourneyDraft,
    OnCommandDraft,
    Ref,
    StartDraft,
    StopDraft,
    TaskDraft,
    WebhookDraft,
)
from orchestrator.authoring.emit_checks import check_emit
from orchestrator.authoring.expression_functions import NUMBER
from orchestrator.authoring.expression_nodes import Names
from orchestrator.authoring.expression_types import described
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.engine.actions import CONTEXT
from orchestrator.model.action_steps import HUMAN, WEBHOOK
from orchestrator.model.types import Kind, Type

if TYPE_CHECKING:
    from orchestrator.authoring.checks import Checks

SERVICES = frozenset({HUMAN, WEBHOOK})
"""Channels that are always there and that no message is sent on."""


def an_increment(of: Type) -> tuple[str, str, str] | None:
    """Demands something that can be added to a number."""
    if of.kind in NUMBER:
        return None
    return "J430", f"an increment is a number, and this is {described(of)}", "write increment: {visits: 1}"


def check_action(step: ActionDraft, names: Names, checks: Checks) -> None:
    """Checks one step."""
    match step:
        case IncrementDraft():
            for _, formula in step.increments:
                checks.formula(formula, names, an_increment)
        case ChangeAudienceDraft():
            for ref in step.audiences:
                _check_audience(ref, checks)
        case TaskDraft():
            _check_task(step, names, checks)
        case WebhookDraft():
            for _, formula in step.variables:
                checks.formula(formula, names, anything)
            webhooks = checks.world.webhooks
            if step.webhook.name not in webhooks:
                hint = did_you_mean(step.webhook.name, webhooks, otherwise="webhooks.yaml names the webhooks")
                message = f'there is no webhook "{step.webhook.name}"'
                checks.problems.append(problem_at(step.webhook.node, "J233", message, hint=hint))
        case EmitDraft():
            check_emit(step, names, checks)
        case StartDraft() | StopDraft():
            # Whether there is such a journey is seen when all have been read: `check_starts`.
            pass
        case _:
            assert_never(step)


def anything(_: Type) -> None:
    """Demands nothing."""


def _check_task(step: TaskDraft, names: Names, checks: Checks) -> None:
    for _, formula in step.variables:
        checks.formula(formula, names, anything)
    files = checks.world.templates.get(step.template.name)
    if files is None:
        hint = did_you_mean(step.template.name, checks.world.templates, otherwise="templates lie in templates/<name>/")
        message = f'there is no template "{step.template.name}"'
        checks.problems.append(problem_at(step.template.node, "J204", message, hint=hint))
        return
    for_people = [file for file in files if file.channel == HUMAN]
    if not for_people:
        message = f'template "{step.template.name}" has no text for people'
        hint = f"add templates/{step.template.name}/{HUMAN}.liquid"
        checks.problems.append(problem_at(step.template.node, "J234", message, hint=hint))
    if any(part.name == CONTEXT for file in for_people for part in file.parts):
        message = f'the part "{CONTEXT}" of template "{step.template.name}" says where a task comes from'
        checks.problems.append(problem_at(step.template.node, "J235", message, hint="give the part another name"))


def check_starts(journeys: Iterable[JourneyDraft], problems: Problems, *, is_complete: bool) -> None:
    """Checks that journeys which are started or stopped exist, and that those which are started are there for it.

    `is_complete` is whether every journey could be read, so that one can be said not to be there.
    """
    drafts = {draft.name.name: draft for draft in journeys}
    for draft in drafts.values():
        for step in draft.steps:
            if not isinstance(step, StartDraft | StopDraft):
                continue
            other = drafts.get(step.journey.name)
            if other is None:
                if is_complete:
                    message = f'there is no journey "{step.journey.name}"'
                    hint = did_you_mean(step.journey.name, drafts)
                    problems.append(problem_at(step.journey.node, "J238", message, hint=hint))
            elif isinstance(step, StartDraft) and not isinstance(other.entry.trigger, OnCommandDraft):
                message = f'journey "{step.journey.name}" is not entered by command'
                hint = f"write entry: {{command: true}} in {step.journey.name}.yaml, or emit the event it is entered on"
                problems.append(problem_at(step.journey.node, "J435", message, hint=hint))


def check_channel_names(checks: Checks) -> None:
    """Reports channels that are called like those of tasks or of webhooks."""
    for channel in checks.world.channels.values():
        if channel.name.name in SERVICES:
            _report_service(channel.name, checks)


def check_message_channel(ref: Ref, checks: Checks) -> bool:
    """Whether a message can be sent on a channel of this name; reports that people and systems are asked otherwise."""
    if ref.name in SERVICES and ref.name not in checks.world.channels:
        _report_service(ref, checks)
        return False
    return True


def _report_service(ref: Ref, checks: Checks) -> None:
    hint = (
        "ask a person by a step of its own: task: QUEUE, with template and due"
        if ref.name == HUMAN
        else "call another system by a step of its own: webhook: NAME"
    )
    checks.problems.append(problem_at(ref.node, "J232", f'"{ref.name}" is no channel for messages', hint=hint))


def _check_audience(ref: Ref, checks: Checks) -> None:
    audiences = checks.world.audiences
    if ref.name not in audiences:
        hint = did_you_mean(ref.name, audiences, otherwise="audiences.yaml names the audiences")
        checks.problems.append(problem_at(ref.node, "J230", f'there is no audience "{ref.name}"', hint=hint))


def check_audiences(checks: Checks) -> None:
    """Checks audiences.yaml: each has a destination of its own kind, and an attribute that is text."""
    world, problems = checks.world, checks.problems
    for audience in world.audiences.values():
        if audience.destination.name in world.channels or audience.destination.name in SERVICES:
            message = f'"{audience.destination.name}" is a channel, so no audience is kept there'
            hint = "give the destination a name of its own: a topic has one kind of sink"
            problems.append(problem_at(audience.destination.node, "J231", message, hint=hint))
        of = world.attributes.get(audience.identity.name)
        if of is None:
            message = f'the profile has no attribute "{audience.identity.name}"'
            hint = did_you_mean(audience.identity.name, world.attributes, otherwise="set it in profile.yaml")
            problems.append(problem_at(audience.identity.node, "J207", message, hint=hint))
        elif of.kind not in {Kind.STRING, Kind.NULL}:
            message = f"who a customer is in an audience is text, and this is {described(of)}"
            problems.append(problem_at(audience.identity.node, "J431", message, hint="name another attribute"))
