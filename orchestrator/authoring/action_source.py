"""Steps that ask for something other than a message -> their drafts."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.authoring.drafts import (
    ChangeAudienceDraft,
    EmitDraft,
    Formula,
    IncrementDraft,
    Ref,
    StartDraft,
    StepDraft,
    StopDraft,
    TaskDraft,
    WebhookDraft,
)
from orchestrator.authoring.durations import DAY_MS
from orchestrator.authoring.reading import (
    Problems,
    fields,
    one_or_many,
    read_assignments,
    read_duration,
    read_name,
    read_number,
    read_ref,
    read_word,
)
from orchestrator.authoring.yaml_source import Node, problem_at

PRIORITY_DEFAULT = 5
EXPIRES_MS_DEFAULT = DAY_MS
AUDIENCE_EXPIRES_MS_DEFAULT = 30 * DAY_MS
AUDIENCE_WAYS = ("add", "remove")
MESSAGE_CLASSES = ("promotional", "transactional")
TASK_EXPIRES_MS_DEFAULT = 30 * DAY_MS
RESERVED_VARIABLES = frozenset({"profile", "forloop", "now", "today"})

Values = Mapping[str, Node]


def read_increment(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    """`increment: {attribute: expression}`."""
    increments = read_assignments(found["increment"], problems, what="increment")
    follows = read_ref(found.get("next"), problems, what="next")
    return IncrementDraft(name, increments, follows) if increments else None


def read_audience_step(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    """`audience: {add: vip_ads}` or `audience: {remove: [vip_ads, win_back]}`."""
    node = found["audience"]
    ways = fields(node, AUDIENCE_WAYS, problems, what="an audience step")
    priority = read_number(found.get("priority"), problems, what="the priority", least=0, most=9)
    expires_ms = read_duration(found.get("expires"), problems, what="expires")
    follows = read_ref(found.get("next"), problems, what="next")
    if ways is None:
        return None
    if len(ways) != 1:
        message = "an audience step either adds or removes"
        problems.append(problem_at(node, "J140", message, hint="write audience: {add: NAME}, or make two steps"))
        return None
    way, listed = next(iter(ways.items()))
    refs = [read_ref(item, problems, what="an audience") for item in one_or_many(listed, problems, what=way)]
    audiences = tuple(ref for ref in refs if ref is not None)
    if not audiences:
        return None
    return ChangeAudienceDraft(
        name=name,
        audiences=audiences,
        is_add=way == "add",
        priority=PRIORITY_DEFAULT if priority is None else priority,
        expires_ms=expires_ms or AUDIENCE_EXPIRES_MS_DEFAULT,
        next=follows,
    )


def read_task(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    """`task: sales` with its template."""
    queue = read_name(found["task"], problems, what="a queue")
    template = read_ref(found.get("template"), problems, what="template")
    if "template" not in found:
        message = f'task step "{name.name}" needs "template"'
        problems.append(problem_at(name.node, "J109", message, hint="add template: ..."))
    variables = read_variables(found, problems)
    due_ms = read_duration(found.get("due"), problems, what="due")
    message_class = read_word(found.get("class"), MESSAGE_CLASSES, problems, what="the class")
    priority = read_number(found.get("priority"), problems, what="the priority", least=0, most=9)
    expires_ms = read_duration(found.get("expires"), problems, what="expires")
    follows = read_ref(found.get("next"), problems, what="next")
    if queue is None or template is None:
        return None
    return TaskDraft(
        name=name,
        queue=queue,
        template=template,
        variables=variables,
        due_ms=due_ms,
        message_class=message_class or MESSAGE_CLASSES[0],
        priority=PRIORITY_DEFAULT if priority is None else priority,
        expires_ms=expires_ms or TASK_EXPIRES_MS_DEFAULT,
        next=follows,
    )


def read_webhook(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    """`webhook: crm_lead` with its variables."""
    webhook = read_ref(found["webhook"], problems, what="webhook")
    variables = read_assignments(found.get("with"), problems, what="with")
    priority = read_number(found.get("priority"), problems, what="the priority", least=0, most=9)
    follows = read_ref(found.get("next"), problems, what="next")
    if webhook is None:
        return None
    return WebhookDraft(name, webhook, variables, PRIORITY_DEFAULT if priority is None else priority, follows)


def read_emit(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    """`emit: became_vip` with its fields."""
    event = read_ref(found["emit"], problems, what="emit")
    variables = read_assignments(found.get("with"), problems, what="with")
    follows = read_ref(found.get("next"), problems, what="next")
    return None if event is None else EmitDraft(name, event, variables, follows)


def read_start(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    """`start: win_back`."""
    journey = read_ref(found["start"], problems, what="start")
    follows = read_ref(found.get("next"), problems, what="next")
    return None if journey is None else StartDraft(name, journey, follows)


def read_stop(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    """`stop: win_back`."""
    journey = read_ref(found["stop"], problems, what="stop")
    follows = read_ref(found.get("next"), problems, what="next")
    return None if journey is None else StopDraft(name, journey, follows)


def read_variables(found: Values, problems: Problems) -> tuple[tuple[Ref, Formula], ...]:
    """The variables of a template: no name that means something else there."""
    variables = read_assignments(found.get("with"), problems, what="with")
    for variable, _ in variables:
        if variable.name in RESERVED_VARIABLES:
            message = f'"{variable.name}" means something else in templates'
            problems.append(problem_at(variable.node, "J118", message, hint="use another name"))
    return variables
