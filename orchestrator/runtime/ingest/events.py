"""POST /v1/events: events from services, all or nothing, answered when the broker has acknowledged them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from orchestrator.authoring.event_values import EventShape
from orchestrator.model.events import Event
from orchestrator.runtime.ingest.answers import answer, later, problem, problems
from orchestrator.runtime.ingest.buckets import Buckets
from orchestrator.runtime.ingest.endpoint import NOTE, Clock, Strangers, read_body
from orchestrator.runtime.ingest.observing import IngestMetrics
from orchestrator.runtime.ingest.publisher import TooLarge, Unavailable
from orchestrator.runtime.ingest.reading import BadBody, BodyProblem, read_events
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.ingest.tokens import Tokens
from orchestrator.runtime.tracing import TRACEPARENT

ROUTE = "events"
KEY_CHARACTERS_MAX = 256
"""Of an Idempotency-Key."""

Headers = Sequence[tuple[str, bytes]]


class EventLog(Protocol):
    """Where events go: a `Publisher`, or a test's twin."""

    async def publish(self, events: Sequence[Event], *, trace: str = "") -> None:
        """Returns when every event is kept. Raises: Unavailable, TooLarge."""


def _is_text(header: str) -> bool:
    """Whether the header is text: bytes that are none come as halves of characters, which nothing can be made of."""
    try:
        header.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class EventRoute:
    """The route's handler and what it needs."""

    settings: IngestSettings
    metrics: IngestMetrics
    tokens: Tokens
    shapes: Mapping[str, EventShape]
    log: EventLog
    strangers: Strangers
    buckets: Buckets
    clock: Clock = time.monotonic

    def add_to(self, application: web.Application) -> None:
        """Adds the two addresses."""
        application.router.add_post("/v1/events", self.take)
        application.router.add_post("/v1/events/{type}", self.take)

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Takes a request's events."""
        note = request[NOTE]
        note.route = ROUTE
        client = self.tokens.client(request.headers.get("Authorization", ""))
        if client is None:
            if wait_s := self.strangers.wait_s(request):
                return later(429, "too many requests without a valid token", wait_s)
            return problem(
                401,
                "there is no valid token",
                "send Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )
        note.client = client.name
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > KEY_CHARACTERS_MAX or not _is_text(key):
            return problem(400, f"the Idempotency-Key is longer than {KEY_CHARACTERS_MAX} characters, or not in UTF-8")
        body = await read_body(request, self.settings, is_known=True)
        if isinstance(body, web.Response):
            return body
        of_type = request.match_info.get("type")
        events_max = self.settings.ingest_events_max
        try:
            events = read_events(body, self.shapes, client, of_type=of_type, idempotency_key=key, events_max=events_max)
        except BadBody as bad:
            # What is refused costs as much as what is taken: it had to be read.
            if wait_s := self.buckets.take(client.name, min(len(bad.problems), events_max), self.clock()):
                return later(429, "this token sends too much", wait_s)
            return problems(bad.status, bad.problems)
        if wait_s := self.buckets.take(client.name, len(events), self.clock()):
            return later(429, "this token sends too much", wait_s)
        return await self._published(request, events)

    async def _published(self, request: web.Request, events: Sequence[Event]) -> web.Response:
        try:
            await self.log.publish(events, trace=request.headers.get(TRACEPARENT, ""))
        except TooLarge as large:
            found = BodyProblem(large.event, "", "is larger than a broker takes", "send less in one event")
            return problems(422, [found])
        except Unavailable as unavailable:
            return later(503, str(unavailable), 1)
        request[NOTE].events = len(events)
        self.metrics.published(event.type for event in events)
        return answer(202, {"accepted": len(events), "event_ids": [event.event_id for event in events]})
