"""What journeys can refer to: event types, attributes, consents, channels, templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from orchestrator.authoring.drafts import (
    STEP_KINDS,
    AudienceDraft,
    ChannelDraft,
    EndpointDraft,
    ExperimentDraft,
    Formula,
    IncrementDraft,
    JourneyDraft,
    Ref,
    RuleDraft,
    SetDraft,
)
from orchestrator.authoring.expression_names import NO_ENTRY_EVENT
from orchestrator.authoring.expression_nodes import UNKNOWN, Constant, Names
from orchestrator.authoring.expression_types import Checker, described, unified
from orchestrator.authoring.outcomes import known_results
from orchestrator.authoring.policy_drafts import PoliciesDraft
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.segment_source import SegmentDraft
from orchestrator.authoring.templates import TemplateFile
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.model.problems import Problem
from orchestrator.model.types import EventType, Kind, Type

ROUNDS_MAX = 8
"""Attributes that depend on each other settle in a few rounds; each round can only widen a type."""

NOT_IN_A_JOURNEY = "nobody has entered a journey yet"
NO_EVENT = "a step may be reached by a timer"
IN_A_SEGMENT = "a segment is about the customer, whatever happens"
NO_NOW = "a segment changes at instants that are known beforehand"
NO_PAST = "a profile rule comes before them"


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside of one journey that it can refer to."""

    event_types: Mapping[str, EventType]
    attributes: Mapping[str, Type]
    consents: frozenset[str]
    rules: tuple[RuleDraft, ...]
    channels: Mapping[str, ChannelDraft]
    policies: PoliciesDraft
    templates: Mapping[str, tuple[TemplateFile, ...]]
    audiences: Mapping[str, AudienceDraft] = field(default_factory=dict)
    experiments: Mapping[str, ExperimentDraft] = field(default_factory=dict)
    webhooks: Mapping[str, EndpointDraft] = field(default_factory=dict)
    default_zone: str = "UTC"
    segments: Mapping[str, SegmentDraft] = field(default_factory=dict)
    """The segments that journeys can name."""


def arms_of(world: World) -> dict[str, tuple[str, ...]]:
    """Experiment → the names of its arms."""
    return {name: tuple(arm.name for arm, _ in draft.arms) for name, draft in world.experiments.items()}


def rule_names(event: EventType | None, attributes: Mapping[str, Type], consents: frozenset[str]) -> Names:
    """What a profile rule can refer to."""
    return Names(event=event, no_entry=NOT_IN_A_JOURNEY, attributes=attributes, consents=consents, no_past=NO_PAST)


def entry_names(draft: JourneyDraft, world: World) -> Names:
    """What an entry condition or key can refer to."""
    on = draft.entry.event
    return Names(
        event=None if on is None else world.event_types.get(on.name),
        no_event=NO_ENTRY_EVENT if on is None else "",
        no_entry=NOT_IN_A_JOURNEY,
        attributes=world.attributes,
        consents=world.consents,
        audiences=frozenset(world.audiences),
        experiments=arms_of(world),
        event_types=world.event_types,
        segments=world.segments,
    )


def step_names(draft: JourneyDraft, world: World, *, on: Ref | None = None) -> Names:
    """What a step, exit or goal can refer to; `on` is the event of that place."""
    entered_on = draft.entry.event
    return Names(
        event=None if on is None else world.event_types.get(on.name),
        no_event=NO_EVENT if on is None else "",
        entry=None if entered_on is None else world.event_types.get(entered_on.name),
        no_entry=NO_ENTRY_EVENT if entered_on is None else "",
        is_inside=True,
        attributes=world.attributes,
        consents=world.consents,
        steps={step.name.name: STEP_KINDS[type(step)] for step in draft.steps},
        event_types=world.event_types,
        segments=world.segments,
        audiences=frozenset(world.audiences),
        experiments=arms_of(world),
        results=partial(known_results, draft),
    )


def segment_names(world: World) -> Names:
    """What the condition of a segment can refer to."""
    return Names(
        no_event=IN_A_SEGMENT,
        no_entry=IN_A_SEGMENT,
        attributes=world.attributes,
        consents=world.consents,
        audiences=frozenset(world.audiences),
        experiments=arms_of(world),
        event_types=world.event_types,
        segments=world.segments,
        no_now=NO_NOW,
    )


