"""A plan as text and as values: what another journey set changes, and how many customers are where."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from orchestrator.authoring.approvals import Refusal
from orchestrator.authoring.changes import Changes, JourneyChange
from orchestrator.authoring.durations import describe_duration
from orchestrator.authoring.pause_source import resume_takes_ms, resume_words
from orchestrator.authoring.problem_text import count_words
from orchestrator.model.journey import Journey, Status
from orchestrator.model.migrations import covers, target_of
from orchestrator.model.problems import Problem
from orchestrator.runtime.places import INSIDE, Place, Places

SIGNS = {"added": "+", "changed": "~", "removed": "-"}
COLOURS = {"added": "green", "changed": "yellow", "removed": "red"}
PAUSED = Status.PAUSED.value
REBUILD = "it counts from when these journeys are in force; once they are, give it the past with:"


@dataclass(frozen=True, slots=True)
class Plan:
    """`before` is the set in force, "" if there is none. `places` is None where nobody was counted.

    `migrating` are the planned journeys that take customers of older versions along; `problems` say what is wrong with
    that. `refusals` is what the rules of the house have against it in the environment.
    """

    before: str
    after: str
    changes: Changes
    places: Places | None
    migrating: Mapping[str, Journey] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    environment: str = ""
    is_in_force: bool = False
    """Whether just this is in force in the environment already."""
    seen: int = -1
    """The newest publication that it was compared with; -1 if there was none, or none was looked at."""


def render_plan(plan: Plan, *, is_coloured: bool, shows_diff: bool) -> str:
    """The plan for a person."""
    changes = plan.changes
    lines: list[str] = []
    for journey in changes.journeys:
        lines += [_coloured(_headline(journey), journey.kind, is_coloured=is_coloured), *_details(journey)]
        lines += [f"    {line}" for line in _customers(journey, plan)]
        if shows_diff and journey.diff:
            lines += [f"    {line}" for line in journey.diff.splitlines()]
    for file in (*changes.rules, *changes.templates):
        lines.append(_coloured(f"{SIGNS[file.kind]} {file.path}", file.kind, is_coloured=is_coloured))
        if (shows_diff or file in changes.rules) and file.diff:
            lines += [f"    {line}" for line in file.diff.splitlines()]
    for text in changes.aggregates:
        lines += [_coloured(f"+ {text} starts empty", "added", is_coloured=is_coloured), f"    {REBUILD}"]
        lines.append(f"    {rebuild_command(text)}")
    if not changes:
        lines.append("nothing changes")
    if plan.places is not None:
        lines += ["", *_table(plan.places)]
    if plan.refusals:
        lines += ["", f"against bringing it into force in {plan.environment}:"]
        for refusal in plan.refusals:
            lines += [_coloured(f"- {refusal}", "removed", is_coloured=is_coloured), f"    {refusal.hint}"]
    return "\n".join(lines)


def rebuild_command(aggregate: str) -> str:
    """The command that gives this aggregate the past."""
    return f"orchestrator rebuild {shlex.quote(aggregate)} --who NAME --why TEXT"


def plan_values(plan: Plan) -> dict[str, Any]:
    """The plan for a program."""
    places = plan.places
    values: dict[str, Any] = {
        "in_force": plan.before or None,
        "planned": plan.after,
        "changes": bool(plan.changes),
        "journeys": [
            msgspec.to_builtins(journey)
            | ({} if places is None else {"inside": places.inside(journey.name), "paused": places.paused(journey.name)})
            | ({} if places is None else {"pinned": _pinned(journey, plan), "migrated": _moves(journey, plan)})
            for journey in plan.changes.journeys
        ],
        "rules": [msgspec.to_builtins(file) for file in plan.changes.rules],
        "templates": [msgspec.to_builtins(file) for file in plan.changes.templates],
        "aggregates_that_start_empty": list(plan.changes.aggregates),
        "rebuilds": [rebuild_command(text) for text in plan.changes.aggregates],
        "environment": plan.environment,
        "refusals": [msgspec.to_builtins(refusal) for refusal in plan.refusals],
        "problems": [msgspec.to_builtins(problem) for problem in plan.problems],
    }
    if places is not None:
        values["customers"] = places.customers
        values["places"] = [
            msgspec.to_builtins(place) | {"count": count} for place, count in sorted(places.passages.items())
        ]
    return values


def _coloured(text: str, kind: str, *, is_coloured: bool) -> str:
    return click.style(text, fg=COLOURS[kind]) if is_coloured else text


def _headline(journey: JourneyChange) -> str:
    status = journey.status
    if journey.status_before and journey.status_before != journey.status:
        status = f"{journey.status_before} -> {journey.status}"
    versions = " -> ".join(dict.fromkeys(one for one in (journey.version_before, journey.version) if one))
    return f"{SIGNS[journey.kind]} journey {journey.name} ({status}), version {versions}"


def _details(journey: JourneyChange) -> list[str]:
    lines = []
    if journey.settings:
        lines.append(f"    changed: {', '.join(journey.settings)}")
    if journey.kind == "changed":
        for sign, steps in (("+", journey.steps_added), ("-", journey.steps_removed), ("~", journey.steps_changed)):
            lines += [f"    {sign} step {step}" for step in steps]
        if not lines:
            lines.append("    a template, a channel or a rule that it uses changes")
    return lines


def _coming_along(journey: JourneyChange, plan: Plan) -> list[tuple[Place, str, int]]:
    """Passages of older versions that come along: where they are, the step that they come to, how many."""
    planned = plan.migrating.get(journey.name)
    if planned is None or planned.migration is None or plan.places is None:
        return []
    return [
        (place, target_of(planned.migration, place.step), count)
        for place, count in sorted(plan.places.passages.items())
        if place.journey == journey.name
        and place.version != planned.version
        and covers(planned.migration, place.version)
    ]


def _moves(journey: JourneyChange, plan: Plan) -> list[dict[str, Any]]:
    return [
        {"version": place.version, "state": place.state, "step": place.step, "to": to, "count": count}
        for place, to, count in _coming_along(journey, plan)
    ]


def _pinned(journey: JourneyChange, plan: Plan) -> int:
    """How many are inside versions that are not the planned one and do not come along: they stay there."""
    if plan.places is None:
        return 0
    others = plan.places.inside(journey.name) - plan.places.inside(journey.name, journey.version)
    return others - sum(count for place, _, count in _coming_along(journey, plan) if place.state in INSIDE)


def _customers(journey: JourneyChange, plan: Plan) -> Iterable[str]:
    if plan.places is None or journey.kind == "added":
        return
    yield from _standing_still(journey, plan.places)
    moves = _coming_along(journey, plan)
    pinned = _pinned(journey, plan)
    if moves:
        count = sum(count for _, _, count in moves)
        verb = "comes" if count == 1 else "come"
        yield f"{count_words(count, 'passage')} {verb} along into version {journey.version}"
    for place, to, count in moves:
        where = f"{place.step} -> {to}" if place.step else f"({place.state})"
        yield f"    {count:,}  {where}, from version {place.version}"
    if pinned:
        verb = "stays in the version it entered" if pinned == 1 else "stay in the versions they entered"
        yield f"{count_words(pinned, 'passage')} {verb}, to the end of it"
    elif not moves and not plan.places.inside(journey.name):
        yield "nobody is inside"


def _standing_still(journey: JourneyChange, places: Places) -> Iterable[str]:
    """What becomes of passages where a journey is paused, or runs again."""
    if journey.status == PAUSED and journey.status_before not in {"", PAUSED}:
        inside = places.inside(journey.name)
        yield f"from then on {count_words(inside, 'passage')} {'stands' if inside == 1 else 'stand'} still"
    elif journey.resume is not None:
        standing = places.paused(journey.name)
        takes_ms = resume_takes_ms(journey.resume, standing)
        takes = f", which takes {describe_duration(takes_ms)}" if journey.resume.rate is not None and takes_ms else ""
        yield f"{count_words(standing, 'passage')} stood still: all {resume_words(journey.resume)}{takes}"


def _table(places: Places) -> list[str]:
    if not places.passages:
        return [f"{count_words(places.customers, 'customer')}, nobody is inside a journey"]
    rows = [("journey", "version", "step", "passages")]
    rows += [
        (place.journey, place.version[:8], _place_words(place), f"{count:,}")
        for place, count in sorted(places.passages.items())
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    width = max(len(row[3]) for row in rows)
    lines = [
        "  ".join([*(text.ljust(w) for text, w in zip(row, widths, strict=False)), row[3].rjust(width)]) for row in rows
    ]
    lines.append(f"{count_words(places.customers, 'customer')} on record")
    if places.damaged:
        lines.append(f"{count_words(places.damaged, 'record')} could not be read")
    return lines


def _place_words(place: Place) -> str:
    if not place.step:
        return f"({place.state})"
    return f"{place.step} ({PAUSED})" if place.state == PAUSED else place.step


@contextmanager
def counting() -> Iterator[Callable[[int, int], None]]:
    """A bar while customers are counted, where somebody watches; it is told the offsets read, and all of them."""
    columns = (TextColumn("counting customers"), BarColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
