"""governance.yaml -> its draft: who may own journeys, and what has to be approved by whom."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.authoring.drafts import Ref
from orchestrator.authoring.reading import (
    Problems,
    fields,
    one_or_many,
    read_items,
    read_number,
    read_pairs,
    read_refs,
    read_word,
)
from orchestrator.authoring.yaml_source import Node
from orchestrator.model.journey import Status
from orchestrator.model.policies import Basis

RULES = "rules"
"""In `for`: the files of rules for all journeys, this one among them."""
APPROVALS_MAX = 10
GOVERNANCE_KEYS = ("groups", "require", "environments")
REQUIRE_KEYS = ("owners", "approver", "promotional_basis", "unsubscribe")
ENVIRONMENT_KEYS = ("forbid", "approvals")
APPROVAL_KEYS = ("for", "by", "journeys", "count", "not_author")
APPROVAL_REQUIRED = ("for", "by")
YES_OR_NO = ("true", "false")
STATUS_WORDS = tuple(status.value for status in Status)
APPROVABLE = (*STATUS_WORDS, RULES)


@dataclass(frozen=True, slots=True)
class ApprovalDraft:
    """What needs an approval: journeys of these statuses (`journeys` empty: all of them), or the rules for all.

    `count` people of the groups `by` have to approve of it. With `not_author` neither the journey's owner nor who
    brings it into force is one of them.
    """

    statuses: tuple[Ref, ...]
    by: tuple[Ref, ...]
    journeys: tuple[Ref, ...]
    count: int
    not_author: bool
    node: Node

    def concerns(self, what: str) -> bool:
        """Whether it is about journeys of this status, or about the rules."""
        return any(ref.name == what for ref in self.statuses)


@dataclass(frozen=True, slots=True)
class EnvironmentDraft:
    """What holds in one environment: statuses that are not let in, and what needs approval."""

    name: Ref
    forbidden: tuple[Ref, ...] = ()
    approvals: tuple[ApprovalDraft, ...] = ()


@dataclass(frozen=True, slots=True)
class GovernanceDraft:
    """The rules of the house. `owners` and `bases` None for any; `bases` are those of promotional messages.

    `signing_off`: the channels whose promotional messages hold a link to sign off with; None where nothing is said.
    """

    groups: dict[str, tuple[str, ...]]
    owners: tuple[Ref, ...] | None = None
    needs_approver: bool = False
    bases: frozenset[Basis] | None = None
    signing_off: tuple[Ref, ...] | None = None
    environments: tuple[EnvironmentDraft, ...] = ()

    def environment(self, name: str) -> EnvironmentDraft | None:
        """The environment of this name."""
        return next((one for one in self.environments if one.name.name == name), None)

    def people(self, refs: tuple[Ref, ...]) -> frozenset[str]:
        """The members of these groups; a name that is no group is a person's."""
        return frozenset(person for ref in refs for person in self.groups.get(ref.name, (ref.name,)))


def read_governance(root: Node, problems: Problems) -> GovernanceDraft | None:
    """The rules of the house; appends what is wrong."""
    found = fields(root, GOVERNANCE_KEYS, problems, what="governance.yaml")
    if found is None:
        return None
    groups = {
        name.name: tuple(ref.name for ref in read_refs(node, problems, what=f'group "{name.name}"'))
        for name, node in read_pairs(found.get("groups"), problems, what="groups")
    }
    environments = tuple(
        _environment(name, node, problems)
        for name, node in read_pairs(found.get("environments"), problems, what="environments")
    )
    required = fields(found["require"], REQUIRE_KEYS, problems, what="require") if "require" in found else {}
    required = required or {}
    bases: list[Basis] = []
    for item in one_or_many(required.get("promotional_basis"), problems, what="promotional_basis"):
        word = read_word(item, (basis.value for basis in Basis), problems, what="a legal basis")
        bases += [] if word is None else [Basis(word)]
    return GovernanceDraft(
        groups=groups,
        owners=read_refs(required["owners"], problems, what="owners") if "owners" in required else None,
        needs_approver=_is_said(required.get("approver"), problems, what="approver", otherwise=False),
        bases=frozenset(bases) if "promotional_basis" in required else None,
        signing_off=_channels(required["unsubscribe"], problems) if "unsubscribe" in required else None,
        environments=environments,
    )


def _channels(node: Node, problems: Problems) -> tuple[Ref, ...]:
    # None of them is an answer too: the link is somewhere else.
    return read_refs(node, problems, what="unsubscribe")


def _environment(name: Ref, node: Node, problems: Problems) -> EnvironmentDraft:
    found = fields(node, ENVIRONMENT_KEYS, problems, what=f'environment "{name.name}"')
    if found is None:
        return EnvironmentDraft(name)
    return EnvironmentDraft(
        name,
        _words(found.get("forbid"), STATUS_WORDS, problems, what="forbid"),
        tuple(
            approval
            for item in read_items(found.get("approvals"), problems, what="approvals")
            if (approval := _approval(item, problems)) is not None
        ),
    )


def _approval(node: Node, problems: Problems) -> ApprovalDraft | None:
    found = fields(node, APPROVAL_KEYS, problems, what="an approval", required=APPROVAL_REQUIRED)
    if found is None:
        return None
    count = read_number(found.get("count"), problems, what="count", least=1, most=APPROVALS_MAX)
    return ApprovalDraft(
        statuses=_words(found.get("for"), APPROVABLE, problems, what="for"),
        by=read_refs(found.get("by"), problems, what="by"),
        journeys=read_refs(found.get("journeys"), problems, what="journeys"),
        count=count or 1,
        not_author=_is_said(found.get("not_author"), problems, what="not_author", otherwise=True),
        node=node,
    )


def _words(node: Node | None, words: tuple[str, ...], problems: Problems, *, what: str) -> tuple[Ref, ...]:
    refs = read_refs(node, problems, what=what)
    return tuple(ref for ref in refs if read_word(ref.node, words, problems, what=f"one of {what}") is not None)


def _is_said(node: Node | None, problems: Problems, *, what: str, otherwise: bool) -> bool:
    word = read_word(node, YES_OR_NO, problems, what=what)
    return otherwise if word is None else word == "true"
