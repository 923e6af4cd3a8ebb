"""Random logs of a few customers: events, time that goes by, events that come twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.properties.shop import ASKED, CONSENTS, EVENTS

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
UNLIKELY = ("journey_stop_requested",) * 4 + ("moved",) * 2
"""Event types that have to come at the right time to bring something about."""
LAST_ACTION = "<last>"
"""Stands for the id of the message that the customer was sent last, which is known when the log is played."""

CUSTOMERS = ("ann", "bob")


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


STARTS = tuple(
    map(_ms, ("2026-01-30T22:00", "2026-03-06T06:30", "2026-03-27T23:00", "2026-10-30T05:59", "2028-02-27T12:00"))
)
"""Before the end of a short month, before clocks change in New York and Berlin and on Lord Howe, before a leap day."""

GAPS = (0, 1, MINUTE, 10 * MINUTE, HOUR, 5 * HOUR - 1, 5 * HOUR, 12 * HOUR, DAY, DAY + 1, 36 * HOUR, 3 * DAY, 8 * DAY)
WEIGHTED_GAPS = (*GAPS, 0, MINUTE, HOUR, 5 * HOUR, DAY)
ZONE_NAMES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "nowhere",
)

REACHABLE = {
    "email": "a@shop.example",
    "phone": "+1",
    "push_token": "p",
    "email_ok": True,
    "sms_ok": True,
    "push_ok": True,
    "offers_ok": True,
    "ads_ok": True,
}
"""How somebody registers whom every message reaches."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An event of a customer at an instant; or, with type "", only time that has come so far for this customer.

    `again` is how many moments before this one the event was that comes again (0: this is a new event).
    """

    at_ms: int
    customer_id: str
    type: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    again: int = 0

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
        said = f"event {self.again} before again" if self.again else self.type or "(time)"
        fields = {name: shorten(value) for name, value in self.fields.items()}
        return f"{at[:-6]} {self.customer_id} {said} {fields or ''}"


def shorten(value: Any) -> Any:
    """The value as a person can read it in a log."""
    is_long = isinstance(value, str) and len(value) > 50
    return f"{value[:5]}... ({len(value)} characters)" if is_long else value


@st.composite
def logs(draw: st.DrawFn, likely: Sequence[str], *, most: int = 25) -> tuple[Moment, ...]:
    """Moments in time order, most of them events of the likely types. Most customers register first, as reachable as
    can be.
    """
    now_ms = draw(st.sampled_from(STARTS))
    moments: list[Moment] = []
    for customer_id in CUSTOMERS:
        if draw(st.sampled_from([True] * 7 + [False])):
            fields = draw(fields_of("registered", now_ms)) | REACHABLE
            moments.append(Moment(now_ms, customer_id, "registered", fields))
    for _ in range(draw(st.integers(most // 3, most))):
        now_ms += draw(st.sampled_from(WEIGHTED_GAPS))
        customer_id = draw(st.sampled_from(CUSTOMERS))
        match draw(st.sampled_from(["event"] * 8 + ["again", "time"])):
            case "event":
                event_type = draw(
                    st.sampled_from([*likely, *likely, *likely, *sorted(EVENTS), *sorted(ASKED), *UNLIKELY])
                )
                moments.append(Moment(now_ms, customer_id, event_type, draw(fields_of(event_type, now_ms))))
            case "again":
                back = draw(st.integers(1, 10))
                moments.append(Moment(now_ms, customer_id, again=back))
            case _:
                moments.append(Moment(now_ms, customer_id))
    moments += [Moment(now_ms + 30 * DAY, customer_id) for customer_id in CUSTOMERS]
    return tuple(moments)


@st.composite
def fields_of(draw: st.DrawFn, event_type: str, now_ms: int) -> dict[str, Any]:
    """What such an event may say."""
    fields = EVENTS.get(event_type) or ASKED[event_type]
    return {f.name: draw(_value(f.name, f.kind, now_ms, nullable=f.nullable)) for f in fields}


def _value(name: str, kind: str, now_ms: int, *, nullable: bool) -> st.SearchStrategy[Any]:
    by_name: dict[str, st.SearchStrategy[Any]] = {
        "time_zone": st.sampled_from(ZONE_NAMES),
        "channel": st.sampled_from(CONSENTS),
        "journey": st.sampled_from(["one", "one", "two", "three", "four", "nobody"]),
        "key": st.sampled_from(["k1", "k2"]),
        "outcome": st.sampled_from(["done", "refused"]),
        "language": st.sampled_from(["de", "en"]),
        "action_id": st.sampled_from([LAST_ACTION, LAST_ACTION, "other"]),
        "cart_id": st.sampled_from(["c1", "c2", "c3"]),
        "place": st.sampled_from(["home", "c1"]),
        "sku": st.sampled_from(["sku1", "sku2"]),
    }
    by_kind: dict[str, st.SearchStrategy[Any]] = {
        "text": st.sampled_from(["Ada", "a@shop.example", "+1", "x"]),
        "whole": st.integers(0, 3),
        "number": st.sampled_from([0.0, 1.5, 30.0, 1e300]),
        "decimal": st.sampled_from([Decimal("0.00"), Decimal("9.99"), Decimal("50.00"), Decimal("120.00")]),
        "flag": st.booleans(),
        "size": st.sampled_from(["SMALL", "LARGE", "GIFT"]),
        "instant": st.sampled_from(
            [now_ms - 400 * DAY, now_ms - DAY, now_ms, now_ms + 2 * DAY, now_ms + 40 * DAY, -(1 << 62)]
        ),
        "date": st.sampled_from([-40_000, 0, now_ms // DAY, now_ms // DAY + 3, 2_000_000]),
    }
    found = by_name.get(name, by_kind[kind])
    if name == "key":
        return st.one_of(st.none(), st.none(), found)
    return st.one_of(st.none(), found, found) if nullable else found
