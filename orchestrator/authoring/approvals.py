"""Whether a journey set may be brought into force in an environment: what the rules of the house have against it.

Both the rules that are in force and those that would come hold for a change, so no change can lift the rules that
forbid it. An approval is of a content: of a journey's version with how it moves those who are inside already, or of the
rules as they are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.authoring.changes import NOTHING, Side
from orchestrator.authoring.compiler import canonical
from orchestrator.authoring.drafts import JourneyDraft
from orchestrator.authoring.governance_source import RULES, ApprovalDraft, EnvironmentDraft, GovernanceDraft
from orchestrator.authoring.journey_source import MIGRATE
from orchestrator.authoring.pause_source import RESUME
from orchestrator.authoring.rules_source import RULE_FILES
from orchestrator.authoring.sources import hash_texts
from orchestrator.authoring.yaml_source import MappingNode, parse_yaml
from orchestrator.model.journey import Status
from orchestrator.model.problems import Problem

SUBJECT_OF_RULES = RULES


@dataclass(frozen=True, slots=True, order=True)
class Approval:
    """Somebody's word for a content: `about` is `rules` or `journey/NAME`. `is_given` False takes it back."""

    about: str
    version: str
    who: str
    is_given: bool = True


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """Why a set may not be brought into force, and what to do about it. `about` is a journey's name, or what else."""

    about: str
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.about}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Change:
    """What would come into force where `before` is, by whom and where. `environment_before` "" is the same.

    Another environment than before is a mistake, or a way around the rules, unless `is_move` says that it is meant.
    """

    before: Side
    after: Side
    who: str
    environment: str
    environment_before: str = ""
    is_move: bool = False

    @property
    def is_elsewhere(self) -> bool:
        """Whether the environment is another one than that in force."""
        return bool(self.environment_before) and self.environment_before != self.environment


Given = Mapping[tuple[str, str], frozenset[str]]
"""(about, version) → who approved of it."""


def about_journey(name: str) -> str:
    """What an approval of a journey is about."""
    return f"journey/{name}"


