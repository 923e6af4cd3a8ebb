"""One journey file -> a draft: every key and value is of the right kind, nothing is looked up yet."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from orchestrator.authoring.drafts import (
    BrokenDraft,
    ExitRuleDraft,
    GoalDraft,
    JourneyDraft,
    Ref,
    StepDraft,
)
from orchestrator.authoring.entry_source import read_entry
from orchestrator.authoring.migrate_source import read_migrate
from orchestrator.authoring.misplaced import something_else
from orchestrator.authoring.pause_source import read_resume
from orchestrator.authoring.reading import (
    Problems,
    fields,
    one_or_many,
    read_formula,
    read_name,
    read_percent,
    read_ref,
    read_refs,
    read_span,
    read_text,
    read_word,
    wrong_kind,
)
from orchestrator.authoring.step_source import read_step
from orchestrator.authoring.yaml_source import MappingNode, Node, problem_at
from orchestrator.model.journey import Status

JOURNEY_KEYS = (
    "journey",
    "title",
    "owner",
    "approver",
    "status",
    "resume",
    "entry",
    "exit",
    "max_duration",
    "goal",
    "holdout",
    "purpose",
    "migrate",
    "steps",
)
MIGRATE = "migrate"
"""The key that says how those inside older versions come along: it decides nothing about those inside this one."""
REQUIRED_KEYS = ("journey", "owner", "status", "entry", "steps")


def read_journey(path: str, root: Node, problems: Problems) -> JourneyDraft | None:
    """The journey of this file, or None if it is too broken to check any further; appends what is wrong."""
    stranger = something_else(root, JOURNEY_KEYS)
    if stranger is not None:
        problems.append(stranger)
        return None
    found = fields(root, JOURNEY_KEYS, problems, what="a journey", required=REQUIRED_KEYS)
    if found is None or not isinstance(root, MappingNode):
        return None
    name = read_name(found.get("journey"), problems, what="a journey")
    title = read_text(found.get("title"), problems, what="the title")
    owner = read_text(found.get("owner"), problems, what="the owner")
    status = read_word(found.get("status"), (s.value for s in Status), problems, what="the status")
    holdout = read_percent(found.get("holdout"), problems, what="the holdout")
    entry = read_entry(found.get("entry"), problems)
    exits = tuple(
        rule
        for node in one_or_many(found.get("exit"), problems, what="exit")
        if (rule := _exit_rule(node, problems)) is not None
    )
    goal = _goal(found.get("goal"), problems)
    max_duration = read_span(found.get("max_duration"), problems, what="the maximum duration")
    steps = _steps(found, problems)
    migrate = read_migrate(found.get(MIGRATE), problems)
    if name is None or entry is None or steps is None:
        return None
    return JourneyDraft(
        path=path,
        node=root,
        name=name,
        title=title or name.name,
        owner=owner or "",
        status=Status(status) if status is not None else Status.DRAFT,
        entry=entry,
        exits=exits,
        goal=goal,
        holdout=holdout or Fraction(0),
        steps=steps,
        purpose=read_ref(found.get("purpose"), problems, what="the purpose"),
        max_duration=max_duration,
        resume=read_resume(found.get("resume"), problems),
        approvers=read_refs(found.get("approver"), problems, what="approver"),
        migrate=migrate,
    )


def _steps(found: Mapping[str, Node], problems: Problems) -> tuple[StepDraft, ...] | None:
    node = found.get("steps")
    if node is None:
        return None
    if not isinstance(node, MappingNode):
        problems.append(wrong_kind(node, "steps must be names with what each does", hint="write name: {wait: 1 hour}"))
        return None
    if not node.entries:
        problems.append(problem_at(node, "J303", "the journey has no steps", hint="add one: hello: {send: email, ...}"))
        return None
    steps: list[StepDraft] = []
    for key, value in node.entries:
        name = read_name(key, problems, what="a step") or Ref(key.value, key)
        steps.append(read_step(name, value, problems) or BrokenDraft(name))
    return tuple(steps)


def _exit_rule(node: Node, problems: Problems) -> ExitRuleDraft | None:
    found = fields(node, ("on", "where", "when"), problems, what="an exit")
    if found is None:
        return None
    on = read_ref(found.get("on"), problems, what="on")
    where = read_formula(found.get("where"), problems, what="where")
    when = read_formula(found.get("when"), problems, what="when")
    if ("on" in found) == ("when" in found) or ("where" in found and "on" not in found):
        problems.append(
            problem_at(
                node,
                "J117",
                "an exit is either an event (on, where) or a condition (when)",
                hint="write two items: - on: ... and - when: ...",
            )
        )
        return None
    return None if on is None and when is None else ExitRuleDraft(on, where, when)


def _goal(node: Node | None, problems: Problems) -> GoalDraft | None:
    if node is None:
        return None
    found = fields(node, ("on", "where", "within", "value"), problems, what="goal", required=("on",))
    if found is None:
        return None
    on = read_ref(found.get("on"), problems, what="on")
    where = read_formula(found.get("where"), problems, what="where")
    within = read_span(found.get("within"), problems, what="within")
    value = read_formula(found.get("value"), problems, what="value")
    if "within" not in found and on is not None:
        problems.append(
            problem_at(
                on.node,
                "J505",
                "the goal has no time limit, so it counts for 30 days after entry",
                hint="add within: 30 days",
                severity="warning",
            )
        )
    return None if on is None else GoalDraft(on, where, within, value)
