"""The HTTP endpoint: its frame. Each request has a route's name, an answer also where a handler fails, a log line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from orchestrator.runtime.ingest.answers import later, problem
from orchestrator.runtime.ingest.buckets import Buckets
from orchestrator.runtime.ingest.observing import GONE, OTHER, IngestMetrics, log_request
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.logs import stack_of

STRANGER_RATE, STRANGER_BURST = 5.0, 100.0
"""How often an address may come with nothing that proves who it is, before it is answered 429."""

FORWARDED = "X-Forwarded-For"

Clock = Callable[[], float]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Note:
    """What metrics and the log line say of a request, beside its answer."""

    route: str = OTHER
    client: str = ""
    events: int = 0
    held_bytes: int = 0


class Traffic:
    """Requests that are not answered yet; while stopping, each answer ends its connection."""

    __slots__ = ("_is_quiet", "held_bytes", "is_stopping", "open")

    def __init__(self) -> None:
        self.open = 0
        self.held_bytes = 0
        """Of bodies, all requests together."""
        self.is_stopping = False
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    def began(self) -> None:
        """One more request."""
        self.open += 1
        self._is_quiet.clear()

    def ended(self) -> None:
        """One is answered."""
        self.open -= 1
        if not self.open:
            self._is_quiet.set()

    async def until_quiet(self) -> None:
        """Returns when every request is answered."""
        await self._is_quiet.wait()


NOTE = web.RequestKey("note", Note)
TRAFFIC: web.AppKey[Traffic] = web.AppKey("traffic")


def new_application(
    settings: IngestSettings, metrics: IngestMetrics, traffic: Traffic, *, clock: Clock = time.monotonic
) -> web.Application:
    """An application without routes: requests are counted, measured and logged, failures answered."""
    is_told = settings.ingest_forwarded_hops > 0

    @web.middleware
    async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal is_told
        note = request[NOTE] = Note()
        if not is_told and FORWARDED in request.headers:
            is_told = True
            log.warning(
                "a proxy tells whose request it is, and is not believed: all its clients are one address",
                hint="set --ingest-forwarded-hops to the number of proxies in front",
            )
        began_s = clock()
        traffic.began()
        try:
            response = await handler(request)
        except web.HTTPRequestEntityTooLarge:
            response = problem(
                413, f"the body is larger than {settings.ingest_body_bytes_max} bytes", "send less at once"
            )
        except web.HTTPMethodNotAllowed as refused:
            headers = {"Allow": ", ".join(sorted(refused.allowed_methods))}
            response = problem(405, "this address does not take this method", headers=headers)
        except web.HTTPException:
            response = problem(404, "there is no such address", "see docs/operations/ingest.md")
        except ConnectionError:
            # Nobody is there to read it; said so that it is counted as what it is.
            response = problem(GONE, "the client went away before its body had come")
        except Exception as error:  # noqa: BLE001 - answered, counted and logged; the next request is another one
            response = _failed(note, error)
        finally:
            traffic.held_bytes -= note.held_bytes
            traffic.ended()
        if traffic.is_stopping:
            response.force_close()
        seconds = clock() - began_s
        metrics.answered(note.route, response.status, seconds)
        if settings.ingest_access_log:
            log_request(note.route, response.status, seconds, client=note.client, events=note.events)
        return response

    application = web.Application(middlewares=[observed], client_max_size=settings.ingest_body_bytes_max)
    application[TRAFFIC] = traffic
    return application


def _failed(note: Note, error: Exception) -> web.Response:
    log.error("a request failed: a bug", route=note.route, stack=stack_of(error))
    return problem(500, "the endpoint failed", "this is a bug; nothing is known to be accepted")


JSON, FORM = "application/json", "application/x-www-form-urlencoded"


async def read_body(
    request: web.Request, settings: IngestSettings, *, is_known: bool, content_type: str = JSON
) -> bytes | web.Response:
    """The body, or the answer to one that cannot be read; `is_known`: whose it is has been proved.

    Raises: HTTPRequestEntityTooLarge.
    """
    if request.content_type != content_type:
        return problem(415, f"the body must be {content_type}", f"set Content-Type: {content_type}")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return problem(415, "the body must not be compressed", "leave out Content-Encoding")
    length = request.content_length
    if length is not None and length > settings.ingest_body_bytes_max:
        raise web.HTTPRequestEntityTooLarge(settings.ingest_body_bytes_max, length)
    try:
        async with asyncio.timeout(settings.ingest_read_timeout_ms / 1000):
            return await _read(request, settings, is_known=is_known)
    except TimeoutError:
        return problem(408, "the body did not come in time", headers={"Connection": "close"})


async def _read(request: web.Request, settings: IngestSettings, *, is_known: bool) -> bytes | web.Response:
    """The body. What of it has come counts until the request is answered: as long as it, and what was made of it, is
    in memory.
    """
    note, traffic = request[NOTE], request.app[TRAFFIC]
    held_bytes_max = settings.ingest_held_bytes_max if is_known else settings.ingest_held_bytes_max // 2
    body = bytearray()
    async for part in request.content.iter_any():
        if len(body) + len(part) > settings.ingest_body_bytes_max:
            raise web.HTTPRequestEntityTooLarge(settings.ingest_body_bytes_max, len(body) + len(part))
        if traffic.held_bytes + len(part) > held_bytes_max:
            response = later(503, "too many bodies are being read", 1)
            response.force_close()
            return response
        note.held_bytes += len(part)
        traffic.held_bytes += len(part)
        body += part
    return bytes(body)


class Strangers:
    """Addresses that come with nothing to prove who they are: each may do so only so often."""

    __slots__ = ("_buckets", "_clock", "_hops")

    def __init__(self, *, hops: int, clock: Clock) -> None:
        self._buckets = Buckets(rate=STRANGER_RATE, burst=STRANGER_BURST)
        self._clock = clock
        self._hops = hops

    def wait_s(self, request: web.Request) -> float:
        """0 if this address may come once more, else in how many seconds."""
        return self._buckets.take(address_of(request, self._hops), 1, self._clock())

    def was_none(self, request: web.Request) -> None:
        """The request has proved whose it is, after it had been counted."""
        self._buckets.give_back(address_of(request, self._hops), 1)


def address_of(request: web.Request, hops: int) -> str:
    """The client's address, by the connection or as the outermost trusted proxy saw it."""
    if hops:
        forwarded = [part.strip() for part in ",".join(request.headers.getall(FORWARDED, ())).split(",")]
        if len(forwarded) >= hops and forwarded[-hops]:
            return forwarded[-hops]
    return request.remote or ""
