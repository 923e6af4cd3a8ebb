"""Sources -> checked, compiled journeys. The whole way on one page; each stage has a module of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from orchestrator.authoring.action_checks import check_starts
from orchestrator.authoring.action_lowering import action_texts, emits_of, lower_audiences, services_of
from orchestrator.authoring.channel_contents import NOTHING_KNOWN, ChannelContent
from orchestrator.authoring.checks import (
    CheckedFormulas,
    Checks,
    check_journey,
    check_names,
    check_rules,
)
from orchestrator.authoring.consequences import without_consequences
from orchestrator.authoring.drafts import (
    AudienceDraft,
    ChannelDraft,
    EndpointDraft,
    EntryDraft,
    ExperimentDraft,
    JourneyDraft,
    OnDateDraft,
    OnScheduleDraft,
    RuleDraft,
    SendDraft,
)
from orchestrator.authoring.event_schemas import hash_event_types
from orchestrator.authoring.experiments import (
    check_experiments,
    lower_experiment,
    read_experiments,
)
from orchestrator.authoring.expressions import uses
from orchestrator.authoring.formulas import journey_formulas
from orchestrator.authoring.governance import check_governance
from orchestrator.authoring.governance_source import GovernanceDraft, read_governance
from orchestrator.authoring.journey_source import MIGRATE, read_journey
from orchestrator.authoring.loop_checks import check_endless
from orchestrator.authoring.lowering import (
    Renders,
    attribute_types,
    entry_fields,
    lower_journey,
    lower_rules,
    rules_behind,
)
from orchestrator.authoring.migrate_source import check_migrate
from orchestrator.authoring.misplaced import below
from orchestrator.authoring.pause_source import RESUME
from orchestrator.authoring.personal import check_personal
from orchestrator.authoring.policies import DEFAULT_ZONE, check_policies, with_policies
from orchestrator.authoring.policies_source import read_policies
from orchestrator.authoring.policy_drafts import PoliciesDraft
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.rules_source import (
    AUDIENCES_FILE,
    CHANNELS_FILE,
    EXPERIMENTS_FILE,
    GOVERNANCE_FILE,
    POLICIES_FILE,
    PROFILE_FILE,
    RULE_FILES,
    SEGMENTS_FILE,
    WEBHOOKS_FILE,
    read_audiences,
    read_channels,
    read_profile,
    read_webhooks,
)
from orchestrator.authoring.segment_checks import check_segments, segments_behind
from orchestrator.authoring.segment_source import SegmentDraft, read_segments
from orchestrator.authoring.signing_off_checks import check_signing_off
from orchestrator.authoring.sources import Sources, hash_texts, is_test_file
from orchestrator.authoring.template_checks import check_parts, check_templates
from orchestrator.authoring.templates import TemplateFile, is_template_path, read_template
from orchestrator.authoring.tracking import lower_segments, track, tracked_events, tracked_rules
from orchestrator.authoring.world import World, check_attributes, make_world
from orchestrator.authoring.yaml_source import ListNode, MappingNode, Node, Scalar, parse_yaml
from orchestrator.engine.commands import COMMAND_EVENTS
from orchestrator.engine.erasure import ERASED
from orchestrator.engine.population import with_entries
from orchestrator.engine.slides import slides
from orchestrator.model.aggregates import Segment
from orchestrator.model.experiments import Experiment
from orchestrator.model.journey import Audience, Channel, Journey, JourneySet, Status
from orchestrator.model.policies import Purpose
from orchestrator.model.problems import Problem
from orchestrator.model.triggers import OnEvent
from orchestrator.model.types import EventType

ORDERED_KEYS = frozenset({"steps", "split", "set", "increment"})
"""Mappings whose order means something; a version does not change when others are reordered."""
RUNNING = frozenset({Status.LIVE, Status.SHADOW, Status.PAUSED})
"""The status of journeys that let customers in; of one that is paused they do not get beyond that."""
ALIGNED_TRIGGERS = (OnScheduleDraft, OnDateDraft)
"""Those for which each customer has a clock."""


Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Compilation:
    """What compiling gives: `journeys` is None if a problem is an error; `problems` are sorted, warnings among them."""

    journeys: JourneySet | None
    problems: tuple[Problem, ...]
    drafts: tuple[JourneyDraft, ...] = ()
    governance: GovernanceDraft | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    journeys: tuple[JourneyDraft, ...]
    rules: tuple[RuleDraft, ...]
    channels: tuple[ChannelDraft, ...]
    audiences: tuple[AudienceDraft, ...]
    segments: tuple[SegmentDraft, ...]
    webhooks: tuple[EndpointDraft, ...]
    experiments: tuple[ExperimentDraft, ...]
    policies: PoliciesDraft
    governance: GovernanceDraft | None
    templates: dict[str, tuple[TemplateFile, ...]]
    is_complete: bool
    """Whether every journey could be read."""
    has_rules: bool
    """Whether profile, channels and policies could be read, so that names can be looked up in them."""
    roots: Mapping[str, Node]
    """The YAML of each file."""


def compile_journeys(
    sources: Sources, event_types: Mapping[str, EventType], contents: Mapping[str, ChannelContent] = NOTHING_KNOWN
) -> Compilation:
    """Everything that the engine needs to decide, and everything that is wrong with the sources.

    `contents` says what messages on a channel consist of; templates are checked against it, and nothing else changes.
    """
    problems: Problems = list(sources.problems)
    elsewhere = below(sources)
    if elsewhere is not None:
        return Compilation(None, (*problems, elsewhere))
    read = _read(sources, problems)
    if not read.has_rules:
        return Compilation(None, tuple(sorted(set(problems))), read.journeys)
    world = make_world(
        event_types,
        read.rules,
        read.channels,
        read.policies,
        read.templates,
        read.journeys,
        problems,
        audiences=read.audiences,
        segments=read.segments,
        experiments=read.experiments,
    )
    zone = read.policies.default_zone or DEFAULT_ZONE
    check_experiments(world.experiments, read.journeys, zone, problems, is_complete=read.is_complete)
    webhooks = {webhook.name.name: webhook for webhook in read.webhooks}
    world = replace(world, webhooks=webhooks)
    checked: CheckedFormulas = {}
    check_rules(world, problems, checked)
    check_segments(world, problems, checked)
    check_policies(Checks(world, problems, checked), read.journeys)
    check_governance(read.governance, read.journeys, read.policies, problems)
    check_names(read.journeys, problems)
    for draft in read.journeys:
        check_journey(draft, world, problems, checked)
        check_migrate(draft, world, frozenset(entry_fields(draft, checked)), problems)
    check_personal(read.journeys, world, problems, checked)
    check_starts(read.journeys, problems, is_complete=read.is_complete)
    check_endless(read.journeys, problems)
    check_templates(read.journeys, world, problems, is_complete=read.is_complete)
    check_parts(world.templates, contents, problems)
    check_signing_off(read.journeys, world, read.governance, problems)
    check_attributes(world, read.journeys, problems)
    ordered = tuple(sorted(set(without_consequences(problems, sources.files, read.roots))))
    if any(problem.severity == "error" for problem in ordered):
        return Compilation(None, ordered, read.journeys, read.governance)
    renders: Renders = {}
    journeys = {
        draft.name.name: lower_journey(draft, world, checked, version=_version(draft, world, checked), renders=renders)
        for draft in sorted(read.journeys, key=lambda draft: draft.name.name)
    }
    set_id = hash_texts([("sources", sources.set_id), ("schemas", hash_event_types(event_types))])
    made = _journey_set(journeys, world, checked, set_id)
    aligned = replace(made, alignment=_alignment(read.journeys, read.policies, made))
    return Compilation(aligned, ordered, read.journeys, read.governance)


def with_pinned(current: JourneySet, older: Iterable[JourneySet]) -> JourneySet:
    """The current set, able to decide for customers inside versions of older sets too.

    Entries, profile rules and policies stay those of `current`; so do channels, audiences, purposes and segments, to
    which those are added that only older versions still use. Give the older sets from the oldest to the newest.
    """
    versions: dict[tuple[str, str], Journey] = {}
    channels: dict[str, Channel] = {}
    audiences: dict[str, Audience] = {}
    segments: dict[str, Segment] = {}
    purposes: dict[str, Purpose] = {}
    experiments: dict[str, Experiment] = {}
    services = current.services
    emits: dict[str, str] = {}
    for journeys in older:
        versions.update(journeys.versions)
        channels.update(journeys.channels)
        purposes.update(journeys.purposes)
        experiments.update(journeys.experiments)
        audiences.update(journeys.audiences)
        segments.update(journeys.segments)
        services |= journeys.services
        emits.update(journeys.emits)
    versions.update(current.versions)
    channels.update(current.channels)
    purposes.update(current.purposes)
    experiments.update(current.experiments)
    audiences.update(current.audiences)
    segments.update(current.segments)
    tracked = track(versions.values(), segments)
    wanted = current.wanted.union(tracked_events(tracked), *(journey.listens for journey in versions.values()))
    return replace(
        current,
        versions=versions,
        channels=channels,
        audiences=audiences,
        purposes=purposes,
        experiments=experiments,
        services=services,
        emits=emits | current.emits,
        has_slides=any(map(slides, versions.values())),
        wanted=wanted,
        tracked=tracked,
    )


def _read(sources: Sources, problems: Problems) -> _Read:
    templates: dict[str, tuple[TemplateFile, ...]] = {}
    roots: dict[str, Node] = {}
    unreadable = {problem.path for problem in sources.problems}
    journey_files = 0
    for path, text in sorted(sources.files.items()):
        if is_test_file(path):
            continue
        if is_template_path(path) or path.endswith(".liquid"):
            template = read_template(path, text, problems)
            if template is not None:
                templates[template.name] = (*templates.get(template.name, ()), template)
            continue
        journey_files += path not in RULE_FILES
        root = _root(path, text, problems)
        if root is None:
            unreadable.add(path)
        else:
            roots[path] = root
    if not journey_files and not sources.problems:
        problems.append(Problem("", 1, 1, "J125", "there is no journey here", hint="a journey is a file <name>.yaml"))
    drafts = [read_journey(path, root, problems) for path, root in roots.items() if path not in RULE_FILES]
    journeys = tuple(draft for draft in drafts if draft is not None)

    def rules(path: str, read: Callable[[Node, Problems], Read], otherwise: Read) -> Read:
        return read(roots[path], problems) if path in roots else otherwise

    return _Read(
        journeys=journeys,
        rules=rules(PROFILE_FILE, read_profile, ()),
        channels=rules(CHANNELS_FILE, read_channels, ()),
        audiences=rules(AUDIENCES_FILE, read_audiences, ()),
        segments=rules(SEGMENTS_FILE, read_segments, ()),
        webhooks=rules(WEBHOOKS_FILE, read_webhooks, ()),
        experiments=rules(EXPERIMENTS_FILE, read_experiments, ()),
        policies=rules(POLICIES_FILE, read_policies, PoliciesDraft()),
        governance=rules(GOVERNANCE_FILE, read_governance, None),
        templates=templates,
        is_complete=len(journeys) == journey_files and not unreadable,
        has_rules=not unreadable.intersection(RULE_FILES),
        roots=roots,
    )


def _root(path: str, text: str, problems: Problems) -> Node | None:
    before = len(problems)
    root = parse_yaml(path, text, problems)
    if root is None or (isinstance(root, Scalar) and root.is_empty):
        if len(problems) == before:
            problems.append(Problem(path, 1, 1, "J110", "the file is empty", hint="write something or delete it"))
        return None
    return root


def _version(draft: JourneyDraft, world: World, checked: CheckedFormulas) -> str:
    """The version: a hash of what decides about the customers inside, and of nothing of other journeys."""
    sends = [step for step in draft.steps if isinstance(step, SendDraft)]
    messages = {(step.template.name, channel.name) for step in sends for channel in step.channels}
    texts = [
        (f"template {file.path}", file.text)
        for template, channel in messages
        for file in world.templates[template]
        if file.channel == channel
    ]
    for name in {channel for _, channel in messages}:
        channel = world.channels[name]
        texts.append((f"channel {name}", f"{channel.address.name} {channel.consent.name}"))
        for index, reach in enumerate(channel.reach):
            parts = [reach.on.name, reach.is_reachable, *(f and f.text for f in (reach.where, reach.address))]
            texts.append((f"channel {name} reach {index:04}", json.dumps(parts)))
    texts += action_texts(draft, world)
    formulas = journey_formulas(draft)
    named = frozenset[str]().union(*(uses(checked[formula].node).segments for formula in formulas))
    for segment in segments_behind(named, world, checked):
        texts.append((f"segment {segment.name.name}", checked[segment.when].text))
        formulas.append(segment.when)
    behind = {id(rule) for formula in formulas for rule in rules_behind(checked[formula], world)}
    for index, rule in enumerate(world.rules):
        if id(rule) in behind:
            content = [[attribute.name, formula.text] for attribute, formula in rule.attributes]
            content += [[consent.key.text, consent.granted.text] for consent in rule.consents]
            texts.append((f"rule {index:04}", json.dumps([rule.on.name, content, *["clear"] * rule.nulls_clear])))
    texts.append(("journey", json.dumps(_said_of_those_inside(draft), ensure_ascii=True)))
    return hash_texts(texts)


def _said_of_those_inside(draft: JourneyDraft) -> object:
    """What the journey says that belongs to its version.

    Who comes in from older versions decides nothing about those who are in this one. That the journey is paused, and
    how it goes on, is said of passages of all versions: pausing it makes no new one.
    """
    node = draft.node
    entries = tuple(pair for pair in node.entries if pair[0].value not in {MIGRATE, RESUME})
    said = canonical(MappingNode(node.document, node.start, node.end, entries))
    if isinstance(said, dict) and draft.status is Status.PAUSED:
        said["status"] = Status.LIVE.value
    return said


def _alignment(drafts: tuple[JourneyDraft, ...], policies: PoliciesDraft, made: JourneySet) -> str:
    """A hash of the rules that each customer record has to be in line with.

    Never "", also where there are none: a store that does not know how far its customers are would be believed.
    """
    rules = [
        (f"entry {draft.name.name}", json.dumps(canonical(draft.entry.node)))
        for draft in drafts
        if draft.status in RUNNING and _is_aligned(draft.entry)
    ]
    if rules:
        rules.append(("default_zone", policies.default_zone or DEFAULT_ZONE))
    rules += [(f"paused {draft.name.name}", "") for draft in drafts if draft.status is Status.PAUSED]
    rules += tracked_rules(made.tracked)
    rules += [(f"audience {name}", audience.consent) for name, audience in sorted(made.audiences.items())]
    for draft in drafts:
        journey = made.migrating.get(draft.name.name)
        if journey is not None and draft.migrate is not None:
            rules.append((f"migrate {journey.name}", json.dumps([journey.version, canonical(draft.migrate.node)])))
    return hash_texts(rules)


def _is_aligned(entry: EntryDraft) -> bool:
    """Whether each customer's record has to be brought in line with the entry."""
    return isinstance(entry.trigger, ALIGNED_TRIGGERS) or entry.backfill is not None


