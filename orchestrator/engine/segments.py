"""Who belongs to a segment: looked at when an event, a step or the passing of time can have changed it.

Aggregates and segments are brought up to date before anything else is decided about an event. What changed stands in
`Turn.segment_changes`, until the decision has looked at the passages and entries that it concerns.
"""

from __future__ import annotations

from orchestrator.engine.aggregates import update_aggregates
from orchestrator.engine.clocks import FIRE, set_clock
from orchestrator.engine.histories import align_histories
from orchestrator.engine.turn import Turn
from orchestrator.model.actions import Failure
from orchestrator.model.aggregates import Segment, Tracked

CLOCK = "segment"
"""The kind of the clocks that look at a segment again; what follows is its name."""


def clock_of(segment: str) -> str:
    """The name of the clock that looks at this segment again."""
    return f"{CLOCK}:{segment}"


def observe(turn: Turn, tracked: Tracked, event_type: str, *, is_new: bool) -> None:
    """Takes the turn's event into the aggregates, and looks at the segments that it can have changed.

    A customer of whom this is the first event is looked at for all of them.
    """
    aggregates = tracked.aggregates.get(event_type)
    if aggregates is not None:
        update_aggregates(turn, aggregates)
    segments = tracked.segments if is_new else tracked.by_event.get(event_type)
    if segments:
        update_segments(turn, segments)


def update_segments(turn: Turn, segments: tuple[Segment, ...]) -> None:
    """Whether the customer is in these segments now, and when time alone may change that next.

    A condition that cannot be evaluated does not hold; that it failed is recorded.
    """
    members = turn.customer.segments
    for segment in segments:
        try:
            is_member = bool(segment.when(turn))
        except ArithmeticError as error:
            is_member = False
            turn.effects.failures.append(
                Failure("", "segment", f"{type(error).__name__} in segment {segment.name}: {segment.text}")
            )
        if is_member != (segment.name in members):
            if is_member:
                members[segment.name] = turn.now_ms
            else:
                del members[segment.name]
            if turn.segment_changes is None:
                turn.segment_changes = []
            turn.segment_changes.append((segment.name, is_member))
        if segment.next_change is not None:
            set_clock(turn.customer, segment.clock, segment.next_change(turn))


def fire_segment(turn: Turn, name: str) -> None:
    """Time may have changed who is in this segment, and with it the segments that depend on it."""
    tracked = turn.journeys.tracked
    if tracked is not None:
        update_segments(turn, tracked.after.get(name, ()))


def align_segments(turn: Turn) -> None:
    """Brings memberships and what is kept of past events in line with the journey set. Nobody enters a journey by it:
    a segment that is new, or defined anew, has these members from now on. Passages look at it again.
    """
    customer = turn.customer
    before = set(customer.segments)
    tracked = turn.journeys.tracked or Tracked()
    keys = {aggregate.key for some in tracked.aggregates.values() for aggregate in some}
    for key in [key for key in customer.aggregates if key not in keys]:
        del customer.aggregates[key]
    align_histories(customer, keys, turn.journeys.resumed)
    names = {segment.name for segment in tracked.segments}
    for name in [name for name in customer.segments if name not in names]:
        del customer.segments[name]
    clocks = {segment.clock for segment in tracked.segments if segment.next_change is not None}
    for clock in [clock for clock in customer.clocks if clock.startswith(f"{CLOCK}:") and clock not in clocks]:
        del customer.clocks[clock]
    if customer.last_at_ms:
        update_segments(turn, tracked.segments)
        # No changes that let anybody in, and yet passages may wait while they are members.
        turn.segment_changes = None if before == set(customer.segments) else []


FIRE[CLOCK] = fire_segment
