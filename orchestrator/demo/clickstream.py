"""The shop's clickstream as typed events, and the same log many times over for measurements.

Rows of the log go in; events of `schemas/events` come out, in time order, ready for `orchestrator produce` or for an
offline run. The conversion is pure: the same rows give the same events on every machine.

What the log says is kept: who did what when, in which session, where the user came from, and the stage of the
relationship. What it does not say is made up from hashes of its ids: addresses, names and consents (of the user's
id), products and prices (of the row's number). It has no reactions to messages; see `audience.py` for the demo's.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from orchestrator.engine.ids import SCALE, draw
from orchestrator.model.events import Event
from orchestrator.resources import demo_data_path

COPY_SHIFT_MS = 37 * 60 * 1000
"""How much later each copy of the log starts: copies interleave, and no two start at the same time of day."""

_PAGES = {
    "home": "home",
    "promo_page": "promotion",
    "catalog": "catalog",
    "filter_results": "filtered_catalog",
    "compare": "comparison",
    "cart": "cart",
    "review_page": "reviews",
    "account_page": "account",
    "error_page": "error",
    "checkout_bug": "checkout_bug",
}
_CHECKOUT_STEPS = {"shipping_details": "shipping", "payment_details": "payment"}

_CATEGORIES = (
    # Category, how many products, lowest and highest price.
    ("accessories", 60, 8, 45),
    ("headphones", 40, 25, 320),
    ("phones", 35, 180, 1200),
    ("tablets", 20, 160, 900),
    ("laptops", 30, 450, 2400),
    ("cameras", 15, 220, 1800),
)
_FIRST_NAMES = ("Alex", "Ana", "Ben", "Carla", "David", "Elif", "Finn", "Greta", "Ivan", "Jana", "Kim", "Lena")
_LANGUAGES = (("en", 0.7), ("de", 0.3))
_TIME_ZONES = (("Europe/Berlin", 0.5), ("Europe/London", 0.3), ("America/New_York", 0.2))
_EMAIL_CONSENT_SHARE, _SMS_CONSENT_SHARE, _PUSH_CONSENT_SHARE, _PHONE_SHARE = 0.85, 0.35, 0.6, 0.6


@dataclass(frozen=True, slots=True)
class Click:
    """One row of the log. `number` counts rows from 1; `at_ms` is milliseconds since the epoch, UTC."""

    number: int
    user_id: str
    session_id: str
    event: str
    at_ms: int
    platform: str
    acquisition_channel: str
    lifecycle: str


@dataclass(slots=True)
class _Session:
    """What a session's rows so far add up to: the product in view and the cart (product → quantity)."""

    product_id: str | None = None
    cart: dict[str, int] = field(default_factory=dict)
    bought: int = 0


def read_clicks() -> list[Click]:
    """The rows of the log that is shipped with the demo, in its own order: by user, then by time."""
    rows = csv.DictReader(io.StringIO(gzip.decompress(demo_data_path().read_bytes()).decode()))
    return [
        Click(
            number=number,
            user_id=row["user_id"],
            session_id=row["session_id"],
            event=row["event"],
            at_ms=int(datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC).timestamp()) * 1000,
            platform=row["platform"],
            acquisition_channel=row["acquisition_channel"],
            lifecycle=row["user_lifecycle"],
        )
        for number, row in enumerate(rows, start=1)
    ]


