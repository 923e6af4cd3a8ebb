"""What can only be told with both versions at hand: that whoever is inside an older one may come into the new one.

An older version is known as it was compiled. Its steps lead to each other as in `worst_case.ways_on`, which is the
graph of `flow.py` after compiling; conditions are not looked at. The steps that a passage can be in are those that
wait, and messages that quiet hours or a rate may hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.authoring.drafts import JourneyDraft, MigrateDraft
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.worst_case import ways_on
from orchestrator.authoring.yaml_source import Node, problem_at
from orchestrator.engine.limits import PROMOTIONAL
from orchestrator.engine.migration import keeps_timer
from orchestrator.model.action_steps import Emit, Task, Webhook
from orchestrator.model.journey import (
    Journey,
    JourneySet,
    Send,
    Step,
    Wait,
    WaitFor,
    WaitMonths,
    WaitUntilMoment,
    WaitUntilTime,
    WaitWhile,
)
from orchestrator.model.migrations import Migration, covers, holds_same, target_of
from orchestrator.model.problems import Problem

WAITS = (Wait, WaitMonths, WaitUntilTime, WaitUntilMoment, WaitFor, WaitWhile)
LEAVES_THE_HOUSE = (Send, Task, Webhook, Emit)
"""Steps whose work somebody else sees, so that it must not be done twice."""


def prove(drafts: Iterable[JourneyDraft], journeys: JourneySet, older: Iterable[JourneySet]) -> tuple[Problem, ...]:
    """What is wrong with the migrations of these journeys, which compile, from the versions of older sets."""
    migrating = [draft for draft in drafts if draft.migrate is not None and draft.name.name in journeys.migrating]
    if not migrating:
        return ()
    sets = tuple(older)
    versions: dict[str, dict[str, Journey]] = {}
    for (name, version), journey in (pair for one in sets for pair in one.versions.items()):
        versions.setdefault(name, {})[version] = journey
    problems: Problems = []
    for draft in migrating:
        journey = journeys.migrating[draft.name.name]
        known = versions.get(journey.name, {})
        _prove_journey(draft, journey, known, (*sets, journeys), problems)
    return tuple(sorted(set(problems)))


def occupied(journey: Journey, sets: Iterable[JourneySet]) -> list[Step]:
    """The steps that a passage can be in, under the rules of any of these sets."""
    every = tuple(sets)
    return [
        step
        for step in journey.steps.values()
        if isinstance(step, WAITS) or (isinstance(step, Send) and any(_may_be_held(step, one) for one in every))
    ]


def _may_be_held(step: Send, journeys: JourneySet) -> bool:
    rules = [rule.channels for rule in journeys.rates]
    if step.message_class == PROMOTIONAL:
        rules += [rule.channels for rule in journeys.quiet_hours]
    return any(channels is None or channels.intersection(step.channels) for channels in rules)


def _stood_before(known: Mapping[str, Journey], sets: Iterable[JourneySet]) -> dict[str, set[str]]:
    """Of each version the steps that a passage can be in, or can stand before: whoever stands still in a pause, and is
    led to a step by another version, is there until the journey runs again, whatever the step is.
    """
    every = tuple(sets)
    found = {version: {step.name for step in occupied(one, every)} for version, one in known.items()}
    leading = [one for one in known.values() if one.migration is not None]
    changed = True
    while changed:
        changed = False
        for into in leading:
            for version, names in found.items():
                if into.migration is None or version == into.version or not covers(into.migration, version):
                    continue
                led = {target_of(into.migration, name) for name in names} & into.steps.keys()
                changed = changed or not led <= found[into.version]
                found[into.version] = found[into.version] | led
    return found


@dataclass(frozen=True, slots=True)
class _Pair:
    """An older version and the one that its passages come into."""

    old: Journey
    new: Journey
    how: Migration
    draft: JourneyDraft
    migrate: MigrateDraft
    sets: tuple[JourneySet, ...]

    def place(self, step: str) -> Node:
        """Where it is written what follows in place of an older step, or where the step is that keeps its name."""
        for name, target in self.migrate.steps:
            if name.name == step:
                return target.node
        return next((own.name.node for own in self.draft.steps if own.name.name == step), self.migrate.place)


def _prove_journey(
    draft: JourneyDraft,
    journey: Journey,
    known: Mapping[str, Journey],
    sets: tuple[JourneySet, ...],
    problems: Problems,
) -> None:
    migrate, how = draft.migrate, journey.migration
    if migrate is None or how is None:
        return
    for ref in migrate.versions or ():
        if not any(version.startswith(ref.name) for version in known):
            message = f'no version of the journey that is known here begins with "{ref.name}"'
            hint = "orchestrator versions says which are kept"
            problems.append(problem_at(ref.node, "J310", message, hint=hint, severity="warning"))
    covered = [old for version, old in known.items() if version != journey.version and covers(how, version)]
    for name, _ in migrate.steps if covered else ():
        if not any(name.name in old.steps for old in covered):
            message = f'no version that comes along has a step "{name.name}"'
            hint = "leave it out, if nobody is in such a version any more"
            # No error: the set must stay usable once nobody is in such a version, and it is collected.
            problems.append(problem_at(name.node, "J311", message, hint=hint, severity="warning"))
    standing = _stood_before(known, sets) if covered else {}
    for old in covered:
        pair = _Pair(old, journey, how, draft, migrate, sets)
        problems += _without_target(pair, standing[old.version])
        problems += _without_value(pair)
        problems += _repeated(pair)


def _without_target(pair: _Pair, standing: set[str]) -> Iterator[Problem]:
    inside = {step.name for step in occupied(pair.old, pair.sets)}
    for name in pair.old.steps:
        if name in standing and target_of(pair.how, name) not in pair.new.steps:
            message = f'customers may be in step "{name}", which this version does not have'
            if name not in inside:
                message = (
                    f'customers who were led to step "{name}" in a pause may stand before it; this version has none'
                )
            hint = f"say where they go: {name}: STEP under steps (it is in version {pair.old.version})"
            yield problem_at(pair.migrate.place, "J312", message, hint=hint)


def _without_value(pair: _Pair) -> Iterator[Problem]:
    kept = {field.field: field.type for field in pair.old.captured}
    for field in pair.new.captured:
        is_kept = field.field in kept and holds_same(kept[field.field], field.type)
        if not is_kept and not field.type.nullable and field.field not in pair.how.values:
            message = f"passages of older versions have no entry.{field.field}, and it is never null"
            hint = f"give them a constant: entry: {{{field.field}: ...}} (version {pair.old.version} does not keep it)"
            yield problem_at(pair.migrate.place, "J314", message, hint=hint)


def _repeated(pair: _Pair) -> Iterator[Problem]:
    """Each message that a passage comes to although it may have been sent to it before."""
    stands_for = _same_steps(pair)
    ways = {name: [target for target, _ in ways_on(step)] for name, step in pair.new.steps.items()}
    old_ways = {name: [target for target, _ in ways_on(step)] for name, step in pair.old.steps.items()}
    after = {name: _reached(targets, old_ways) for name, targets in old_ways.items()}
    for step in occupied(pair.old, pair.sets):
        target = target_of(pair.how, step.name)
        if target not in pair.new.steps:
            continue
        sent = {name for name, following in after.items() if step.name in following and name != step.name}
        soon = _at_once(step, target, pair)
        # What the older version would have sent at once, or sends again later, is no repetition.
        as_before = _reached([step.name], _ways_at_once(pair.old)) if isinstance(step, Send) else set()
        for name in sorted(_reached([target], ways)):
            if not isinstance(pair.new.steps[name], LEAVES_THE_HOUSE):
                continue
            again = stands_for.get(name, set()) & sent
            if name in soon and again - as_before:
                message = f'whoever is in "{step.name}" comes to "{name}" at once, and may have been there before'
                hint = f'let "{step.name}" lead to a step that waits, or to one after "{name}"'
                yield problem_at(pair.place(step.name), "J313", message, hint=hint)
            elif again - after[step.name] - as_before:
                message = f'whoever is in "{step.name}" comes to "{name}", and may have been there before'
                hint = f'let "{step.name}" lead to a step after "{name}"'
                yield problem_at(pair.place(step.name), "J315", message, hint=hint, severity="warning")


def _same_steps(pair: _Pair) -> dict[str, set[str]]:
    """Step of the new version → the steps of the older one that it is, by its name or under a new one."""
    found: dict[str, set[str]] = {}
    for name, step in pair.old.steps.items():
        target = target_of(pair.how, name)
        if isinstance(step, LEAVES_THE_HOUSE) and name in pair.new.steps:
            found.setdefault(name, set()).add(name)
        elif isinstance(step, LEAVES_THE_HOUSE) and target not in pair.old.steps:
            found.setdefault(target, set()).add(name)
    return found


def _at_once(step: Step, target: str, pair: _Pair) -> set[str]:
    """The steps of the new version that a passage in the old step comes to without waiting."""
    to = pair.new.steps[target]
    ways = _ways_at_once(pair.new)
    if keeps_timer(step, to, pair.how) and isinstance(to, WAITS):
        # A moment that is waited for is not looked at again; a condition is, and holds if it is the same one.
        if not (isinstance(step, WaitWhile) and isinstance(to, WaitWhile)) or step.condition.text == to.condition.text:
            return set()
        return _reached([to.next], ways)
    return _reached([target], ways)


def _ways_at_once(journey: Journey) -> dict[str, list[str]]:
    return {name: list(_onwards_at_once(step)) for name, step in journey.steps.items()}


def _onwards_at_once(step: Step) -> Iterator[str]:
    """Where whoever arrives at the step may go on to without having waited in it."""
    match step:
        case WaitUntilMoment():
            yield from (step.missing, step.past)
        case WaitWhile():
            yield step.next
        case Wait() | WaitMonths() | WaitUntilTime() | WaitFor():
            return
        case _:
            yield from (target for target, _ in ways_on(step))


def _reached(starts: Iterable[str], ways: Mapping[str, Iterable[str]]) -> set[str]:
    """These steps, and all that may follow."""
    found: set[str] = set()
    ahead = list(starts)
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead.extend(ways.get(name, ()))
    return found
