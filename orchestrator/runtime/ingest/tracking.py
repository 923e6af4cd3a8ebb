"""GET /c, GET /o, /u: what people do with the links in their messages.

A person must not suffer from what is broken here. A click leads on and an opening gets its picture at once, and the
event follows in the background: where the broker is away it is lost, and counted as lost. A signing off is a promise:
it is answered when the broker has it, and else with 503, so that it is asked for again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from orchestrator.model.events import Event
from orchestrator.runtime.ingest.buckets import Buckets
from orchestrator.runtime.ingest.endpoint import NOTE, Clock, Strangers
from orchestrator.runtime.ingest.events import EventLog
from orchestrator.runtime.ingest.links import Kind, Link, LinkKey, unseal
from orchestrator.runtime.ingest.observing import IngestMetrics
from orchestrator.runtime.ingest.publisher import TooLarge, Unavailable
from orchestrator.runtime.logs import stack_of

CLICK, OPEN, UNSUBSCRIBE = "click", "open", "unsubscribe"
EVENTS = {
    "email_clicked": frozenset({"action_id", "url"}),
    "email_opened": frozenset({"action_id"}),
    "message_clicked": frozenset({"action_id", "channel", "url"}),
    "message_opened": frozenset({"action_id", "channel"}),
    "unsubscribed": frozenset({"action_id", "channel", "consent"}),
}
"""What links say, and the fields that they fill."""

EMAIL = "email"
"""The channel that has events of its own, which are all about it."""

CUSTOMER_RATE, CUSTOMER_BURST = 1.0, 60.0
"""How many events a second one customer's links may make; beyond, they do the same and make none."""

SAME_MS = 10_000
"""Clicks on one link within so long are one: two taps, a reload."""

UNSUBSCRIBE_BODY_BYTES_MAX = 10_000

log = structlog.get_logger(__name__)

