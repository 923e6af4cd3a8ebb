"""Steps that ask for something other than a message -> their drafts."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.authoring.drafts import ChangeAudienceDraft, IncrementDraft, Ref, StepDraft
from orchestrator.authoring.durations import DAY_MS
from orchestrator.authoring.reading import (
    Problems,
    fields,
    one_or_many,
    read_assignments,
    read_duration,
    read_number,
    read_ref,
)
from orchestrator.authoring.yaml_source import Node, problem_at

PRIORITY_DEFAULT = 5
EXPIRES_MS_DEFAULT = DAY_MS
AUDIENCE_EXPIRES_MS_DEFAULT = 30 * DAY_MS
AUDIENCE_WAYS = ("add", "remove")

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