def canonical(node: Node, *, keeps_order: bool = False) -> object:
    """What the node says, without comments, spacing and the order of keys where that means nothing."""
    match node:
        case Scalar():
            return node.value
        case ListNode():
            return [canonical(item) for item in node.items]
        case MappingNode():
            pairs = [
                [key.value, canonical(value, keeps_order=key.value in ORDERED_KEYS)] for key, value in node.entries
            ]
            return {"in_order": pairs} if keeps_order else dict(sorted((str(key), value) for key, value in pairs))


def _journey_set(journeys: dict[str, Journey], world: World, checked: CheckedFormulas, set_id: str) -> JourneySet:
    rules = lower_rules(world, checked)
    running = {name: journey for name, journey in journeys.items() if journey.status is not Status.DRAFT}
    entered = [journey for journey in running.values() if journey.status in RUNNING]
    entry_events = {journey.entry.trigger.type for journey in entered if isinstance(journey.entry.trigger, OnEvent)}
    segments = lower_segments(world, checked)
    tracked = track(running.values(), segments)
    own_events = {ERASED, *COMMAND_EVENTS} & world.event_types.keys()
    wanted = frozenset(rules) | entry_events | tracked_events(tracked) | own_events
    made = JourneySet(
        set_id=set_id,
        versions={(journey.name, journey.version): journey for journey in running.values()},
        current=journeys,
        entries={},
        profile_rules=rules,
        channels={
            name: Channel(name, channel.address.name, channel.consent.name, f"actions.{name}")
            for name, channel in sorted(world.channels.items())
        },
        caps=(),
        experiments={
            name: lower_experiment(draft, world.policies.default_zone or DEFAULT_ZONE)
            for name, draft in world.experiments.items()
        },
        wanted=wanted.union(*(journey.listens for journey in running.values())),
        attributes=attribute_types(world),
        tracked=tracked,
        segments=segments,
        audiences=lower_audiences(world),
        has_slides=any(map(slides, running.values())),
        emits={name: topic for journey in running.values() for name, topic in emits_of(journey).items()},
        services=frozenset().union(*(services_of(journey) for journey in running.values())),
        paused=frozenset(journey.name for journey in entered if journey.status is Status.PAUSED),
        migrating={name: journey for name, journey in running.items() if journey.migration is not None},
    )
    return with_entries(with_policies(made, world), entered)
