"""What a journey set has to keep up to date for every customer: the aggregates and segments that its journeys use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from orchestrator.authoring.checks import CheckedFormulas
from orchestrator.authoring.expression_closures import closure
from orchestrator.authoring.expression_horizons import horizon
from orchestrator.authoring.expressions import uses
from orchestrator.authoring.lowering import rules_behind
from orchestrator.authoring.segment_source import SegmentDraft
from orchestrator.authoring.world import World
from orchestrator.engine.segments import clock_of
from orchestrator.model.aggregates import Aggregate, Segment, Tracked
from orchestrator.model.journey import Journey, JourneySet


def lower_segments(world: World, checked: CheckedFormulas) -> dict[str, Segment]:
    """All segments, used or not, in name order."""
    return {name: _segment(draft, world, checked) for name, draft in sorted(world.segments.items())}


def _segment(draft: SegmentDraft, world: World, checked: CheckedFormulas) -> Segment:
    condition = checked[draft.when]
    used = uses(condition.node)
    name = draft.name.name
    rules = rules_behind(condition, world)
    return Segment(
        name=name,
        title=draft.title,
        text=condition.text,
        when=closure(condition.node, {}),
        next_change=horizon(condition.node),
        clock=clock_of(name),
        aggregates=used.aggregates,
        segments=used.segments,
        events=frozenset(aggregate.on for aggregate in used.aggregates) | {rule.on.name for rule in rules},
        reads_profile=bool(used.attributes or used.consents or used.audiences or used.experiments),
    )


def track(journeys: Iterable[Journey], segments: Mapping[str, Segment], *, also: Iterable[str] = ()) -> Tracked | None:
    """All that these journeys use, and these segments, each once however many use it; None for nothing of the kind."""
    found: dict[str, Aggregate] = {}
    names = set(also)
    for journey in journeys:
        found |= {aggregate.key: aggregate for aggregate in journey.aggregates}
        names |= journey.segments
    used = _in_order(names, segments)
    for segment in used:
        found |= {aggregate.key: aggregate for aggregate in segment.aggregates}
    if not found and not used:
        return None
    by_event: dict[str, tuple[Aggregate, ...]] = {}
    for aggregate in sorted(found.values(), key=lambda aggregate: aggregate.text):
        by_event[aggregate.on] = (*by_event.get(aggregate.on, ()), aggregate)
    return Tracked(
        aggregates=by_event,
        segments=used,
        by_event={
            event: _and_after(used, lambda segment: event in segment.events)  # noqa: B023 - called at once
            for event in sorted({event for segment in used for event in segment.events})
        },
        of_profile=_and_after(used, lambda segment: segment.reads_profile),
        after={one.name: _and_after(used, lambda segment: segment.name == one.name) for one in used},  # noqa: B023 - likewise
    )


def _in_order(names: Iterable[str], segments: Mapping[str, Segment]) -> tuple[Segment, ...]:
    """These segments and those that they read, each after those that it reads, otherwise in name order."""
    ordered: dict[str, Segment] = {}

    def add(name: str) -> None:
        if name not in ordered:
            for read in sorted(segments[name].segments):
                add(read)
            ordered[name] = segments[name]

    for name in sorted(names):
        add(name)
    return tuple(ordered.values())


def _and_after(ordered: tuple[Segment, ...], is_first: Callable[[Segment], bool]) -> tuple[Segment, ...]:
    """Those that are first, and those that read one of them, near or far."""
    found: list[Segment] = []
    names: set[str] = set()
    for segment in ordered:
        if is_first(segment) or segment.segments & names:
            found.append(segment)
            names.add(segment.name)
    return tuple(found)


def tracked_events(tracked: Tracked | None) -> frozenset[str]:
    """The event types that change what is tracked, and so have to be read."""
    return frozenset() if tracked is None else frozenset(tracked.aggregates) | frozenset(tracked.by_event)


def tracked_rules(tracked: Tracked | None) -> list[tuple[str, str]]:
    """What each customer record has to be in line with, as named texts."""
    if tracked is None:
        return []
    keys = sorted(aggregate.key for some in tracked.aggregates.values() for aggregate in some)
    return [
        ("aggregates", " ".join(keys)),
        *((f"segment {segment.name}", segment.text) for segment in tracked.segments),
    ]


def listed_aggregates(journeys: JourneySet) -> dict[str, Aggregate]:
    """Every aggregate that is kept under this set, by its text.

    One that an earlier set does not list starts empty: it counts from when the set is in force.
    """
    every = aggregate_keys(journeys).values()
    return {aggregate.text: aggregate for aggregate in sorted(every, key=lambda aggregate: aggregate.text)}


def aggregate_keys(journeys: JourneySet) -> dict[str, Aggregate]:
    """Every aggregate that is kept under this set, by what it is kept under in a customer's record."""
    tracked = journeys.tracked
    return {} if tracked is None else {one.key: one for some in tracked.aggregates.values() for one in some}
