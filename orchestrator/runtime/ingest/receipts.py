"""POST /v1/receipts/PROVIDER: what became of messages, as their providers tell it."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import structlog
from aiohttp import web

from orchestrator.authoring.event_values import BadValue, EventShape, event_from
from orchestrator.model.events import Event
from orchestrator.runtime.ingest.answers import answer, later, problem, problems
from orchestrator.runtime.ingest.endpoint import FORM, JSON, NOTE, Clock, Strangers, read_body
from orchestrator.runtime.ingest.events import EventLog
from orchestrator.runtime.ingest.links import Link, LinkKey, unseal
from orchestrator.runtime.ingest.observing import IngestMetrics
from orchestrator.runtime.ingest.providers import RECEIVED, Provider, Receipt
from orchestrator.runtime.ingest.publisher import TooLarge, Unavailable
from orchestrator.runtime.ingest.reading import ID_CHARACTERS_MAX, BadBody, BodyProblem, decode_json
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.ingest.signatures import refusal

ROUTE = "receipts"
ITEMS_MAX = 10_000
PART_EVENTS = 500
FIELDS_MAX = 200
"""Of a form."""

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)
KNOWN = frozenset({"action_id", "channel"})
"""Fields that every receipt is given where its event has them."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    """What a body holds: events, how many parts say nothing that is wanted, and how many cannot be used."""

    events: list[Event]
    ignored: int
    unusable: int


@dataclass(frozen=True, slots=True)
class ReceiptRoute:
    """The route's handler and what it needs."""

    settings: IngestSettings
    metrics: IngestMetrics
    providers: Mapping[str, Provider]
    shapes: Mapping[str, EventShape]
    log: EventLog
    strangers: Strangers
    wall: Clock = time.time
    keys: Mapping[str, LinkKey] = field(default_factory=dict)

    def add_to(self, application: web.Application) -> None:
        """Adds the addresses."""
        application.router.add_post("/v1/receipts/{provider}", self.take)
        application.router.add_post("/v1/receipts/{provider}/{token}", self.take)
        application.router.add_get("/v1/receipts/{provider}", self.confirm, allow_head=False)

    async def confirm(self, request: web.Request) -> web.StreamResponse:
        """Answers a provider that asks whether the address is ours, with the token that both sides have.

        Source: WebSub, "Hub Verifies Intent of the Subscriber", as Meta's webhooks use it.
        """
        note = request[NOTE]
        note.route = ROUTE
        provider = self.providers.get(request.match_info["provider"])
        if provider is None or not provider.verify_token:
            return problem(404, "there is no such provider", "see docs/operations/ingest.md")
        note.client = provider.name
        if wait_s := self.strangers.wait_s(request):
            return later(429, "too many requests without a valid token", wait_s)
        token = request.query.get("hub.verify_token", "").encode("utf-8", "surrogateescape")
        challenge = request.query.get("hub.challenge", "")
        if not hmac.compare_digest(token, provider.verify_token) or not CHALLENGE.fullmatch(challenge):
            return problem(403, "the token is another one", "is it the one that the provider was given?")
        self.strangers.was_none(request)
        return web.Response(text=challenge, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Takes a webhook's receipts. What is signed and cannot be used is counted, and answered as taken: sent again
        it would be no better.
        """
        note = request[NOTE]
        note.route = ROUTE
        provider = self.providers.get(request.match_info["provider"])
        token = request.match_info.get("token")
        if provider is None or provider.mapping.sealed != (token is not None):
            return problem(404, "there is no such provider", "see docs/operations/ingest.md")
        note.client = provider.name
        # Whose it is shows when it has been read; until then it is a stranger's.
        if wait_s := self.strangers.wait_s(request):
            return later(429, "too many requests without a valid signature", wait_s)
        content_type = FORM if provider.mapping.body == "form" else JSON
        body = await read_body(request, self.settings, is_known=False, content_type=content_type)
        if isinstance(body, web.Response):
            return body
        message = unseal(self.keys, "r", token) if token is not None else None
        if provider.scheme is None:
            why, hint = "" if message is not None else "the address is not one of ours", "was it cut off on its way?"
        else:
            why = refusal(provider.scheme, request.headers, body, self.wall())
            hint = "is the secret the provider's, and the clock right?"
        if why:
            self.metrics.badly_signed(provider.name)
            return problem(401, why, hint)
        self.strangers.was_none(request)
        try:
            read = read_receipts(body, provider, self.shapes, message=message, received_ms=int(self.wall() * 1000))
        except BadBody as bad:
            return problems(bad.status, bad.problems)
        try:
            # In parts: more than the publisher takes at once could never be taken. Sent again, they are recognised.
            part = min(PART_EVENTS, self.settings.ingest_in_flight_max)
            for start in range(0, len(read.events), part):
                await self.log.publish(read.events[start : start + part])
        except Unavailable as unavailable:
            return later(503, str(unavailable), 1)
        except TooLarge:
            return problem(422, "a receipt is larger than a broker takes")
        note.events = len(read.events)
        self.metrics.published(event.type for event in read.events)
        self.metrics.receipts(provider.name, accepted=len(read.events), ignored=read.ignored, unusable=read.unusable)
        return answer(202, {"accepted": len(read.events), "ignored": read.ignored, "unusable": read.unusable})


def read_receipts(
    body: bytes,
    provider: Provider,
    shapes: Mapping[str, EventShape],
    *,
    message: Link | None = None,
    received_ms: int = 0,
) -> Read:
    """The events of a webhook's body. `message` is what a sealed address says it is about.

    Raises: BadBody if it is no JSON, or holds too many.
    """
    found = Read([], 0, 0)
    ignored = unusable = 0
    decoded = _form(body) if provider.mapping.body == "form" else decode_json(body)
    for number, item in enumerate(_each(decoded, provider.mapping.each)):
        if number == ITEMS_MAX:
            text = f"there are more than {ITEMS_MAX} receipts"
            raise BadBody(413, [BodyProblem(None, "", text, "send them in several requests")])
        receipt = _receipt(item, provider)
        if receipt is None:
            ignored += 1
            continue
        try:
            whose = _whose(item, provider) if message is None else (message.customer_id, message.action_id)
            found.events.append(_event(item, receipt, provider, shapes[receipt.event], whose, received_ms))
        except BadValue as bad:
            unusable += 1
            # The message names a field, never a value.
            log.warning("a receipt cannot be used", provider=provider.name, event_type=receipt.event, reason=str(bad))
    return Read(found.events, ignored, unusable)


def _form(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"))
    except ValueError:
        problem = BodyProblem(None, "", "the body is not a form in UTF-8", "send it as the provider's pages say")
        raise BadBody(400, [problem]) from None


def _receipt(item: Any, provider: Provider) -> Receipt | None:
    kind = _at(item, provider.mapping.kind)
    for receipt in provider.mapping.receipts:
        if receipt.kind == kind and all(str(_at(item, path)) == value for path, value in receipt.when.items()):
            return receipt
    return None


def _event(
    item: Any, receipt: Receipt, provider: Provider, shape: EventShape, whose: tuple[str, str], received_ms: int
) -> Event:
    mapping = provider.mapping
    customer_id, action_id = whose
    unit = mapping.occurred_at.unit
    occurred_at = received_ms if unit == RECEIVED else _instant(_at(item, mapping.occurred_at.field), unit)
    written: dict[str, Any] = {"customer_id": customer_id, "occurred_at": occurred_at}
    known = {"action_id": action_id, "channel": mapping.channel}
    written |= {name: value for name, value in known.items() if name in shape.fields}
    written |= receipt.constant
    for name, path in receipt.take.items():
        if (value := _at(item, path)) is not None:
            written[name] = value if isinstance(value, bool) else str(value)
    given = _at(item, mapping.id) if mapping.id else None
    identity = given if isinstance(given, str) and given else f"{action_id}/{written['occurred_at']}"
    parts = (provider.name, receipt.event, customer_id, identity)
    written["event_id"] = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    return event_from(shape, written)


def _whose(item: Any, provider: Provider) -> tuple[str, str]:
    """(customer, action): from two fields, or from one that holds ACTION:CUSTOMER."""
    mapping = provider.mapping
    customer: Any
    action: Any
    if mapping.reference:
        text = _at(item, mapping.reference)
        action, _, customer = str(text or "").partition(":")
    else:
        customer, action = _at(item, mapping.customer_id), _at(item, mapping.action_id)
    for name, value in (("customer_id", customer), ("action_id", action)):
        if not isinstance(value, str) or not 0 < len(value) <= ID_CHARACTERS_MAX:
            raise BadValue(f"{name} is missing")
    return customer, action


def _instant(value: Any, unit: str) -> Any:
    if unit == "iso":
        return value
    try:
        number = int(float(value))
    except (TypeError, ValueError, OverflowError):
        raise BadValue("occurred_at is not a number") from None
    return number * 1_000 if unit == "seconds" else number


def _each(body: Any, path: str) -> Iterator[Any]:
    """The parts of the body that are receipts: at the path, where `[]` stands for each item of a list."""
    values = [body]
    for part in path.split(".") if path else ():
        name = part.removesuffix("[]")
        values = [value.get(name) for value in values if isinstance(value, dict)] if name else values
        if part.endswith("[]"):
            values = [item for value in values if isinstance(value, list) for item in value]
    for value in values:
        yield from value if isinstance(value, list) else (value,)


def _at(item: Any, path: str) -> Any:
    """The value at the path, or None."""
    for part in path.split("."):
        item = _first(item)
        item = item.get(part) if isinstance(item, dict) else None
    return _first(item)


def _first(value: Any) -> Any:
    """Of a list its first item: providers write lists where there is one recipient, or one error."""
    return (value[0] if value else None) if isinstance(value, list) else value
