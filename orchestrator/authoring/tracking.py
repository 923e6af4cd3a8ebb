"""What a journey set has to keep up to date for every customer: the aggregates that its journeys read."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.model.aggregates import Aggregate, Tracked
from orchestrator.model.journey import Journey, JourneySet


def track(journeys: Iterable[Journey]) -> Tracked | None:
    """All that these journeys read, each aggregate once however many read it; None if they read nothing."""
    found = {aggregate.key: aggregate for journey in journeys for aggregate in journey.aggregates}
    if not found:
        return None
    by_event: dict[str, tuple[Aggregate, ...]] = {}
    for aggregate in sorted(found.values(), key=lambda aggregate: aggregate.text):
        by_event[aggregate.on] = (*by_event.get(aggregate.on, ()), aggregate)
    return Tracked(by_event)


def tracked_events(tracked: Tracked | None) -> frozenset[str]:
    """The event types that change what is tracked, and so have to be read."""
    return frozenset() if tracked is None else frozenset(tracked.aggregates)


def listed_aggregates(journeys: JourneySet) -> dict[str, Aggregate]:
    """Every aggregate that is kept under this set, by its text.

    One that an earlier set does not list starts empty: it counts from when the set is in force.
    """
    tracked = journeys.tracked
    every = [] if tracked is None else [one for some in tracked.aggregates.values() for one in some]
    return {aggregate.text: aggregate for aggregate in sorted(every, key=lambda aggregate: aggregate.text)}
