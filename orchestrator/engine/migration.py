"""Passages of older versions come into the version in force, where its journey says so (`migrate`).

It happens as the customer's record is brought in line with a journey set, once for each set. Whether the declaration
is safe was proved before (`authoring/migration_proof.py`); whatever does not fit all the same leaves the passage in its
version, and that is recorded.
"""

from __future__ import annotations

from typing import Any

from orchestrator.engine.clocks import EXPIRY, set_clock
from orchestrator.engine.expiry import EXPIRED
from orchestrator.engine.keeping import judge_anew
from orchestrator.engine.local_time import months_later
from orchestrator.engine.sending import give_back
from orchestrator.engine.steps import after_any_event, drop_expiry, leave, leaves_by_condition, remove, run_steps
from orchestrator.engine.turn import Turn, ask_to_catch_up, fail, record, version_of
from orchestrator.engine.waits import zone_for
from orchestrator.model.customer import ACTIVE, NEVER_MS, PAUSED, Instance, StepResult
from orchestrator.model.journey import (
    Journey,
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
from orchestrator.model.pauses import Pause

MIGRATED = "migrated"
"""The kind of the transition: from a step of the older version, which is its reason, to one of the version in force."""

_KINDS: dict[type, str] = {
    Wait: "span",
    WaitMonths: "span",
    WaitUntilTime: "time of day",
    WaitUntilMoment: "moment",
    WaitFor: "event",
    WaitWhile: "condition",
    Send: "send",
}
"""Steps that a passage can be in. A wait for so long is one kind, in days or in months."""


def migrate(turn: Turn) -> None:
    """Brings each passage that comes along into the version in force."""
    migrating = turn.journeys.migrating
    for instance in turn.customer.instances:
        journey = migrating.get(instance.journey)
        if journey is None or journey.migration is None or instance.version == journey.version:
            continue
        if covers(journey.migration, instance.version):
            _migrate_one(turn, journey, journey.migration, instance)


def is_same_kind(old: Step | None, new: Step) -> bool:
    """Whether the two wait in the same way, so that what one waits for can go on in the other."""
    kind = _KINDS.get(type(old))
    return kind is not None and kind == _KINDS.get(type(new))


def keeps_timer(old: Step | None, new: Step, migration: Migration) -> bool:
    """Whether a passage that is in the old step just goes on waiting in the new one, until when it would have."""
    if migration.restarts or not is_same_kind(old, new):
        return False
    if isinstance(old, WaitFor | WaitWhile) and isinstance(new, WaitFor | WaitWhile):
        return (old.timeout_ms is None) == (new.timeout_ms is None)
    return True


def _migrate_one(turn: Turn, journey: Journey, migration: Migration, instance: Instance) -> None:
    old = version_of(turn.journeys, instance)
    turn.instance = instance
    before, target = instance.step, ""
    is_in_step = instance.state in {ACTIVE, PAUSED}
    if is_in_step:
        target = journey.first if _is_yet_to_begin(old, instance) else target_of(migration, before)
        if target not in journey.steps:
            fail(turn, old, instance, before, f"version {journey.version} has no step for it")
            return
    instance.entry = _entry(old, journey, migration, instance)
    instance.version = journey.version
    _renew_goal(turn, journey, instance)
    record(turn, journey, instance, MIGRATED, step=before, to=target, reason=old.version)
    if not is_in_step:
        if instance.goal_until_ms == NEVER_MS:
            remove(turn, instance)
        return
    instance.results = _results(old, journey, migration, instance)
    instance.step = target
    if instance.state == PAUSED and instance.pause is not None:
        judge_anew(turn, old, journey, instance, instance.pause)
        _stand_on(turn, journey, migration, instance, instance.pause, old.steps.get(before))
    elif _is_over(turn, journey, instance):
        leave(turn, journey, instance, EXPIRED)
    elif not leaves_by_condition(turn, journey, instance):
        _arrive(turn, journey, migration, instance, old.steps.get(before))


def _is_yet_to_begin(old: Journey, instance: Instance) -> bool:
    """Whether the passage entered in the pause and has taken no step. Who stands before a first step because a
    migration led there has taken others before.
    """
    pause = instance.pause
    if pause is None or not pause.is_before_step:
        return False
    return instance.step == old.first if pause.has_entered is None else pause.has_entered


def _arrive(turn: Turn, journey: Journey, migration: Migration, instance: Instance, old_step: Step | None) -> None:
    """The passage waits on in its new step, or comes to it anew."""
    if instance.pause is not None:
        # What it still keeps may be an exit or the goal of this version.
        instance.pause.shown = 0
        ask_to_catch_up(turn, instance)
    if keeps_timer(old_step, journey.steps[instance.step], migration):
        after_any_event(turn, journey, instance)
        return
    if instance.reserved:
        give_back(turn, instance)
    run_steps(turn, journey, instance, instance.step)


def _stand_on(
    turn: Turn, journey: Journey, migration: Migration, instance: Instance, pause: Pause, old_step: Step | None
) -> None:
    """The passage stands still in its new step. If that is come to anew, it is as the passage goes on, before it sees
    what it kept.
    """
    if not pause.is_before_step and not keeps_timer(old_step, journey.steps[instance.step], migration):
        pause.is_before_step = True
        pause.due_at_ms = pause.kept[0].at_ms if pause.kept else turn.now_ms
    pause.expired_at_ms = turn.now_ms if _is_over(turn, journey, instance) else None


def _entry(old: Journey, journey: Journey, migration: Migration, instance: Instance) -> list[Any]:
    """The fields of the entry event that the new version refers to. What the old one did not keep, or kept as another
    type, has the declared value, or none.
    """
    kept = {field.field: (field.type, value) for field, value in zip(old.captured, instance.entry, strict=False)}
    entry: list[Any] = []
    for field in journey.captured:
        found = kept.get(field.field)
        if found is not None and holds_same(found[0], field.type):
            entry.append(found[1])
        else:
            entry.append(migration.values.get(field.field))
    return entry


def _results(old: Journey, journey: Journey, migration: Migration, instance: Instance) -> dict[str, StepResult]:
    """How steps ended: of those that bear another name in the new version under that name too.

    Under the old one it stays: should a step of that name come back, what it asks for needs an id of its own.
    """
    results = dict(instance.results)
    for name, target in migration.steps.items():
        ended = instance.results.get(name)
        if ended is None or not is_renamed(old, journey, name, target):
            continue
        other = results.get(target, ended)
        latest = ended if ended.at_ms >= other.at_ms else other
        # What either has asked for has ids up to its number of visits.
        visits = max(ended.visits, other.visits)
        results[target] = StepResult(visits, latest.at_ms, latest.outcome, latest.action_id, latest.channel)
    return results


def is_renamed(old: Journey, journey: Journey, name: str, target: str) -> bool:
    """Whether the step is the same one under another name. It is not where either version has both: who is in the one
    then just goes to the other.
    """
    is_one_step = name not in journey.steps and target not in old.steps
    return is_one_step and type(old.steps.get(name)) is type(journey.steps.get(target))


def _renew_goal(turn: Turn, journey: Journey, instance: Instance) -> None:
    """The goal counts as long after the entry as the new version says; NEVER_MS if it cannot be reached any more."""
    goal = journey.goal
    due_ms = NEVER_MS
    if goal is not None:
        due_ms = _after_entry(turn, instance, goal.within_ms, goal.within_months)
    instance.goal_until_ms = due_ms if due_ms > turn.now_ms else NEVER_MS
    if instance.pause is not None:
        # A goal that came before that counts, as in the older version.
        instance.pause.goal_closed_at_ms = None if due_ms > turn.now_ms else due_ms


def _is_over(turn: Turn, journey: Journey, instance: Instance) -> bool:
    """Whether the passage has lasted longer than the new version lets it; otherwise its clock is set."""
    drop_expiry(turn, instance)
    if not journey.max_duration_ms:
        return False
    due_ms = _after_entry(turn, instance, journey.max_duration_ms, journey.max_duration_months)
    if due_ms <= turn.now_ms:
        return True
    set_clock(turn.customer, f"{EXPIRY}:{instance.number}", due_ms)
    return False


def _after_entry(turn: Turn, instance: Instance, duration_ms: int, months: int) -> int:
    if months:
        return months_later(instance.entered_at_ms, months, zone_for(turn, None))
    return instance.entered_at_ms + duration_ms
