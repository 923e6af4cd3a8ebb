"""What lets customers in beside events: a change of a segment, a tick of a schedule, a date.

Each customer has a clock for every journey that a schedule or a date lets customers into, set to the next instant at
which the journey looks at the customer. Who may enter is decided then (`engine/entry.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, assert_never

from orchestrator.engine.clocks import FIRE, set_clock
from orchestrator.engine.entry import enter
from orchestrator.engine.schedule import next_tick
from orchestrator.engine.turn import Turn
from orchestrator.engine.waits import date_due, zone_for
from orchestrator.model.customer import NEVER_MS
from orchestrator.model.journey import EntryIndex, Journey, JourneySet, OnDate
from orchestrator.model.triggers import OnCommand, OnEvent, OnSchedule, OnSegment

CLOCK = "entry"
"""The kind of the clocks that let customers in; what follows is the journey's name."""


def with_entries(journeys: JourneySet, entered: Iterable[Journey]) -> JourneySet:
    """The set with these journeys to be entered, each by its trigger, and no others; give them in name order."""
    by_event: dict[str, tuple[Journey, ...]] = {}
    by_segment: dict[tuple[str, bool], tuple[Journey, ...]] = {}
    by_clock: dict[str, Journey] = {}
    by_profile: list[Journey] = []
    for journey in entered:
        trigger = journey.entry.trigger
        match trigger:
            case OnEvent():
                by_event[trigger.type] = (*by_event.get(trigger.type, ()), journey)
            case OnSegment(segment=segment, enters=enters):
                by_segment[segment, enters] = (*by_segment.get((segment, enters), ()), journey)
            case OnSchedule():
                by_clock[journey.name] = journey
                if trigger.zone is None:
                    by_profile.append(journey)
            case OnDate():
                by_clock[journey.name] = journey
                by_profile.append(journey)
            case OnCommand():
                pass
            case _:
                assert_never(trigger)
    return replace(
        journeys,
        entries=by_event,
        entry_indexes={on: index for on, entered in by_event.items() if (index := index_of(entered)) is not None},
        entries_by_segment=by_segment,
        entries_by_clock=by_clock,
        entries_by_profile=tuple(by_profile),
    )


def index_of(entered: tuple[Journey, ...]) -> EntryIndex | None:
    """The journeys of one event type, told apart by what their conditions ask first; None if none can be."""
    by_field: dict[str, dict[Any, tuple[Journey, ...]]] = {}
    for journey in entered:
        if journey.entry.only is not None:
            field, values = journey.entry.only
            table = by_field.setdefault(field, {})
            for value in values:
                table[value] = (*table.get(value, ()), journey)
    if not by_field:
        return None
    return EntryIndex(tuple(by_field.items()), tuple(journey for journey in entered if journey.entry.only is None))


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
    """Looks again at the dates and zones that let customers in, now that the profile changed."""
    for journey in turn.journeys.entries_by_profile:
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
    trigger = journey.entry.trigger
    if isinstance(trigger, OnDate):
        enter(turn, journey, "date")
    elif isinstance(trigger, OnSchedule) and (trigger.segment is None or trigger.segment in turn.customer.segments):
        enter(turn, journey, "schedule")


def _set_next(turn: Turn, journey: Journey) -> None:
    trigger = journey.entry.trigger
    due_ms: int | None = None
    if isinstance(trigger, OnDate):
        due_ms = date_due(turn, trigger)
    elif isinstance(trigger, OnSchedule):
        due_ms = next_tick(trigger.cron, zone_for(turn, trigger.zone).key, turn.now_ms)
    set_clock(turn.customer, f"{CLOCK}:{journey.name}", NEVER_MS if due_ms is None else due_ms)


FIRE[CLOCK] = fire_entry
