"""Customers who open and follow the e-mails that journeys send them: the log has none, so the demo makes them up.

A reaction needs the action that it reacts to. In a replay half a year goes by in seconds, so nobody could react in
time; but the same events lead to the same actions in every run, with the same ids. So the journeys are run offline
first, each e-mail's reaction follows from a hash of its action's id, and log and reactions are sent together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.demo.clickstream import occurred_at_ms
from orchestrator.engine.ids import SCALE, draw
from orchestrator.model.actions import ActionCommand
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet

OPENED_SHARE, CLICKED_SHARE = 0.4, 0.3
"""Of the e-mails sent, and of those opened."""

SOONEST_MS, LATEST_MS = 120_000, 20 * 3_600_000
CLICK_AFTER_MS = 45_000


def with_reactions(journeys: JourneySet, events: Iterable[Event]) -> list[Event]:
    """The events, which must be in time order, together with the reactions that they lead to; in time order.

    It ends with the last of the events: what comes after the log would be reactions alone.
    """
    audience = _Audience(OfflineEngine(journeys))
    for event in events:
        at_ms = occurred_at_ms(event)
        _react(audience, at_ms)
        _tell(audience, at_ms, event)
    return audience.told


@dataclass(frozen=True, slots=True)
class _Audience:
    """The events so far, the reactions to come in time order, and the times that customers' reactions take."""

    engine: OfflineEngine
    told: list[Event] = field(default_factory=list)
    coming: list[tuple[int, str, Event]] = field(default_factory=list)
    taken: set[tuple[str, int]] = field(default_factory=set)


def _react(audience: _Audience, until_ms: int) -> None:
    """Timers and reactions before `until_ms`, in time order: each may lead to more of both."""
    coming = audience.coming
    while True:
        wake = audience.engine.next_wake()
        wake_ms = until_ms if wake is None else wake[0]
        if coming and coming[0][0] < min(wake_ms, until_ms):
            at_ms, _, reaction = heappop(coming)
            _tell(audience, at_ms, reaction)
        elif wake_ms < until_ms:
            _plan(audience, audience.engine.advance(wake_ms).actions)
        else:
            return


def _tell(audience: _Audience, at_ms: int, event: Event) -> None:
    audience.told.append(event)
    _plan(audience, audience.engine.apply(at_ms, event).actions)


def _plan(audience: _Audience, actions: Iterable[ActionCommand]) -> None:
    for action in actions:
        for event in reactions(action):
            at_ms = occurred_at_ms(event)
            # Two events of one customer at the same time would be told apart by their topics alone.
            while (event.customer_id, at_ms) in audience.taken:
                at_ms += 1
            audience.taken.add((event.customer_id, at_ms))
            event.fields["occurred_at"] = at_ms
            heappush(audience.coming, (at_ms, event.event_id, event))


def reactions(action: ActionCommand) -> Iterator[Event]:
    """What the customer does with this message: opens it, follows its link, or nothing."""
    if action.channel != "email" or _share("opened", action) >= OPENED_SHARE:
        return
    delay_ms = SOONEST_MS + int((LATEST_MS - SOONEST_MS) * _share("delay", action) ** 2)
    # In the second half of a second, where the log, which counts seconds, has no events.
    opened_ms = (action.created_at_ms + delay_ms) // 1000 * 1000 + 500 + draw("audience/moment", action.action_id) % 400
    yield _event("email_opened", "opened", action, opened_ms)
    if _share("clicked", action) < CLICKED_SHARE:
        yield _event("email_clicked", "clicked", action, opened_ms + CLICK_AFTER_MS, url="https://shop.example/cart")


def _event(event_type: str, suffix: str, action: ActionCommand, at_ms: int, **fields: str) -> Event:
    event_id = f"{action.action_id}-{suffix}"
    head = {"event_id": event_id, "customer_id": action.customer_id, "occurred_at": at_ms}
    return Event(event_type, event_id, action.customer_id, {**head, "action_id": action.action_id, **fields})


def _share(salt: str, action: ActionCommand) -> float:
    return draw(f"audience/{salt}", action.action_id) / SCALE
