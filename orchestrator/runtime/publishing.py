"""Bringing journeys into force by the rules of the house, and on record: for `apply`, workers, `versions --collect`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from orchestrator.authoring.approvals import Change, Refusal, refusals
from orchestrator.authoring.changes import NOTHING, Changes, Side, changes_between, side_of
from orchestrator.authoring.event_schemas import event_types_from_texts
from orchestrator.model.journey import JourneySet
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.approved import approvals
from orchestrator.runtime.audit import (
    DONE,
    JOURNEYS,
    REFUSED,
    AuditRecord,
    append_audit,
    new_record,
    publish_with_audit,
    read_audit,
)
from orchestrator.runtime.definitions import Definition, definition_key, encode_definition, read_definitions
from orchestrator.runtime.in_force import Publications
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names
from orchestrator.runtime.uptake import Disallowed

CHANGES_MAX = 200
"""How many changes an audit record names; the definitions topic has all of them."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in force: the set's id ("" for nothing), its journeys, and the environment it was published for.

    `kept` are all journey sets that customers may be inside of. `offset` is the newest publication's, -1 for none.
    """

    set_id: str
    side: Side
    environment: str = ""
    kept: tuple[JourneySet, ...] = ()
    offset: int = -1

    def has(self, set_id: str, environment: str) -> bool:
        """Whether this set is in force for this environment already."""
        return self.set_id == set_id and self.environment in {"", environment}


def standing(settings: Settings, definitions: Iterable[Definition] | None = None) -> Standing:
    """What is in force now, or after these publications.

    Raises: EnvironmentProblem if the definitions topic cannot be read.
    """
    if definitions is None:
        definitions = read_definitions(brokers_of(settings), topic_names(settings).definitions)
    publications = Publications(definitions)
    newest, kept = publications.newest, tuple(journeys for _, journeys in publications.kept())
    if newest is None:
        return Standing("", NOTHING, kept=kept, offset=newest_offset(publications.definitions))
    types = event_types_from_texts(newest.definition.schemas).types
    # With the older versions that customers are inside of: what those keep is not new.
    side = replace(side_of(newest.definition.sources, types), journeys=newest.journeys)
    offset = newest_offset(publications.definitions)
    return Standing(newest.journeys.set_id, side, publications.environment, kept, offset)


def newest_offset(definitions: Sequence[Definition]) -> int:
    """Where the newest publication stands in its topic; -1 if there is none."""
    return definitions[-1].offset if definitions else -1


def why_not(settings: Settings, now: Standing, after: Side, *, who: str, is_move: bool = False) -> list[Refusal]:
    """All that the rules of the house have against bringing these journeys into force.

    Raises: EnvironmentProblem if approvals are demanded and cannot be read.
    """
    change = Change(now.side, after, who, settings.environment, now.environment, is_move)
    found = refusals(change, {})
    # Only who demands something needs the topic of approvals to be there.
    return refusals(change, approvals(settings)) if found else []


def publish(
    settings: Settings, definition: Definition, *, act: str, changes: Iterable[str] = (), seen: int | None = None
) -> int:
    """Writes the definition and its audit record in one transaction; gives the definition's offset.

    `seen` is the newest publication that it was judged by: another one meanwhile, such as a pause, is not undone.
    Raises: EnvironmentProblem if they were not written: then neither was.
    """
    if seen is not None:
        require_unchanged(read_definitions(brokers_of(settings), topic_names(settings).definitions), seen)
    stated = replace(definition, environment=settings.environment)
    record = _record(settings, stated, act=act, outcome=DONE, changes=changes)
    topic = topic_names(settings).definitions
    return publish_with_audit(settings, topic, definition_key(stated), encode_definition(stated), record)


def require_unchanged(definitions: Sequence[Definition], seen: int) -> None:
    """Raises: EnvironmentProblem if something was published after this offset."""
    if newest_offset(definitions) != seen:
        newest = definitions[-1]
        raise EnvironmentProblem(
            f"{newest.who or 'somebody'} published other journeys meanwhile: {newest.why or newest.set_id}",
            hint="nothing was published; look at them with `orchestrator versions`, and try again",
        )


def record_refusal(settings: Settings, definition: Definition, found: Iterable[Refusal], *, act: str) -> None:
    """Puts on record that the definition was refused, and why. Raises: EnvironmentProblem if that cannot be written."""
    append_audit(settings, _record(settings, definition, act=act, outcome=REFUSED, changes=map(str, found)))


def publish_by_worker(settings: Settings, definition: Definition, definitions: Iterable[Definition]) -> None:
    """What a worker publishes at its start, by the same rules.

    Raises: Disallowed if the rules of the house refuse it; EnvironmentProblem if the broker does.
    """
    now = standing(settings, definitions)
    after = side_of(definition.sources, event_types_from_texts(definition.schemas).types)
    found = why_not(settings, now, after, who=definition.who)
    if found:
        if not _is_on_record(settings, definition):
            record_refusal(settings, definition, found, act="publish")
        reasons = "; ".join(map(str, found))
        raise Disallowed(
            f"the journeys may not be brought into force in {settings.environment}: {reasons}",
            hint="`orchestrator apply --dry-run` says what to do about each",
        )
    published = read_definitions(brokers_of(settings), topic_names(settings).definitions)
    if any(one.offset > now.offset and one.set_id == definition.set_id for one in published[-1:]):
        # Another worker that starts with the same journeys was faster.
        return
    publish(settings, definition, act="publish", changes=summary(changes_between(now.side, after)), seen=now.offset)


def _is_on_record(settings: Settings, definition: Definition) -> bool:
    """Whether the log has already that workers were refused it: they start again and again, and it is kept for ever."""
    return any(
        (record.act, record.outcome, record.set_id) == ("publish", REFUSED, definition.set_id)
        for record in read_audit(settings)
    )


def summary(changes: Changes) -> list[str]:
    """The changes in a sentence each: which journeys and files, from which version to which."""
    lines = []
    for journey in changes.journeys:
        status = " -> ".join(dict.fromkeys(word for word in (journey.status_before, journey.status) if word))
        versions = " -> ".join(dict.fromkeys(one for one in (journey.version_before, journey.version) if one))
        lines.append(f"journey {journey.name} {journey.kind} ({status}), version {versions}")
    lines += [f"{file.path} {file.kind}" for file in (*changes.rules, *changes.templates)]
    lines += [f"aggregate {text} starts" for text in changes.aggregates]
    return lines[:CHANGES_MAX]


def _record(
    settings: Settings, definition: Definition, *, act: str, outcome: str, changes: Iterable[str]
) -> AuditRecord:
    return new_record(
        settings,
        act=act,
        about=JOURNEYS,
        who=definition.who,
        why=definition.why,
        outcome=outcome,
        set_id=definition.set_id,
        changes=list(changes),
        detail={"forgets": ",".join(map(str, definition.forgets))} if definition.forgets else {},
    )
