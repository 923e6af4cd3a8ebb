"""Journeys that would set each other off without end: events that come back, all in the same instant.

What leads to what is a graph over event types, and over journeys that others start. One leads to another if a customer
can, without waiting for time to pass, come from an event of the first to a step that emits the second, and do so again
the next time: by entering again, or by going round a loop of the journey. Conditions are not looked at. Whatever gets
past this is bounded while it runs (`EMITTED_MAX`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.authoring.drafts import EmitDraft, JourneyDraft, OnCommandDraft, Ref, StartDraft, WaitForDraft
from orchestrator.authoring.flow import edges, step_after
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.yaml_source import problem_at


@dataclass(frozen=True, slots=True)
class _Lead:
    """Something of the first kind leads to something of the second, by what is written at `place`."""

    first: str
    second: str
    place: Ref


def check_endless(journeys: Iterable[JourneyDraft], problems: Problems) -> None:
    """Reports each ring of events and journeys that set each other off."""
    drafts = tuple(journeys)
    emitted = frozenset(step.event.name for draft in drafts for step in draft.steps if isinstance(step, EmitDraft))
    if not emitted and not any(isinstance(step, StartDraft) for draft in drafts for step in draft.steps):
        return
    leads = [lead for draft in drafts for lead in _leads(draft, emitted)]
    reported: set[frozenset[str]] = set()
    for lead in leads:
        way = _way(lead.second, lead.first, leads)
        if way is None or frozenset(way) in reported:
            continue
        reported.add(frozenset(way))
        shown = " -> ".join([lead.first, *way])
        hint = "wait in between, or let customers enter again only after a time: reentry: after 1 day"
        problems.append(problem_at(lead.place.node, "J239", f"this comes round without end: {shown}", hint=hint))


def _leads(draft: JourneyDraft, emitted: frozenset[str]) -> Iterator[_Lead]:
    steps = {step.name.name: step for step in draft.steps}
    ways = _ways_without_time(draft, emitted)
    reentry = draft.entry.reentry
    is_entered_again = reentry is not None and reentry.mode == "always"
    first = _reached(draft.steps[0].name.name, ways)
    if is_entered_again and draft.entry.event is not None:
        yield from _effects(draft, draft.entry.event.name, first)
    if isinstance(draft.entry.trigger, OnCommandDraft):
        yield from _effects(draft, _journey(draft.name), first)
    for index, step in enumerate(draft.steps):
        if not isinstance(step, WaitForDraft):
            continue
        for awaited in step.awaited:
            go = awaited.go.name if awaited.go is not None else step_after(draft, index)
            if awaited.on.name not in emitted or go not in steps:
                continue
            for emit in _emits(draft, _reached(go, ways)):
                if is_entered_again or step.name.name in _reached(emit.name.name, ways):
                    yield _Lead(awaited.on.name, emit.event.name, emit.event)


def _effects(draft: JourneyDraft, first: str, reached: list[str]) -> Iterator[_Lead]:
    """What the steps lead to, one after the other."""
    for step in draft.steps:
        if step.name.name in reached and isinstance(step, EmitDraft):
            yield _Lead(first, step.event.name, step.event)
        elif step.name.name in reached and isinstance(step, StartDraft):
            yield _Lead(first, _journey(step.journey), step.journey)


def _journey(name: Ref) -> str:
    return f"journey {name.name}"


def _ways_without_time(draft: JourneyDraft, emitted: frozenset[str]) -> dict[str, list[str]]:
    """Step → the steps that may follow at once, or with an event that some journey emits."""
    ways: dict[str, list[str]] = {}
    for index, step in enumerate(draft.steps):
        following = step_after(draft, index)
        targets = [edge.target for edge in edges(step, following) if not edge.waits]
        if isinstance(step, WaitForDraft):
            targets += [
                following if awaited.go is None else awaited.go.name
                for awaited in step.awaited
                if awaited.on.name in emitted
            ]
        ways[step.name.name] = targets
    return ways


def _reached(start: str, ways: dict[str, list[str]]) -> list[str]:
    """The step and all that may follow, in the order in which they are found."""
    found = [start]
    for name in found:
        found.extend(target for target in ways.get(name, ()) if target not in found)
    return found


def _emits(draft: JourneyDraft, names: list[str]) -> list[EmitDraft]:
    return [step for step in draft.steps if isinstance(step, EmitDraft) and step.name.name in names]


def _way(start: str, end: str, leads: list[_Lead]) -> list[str] | None:
    """The shortest way from one kind to another, both included; None if there is none."""
    came_from: dict[str, str | None] = {start: None}
    ahead = [start]
    for name in ahead:
        if name == end:
            way = [name]
            while (before := came_from[way[0]]) is not None:
                way.insert(0, before)
            return way
        for lead in leads:
            if lead.first == name and lead.second not in came_from:
                came_from[lead.second] = name
                ahead.append(lead.second)
    return None
