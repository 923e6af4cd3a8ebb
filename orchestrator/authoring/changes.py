"""What another journey set would change: journeys with their steps and settings, rules, aggregates that start empty."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.authoring.compiler import Compilation, canonical, compile_journeys
from orchestrator.authoring.drafts import JourneyDraft
from orchestrator.authoring.governance_source import GovernanceDraft
from orchestrator.authoring.rules_source import RULE_FILES
from orchestrator.authoring.sources import Sources, is_test_file
from orchestrator.authoring.templates import is_template_path
from orchestrator.authoring.tracking import listed_aggregates
from orchestrator.authoring.yaml_source import MappingNode, Node
from orchestrator.model.journey import JourneySet, Status
from orchestrator.model.pauses import AT_ONCE, Resume
from orchestrator.model.types import EventType

STEPS = "steps"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two sets: its texts, and what they compile to."""

    files: Mapping[str, str]
    journeys: JourneySet | None
    drafts: Mapping[str, JourneyDraft]
    governance: GovernanceDraft | None = None

    def version(self, name: str) -> str:
        """The version of the journey; "" if there is none."""
        return "" if self.journeys is None or name not in self.journeys.current else self.journeys.current[name].version


def side_of(files: Mapping[str, str], event_types: Mapping[str, EventType]) -> Side:
    """The texts compiled; where they have problems there are no journeys."""
    compilation: Compilation = compile_journeys(Sources(files=dict(files)), event_types)
    drafts = {draft.name.name: draft for draft in compilation.drafts}
    return Side(files, compilation.journeys, drafts, compilation.governance)


NOTHING = Side({}, None, {})
"""Where nothing is in force yet."""


@dataclass(frozen=True, slots=True)
class JourneyChange:
    """`kind`: added, changed, removed. `settings` are keys of the journey, `steps` in three lists; where none of them
    differs it is a template, a channel or a profile rule that the journey uses. `resume` says how those go on who stand
    still, where the journey has been paused until now.
    """

    name: str
    kind: str
    status: str
    status_before: str = ""
    version: str = ""
    version_before: str = ""
    settings: tuple[str, ...] = ()
    steps_added: tuple[str, ...] = ()
    steps_removed: tuple[str, ...] = ()
    steps_changed: tuple[str, ...] = ()
    diff: str = ""
    resume: Resume | None = None


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file of rules or a template: added, changed or removed, with the unified difference."""

    path: str
    kind: str
    diff: str


@dataclass(frozen=True, slots=True)
class Changes:
    """All that differs; `aggregates` are those that start empty."""

    journeys: tuple[JourneyChange, ...] = ()
    rules: tuple[FileChange, ...] = ()
    templates: tuple[FileChange, ...] = ()
    aggregates: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.journeys or self.rules or self.templates or self.aggregates)


def changes_between(before: Side, after: Side) -> Changes:
    """What bringing `after` into force changes, where `before` is."""
    names = sorted(before.drafts.keys() | after.drafts.keys())
    found = [change for name in names if (change := _journey(name, before, after)) is not None]
    files = [
        (path, file)
        for path in sorted(before.files.keys() | after.files.keys())
        if not is_test_file(path) and (file := _file(path, before.files, after.files)) is not None
    ]
    kept = listed_aggregates(before.journeys) if before.journeys is not None else {}
    wanted = listed_aggregates(after.journeys) if after.journeys is not None else {}
    return Changes(
        journeys=tuple(found),
        rules=tuple(file for path, file in files if path in RULE_FILES),
        templates=tuple(file for path, file in files if is_template_path(path)),
        aggregates=tuple(text for text in wanted if text not in kept),
    )


def _journey(name: str, before: Side, after: Side) -> JourneyChange | None:
    old, new = before.drafts.get(name), after.drafts.get(name)
    if old is None:
        return None if new is None else _alone(new, "added", after.version(name))
    if new is None:
        return _alone(old, "removed", before.version(name))
    version_before, version = before.version(name), after.version(name)
    parts_before, parts = _parts(old.node), _parts(new.node)
    steps_before, steps = _parts(parts_before.pop(STEPS, None)), _parts(parts.pop(STEPS, None))
    common = [step for step in steps if step in steps_before]
    is_reordered = common != [step for step in steps_before if step in steps]
    change = JourneyChange(
        name,
        "changed",
        status=new.status.value,
        status_before=old.status.value,
        version=version,
        version_before=version_before,
        settings=(*_differing(parts_before, parts), *["order of steps"] * is_reordered),
        steps_added=tuple(step for step in steps if step not in steps_before),
        steps_removed=tuple(step for step in steps_before if step not in steps),
        steps_changed=tuple(step for step in common if canonical(steps[step]) != canonical(steps_before[step])),
        diff=_diff(new.path, before.files.get(old.path, ""), after.files.get(new.path, "")),
        resume=(new.resume or AT_ONCE) if _goes_on(old, new) else None,
    )
    is_same = not (change.settings or change.steps_added or change.steps_removed or change.steps_changed)
    return None if is_same and version == version_before else change


def _goes_on(old: JourneyDraft, new: JourneyDraft | None) -> bool:
    """Whether those go on who have stood still."""
    return old.status is Status.PAUSED and (new is None or new.status is not Status.PAUSED)


def _alone(draft: JourneyDraft, kind: str, version: str) -> JourneyChange:
    """A journey that is only on one side."""
    steps = tuple(step.name.name for step in draft.steps)
    if kind == "added":
        return JourneyChange(draft.name.name, kind, draft.status.value, version=version, steps_added=steps)
    resume = AT_ONCE if _goes_on(draft, None) else None
    return JourneyChange(
        draft.name.name, kind, draft.status.value, version_before=version, steps_removed=steps, resume=resume
    )


def _parts(node: Node | None) -> dict[str, Node]:
    return {str(key.value): value for key, value in node.entries} if isinstance(node, MappingNode) else {}


def _differing(before: Mapping[str, Node], after: Mapping[str, Node]) -> list[str]:
    return [
        key
        for key in dict.fromkeys([*before, *after])
        if key not in before or key not in after or canonical(before[key]) != canonical(after[key])
    ]


def _file(path: str, before: Mapping[str, str], after: Mapping[str, str]) -> FileChange | None:
    old, new = before.get(path), after.get(path)
    if old == new:
        return None
    kind = "added" if old is None else "removed" if new is None else "changed"
    return FileChange(path, kind, _diff(path, old or "", new or ""))


def _diff(path: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"in force/{path}", f"planned/{path}", lineterm="", n=2
    )
    return "\n".join(lines)
