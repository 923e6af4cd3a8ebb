"""Checks of segments: conditions that fit, that time alone changes at known instants, and that do not go in circles."""

from __future__ import annotations

from orchestrator.authoring.contradictions import check_formula
from orchestrator.authoring.drafts import Formula
from orchestrator.authoring.expression_horizons import loose_days_since
from orchestrator.authoring.expression_types import described
from orchestrator.authoring.expressions import Checked, check_tree, uses
from orchestrator.authoring.reading import Problems, expression_problem
from orchestrator.authoring.segment_source import SegmentDraft
from orchestrator.authoring.world import World, segment_names
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.model.types import Kind


def check_segments(world: World, problems: Problems, checked: dict[Formula, Checked]) -> None:
    """Checks every segment, whether a journey uses it or not."""
    names = segment_names(world)
    for draft in world.segments.values():
        found, mistakes = check_tree(draft.when.text, draft.when.tree, names)
        problems.extend(expression_problem(draft.when.node, mistake) for mistake in mistakes)
        if found is None:
            continue
        if found.type.kind not in {Kind.BOOLEAN, Kind.NULL}:
            message = f"a condition is true or false, and this is {described(found.type)}"
            hint = "compare it with something: == or >"
            problems.append(problem_at(draft.when.node, "J401", message, hint=hint))
            continue
        if next(loose_days_since(found.node), None) is not None:
            message = f'"{draft.name.name}" does not compare days_since with a fixed number'
            hint = "write days_since(EVENT) >= 60: anything else changes every day for ever"
            problems.append(problem_at(draft.when.node, "J445", message, hint=hint))
            continue
        check_formula(draft.when, found, problems)
        checked[draft.when] = found
    _check_circles(world, checked, problems)


def segments_behind(names: frozenset[str], world: World, checked: dict[Formula, Checked]) -> list[SegmentDraft]:
    """These segments and all that their conditions look at, in name order."""
    seen: set[str] = set()
    ahead = list(names)
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead.extend(uses(checked[world.segments[name].when].node).segments)
    return [world.segments[name] for name in sorted(seen)]


def _check_circles(world: World, checked: dict[Formula, Checked], problems: Problems) -> None:
    reads = {
        name: sorted(uses(checked[draft.when].node).segments)
        for name, draft in world.segments.items()
        if draft.when in checked
    }
    for name, draft in world.segments.items():
        circle = _circle(name, reads)
        # Each circle is reported once, at the first of its segments by name.
        if circle and name == min(circle):
            message = f"segments look at each other in a circle: {' -> '.join([*circle, name])}"
            hint = "write what one of them means without the other"
            problems.append(problem_at(draft.name.node, "J243", message, hint=hint))


def _circle(start: str, reads: dict[str, list[str]]) -> list[str] | None:
    """The shortest way from the segment back to itself, without the end."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for read in reads.get(way[-1], ()):
            if read == start:
                return way
            if read not in seen:
                seen.add(read)
                ways.append([*way, read])
    return None