def given_approvals(approvals: Iterable[Approval]) -> Given:
    """Whose word stands, after all that was given and taken back in this order."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for approval in approvals:
        key = (approval.about, approval.version)
        who = frozenset({approval.who})
        found[key] = found.get(key, frozenset()) | who if approval.is_given else found.get(key, frozenset()) - who
    return found


def rules_version(files: Mapping[str, str]) -> str:
    """A hash of what the files of rules say, without comments and spacing."""
    return hash_texts((path, _content(path, files[path])) for path in RULE_FILES if path in files)


def journey_content(side: Side, name: str) -> str:
    """A hash of what is approved of in a journey; "" if there is none.

    It is the version, unless the journey says more about those who are inside already: who is taken along from older
    versions, and how they go on after a pause, are in no version, and move everybody all the same.
    """
    version, draft = side.version(name), side.drafts.get(name)
    if not version or draft is None or not isinstance(draft.node, MappingNode):
        return version
    moving = [(str(key.value), value) for key, value in draft.node.entries if key.value in {MIGRATE, RESUME}]
    if not moving:
        return version
    said = [
        (key, json.dumps(canonical(value), ensure_ascii=True))
        for key, value in sorted(moving, key=lambda pair: pair[0])
    ]
    return hash_texts([("version", version), *said])


def removal_content(before: Side, name: str) -> str:
    """A hash of what is approved of where a journey is taken out of what is in force; "" if it is not in there."""
    content = journey_content(before, name)
    return hash_texts([("removal", content)]) if content else ""


def _content(path: str, text: str) -> str:
    problems: list[Problem] = []
    root = parse_yaml(path, text, problems)
    return text if root is None else json.dumps(canonical(root), ensure_ascii=True)


def refusals(change: Change, given: Given) -> list[Refusal]:
    """All that the rules of the house have against the change, by what it is about."""
    found: set[Refusal] = set()
    after, before = change.after.governance, change.before.governance
    if after is not None:
        # Where nothing has come into force yet, everything is new.
        there = replace(change, before=NOTHING) if change.is_elsewhere else change
        found |= _of_rules(after, change.environment, there, given)
    if before is not None and before.environments and change.is_elsewhere:
        found |= set(_of_move(before, change, given))
    if before is not None:
        found |= _of_rules(before, change.environment_before or change.environment, change, given)
    return sorted(found)


def about_environment(name: str) -> str:
    """What an approval of another environment is about."""
    return f"environment/{name}"


def move_version(files: Mapping[str, str], before: str, after: str) -> str:
    """A hash of a move from one environment to another, under the rules as these files say them."""
    return hash_texts([("rules", rules_version(files)), ("move", f"{before} -> {after}")])


def _of_move(governance: GovernanceDraft, change: Change, given: Given) -> Iterator[Refusal]:
    """Another environment has other rules: whoever its rules ask for anything has to agree that they hold no more."""
    before, after = change.environment_before, change.environment
    if not change.is_move:
        hint = f"give --environment {before}, or --move-environment too if it is to be {after} from now on"
        yield Refusal("environment", f"{before} is in force here, not {after}", hint)
        return
    environment = governance.environment(before)
    version = move_version(change.after.files, before, after)
    approved = given.get((about_environment(after), version), frozenset())
    what = f"that {before} becomes {after} (version {version[:8]})"
    for rule in environment.approvals if environment is not None else ():
        people = governance.people(rule.by) - ({change.who} if rule.not_author else set())
        if len(approved & people) < rule.count:
            argument = f"--environment {before} --move-environment {after}"
            yield _missing("environment", rule, people - approved, "its rules would hold no more", argument, what)


def forbidden(side: Side, journey: str, environment: str) -> list[Refusal]:
    """What the rules of the house have against this one journey's status in the environment."""
    rules = side.governance.environment(environment) if side.governance is not None else None
    if rules is None:
        return []
    alone = replace(side, drafts={journey: side.drafts[journey]})
    return list(_forbidden(rules, Change(NOTHING, alone, "", environment)))


def _of_rules(governance: GovernanceDraft, name: str, change: Change, given: Given) -> set[Refusal]:
    if not governance.environments:
        return set()
    environment = governance.environment(name)
    if environment is None:
        known = ", ".join(one.name.name for one in governance.environments)
        reason = f'governance.yaml knows no environment "{name}"'
        return {Refusal("environment", reason, f"give --environment one of: {known}")}
    return {*_forbidden(environment, change), *_unapproved(governance, environment, change, given)}


def _forbidden(environment: EnvironmentDraft, change: Change) -> Iterator[Refusal]:
    forbidden = {ref.name for ref in environment.forbidden}
    for name, draft in change.after.drafts.items():
        if draft.status.value in forbidden:
            reason = f"a journey that is {draft.status.value} may not come into force in {environment.name.name}"
            yield Refusal(name, reason, "give it another status, or take the file out")


def _unapproved(
    governance: GovernanceDraft, environment: EnvironmentDraft, change: Change, given: Given
) -> Iterator[Refusal]:
    for name, draft in change.after.drafts.items():
        content, before = journey_content(change.after, name), change.before.drafts.get(name)
        rules = [
            rule
            for rule in environment.approvals
            if _concerns(rule, draft.status, before)
            and (not rule.journeys or any(ref.name == name for ref in rule.journeys))
        ]
        if not rules or content == journey_content(change.before, name):
            continue
        yield from _missing_of_journey(_changed(name, draft, content, change, given), rules, governance, change, given)
    yield from _unapproved_removals(governance, environment, change, given)
    rules = [rule for rule in environment.approvals if rule.concerns(RULES)]
    version = rules_version(change.after.files)
    if rules and version != rules_version(change.before.files):
        approved = given.get((SUBJECT_OF_RULES, version), frozenset())
        for rule in rules:
            people = governance.people(rule.by) - ({change.who} if rule.not_author else set())
            if len(approved & people) < rule.count:
                yield _missing("rules", rule, people - approved, "they change", "--rules", f"version {version[:8]}")


