"""Steps that emit events, against the schemas of the events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.authoring.drafts import EmitDraft, Formula, Ref
from orchestrator.authoring.emitted_events import misfit, required_fields, topic_of
from orchestrator.authoring.event_values import HEAD
from orchestrator.authoring.expression_nodes import Names
from orchestrator.authoring.expression_types import described
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.engine.erasure import ERASED
from orchestrator.engine.histories import REBUILT
from orchestrator.model.types import EventType, Type

if TYPE_CHECKING:
    from orchestrator.authoring.checks import Checks

COMMANDS = {ERASED: "orchestrator erase", REBUILT: "orchestrator rebuild"}
"""Event types that only a command may publish, because somebody answers for it in the audit log."""


def check_emit(step: EmitDraft, names: Names, checks: Checks) -> None:
    """Checks one step: the event type has a topic, and each field a value of its type."""
    problems = checks.problems
    if step.event.name in COMMANDS:
        message = f'event "{step.event.name}" is for `{COMMANDS[step.event.name]}` alone'
        hint = "nobody would answer for it in the audit log; give a person the task: {task: ...}"
        problems.append(problem_at(step.event.node, "J240", message, hint=hint))
        return
    checks.event(step.event)
    event = checks.world.event_types.get(step.event.name)
    if event is None:
        return
    if topic_of(event) is None:
        message = f'the schema of event "{event.name}" does not say on which topic it is'
        hint = 'name one of the event topics in the schema: "topic": "events.engagement"'
        problems.append(problem_at(step.event.node, "J237", message, hint=hint))
    for ref, formula in step.variables:
        _check_field(ref, formula, event, names, checks)
    given = {ref.name for ref, _ in step.variables}
    missing = [name for name in required_fields(event) if name not in given]
    if missing:
        message = f'event "{event.name}" needs {_list(missing)}'
        problems.append(problem_at(step.event.node, "J434", message, hint=f"add with: {{{missing[0]}: ...}}"))


def _check_field(ref: Ref, formula: Formula, event: EventType, names: Names, checks: Checks) -> None:
    problems = checks.problems
    if ref.name in HEAD:
        message = f'the orchestrator gives "{ref.name}" itself'
        hint = "leave it out: the event is the customer's, with an id of its own and the decision's time"
        problems.append(problem_at(ref.node, "J236", message, hint=hint))
        return
    field = event.fields.get(ref.name)
    if field is None:
        message = f'event "{event.name}" has no field "{ref.name}"'
        hint = did_you_mean(ref.name, [name for name in event.fields if name not in HEAD])
        problems.append(problem_at(ref.node, "J202", message, hint=hint))
        return
    checks.formula(formula, names, _anything)
    found = checks.checked.get(formula)
    if found is None:
        return
    match misfit(found.node, field):
        case "type":
            message = f'field "{ref.name}" is {described(field)}, and this is {described(found.type)}'
            problems.append(problem_at(formula.node, "J432", message, hint="give a value of the field's type"))
        case "symbol":
            message = f'field "{ref.name}" is one of a few words, and this may be another'
            hint = f"it is one of: {', '.join(field.symbols)}"
            problems.append(problem_at(formula.node, "J432", message, hint=hint))
        case "null":
            message = f'field "{ref.name}" is never null, and this may be'
            hint = "give a default: profile.tier ?? 'none'"
            problems.append(problem_at(formula.node, "J433", message, hint=hint))
        case _:
            pass


def _anything(_: Type) -> None:
    """Demands nothing."""


def _list(names: list[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