def convert(clicks: Iterable[Click]) -> list[Event]:
    """The clicks as typed events, in time order.

    A user's first click is preceded by `customer_registered`, and a change of the relationship's stage is told by
    `profile_updated`. The log counts seconds; events of one user in the same second are a millisecond apart, so that
    their order does not depend on the topics they take.
    """
    events: list[Event] = []
    last_at_ms: dict[str, int] = {}
    lifecycles: dict[str, str] = {}
    sessions: dict[str, _Session] = {}
    for click in sorted(clicks, key=lambda click: (click.at_ms, click.number)):
        user = click.user_id
        parts: list[tuple[str, str, dict[str, Any]]] = []
        if user not in lifecycles:
            parts.append(("-registered", "customer_registered", _registration(click)))
        elif lifecycles[user] != click.lifecycle:
            parts.append(("-lifecycle", "profile_updated", {**_NO_CHANGE, "lifecycle": click.lifecycle}))
        lifecycles[user] = click.lifecycle
        session = sessions.setdefault(click.session_id, _Session())
        parts.append(("", *_step(click, session)))
        for suffix, event_type, fields in parts:
            at_ms = max(click.at_ms, last_at_ms.get(user, 0) + 1)
            last_at_ms[user] = at_ms
            event_id = f"ecom-{click.number:05}{suffix}"
            head = {"event_id": event_id, "customer_id": user, "occurred_at": at_ms}
            events.append(Event(event_type, event_id, user, head | fields))
    events.sort(key=occurred_at_ms)
    return events


def clickstream(*, copies: int = 1) -> Iterator[Event]:
    """The shipped log as events in time order; `copies` of it, each with customers of its own."""
    events = convert(read_clicks())
    return iter(events) if copies == 1 else scale_log(events, copies)


def scale_log(events: Iterable[Event], copies: int, *, shift_ms: int = COPY_SHIFT_MS) -> Iterator[Event]:
    """The log `copies` times over, in time order: each copy starts `shift_ms` later and has its own customers.

    The first copy is the log itself. Copies are made while they are read, so memory holds one log, however many
    copies there are.
    """
    log = sorted(events, key=occurred_at_ms)
    return heapq.merge(*(_copy(log, number, shift_ms) for number in range(copies)), key=occurred_at_ms)


def occurred_at_ms(event: Event) -> int:
    """When the event happened, in milliseconds since the epoch, UTC."""
    at_ms: int = event.fields["occurred_at"]
    return at_ms


def _step(click: Click, session: _Session) -> tuple[str, dict[str, Any]]:
    """(event type, its own fields) of this click; the session moves on with it."""
    cart_id = click.session_id if session.bought == 0 else f"{click.session_id}-{session.bought + 1}"
    if click.event in _PAGES:
        return "page_viewed", {"page": _PAGES[click.event], "url": None}
    if click.event in _CHECKOUT_STEPS:
        return "checkout_started", {"cart_id": cart_id, "step": _CHECKOUT_STEPS[click.event]}
    match click.event:
        case "search":
            return "product_searched", {"query": None}
        case "product_view":
            session.product_id = _some_product(click)
            return "product_viewed", {
                "product_id": session.product_id,
                "category": _CATALOGUE[session.product_id][0],
            }
        case "wishlist_add":
            return "wishlist_updated", {"product_id": session.product_id or _some_product(click)}
        case "add_to_cart":
            product_id = session.product_id or _some_product(click)
            session.cart[product_id] = session.cart.get(product_id, 0) + 1
            return "cart_updated", {"cart_id": cart_id, **_contents(session.cart)}
        case "payment_error":
            return "payment_failed", {"cart_id": cart_id, "reason": "payment_error"}
        case "purchase":
            return "order_placed", _order(click, session, cart_id)
        case "support_chat":
            return "support_requested", {"topic": None}
        case _:
            raise ValueError(f"row {click.number} of the log has the unknown event {click.event!r}")


def _order(click: Click, session: _Session, cart_id: str) -> dict[str, Any]:
    """An order of the whole cart, which is a new one afterwards; without a cart, of the product in view."""
    if session.cart:
        bought: str | None = cart_id
        total = _contents(session.cart)["value"]
        session.cart.clear()
        session.bought += 1
    else:
        bought = None
        total = _CATALOGUE[session.product_id or _some_product(click)][1]
    return {"order_id": f"order-{click.number:05}", "cart_id": bought, "total": total, "currency": "EUR"}


