"""What lets customers in beside events: a change of a segment, a tick of a schedule, a date.

Each customer has a clock for every journey that a schedule or a date lets customers into, set to the next instant at
which the journey looks at the customer. Who may enter is decided then (`engine/entry.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from orchestrator.engine.clocks import FIRE, set_clock
from orchestrator.engine.contest import contend_first
from orchestrator.engine.entry import enter
from orchestrator.engine.entry_index import index_of
from orchestrator.engine.local_time import ZONE_ATTRIBUTE
from orchestrator.engine.schedule import next_tick
from orchestrator.engine.turn import Turn
from orchestrator.engine.waits import date_due, is_date_ahead, zone_for
from orchestrator.model.customer import NEVER_MS
from orchestrator.model.journey import Journey, JourneySet, OnDate, Trigger
from orchestrator.model.triggers import OnCommand, OnEvent, OnSchedule, OnSegment

CLOCK = "tick"
"""The kind of the clocks that let customers in; what follows is the journey's name. Clocks of the same instant fire in
name order: those that look at a segment again come before.
"""

BACKFILL_CLOCK = "window"
"""The kind of the clocks of those who match already, for journeys that let nobody in yet."""


def with_entries(journeys: JourneySet, entered: Iterable[Journey]) -> JourneySet:
    """The set with these journeys to be entered, each by its trigger, and no others; give them in name order."""
    by_event: dict[str, tuple[Journey, ...]] = {}
    by_segment: dict[tuple[str, bool], tuple[Journey, ...]] = {}
    by_clock: dict[str, Journey] = {}
    by_profile: dict[str, tuple[Journey, ...]] = {}
    by_backfill: dict[str, Journey] = {}
    by_command: dict[str, Journey] = {}
    has_limits_of_all = False
    for journey in entered:
        trigger, bounds = journey.entry.trigger, journey.entry.bounds
        for attribute in _attributes(trigger):
            by_profile[attribute] = (*by_profile.get(attribute, ()), journey)
        if journey.entry.is_backfilled:
            by_backfill[journey.name] = journey
        if bounds is not None and any(limit.is_of_all for limit in bounds.limits):
            has_limits_of_all = True
        match trigger:
            case OnEvent():
                by_event[trigger.type] = (*by_event.get(trigger.type, ()), journey)
            case OnSegment(segment=segment, enters=enters):
                by_segment[segment, enters] = (*by_segment.get((segment, enters), ()), journey)
            case OnSchedule():
                by_clock[journey.name] = journey
            case OnDate():
                by_clock[journey.name] = journey
            case OnCommand():
                by_command[journey.name] = journey
            case _:
                assert_never(trigger)
    return replace(
        journeys,
        entries=by_event,
        entry_indexes={on: index for on, entered in by_event.items() if (index := index_of(entered)) is not None},
        entries_by_segment=by_segment,
        entries_by_clock=by_clock,
        entries_by_profile=by_profile,
        entries_by_backfill=by_backfill,
        entries_by_command=by_command,
        uses_shared=has_limits_of_all or bool(journeys.rates) or _resumes_at_a_rate(journeys),
    )


def _attributes(trigger: Trigger) -> tuple[str, ...]:
    """The attributes that the trigger's next instant depends on."""
    match trigger:
        case OnDate(attribute=attribute, zone=None):
            return (attribute,) if attribute == ZONE_ATTRIBUTE else (attribute, ZONE_ATTRIBUTE)
        case OnDate(attribute=attribute):
            return (attribute,)
        case OnSchedule(zone=None):
            return (ZONE_ATTRIBUTE,)
        case _:
            return ()


def _resumes_at_a_rate(journeys: JourneySet) -> bool:
    return any(one.resume is not None and one.resume.rate is not None for one in journeys.current.values())


def is_entry_clock(name: str) -> bool:
    """Whether the clock of this name lets customers into a journey."""
    return name.startswith(f"{CLOCK}:")


def align_entries(turn: Turn) -> None:
    """Brings the clocks that let customers in in line with the journeys of the set."""
    by_clock = turn.journeys.entries_by_clock
    clocks = turn.customer.clocks
    for name in [name for name in clocks if is_entry_clock(name)]:
        if name.removeprefix(f"{CLOCK}:") not in by_clock:
            del clocks[name]
    for journey in by_clock.values():
        reset_clock(turn, journey)


