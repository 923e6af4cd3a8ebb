"""POST /v1/events, without a broker: who may send what, and what each request is answered with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog.testing

from orchestrator.runtime.ingest.publisher import TooLarge, Unavailable
from orchestrator.runtime.ingest.settings import IngestSettings
from tests.runtime.ingest.served import NARROW_TOKEN, Send, Served, bearer, installed


def post(served: Served, body: Any, path: str = "/v1/events", **headers: str) -> tuple[int, Any, dict[str, str]]:
    """(status, body, headers) of one request with a good token."""
    given = {**bearer(), "Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}

    async def send(client: Send) -> tuple[int, Any, dict[str, str]]:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with client.post(path, data=sent, headers=given) as answer:
            return answer.status, json.loads(await answer.read()), dict(answer.headers)

    found: tuple[int, Any, dict[str, str]] = served.run(send)
    return found


def test_one_event_or_a_list_is_accepted_once_it_is_kept() -> None:
    served = Served()
    status, said, _ = post(served, installed(event_id="e1"))
    assert (status, said) == (202, {"accepted": 1, "event_ids": ["e1"]})
    status, said, _ = post(served, [installed(event_id="e2"), installed(event_id="e3")])
    assert (status, said["accepted"]) == (202, 2)
    assert [event.event_id for event in served.log.events] == ["e1", "e2", "e3"]
    assert served.log.events[0].fields["occurred_at"] == 1_772_442_000_000


def test_the_type_may_stand_in_the_address_instead() -> None:
    served = Served()
    event = installed()
    del event["type"]
    assert post(served, event, "/v1/events/app_installed")[0] == 202
    assert post(served, event)[0] == 422
    status, said, _ = post(served, installed(), "/v1/events/loyalty_joined")
    assert (status, said["problems"][0]["field"]) == (422, "type")


def test_the_trace_goes_along() -> None:
    served = Served()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert post(served, installed(), traceparent=trace)[0] == 202
    assert served.log.traces == [trace]


def test_every_bad_event_is_named_and_none_is_published() -> None:
    served = Served()
    bad = [
        installed(),
        installed(platform=7),
        installed(platfrom="android"),
        {"type": "app_instaled"},
        "nothing",
        installed(occurred_at=None),
    ]
    status, said, _ = post(served, bad)
    assert status == 422
    assert said["accepted"] == 0
    assert [(found.get("event"), found.get("field", "")) for found in said["problems"]] == [
        (1, "platform"),
        (2, "platfrom"),
        (3, "type"),
        (4, ""),
        (5, "occurred_at"),
    ]
    assert all(found["hint"] for found in said["problems"])
    assert said["problems"][1]["hint"] == 'did you mean "platform"?'
    assert served.log.events == []


def test_a_body_that_is_no_json_is_refused_with_the_place() -> None:
    status, said, _ = post(Served(), b'[\n {"type": x}\n]')
    assert status == 400
    assert said["problems"][0]["problem"] == "the body is not JSON at line 2, column 11"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic dDp0", "Bearer \u00e4"])
def test_nobody_sends_without_a_valid_token(authorization: str) -> None:
    served = Served()
    status, said, headers = post(served, installed(), Authorization=authorization)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "token" in said["problems"][0]["problem"]
    assert served.log.events == []


def test_a_token_sends_what_its_line_names_and_erasing_only_where_it_is_named() -> None:
    served = Served()
    erased = {"type": "customer_erased", "customer_id": "anna", "occurred_at": 1, "requested_by": "x"}
    status, said, _ = post(served, [installed(), erased])
    assert (status, [found["event"] for found in said["problems"]]) == (403, [1])
    narrow = f"Bearer {NARROW_TOKEN}"
    assert post(served, installed(), Authorization=narrow)[0] == 202
    assert post(served, erased, Authorization=narrow)[0] == 202
    registered = {"type": "loyalty_joined", "customer_id": "anna", "occurred_at": 1, "tier": "gold"}
    assert post(served, registered, Authorization=narrow)[0] == 403


def test_what_is_too_large_or_no_json_by_its_type_is_not_read() -> None:
    served = Served(settings=IngestSettings(ingest_body_bytes_max=200))
    assert post(served, installed(source="x" * 200))[0] == 413
    assert post(served, installed(), Content_Type="text/plain")[0] == 415
    assert post(served, installed(), Content_Encoding="gzip")[0] == 415
    assert served.log.events == []


def test_too_many_events_at_once_are_refused() -> None:
    served = Served(settings=IngestSettings(ingest_events_max=2))
    assert post(served, [installed(event_id=str(number)) for number in range(3)])[0] == 422
    assert post(served, [])[0] == 422
    assert served.log.events == []


def test_an_event_without_an_id_gets_the_same_one_when_it_is_sent_again() -> None:
    served = Served()
    first = post(served, installed())[1]["event_ids"]
    assert post(served, installed())[1]["event_ids"] == first
    assert post(served, installed(platform="ios"))[1]["event_ids"] != first
    # Two equal events are one, unless requests say that they are two.
    twice = post(served, [installed(), installed()], Idempotency_Key="k1")[1]["event_ids"]
    assert len({*twice, *first}) == 3
    assert post(served, [installed(), installed()], Idempotency_Key="k1")[1]["event_ids"] == twice
    assert post(served, [installed(), installed()], Idempotency_Key="k2")[1]["event_ids"] != twice
    assert post(served, installed(), Idempotency_Key="k" * 257)[0] == 400


def test_a_token_that_sends_too_much_is_told_when_to_come_back() -> None:
    served = Served(settings=IngestSettings(ingest_rate=2, ingest_burst=4, ingest_events_max=4))

    async def flood(client: Send) -> list[tuple[int, str | None]]:
        answers = []
        for number in range(6):
            if number == 5:
                served.now_s += 1.0
            event = [installed(event_id=str(number)), installed(event_id=f"{number}b")]
            async with client.post("/v1/events", json=event, headers=bearer()) as answer:
                answers.append((answer.status, answer.headers.get("Retry-After")))
        return answers

    assert served.run(flood) == [(202, None), (202, None), (429, "1"), (429, "1"), (429, "1"), (202, None)]
    assert len(served.log.events) == 6


def test_an_address_that_guesses_tokens_is_answered_429_at_last_and_others_are_not() -> None:
    served = Served(settings=IngestSettings(ingest_forwarded_hops=1))

    async def guess(client: Send) -> list[int]:
        statuses = []
        for number in range(102):
            headers = {
                **bearer("x" * 32),
                "X-Forwarded-For": "203.0.113.9, 198.51.100.1" if number < 101 else "10.0.0.1",
            }
            async with client.post("/v1/events", json=installed(), headers=headers) as answer:
                statuses.append(answer.status)
        return statuses

    assert served.run(guess) == [401] * 100 + [429, 401]


def test_where_the_broker_is_away_the_sender_keeps_its_events() -> None:
    served = Served()
    served.log.refusal = Unavailable("no broker answers")
    status, said, headers = post(served, installed())
    assert (status, headers["Retry-After"], said["accepted"]) == (503, "1", 0)
    served.log.refusal = TooLarge(0)
    assert post(served, installed())[0] == 422


def test_a_bug_is_answered_and_logged_without_what_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    served = Served()
    served.log.refusal = KeyError("anna")
    assert post(served, installed())[0] == 500
    assert "anna" not in "".join(capsys.readouterr())


def test_metrics_count_requests_by_route_and_outcome_and_events_by_type() -> None:
    served = Served()
    post(served, [installed(event_id="1"), installed(event_id="2")])
    post(served, b"x")
    post(served, installed(), "/v2/whatever/anna")
    value = served.metrics.registry.get_sample_value
    requests = "orchestrator_ingest_requests_total"
    assert value(requests, {"route": "events", "outcome": "accepted"}) == 1
    assert value(requests, {"route": "events", "outcome": "malformed"}) == 1
    assert value(requests, {"route": "other", "outcome": "not_found"}) == 1
    assert value("orchestrator_ingest_events_total", {"type": "app_installed"}) == 2


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    served = Served(settings=IngestSettings(ingest_read_timeout_ms=50))

    async def send(client: Send) -> int:
        async def slowly() -> AsyncIterator[bytes]:
            yield b"["
            await asyncio.sleep(0.5)

        headers = {**bearer(), "Content-Type": "application/json"}
        async with client.post("/v1/events", data=slowly(), headers=headers) as answer:
            return answer.status

    assert served.run(send) == 408


def test_a_body_that_is_said_to_be_too_large_is_refused_before_it_comes() -> None:
    served = Served()

    async def announce(client: Send) -> bytes:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer()['Authorization']}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n".encode())
        async with asyncio.timeout(5):
            line = await reader.readline()
        writer.close()
        return line

    assert served.run(announce).startswith(b"HTTP/1.1 413 ")


def test_a_request_holds_as_many_events_of_a_customer_as_are_recognised_when_it_is_sent_again() -> None:
    served = Served()
    assert post(served, [installed(event_id=str(number)) for number in range(16)])[0] == 202
    status, said, _ = post(served, [installed(event_id=str(number)) for number in range(17)])
    assert (status, said["problems"][0]["event"]) == (422, 16)
    many = [installed(event_id=str(number), customer_id=str(number)) for number in range(100)]
    assert post(served, many)[0] == 202


def raw(served: Served, sent: bytes) -> bytes:
    """What a connection answers to these bytes."""

    async def send(client: Send) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(10):
            found = await reader.read(4_000)
        writer.close()
        return found

    found: bytes = served.run(send)
    return found


def head(length: int, *more: bytes) -> bytes:
    """A good head, with these lines too."""
    lines = (
        b"POST /v1/events HTTP/1.1",
        b"Host: x",
        b"Authorization: " + bearer()["Authorization"].encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % length,
        *more,
    )
    return b"\r\n".join(lines) + b"\r\n\r\n"


def test_an_idempotency_key_that_is_no_text_is_refused() -> None:
    body = json.dumps(installed()).encode()
    assert raw(Served(), head(len(body), b"Idempotency-Key: \xff\xff") + body).split()[1] == b"400"


def test_a_proxy_that_is_not_believed_is_told_of_once() -> None:
    served = Served()

    async def send(client: Send) -> None:
        for _ in range(2):
            await client.post("/v1/events", headers={"X-Forwarded-For": "203.0.113.7"})

    with structlog.testing.capture_logs() as lines:
        served.run(send)
    assert sum("is not believed" in line["event"] for line in lines) == 1