def _contents(cart: dict[str, int]) -> dict[str, Any]:
    priced = [(product_id, quantity, _CATALOGUE[product_id][1]) for product_id, quantity in cart.items()]
    return {
        "value": sum((price * quantity for _, quantity, price in priced), Decimal(0)),
        "items": [{"product_id": product, "quantity": count, "price": price} for product, count, price in priced],
    }


def _registration(click: Click) -> dict[str, Any]:
    """A made-up person: who they are and what they agreed to follows from the user's id."""
    user = click.user_id
    return {
        "email": _email(user),
        "phone": _phone(user) if _share("phone", user) < _PHONE_SHARE else None,
        "push_token": None if click.platform == "desktop" else _push_token(user),
        "first_name": _FIRST_NAMES[draw("first_name", user) % len(_FIRST_NAMES)],
        "language": _pick("language", user, _LANGUAGES),
        "time_zone": _pick("time_zone", user, _TIME_ZONES),
        "acquisition_channel": click.acquisition_channel,
        "lifecycle": click.lifecycle,
        "email_consent": _share("email_consent", user) < _EMAIL_CONSENT_SHARE,
        "sms_consent": _share("sms_consent", user) < _SMS_CONSENT_SHARE,
        "push_consent": _share("push_consent", user) < _PUSH_CONSENT_SHARE,
    }


def _email(user: str) -> str:
    return f"{user}@example.com"


def _phone(user: str) -> str:
    # 555-0100 to 555-0199 is set aside for fiction in every North American area code.
    return f"+1{200 + draw('area', user) % 800}55501{draw('line', user) % 100:02}"


def _push_token(user: str) -> str:
    return f"push-{user}"


def _share(salt: str, identity: str) -> float:
    return draw(f"clickstream/{salt}", identity) / SCALE


def _pick(salt: str, identity: str, weighted: tuple[tuple[str, float], ...]) -> str:
    at = _share(salt, identity)
    for choice, weight in weighted:
        at -= weight
        if at < 0:
            return choice
    return weighted[-1][0]


def _some_product(click: Click) -> str:
    return _PRODUCT_IDS[draw("clickstream/product", str(click.number)) % len(_PRODUCT_IDS)]


def _catalogue() -> dict[str, tuple[str, Decimal]]:
    """Product → (category, price)."""
    products: dict[str, tuple[str, Decimal]] = {}
    for category, count, lowest, highest in _CATEGORIES:
        for number in range(1, count + 1):
            product_id = f"{category}-{number:02}"
            whole = lowest + int((highest - lowest) * _share("price", product_id))
            products[product_id] = (category, Decimal(whole) - Decimal("0.05"))
    return products


_CATALOGUE = _catalogue()
_PRODUCT_IDS = tuple(_CATALOGUE)
_ATTRIBUTES = (
    "email phone push_token first_name language time_zone acquisition_channel lifecycle"
    " web_push_endpoint chat_handle postal_address wallet_pass"
)
_NO_CHANGE: dict[str, Any] = dict.fromkeys(_ATTRIBUTES.split())
_PERSONAL: dict[str, Callable[[str], str]] = {"email": _email, "phone": _phone, "push_token": _push_token}


def _copy(log: list[Event], number: int, shift_ms: int) -> Iterator[Event]:
    """Copy `number` of the log: ids get a suffix, and personal addresses follow the new customer id."""
    if number == 0:
        yield from log
        return
    suffix = f".{number}"
    shift = number * shift_ms
    for event in log:
        user = event.customer_id + suffix
        fields = dict(event.fields)
        fields["event_id"] = event_id = event.event_id + suffix
        fields["customer_id"] = user
        fields["occurred_at"] += shift
        for name in ("cart_id", "order_id"):
            if fields.get(name):
                fields[name] += suffix
        if event.type == "customer_registered":
            for name, made_up in _PERSONAL.items():
                if fields[name]:
                    fields[name] = made_up(user)
        yield msgspec.structs.replace(event, event_id=event_id, customer_id=user, fields=fields)