def rebase_entries(turn: Turn) -> None:
    """Looks again at the dates and zones that let customers in, of those attributes that changed.

    Where they did not, the clock is set to the next instant already, and what its journey waits for stays as it was.
    """
    changed, turn.changed_attributes = turn.changed_attributes, None
    by_profile = turn.journeys.entries_by_profile
    for attribute in changed or ():
        for journey in by_profile.get(attribute, ()):
            reset_clock(turn, journey)


def reset_clock(turn: Turn, journey: Journey) -> None:
    """Sets the journey's clock by the profile and the rules as they are now; one that is due already stays, and fires
    as it would have.
    """
    if turn.customer.clocks.get(f"{CLOCK}:{journey.name}", NEVER_MS) > turn.now_ms:
        _set_next(turn, journey)


def fire_entry(turn: Turn, name: str) -> None:
    """The journey's instant has come: whoever may enters, and the clock is set to the next one."""
    journey = turn.journeys.entries_by_clock.get(name)
    if journey is None:
        return
    _set_next(turn, journey)
    contend_first(turn, journey)
    trigger = journey.entry.trigger
    if isinstance(trigger, OnDate):
        enter(turn, journey, "date")
    elif isinstance(trigger, OnSchedule) and (trigger.segment is None or trigger.segment in turn.customer.segments):
        enter(turn, journey, "schedule")


def _set_next(turn: Turn, journey: Journey) -> None:
    trigger = journey.entry.trigger
    bounds = journey.entry.bounds
    after_ms = turn.now_ms if bounds is None else max(turn.now_ms, bounds.opens_ms - 1)
    due_ms: int | None = None
    if isinstance(trigger, OnDate):
        due_ms = date_due(turn, trigger, after_ms)
    elif isinstance(trigger, OnSchedule):
        due_ms = next_tick(trigger.cron, zone_for(turn, trigger.zone).key, after_ms)
    if due_ms is not None and bounds is not None and due_ms >= bounds.closes_ms:
        due_ms = None
    set_clock(turn.customer, f"{CLOCK}:{journey.name}", NEVER_MS if due_ms is None else due_ms)


def backfill(turn: Turn) -> None:
    """Lets the customer into the journeys that came into force with `backfill`, where the customer matches already:
    once for each journey, when it comes into force or, if it lets nobody in yet, when it does.

    Who was not known before is no member of anything yet: for those there is nothing to fill.
    """
    customer = turn.customer
    by_backfill = turn.journeys.entries_by_backfill
    if customer.populated and not by_backfill.keys() >= set(customer.populated):
        customer.populated = [name for name in customer.populated if name in by_backfill]
    for journey in by_backfill.values():
        if journey.name not in customer.populated:
            customer.populated = [*customer.populated, journey.name]
            if customer.last_at_ms:
                _fill(turn, journey)


def fire_backfill(turn: Turn, name: str) -> None:
    """The journey lets customers in from now on."""
    journey = turn.journeys.entries_by_backfill.get(name)
    if journey is not None:
        _fill(turn, journey)


def _fill(turn: Turn, journey: Journey) -> None:
    bounds = journey.entry.bounds
    if bounds is not None and bounds.opens_ms > turn.now_ms:
        set_clock(turn.customer, f"{BACKFILL_CLOCK}:{journey.name}", bounds.opens_ms)
    elif matches_now(turn, journey):
        enter(turn, journey, "backfill")


def matches_now(turn: Turn, journey: Journey) -> bool:
    """Whether the customer has what the trigger waits for already: is in the segment, or between the moment and the
    date that it leads up to. A schedule takes everyone, or everyone in its segment.
    """
    trigger = journey.entry.trigger
    match trigger:
        case OnSegment():
            return trigger.enters and trigger.segment in turn.customer.segments
        case OnSchedule():
            return trigger.segment is None or trigger.segment in turn.customer.segments
        case OnDate():
            return is_date_ahead(turn, trigger)
        case OnEvent() | OnCommand():
            return False
        case _:
            assert_never(trigger)


FIRE[CLOCK] = fire_entry
FIRE[BACKFILL_CLOCK] = fire_backfill