def content_words(version: str, content: str) -> str:
    """What is approved of, in words."""
    more = "" if content == version else f" with its migrate or resume (content {content[:8]})"
    return f"version {version[:8]}{more}"


_OF_NOBODY = frozenset({Status.DRAFT, Status.RETIRED})
"""What goes freely: a draft was never more or was approved of as it became one, and a retired journey likewise."""


def _concerns(rule: ApprovalDraft, status: Status, before: JourneyDraft | None) -> bool:
    """Whether the rule is about journeys that come to this status. A paused one asks for what a live one does: that it
    is live again makes no new version, and so would ask for nothing. One that becomes a draft again lets nobody in any
    more, as a retired one, and could be taken out then without asking.
    """
    if rule.concerns(status.value) or (status is Status.PAUSED and rule.concerns(Status.LIVE.value)):
        return True
    is_withdrawn = status is Status.DRAFT and before is not None and before.status not in _OF_NOBODY
    return is_withdrawn and rule.concerns(Status.RETIRED.value)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A journey whose content needs approvals: which content, in words, why, and what `approve` is told."""

    name: str
    draft: JourneyDraft
    content: str
    what: str
    reason: str
    argument: str


def _changed(name: str, draft: JourneyDraft, content: str, change: Change, given: Given) -> _Asked:
    is_approved = bool(given.get((about_journey(name), content)))
    is_old = not is_approved and any(about == about_journey(name) for (about, _), who in given.items() if who)
    reason = "it has changed since it was approved" if is_old else "it is new or changes"
    return _Asked(name, draft, content, content_words(change.after.version(name), content), reason, name)


def _unapproved_removals(
    governance: GovernanceDraft, environment: EnvironmentDraft, change: Change, given: Given
) -> Iterator[Refusal]:
    """A journey that is taken out lets nobody in any more, as a retired one: so it asks for the same approvals."""
    for name in sorted(change.before.drafts.keys() - change.after.drafts.keys()):
        draft = change.before.drafts[name]
        rules = [
            rule
            for rule in environment.approvals
            if rule.concerns(Status.RETIRED.value)
            and (not rule.journeys or any(ref.name == name for ref in rule.journeys))
        ]
        if not rules or draft.status in _OF_NOBODY:
            continue
        what = f"its removal (version {change.before.version(name)[:8]})"
        content = removal_content(change.before, name)
        asked = _Asked(name, draft, content, what, "it is taken out", f"{name} --removal")
        yield from _missing_of_journey(asked, rules, governance, change, given)


def _missing_of_journey(
    asked: _Asked, rules: list[ApprovalDraft], governance: GovernanceDraft, change: Change, given: Given
) -> Iterator[Refusal]:
    approved = given.get((about_journey(asked.name), asked.content), frozenset())
    own = frozenset({asked.draft.owner, change.who})
    for rule in rules:
        people = governance.people(rule.by) - (own if rule.not_author else frozenset())
        if len(approved & people) < rule.count:
            yield _missing(asked.name, rule, people - approved, asked.reason, asked.argument, asked.what)
    named = governance.people(asked.draft.approvers) - own
    if asked.draft.approvers and not approved & named:
        said = f"{asked.what} is not approved by who approves of this journey ({asked.reason})"
        yield Refusal(asked.name, said, f"{_any_of(named)}: orchestrator approve {asked.argument} --why ...")


def _missing(about: str, rule: ApprovalDraft, people: frozenset[str], reason: str, argument: str, what: str) -> Refusal:
    groups = ", ".join(ref.name for ref in rule.by)
    wanted = f"{rule.count} people" if rule.count > 1 else "somebody"
    said = f"{what} is not approved by {wanted} of {groups} ({reason})"
    return Refusal(about, said, f"{_any_of(people)}: orchestrator approve {argument} --why ...")


def _any_of(people: frozenset[str]) -> str:
    return " or ".join(sorted(people)) or "nobody else may: add people to the group"
