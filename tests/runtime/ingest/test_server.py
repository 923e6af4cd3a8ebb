"""The endpoint as it is served: without a broker, and to those who speak no HTTP."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web

from orchestrator.authoring.event_values import EventShape
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.ingest import publisher, server
from orchestrator.runtime.ingest.assembly import check_events, writable_shapes
from orchestrator.runtime.ingest.links import Link, seal
from orchestrator.runtime.ingest.observing import ServerLog
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.logs import configure_logs
from orchestrator.runtime.produce import Route
from orchestrator.runtime.settings import Settings
from tests.runtime.ingest.served import LINK_KEY, SECRETS, SHAPES, TOKEN, Served, bearer, installed

NOBODY = "127.0.0.1:1"
"""Where no broker ever is."""


def answers(served: Served, *sent: bytes, is_gone: bool = False) -> list[bytes]:
    """What connections are answered to these bytes by a server as it runs; nothing to clients that go away instead."""

    async def one(port: int, each: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(each)
        await writer.drain()
        async with asyncio.timeout(10):
            if is_gone:
                await asyncio.sleep(0.1)
                writer.transport.abort()
                await asyncio.sleep(0.1)
                return b""
            found = await reader.read(4_000)
        writer.close()
        return found

    async def run() -> list[bytes]:
        runner = web.AppRunner(served.endpoint().application, access_log=None, logger=ServerLog(served.metrics))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found = [await one(runner.addresses[0][1], each) for each in sent]
        await runner.cleanup()
        return found

    return asyncio.run(run())


def counted(served: Served, route: str, outcome: str) -> float | None:
    """How many requests of this outcome there were."""
    labels = {"route": route, "outcome": outcome}
    return served.metrics.registry.get_sample_value("orchestrator_ingest_requests_total", labels)


def test_a_head_that_cannot_be_read_is_counted_and_never_written() -> None:
    written = io.StringIO()
    served = Served()
    heads = (f"POST /v1/events HTTP/1.1\r\nAuthorization Bearer {TOKEN}\r\n\r\n", "ada@example.com\r\n\r\n")
    configure_logs(log_format="json", level="debug", stream=written)
    try:
        found = answers(served, *(head.encode() for head in heads))
    finally:
        configure_logs(log_format="json", level="info")
    assert [answer.split()[1] for answer in found] == [b"400", b"400"]
    assert TOKEN not in written.getvalue()
    assert "ada@" not in written.getvalue()
    assert counted(served, "other", "malformed") == 2


def test_a_client_that_goes_away_in_the_middle_is_no_bug() -> None:
    served = Served()
    head = (
        b"POST /v1/receipts/generic HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    )
    answers(served, head + b"{", is_gone=True)
    assert (counted(served, "receipts", "gone"), counted(served, "receipts", "failed")) == (1, None)


def test_what_links_and_receipts_say_has_a_schema_with_the_fields() -> None:
    check_events(SECRETS, SHAPES)
    for missing in ("unsubscribed", "message_bounced"):
        with pytest.raises(EnvironmentProblem, match=f"no schema with a topic describes {missing}"):
            check_events(SECRETS, {name: shape for name, shape in SHAPES.items() if name != missing})
    for event, field in (("unsubscribed", "consent"), ("message_bounced", "hard")):
        fields = {name: of for name, of in SHAPES[event].fields.items() if name != field}
        with pytest.raises(EnvironmentProblem, match=f"{event} and what is said differ in {field}"):
            check_events(SECRETS, {**SHAPES, event: EventShape(event, fields)})


def test_an_event_without_a_topic_cannot_be_sent() -> None:
    routes = {"unsubscribed": Route("events.email", None, 1), "heartbeat": Route("", None, 2)}
    assert set(writable_shapes({**SHAPES, "heartbeat": SHAPES["unsubscribed"]}, routes)) == {"unsubscribed"}


def serving(test: Callable[[ClientSession, str, str], Awaitable[Any]], capsys: pytest.CaptureFixture[str]) -> Any:
    """What the test gives, of an endpoint that has never reached a broker."""

    async def run() -> Any:
        settings = Settings(bootstrap_servers=NOBODY, metrics_host="127.0.0.1", metrics_port=0)
        serve = asyncio.create_task(server._serve(settings, IngestSettings(), SECRETS, server.Writing(SHAPES, {})))
        printed = ""
        while (found := re.search(r"events at (\S+); metrics at (\S+)/metrics", printed)) is None:
            await asyncio.sleep(0.05)
            assert not serve.done(), serve.exception()
            printed += capsys.readouterr().out
        try:
            async with ClientSession() as client:
                return await test(client, found[1], found[2])
        finally:
            serve.cancel()
            await asyncio.gather(serve, return_exceptions=True)

    return asyncio.run(run())


def test_without_a_broker_it_starts_and_is_ready_links_lead_on_and_events_are_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publisher, "CONNECT_TIMEOUT_S", 0.2)
    link = seal(LINK_KEY, "c", Link("anna", "a" * 32, "email", "https://shop.example/cart"))

    async def ask(client: ClientSession, url: str, metrics: str) -> list[int]:
        ready = await client.get(f"{metrics}/readyz")
        click = await client.get(f"{url}/c/{link}", allow_redirects=False)
        event = await client.post(f"{url}/v1/events", json=installed(), headers=bearer())
        return [ready.status, click.status, event.status]

    assert serving(ask, capsys) == [200, 302, 503]
