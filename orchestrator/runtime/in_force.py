"""Which journey set is in force after each publication: the newest, with every older version that someone may be in.

Workers, `plan` and `replay` all ask here, so that they agree on what a set's decisions depend on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from orchestrator.authoring.compiler import compile_journeys, with_pinned
from orchestrator.authoring.drafts import JourneyDraft
from orchestrator.authoring.event_schemas import event_types_from_texts, load_event_types, read_schema_texts
from orchestrator.authoring.migration_proof import prove
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.authoring.tracking import aggregate_keys
from orchestrator.model.journey import JourneySet
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.model.types import EventType
from orchestrator.runtime.definitions import Definition


@dataclass(frozen=True, slots=True)
class InForce:
    """A journey set with all older versions, and the publication that brought it into force.

    `event_types` are those of its event schemas, by which events are read while it is in force.
    """

    journeys: JourneySet
    definition: Definition
    event_types: Mapping[str, EventType]

    @property
    def offset(self) -> int:
        """Where its publication stands in the definitions topic."""
        return self.definition.offset

    @property
    def reader_schemas(self) -> dict[str, str]:
        """Event type → our schema of it."""
        return {name: event.schema_json for name, event in self.event_types.items()}


@dataclass(frozen=True, slots=True)
class _Compiled:
    """`migrating` are the drafts that take customers of older versions along."""

    journeys: JourneySet
    migrating: tuple[JourneyDraft, ...]
    event_types: Mapping[str, EventType]


class Publications:
    """All publications in order. Each journey set is compiled once, however often it was published."""

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        self.definitions: list[Definition] = []
        self.newest: InForce | None = None
        """What is in force: the newest publication that compiles."""
        self.environment = ""
        """What the newest publication in force was for; "" if that was never said."""
        self.refused: dict[int, str] = {}
        """Offsets of publications that do not compile, or cannot take customers along as they declare, so that they
        never were in force here, and why."""
        self.forgotten: set[int] = set()
        """Offsets of publications whose versions are no longer kept."""
        self._compiled: dict[str, _Compiled | None] = {}
        self._kept: frozenset[str] = frozenset()
        self._gone: frozenset[str] = frozenset()
        self._resumed: dict[str, int] = {}
        for definition in definitions:
            self.add(definition)

    def add(self, definition: Definition) -> InForce | None:
        """Takes in the next publication; what is in force with it, or None if it does not compile.

        A set that is in force already stays so under its first publication: two workers may start at once.
        """
        self.definitions.append(definition)
        if definition.forgets:
            self.forgotten |= {definition.offset, *definition.forgets}
            if self.newest is not None:
                base = self.newest.definition
                self.newest = self._in_force(
                    replace(base, offset=definition.offset, who=definition.who, why=definition.why)
                )
            return self.newest
        if self.newest is not None and self.newest.definition.set_id == definition.set_id:
            self.environment = definition.environment or self.environment
            return self.newest
        reason = self.why_not(definition)
        if reason:
            self.refused[definition.offset] = reason
            return None
        self.newest = self._in_force(definition)
        self.environment = definition.environment or self.environment
        return self.newest

    def why_not(self, definition: Definition) -> str:
        """Why this set cannot be in force next, with what is published by now; "" if it can."""
        compiled = self._compile(definition)
        if compiled is None:
            return "it does not compile with this release"
        problems = prove(compiled.migrating, compiled.journeys, self._older_than(definition))
        errors = [problem for problem in problems if problem.severity == "error"]
        return f"{errors[0].path}:{errors[0].line}: {errors[0].message}" if errors else ""

    def kept(self) -> list[tuple[Definition, JourneySet]]:
        """The publications that are still kept and compile, with their journeys, in order."""
        return [
            (one, compiled.journeys)
            for one in self.definitions
            if one.offset not in self.forgotten | self.refused.keys() and (compiled := self._compile(one)) is not None
        ]

    def _in_force(self, definition: Definition) -> InForce | None:
        compiled = self._compile(definition)
        if compiled is None:
            return None
        pinned = with_pinned(compiled.journeys, self._older_than(definition))
        journeys = self._with_resumed(pinned, definition.offset)
        return InForce(journeys, definition, compiled.event_types)

    def _with_resumed(self, journeys: JourneySet, offset: int) -> JourneySet:
        """The set that comes into force now, with the aggregates that were kept before, were not, and are again.

        Customers about whom nothing was decided meanwhile still hold what was kept before the gap: by another alignment
        each is brought in line, and loses it.
        """
        kept = frozenset(aggregate_keys(journeys))
        self._gone |= self._kept - kept
        resumed = {key: since for key, since in self._resumed.items() if key in kept}
        resumed |= dict.fromkeys(sorted(kept & self._gone), offset)
        self._gone -= kept
        self._kept, self._resumed = kept, resumed
        if not resumed:
            return journeys
        marks = ",".join(f"{key}@{since}" for key, since in sorted(resumed.items()))
        return replace(journeys, resumed=resumed, alignment=f"{journeys.alignment} {marks}")

    def _older_than(self, definition: Definition) -> list[JourneySet]:
        """The sets that customers may be in when this one comes into force."""
        return [journeys for one, journeys in self.kept() if one.set_id != definition.set_id]

    def _compile(self, definition: Definition) -> _Compiled | None:
        if definition.set_id not in self._compiled:
            self._compiled[definition.set_id] = _compiled(definition)
        return self._compiled[definition.set_id]


def _compiled(definition: Definition) -> _Compiled | None:
    types = event_types_from_texts(definition.schemas)
    if types.problems:
        return None
    compilation = compile_journeys(Sources(files=dict(definition.sources)), types.types)
    if compilation.journeys is None:
        return None
    migrating = tuple(draft for draft in compilation.drafts if draft.migrate is not None)
    return _Compiled(compilation.journeys, migrating, types.types)


def compile_definition(definition: Definition) -> JourneySet | None:
    """The journey set of these texts, or None if this version of the compiler finds problems in them."""
    compiled = _compiled(definition)
    return None if compiled is None else compiled.journeys


def collectable(
    publications: Publications, inside: AbstractSet[tuple[str, str]], *, before_ms: int
) -> list[Definition]:
    """Publications that need not be kept: superseded before this instant, and nobody is `inside` a (journey, version)
    that only they hold. Entries happen only into the set in force, so who is inside was let in while they were.

    The newest that declares an audience is kept as well: whoever is in it can only be taken out while it is known.
    """
    kept = publications.kept()
    covered = set(kept[-1][1].versions) if kept else set()
    audiences = set(kept[-1][1].audiences) if kept else set()
    found: list[Definition] = []
    for (definition, journeys), (successor, _) in reversed(list(pairwise(kept))):
        needed = inside & (journeys.versions.keys() - covered)
        if needed or journeys.audiences.keys() - audiences or successor.at_ms >= before_ms:
            covered |= journeys.versions.keys()
            audiences |= journeys.audiences.keys()
        else:
            found.append(definition)
    return found[::-1]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The journeys of a directory: compiled, and the texts that they were compiled from."""

    journeys: JourneySet
    definition: Definition
    event_types: Mapping[str, EventType]


def load_journeys(journeys: Path, schemas: Path) -> Loaded:
    """The journeys of a directory, checked against the event schemas of `schemas/events`.

    Raises: EnvironmentProblem if a directory is missing or the journeys have problems.
    """
    texts = read_schema_texts(schemas / "events")
    types = load_event_types(schemas / "events")
    sources = read_sources(journeys)
    compilation = compile_journeys(sources, types)
    if compilation.journeys is None:
        errors = [problem for problem in compilation.problems if problem.severity == "error"]
        first = f"{errors[0].path}:{errors[0].line}: {errors[0].message}" if errors else "no journeys"
        raise EnvironmentProblem(
            f"the journeys in {journeys} have {len(errors)} problems; the first: {first}",
            hint=f"see them all with: orchestrator validate {journeys}",
        )
    current = compilation.journeys
    return Loaded(current, Definition(current.set_id, dict(sources.files), texts), types)
