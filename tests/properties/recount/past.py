"""Who is in the shop's segments, counted again from all events of the customer's log."""

from __future__ import annotations

from decimal import Decimal

from orchestrator.model.events import Event
from tests.properties.playing import Happening, Played
from tests.properties.random_logs import DAY, HOUR
from tests.properties.recount.passages import all_lives

Past = list[tuple[int, Event]]


def check_segments(played: Played) -> None:
    """After each decision the customer is in those segments whose condition holds then."""
    # What a later set asks for first starts empty.
    always = [journeys.tracked for journeys in played.sets()]
    kept = set.intersection(*({one.name for one in tracked.segments} if tracked else set() for tracked in always))
    for life in all_lives(played):
        past: Past = []
        for one in life:
            if one.event is not None and not one.effects.duplicates:
                past.append((one.at_ms, one.event))
            if one.event is None or one.event.type != "customer_erased":
                expected = {name for name in kept if past and _is_member(name, past, one)}
                assert set(one.then.segments) & kept == expected, (one, expected)


def _is_member(name: str, past: Past, one: Happening) -> bool:
    now_ms = one.at_ms
    match name:
        case "busy":
            return len(_of("cart", past, since_ms=now_ms - 3 * DAY)) >= 2
        case "keen":
            return (one.then.profile.get("score") or 0) >= 2
        case "lapsed":
            orders = _of("ordered", past)
            return bool(orders) and now_ms - orders[-1][0] >= 2 * DAY
        case "both":
            return _is_member("keen", past, one) and not _is_member("lapsed", past, one)
        case "spender":
            orders = _of("ordered", past, since_ms=now_ms - 7 * DAY)
            totals = [event.fields["total"] for _, event in orders if event.fields["items"] is not None]
            return sum(totals, Decimal(0)) >= 100
        case "curious":
            seen = {event.fields["sku"] for _, event in _of("viewed", past, since_ms=now_ms - 36 * HOUR)}
            return len(seen) >= 2 or any(event.fields["value"] > 50 for _, event in _of("cart", past))
        case _:
            raise AssertionError(name)


def _of(event_type: str, past: Past, *, since_ms: int | None = None) -> Past:
    """The events of the type, later than `since_ms`."""
    return [(at, event) for at, event in past if event.type == event_type and (since_ms is None or at > since_ms)]


CHECKS = (check_segments,)