def make_world(
    event_types: Mapping[str, EventType],
    rules: tuple[RuleDraft, ...],
    channels: Iterable[ChannelDraft],
    policies: PoliciesDraft,
    templates: Mapping[str, tuple[TemplateFile, ...]],
    journeys: Iterable[JourneyDraft],
    problems: Problems,
    *,
    audiences: Iterable[AudienceDraft] = (),
    segments: Iterable[SegmentDraft] = (),
    experiments: Iterable[ExperimentDraft] = (),
) -> World:
    """The world with the types of all profile attributes, as profile rules, set and increment steps give them."""
    by_name = {channel.name.name: channel for channel in channels}
    lists = {audience.name.name: audience for audience in audiences}
    needed = frozenset(c.consent.name for c in by_name.values()) | {a.consent.name for a in lists.values()}
    needed |= {key.name for purpose in policies.purposes for key in purpose.keys}
    consents = needed | _constant_keys(rules)
    world = World(event_types, {}, consents, rules, by_name, policies, templates, audiences=lists)
    world = replace(world, segments={segment.name.name: segment for segment in segments})
    world = replace(world, experiments={experiment.name.name: experiment for experiment in experiments})
    assignments = _assignments(world, journeys)
    return replace(world, attributes=_attribute_types(assignments, problems))


def _constant_keys(rules: tuple[RuleDraft, ...]) -> frozenset[str]:
    keys: set[str] = set()
    for rule in rules:
        for consent in rule.consents:
            node = Checker(Names()).typed(consent.key.tree)
            if isinstance(node, Constant) and isinstance(node.value, str):
                keys.add(node.value)
    return frozenset(keys)


_Assignment = tuple[Ref, Formula, Names]


def _assignments(world: World, journeys: Iterable[JourneyDraft]) -> list[_Assignment]:
    found: list[_Assignment] = []
    for rule in world.rules:
        names = rule_names(world.event_types.get(rule.on.name), {}, world.consents)
        found.extend((attribute, formula, names) for attribute, formula in rule.attributes)
    for draft in journeys:
        names = step_names(draft, world)
        for step in draft.steps:
            if isinstance(step, SetDraft):
                found.extend((attribute, formula, names) for attribute, formula in step.assignments)
            elif isinstance(step, IncrementDraft):
                found.extend((attribute, formula, names) for attribute, formula in step.increments)
    return found


def _attribute_types(assignments: list[_Assignment], problems: Problems) -> dict[str, Type]:
    types = {attribute.name: UNKNOWN for attribute, _, _ in assignments}
    first: dict[str, Ref] = {}
    clashing: set[str] = set()
    for _ in range(ROUNDS_MAX):
        before = dict(types)
        for attribute, formula, names in assignments:
            of = Checker(replace(names, attributes=types)).typed(formula.tree).type
            name = attribute.name
            if of == UNKNOWN or name in clashing:
                continue
            both = unified(types[name], of)
            if both is None:
                clashing.add(name)
                types[name] = UNKNOWN
                problems.append(_clash(attribute, of, before[name], first.get(name)))
            else:
                types[name] = replace(both, nullable=False)
                first.setdefault(name, attribute)
        if types == before:
            break
    for attribute, _, _ in assignments:
        if types[attribute.name].kind is Kind.NULL and types[attribute.name] != UNKNOWN:
            types[attribute.name] = UNKNOWN
            hint = "set it to a value somewhere, in profile.yaml or in another step"
            problems.append(
                problem_at(attribute.node, "J411", f'attribute "{attribute.name}" is only ever null', hint=hint)
            )
    return types


def check_attributes(world: World, journeys: Iterable[JourneyDraft], problems: Problems) -> None:
    """Appends which attributes are set to nothing but each other, so that they never have a value.

    Where something else is wrong with what they are set to, that says more.
    """
    if any(problem.severity == "error" for problem in problems):
        return
    for attribute, _, _ in _assignments(world, journeys):
        if world.attributes[attribute.name] == UNKNOWN:
            hint = "set it to a value somewhere, in profile.yaml or in another step"
            message = f'attribute "{attribute.name}" is set to itself only, so it never has a value'
            problems.append(problem_at(attribute.node, "J411", message, hint=hint))


def _clash(attribute: Ref, of: Type, other: Type, first: Ref | None) -> Problem:
    where = ""
    if first is not None:
        line = first.node.document.text.count("\n", 0, first.node.start) + 1
        where = f" ({first.node.document.path}, line {line})"
    elsewhere = described(other) if other != UNKNOWN else "something else"
    return problem_at(
        attribute.node,
        "J410",
        f'attribute "{attribute.name}" is {described(of)} here and {elsewhere} elsewhere{where}',
        hint="give it one type, or use two attributes",
    )
