"""How far back an aggregate of a customer reaches: since when it is kept without a break, and the time before that.

A new aggregate starts at nothing. What was before is worked out of the event topics by `orchestrator rebuild` and
comes as an event, `aggregates_rebuilt`, in the customer's own log: so a replay adds it at the same point.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from orchestrator.engine.turn import Turn
from orchestrator.model.actions import Failure
from orchestrator.model.aggregates import Aggregate, decode_kept
from orchestrator.model.customer import Customer

REBUILT = "aggregates_rebuilt"
"""The event type that brings what was before."""


def align_histories(customer: Customer, keys: AbstractSet[str], resumed: Mapping[str, int]) -> None:
    """Forgets what is kept under an aggregate that was not kept for a while, since the last decision about the
    customer: there is a gap in it, whether or not anything happened to the customer meanwhile.
    """
    histories = customer.histories
    for key in [key for key in histories if key not in keys]:
        del histories[key]
    for key, publication in resumed.items():
        if histories.get(key, (0, False))[0] != publication:
            customer.aggregates.pop(key, None)
            histories[key] = (publication, False)


def take_rebuilt(turn: Turn) -> bool:
    """Adds to each aggregate what the event says was before it was kept; whether there was anything to add.

    It is added once, and only to an aggregate that has been kept without a break since the journeys came into force
    for which the event was made. One that cannot be read is left out, which is recorded.
    """
    tracked, customer = turn.journeys.tracked, turn.customer
    aggregates = {} if tracked is None else {one.key: one for some in tracked.aggregates.values() for one in some}
    has_changed = False
    for part in turn.event.get("aggregates") or ():
        aggregate = aggregates.get(part["key"])
        since = (turn.journeys.resumed.get(part["key"], 0), True)
        if aggregate is None or part["since"] != since[0] or customer.histories.get(aggregate.key) == since:
            continue
        try:
            add_past(customer.aggregates, aggregate, decode_kept(part["kept"]), turn.now_ms)
        except (ArithmeticError, ValueError, TypeError, LookupError) as error:
            turn.effects.failures.append(Failure("", REBUILT, f"{type(error).__name__} in {aggregate.text}"))
            continue
        customer.histories[aggregate.key] = since
        has_changed = True
    return has_changed


def add_past(kept: dict[str, Any], aggregate: Aggregate, past: Any, now_ms: int) -> None:
    """Puts what is kept of the time before to what is kept since then. Raises: ValueError if it is nothing of ours."""
    if aggregate.window_ms is not None:
        is_ours = type(past) is list and len(past) % 2 == 0 and all(type(at_ms) is int for at_ms in past[::2])
    else:
        is_ours = past is not None and type(past) is not dict
    if not is_ours:
        raise ValueError("this is not how past events are kept")
    newer = kept.get(aggregate.key)
    kept[aggregate.key] = past if newer is None else aggregate.merge(past, newer, now_ms)
