"""Checks of what lets customers in."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.authoring.cron_source import ticks_a_day
from orchestrator.authoring.drafts import (
    EntryDraft,
    Formula,
    LocalMoment,
    OnCommandDraft,
    OnDateDraft,
    OnEventDraft,
    OnScheduleDraft,
    OnSegmentDraft,
    Ref,
    TriggerDraft,
)
from orchestrator.authoring.expression_nodes import Attribute
from orchestrator.authoring.expression_types import described
from orchestrator.authoring.expressions import Checked
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.world import World
from orchestrator.authoring.yaml_source import Scalar, problem_at
from orchestrator.engine.local_time import at_time_of_day, zone_called
from orchestrator.model.customer import NEVER_MS
from orchestrator.model.triggers import Bounds, EntryLimit
from orchestrator.model.types import Kind, Type

TICKS_A_DAY_MAX = 24
"""A schedule looks at every customer each time; more often than hourly is hardly meant."""


def an_entry_date(of: Type) -> tuple[str, str, str] | None:
    """Demands something that customers can enter at."""
    if of.kind in {Kind.INSTANT, Kind.DATE}:
        return None
    hint = "name an attribute that is a date or an instant: profile.birthday"
    return "J520", f"customers enter at a date or an instant, and this is {described(of)}", hint


def check_entry(entry: EntryDraft, world: World, problems: Problems, checked: Mapping[Formula, Checked]) -> None:
    """Appends what is wrong with a trigger other than an event; expressions are typed already."""
    trigger = entry.trigger
    _check_window(entry, world, problems)
    if entry.backfill is not None:
        _check_backfill(entry.backfill, trigger, problems)
    if isinstance(trigger, OnSegmentDraft):
        _check_segment(trigger.segment, world, problems)
    elif isinstance(trigger, OnScheduleDraft):
        _check_schedule(trigger, world, problems)
    elif isinstance(trigger, OnDateDraft):
        _check_date(trigger, entry, problems, checked)


def bounds_of(entry: EntryDraft, default_zone: str) -> Bounds | None:
    """When customers may enter and how many; None for always and any number."""
    if entry.opens is None and entry.closes is None and not entry.limits:
        return None
    return Bounds(
        opens_ms=-NEVER_MS if entry.opens is None else _instant(entry.opens, default_zone),
        closes_ms=NEVER_MS if entry.closes is None else _instant(entry.closes, default_zone),
        limits=tuple(EntryLimit(limit.max, limit.per_ms, limit.is_of_all) for limit in entry.limits),
    )


def _instant(moment: LocalMoment, default_zone: str) -> int:
    return at_time_of_day(moment.day, moment.at, zone_called(moment.zone or default_zone))


def _check_window(entry: EntryDraft, world: World, problems: Problems) -> None:
    bounds = bounds_of(entry, world.default_zone)
    if bounds is not None and entry.closes is not None and bounds.closes_ms <= bounds.opens_ms:
        message = "nobody can enter, because until is not after from"
        problems.append(problem_at(entry.closes.node, "J523", message, hint="give a later time"))


def _check_backfill(place: Scalar, trigger: TriggerDraft, problems: Problems) -> None:
    match trigger:
        case OnEventDraft():
            message, hint = "nobody matches an event before it comes", "enter by a segment, a schedule or a date"
        case OnCommandDraft():
            message, hint = "nobody is asked for before it is done", "enter by a segment, a schedule or a date"
        case OnSegmentDraft(enters=False):
            message, hint = "everyone outside of a segment would match", "enter when customers enter the segment"
        case OnDateDraft(offset=offset) if offset is None or min(offset.months, offset.days, offset.ms) >= 0:
            message, hint = "only a date that customers enter before can match already", "add an offset: -30 days"
        case _:
            return
    problems.append(problem_at(place, "J162", f"there is nothing to fill back: {message}", hint=hint))


def _check_segment(ref: Ref, world: World, problems: Problems) -> None:
    if ref.name not in world.segments:
        hint = did_you_mean(ref.name, world.segments, otherwise="segments.yaml names the segments")
        problems.append(problem_at(ref.node, "J250", f'there is no segment "{ref.name}"', hint=hint))


def _check_schedule(trigger: OnScheduleDraft, world: World, problems: Problems) -> None:
    if trigger.segment is not None:
        _check_segment(trigger.segment, world, problems)
    place = trigger.schedule.node
    often = ticks_a_day(trigger.cron)
    if often > TICKS_A_DAY_MAX:
        message = f"this schedule looks at every customer {often} times a day"
        hint = "tick at most once an hour, or enter on an event or a segment"
        problems.append(problem_at(place, "J522", message, hint=hint, severity="warning"))


def _check_date(
    trigger: OnDateDraft, entry: EntryDraft, problems: Problems, checked: Mapping[Formula, Checked]
) -> None:
    found = checked.get(trigger.date)
    if found is None:
        return
    if not isinstance(found.node, Attribute):
        # What is computed, from `now` say, would be another moment each time that it is looked at.
        message = "customers enter at an attribute of the profile as it is"
        hint = "use profile.renewal_date, with offset: -30 days"
        problems.append(problem_at(trigger.date.node, "J520", message, hint=hint))
    offset = trigger.offset
    if offset is not None and offset.ms and (found.type.kind is Kind.DATE or trigger.at is not None):
        message = f'an offset of "{offset.text}" does not go with a day'
        hint = "count in days, weeks, months or years, and give the time of day: at"
        problems.append(problem_at(offset.node, "J514", message, hint=hint))
    if trigger.is_yearly and entry.reentry is None:
        message = "the date comes round each year, but customers enter once only"
        hint = "add reentry: always, or reentry: never if that is meant"
        problems.append(problem_at(trigger.date.node, "J521", message, hint=hint, severity="warning"))