_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_PAGE_HEADERS = {
    **_HEADERS,
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
}
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body><h1>{title}</h1><p>{text}</p>{form}</body>
</html>
"""
_FORM = '<form method="post"><button name="List-Unsubscribe" value="One-Click">Unsubscribe</button></form>'
_PREFETCH = ("Purpose", "Sec-Purpose", "X-Purpose", "X-Moz")
_AHEAD = ("prefetch", "preview", "prerender")


@dataclass(frozen=True, slots=True)
class LinkRoutes:
    """The routes' handlers and what they need."""

    metrics: IngestMetrics
    keys: Mapping[str, LinkKey]
    log: EventLog
    strangers: Strangers
    customers: Buckets
    clock: Clock = time.monotonic
    wall: Clock = time.time
    following: set[asyncio.Task[None]] = field(default_factory=set)

    def add_to(self, application: web.Application) -> None:
        """Adds the addresses."""
        router = application.router
        router.add_get("/c/{token}", self.click)
        router.add_get("/o/{token}.gif", self.open)
        router.add_get("/u/{token}", self.ask)
        router.add_post("/u/{token}", self.unsubscribe)

    async def until_followed(self) -> None:
        """Returns when every event that an answer promised is published, or lost."""
        while self.following:
            await asyncio.wait(self.following)

    async def click(self, request: web.Request) -> web.StreamResponse:
        """Leads on to where the link goes."""
        request[NOTE].route = CLICK
        link = self._link(request, "c")
        if isinstance(link, web.Response):
            return link
        if not is_web(link.url):
            return _page(404, "This link leads nowhere", "")
        self._follow(request, "clicked", link, {"url": link.url})
        return web.Response(status=302, headers={**_HEADERS, "Location": link.url})

    async def open(self, request: web.Request) -> web.StreamResponse:
        """The smallest picture there is."""
        request[NOTE].route = OPEN
        link = self._link(request, "o")
        if isinstance(link, web.Response):
            return link
        self._follow(request, "opened", link, {})
        return web.Response(body=_PIXEL, content_type="image/gif", headers=_HEADERS)

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """The page with the button: looking at it changes nothing, since mail scanners look at every link."""
        request[NOTE].route = UNSUBSCRIBE
        link = self._link(request, "u")
        if isinstance(link, web.Response):
            return link
        return _page(200, "Unsubscribe", "Do you want no more of these messages?", _FORM)

    async def unsubscribe(self, request: web.Request) -> web.StreamResponse:
        """Signs off, at once (RFC 8058): without a question, without signing in, without a cookie."""
        request[NOTE].route = UNSUBSCRIBE
        if request.content_length is not None and request.content_length > UNSUBSCRIBE_BODY_BYTES_MAX:
            raise web.HTTPRequestEntityTooLarge(UNSUBSCRIBE_BODY_BYTES_MAX, request.content_length)
        link = self._link(request, "u")
        if isinstance(link, web.Response):
            return link
        if wait_s := self.customers.take(link.customer_id, 1, self.clock()):
            return _wait(wait_s)
        fields = {"action_id": link.action_id, "channel": link.channel, "consent": link.consent or None}
        event = self._event("unsubscribed", link, fields)
        try:
            await self.log.publish([event])
        except (Unavailable, TooLarge):
            text = "It did not work just now. Please try again in a few minutes."
            answer = _page(503, "Not yet unsubscribed", text, _FORM)
            answer.headers["Retry-After"] = "60"
            return answer
        self._published(request, event)
        return _page(200, "Unsubscribed", "You will get no more of these messages.")

    def _link(self, request: web.Request, kind: Kind) -> Link | web.Response:
        # Who has a link of ours is never told to wait: whole mailbox providers come from a few addresses.
        link = unseal(self.keys, kind, request.match_info["token"])
        if link is not None:
            return link
        if wait_s := self.strangers.wait_s(request):
            return _wait(wait_s)
        return _page(404, "This link is not valid", "")

    def _follow(self, request: web.Request, done: str, link: Link, more: Mapping[str, Any]) -> None:
        """Publishes in the background, unless nobody has done anything: programs ask for headers, or ahead of time."""
        hints = " ".join(request.headers.get(name, "") for name in _PREFETCH).lower()
        if request.method == "HEAD" or any(word in hints for word in _AHEAD):
            return
        if self.customers.take(link.customer_id, 1, self.clock()):
            return
        request[NOTE].events = 1
        event_type, fields = f"message_{done}", {"action_id": link.action_id, "channel": link.channel, **more}
        if link.channel == EMAIL:
            event_type = f"email_{done}"
            del fields["channel"]
        task = asyncio.create_task(self._publish(self._event(event_type, link, fields)))
        self.following.add(task)
        task.add_done_callback(self.following.discard)

    async def _publish(self, event: Event) -> None:
        try:
            await self.log.publish([event])
        except (Unavailable, TooLarge):
            self.metrics.lost(event.type)
        except Exception as error:  # noqa: BLE001 - nobody waits for it: said here, or nowhere
            _failed(event, error)
            self.metrics.lost(event.type)
        else:
            self.metrics.published((event.type,))

    def _published(self, request: web.Request, event: Event) -> None:
        request[NOTE].events = 1
        self.metrics.published((event.type,))

    def _event(self, event_type: str, link: Link, fields: Mapping[str, Any]) -> Event:
        now_ms = int(self.wall() * 1000)
        parts = (event_type, link.customer_id, link.action_id, link.url, str(now_ms // SAME_MS))
        event_id = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
        head = {"event_id": event_id, "customer_id": link.customer_id, "occurred_at": now_ms}
        return Event(event_type, event_id, link.customer_id, {**head, **fields})


def is_web(url: str) -> bool:
    """Whether a click leads there. `LinkTarget.java` of the sinks asks the same before it seals a link."""
    # The token is ours; but what a template made of a customer's own words should still be no script.
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and url.isprintable() and " " not in url


def _failed(event: Event, error: Exception) -> None:
    log.error("an event of a link failed: a bug", event_type=event.type, stack=stack_of(error))


def _wait(seconds: float) -> web.Response:
    answer = _page(429, "Too many at once", "Please try again in a minute.")
    answer.headers["Retry-After"] = str(int(seconds) + 1)
    return answer


def _page(status: int, title: str, text: str, form: str = "") -> web.Response:
    shown = _PAGE.format(title=html.escape(title), text=html.escape(text), form=form)
    return web.Response(status=status, text=shown, content_type="text/html", headers=_PAGE_HEADERS)
