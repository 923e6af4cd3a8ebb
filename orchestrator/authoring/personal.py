"""Where personal data would get to places that are for everybody: decisions' records, explanations, open fields.

What is personal, the schemas of events say (`"pii": true`). From there it goes into profile attributes, by rules and by
steps. A yes or no about it is no longer personal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.authoring.drafts import EmitDraft, Formula, IncrementDraft, JourneyDraft, SetDraft
from orchestrator.authoring.expression_nodes import Aggregated, Apply, Attribute, EntryField, EventField, Member, Typed
from orchestrator.authoring.expressions import Checked
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.world import World
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.model.types import EventType, Kind

Formulas = Mapping[Formula, Checked]


@dataclass(frozen=True, slots=True)
class Personal:
    """What is personal at a place: fields of the event and of the entry event there, and attributes of the profile."""

    event: EventType | None
    entry: EventType | None
    attributes: frozenset[str]
    event_types: Mapping[str, EventType]

    def holds(self, node: Typed) -> bool:
        """Whether the expression's value is personal."""
        if node.type.kind is Kind.BOOLEAN:
            return False
        match node:
            case EventField():
                return self.event is not None and node.name in self.event.pii
            case EntryField():
                return self.entry is not None and node.name in self.entry.pii
            case Attribute():
                return node.name in self.attributes
            case Member():
                return self.holds(node.of)
            case Apply():
                return any(map(self.holds, node.arguments))
            case Aggregated(value=value, on=on) if value is not None and node.type.kind is not Kind.INTEGER:
                past = Personal(self.event_types.get(on), None, self.attributes, self.event_types)
                return past.holds(value)
            case _:
                return False


def check_personal(journeys: Iterable[JourneyDraft], world: World, problems: Problems, formulas: Formulas) -> None:
    """Reports personal values in goals, keys, and fields of emitted events that are not marked as personal."""
    if not any(event.pii for event in world.event_types.values()):
        return
    drafts = tuple(journeys)
    attributes = personal_attributes(drafts, world, formulas)
    for draft in drafts:
        for formula, event, where in _open_places(draft, world):
            entry = draft.entry.event
            of_entry = None if entry is None else world.event_types.get(entry.name)
            personal = Personal(event, of_entry, attributes, world.event_types)
            if formula in formulas and personal.holds(formulas[formula].node):
                message = f"this is personal data, and {where}"
                hint = 'use something else, or mark the field of the emitted event as personal: "pii": true'
                problems.append(problem_at(formula.node, "J291", message, hint=hint))


def _open_places(draft: JourneyDraft, world: World) -> Iterator[tuple[Formula, EventType | None, str]]:
    """(expression, event of its place, what is done with its value) where values are not masked."""
    types = world.event_types
    if draft.goal is not None and draft.goal.value is not None:
        yield draft.goal.value, types.get(draft.goal.on.name), "the value of a goal stands in the records of decisions"
    if draft.entry.key is not None:
        entry = draft.entry.event
        yield draft.entry.key, None if entry is None else types.get(entry.name), "a key is shown when a passage is told"
    for step in draft.steps:
        if isinstance(step, EmitDraft):
            emitted = types.get(step.event.name)
            for ref, formula in step.variables:
                if emitted is not None and ref.name not in emitted.pii:
                    yield formula, None, f'field "{ref.name}" of "{emitted.name}" is not marked as such'


def personal_attributes(journeys: Iterable[JourneyDraft], world: World, formulas: Formulas) -> frozenset[str]:
    """The attributes that hold personal data, by whatever way it came there."""
    given: list[tuple[str, Formula, EventType | None, EventType | None]] = [
        (attribute.name, formula, world.event_types.get(rule.on.name), None)
        for rule in world.rules
        for attribute, formula in rule.attributes
    ]
    for draft in journeys:
        entry = None if draft.entry.event is None else world.event_types.get(draft.entry.event.name)
        for step in draft.steps:
            changes = (
                step.assignments
                if isinstance(step, SetDraft)
                else step.increments
                if isinstance(step, IncrementDraft)
                else ()
            )
            given += [(attribute.name, formula, None, entry) for attribute, formula in changes]
    found: frozenset[str] = frozenset()
    while True:
        more = found | {
            name
            for name, formula, event, entry in given
            if formula in formulas and Personal(event, entry, found, world.event_types).holds(formulas[formula].node)
        }
        if more == found:
            return found
        found = more
