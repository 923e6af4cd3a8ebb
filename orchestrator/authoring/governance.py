"""The rules of the house against the journeys: what is wrong with them whatever else is brought into force."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from orchestrator.authoring.drafts import JourneyDraft, Ref, SendDraft
from orchestrator.authoring.governance_source import ApprovalDraft, GovernanceDraft
from orchestrator.authoring.policy_drafts import PoliciesDraft
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.engine.limits import PROMOTIONAL
from orchestrator.model.journey import Status

UNFINISHED = frozenset({Status.DRAFT, Status.RETIRED})
"""Statuses in which nobody is let in: what is missing there is said, and stops nobody."""


def check_governance(
    governance: GovernanceDraft | None, journeys: Iterable[JourneyDraft], policies: PoliciesDraft, problems: Problems
) -> None:
    """Reports what the rules of the house forbid in every environment, and what is wrong with the rules themselves."""
    drafts = tuple(journeys)
    for draft in drafts:
        _check_approvers(draft, governance, problems)
    if governance is None:
        return
    names = {draft.name.name for draft in drafts}
    for environment in governance.environments:
        for approval in environment.approvals:
            _check_approval(approval, governance, names, problems)
    for draft in drafts:
        _check_journey(draft, governance, policies, problems)


def _check_approvers(draft: JourneyDraft, governance: GovernanceDraft | None, problems: Problems) -> None:
    groups = {} if governance is None else governance.groups
    for ref in draft.approvers:
        if ref.name == draft.owner or groups.get(ref.name) == (draft.owner,):
            message = f"{ref.name} owns the journey, and so cannot approve of it"
            problems.append(problem_at(ref.node, "J287", message, hint="name somebody else, or a group"))


def _check_approval(
    approval: ApprovalDraft, governance: GovernanceDraft, journeys: set[str], problems: Problems
) -> None:
    is_known = True
    for ref in approval.by:
        if ref.name not in governance.groups:
            hint = did_you_mean(ref.name, governance.groups, otherwise="add it under groups, with its people")
            problems.append(problem_at(ref.node, "J285", f'there is no group "{ref.name}"', hint=hint))
            is_known = False
    for ref in approval.journeys:
        if ref.name not in journeys:
            hint = did_you_mean(ref.name, journeys)
            problems.append(problem_at(ref.node, "J261", f'there is no journey "{ref.name}"', hint=hint))
    people = len(governance.people(approval.by))
    if is_known and approval.by and people < approval.count:
        message = f"{approval.count} people have to approve, and the groups have {people}"
        problems.append(problem_at(approval.node, "J289", message, hint="lower count, or add people to a group"))


def _check_journey(
    draft: JourneyDraft, governance: GovernanceDraft, policies: PoliciesDraft, problems: Problems
) -> None:
    severity = "warning" if draft.status in UNFINISHED else "error"
    keys = {key.value: value for key, value in draft.node.entries}
    owners = governance.owners
    if owners is not None and "owner" in keys and not any(fnmatchcase(draft.owner, ref.name) for ref in owners):
        hint = f"governance.yaml has: {', '.join(ref.name for ref in owners)}"
        message = f'"{draft.owner}" is not among those who may own a journey'
        problems.append(problem_at(keys["owner"], "J286", message, hint=hint, severity=severity))
    if governance.needs_approver and not draft.approvers:
        message = "the journey does not say who approves of it"
        hint = "add approver: with a person or a group of governance.yaml"
        problems.append(problem_at(draft.name.node, "J290", message, hint=hint, severity=severity))
    if governance.bases is None:
        return
    bases = {purpose.name.name: purpose.basis for purpose in policies.purposes}
    allowed = " or ".join(basis.value for basis in sorted(governance.bases, key=lambda basis: basis.value))
    for step in draft.steps:
        if not isinstance(step, SendDraft) or step.message_class != PROMOTIONAL:
            continue
        purpose: Ref | None = step.purpose or draft.purpose or policies.default_purpose
        if purpose is not None and (purpose.name not in bases or bases[purpose.name] in governance.bases):
            # A purpose that there is none of is a mistake of its own.
            continue
        found = "has no purpose" if purpose is None else f'is for "{purpose.name}": {bases[purpose.name].value}'
        message = f"promotional messages need a purpose with the basis {allowed}, and this one {found}"
        hint = "add purpose: with one of policies.yaml, or write class: transactional if it is none"
        problems.append(problem_at(step.name.node, "J288", message, hint=hint, severity=severity))
