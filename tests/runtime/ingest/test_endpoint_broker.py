"""The endpoint on the real broker: what it has accepted is there, also when the broker or the endpoint goes away."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestrator.stack.stack import Stack, kill_broker, start_broker
from tests.runtime.ingest.endpoint_process import EndpointProcess, endpoint
from tests.runtime.ingest.served import TOKEN, installed
from tests.runtime.worker_process import Installation, until

pytestmark = pytest.mark.broker


@pytest.fixture
def installation(stack: Stack, topic_prefix: str, tmp_path: Path) -> Installation:
    return Installation(stack, topic_prefix, tmp_path, time="wall")


def published(installation: Installation) -> list[dict[str, Any]]:
    return installation.committed(*installation.names.events)


def test_what_was_accepted_is_on_the_broker_and_nothing_else_is(installation: Installation) -> None:
    with endpoint(installation) as running:
        assert running.send(installed(event_id="a"), installed(event_id="b")).status == 202
        assert running.send(installed(event_id="c"), installed(event_id="d", platform=1)).status == 422
        assert running.send(installed(event_id="e"), token="x" * 40).status == 401
        assert sorted(event["event_id"] for event in published(installation)) == ["a", "b"]
        assert running.request("GET", running.metrics_url + "/readyz").status == 200
        metrics = running.request("GET", running.metrics_url + "/metrics").body.decode()
        assert 'orchestrator_ingest_events_total{type="app_installed"} 2.0' in metrics
        for limit in ("in_flight_max_records 10000.0", "held_max_bytes 3.2e+07", "held_bytes 0.0"):
            assert f"orchestrator_ingest_{limit}" in metrics
        assert running.stop() == 0
        written = running.output()
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    assert [line["outcome"] for line in lines if line["event"] == "request"] == [
        "accepted",
        "refused",
        "unauthenticated",
    ]
    assert TOKEN not in written
    assert "anna" not in written


def test_many_clients_at_once_lose_and_double_nothing(installation: Installation) -> None:
    with endpoint(installation) as running:

        def send(number: int) -> int:
            return running.send(
                *(installed(event_id=f"{number}-{part}", customer_id=str(part)) for part in range(5))
            ).status

        with ThreadPoolExecutor(16) as clients:
            assert set(clients.map(send, range(200))) == {202}
        found = [event["event_id"] for event in published(installation)]
        assert len(found) == len(set(found)) == 1_000
        assert running.stop() == 0


def test_while_the_broker_is_away_nothing_is_accepted_and_then_everything_is(
    stack: Stack, installation: Installation
) -> None:
    accepted: list[str] = []
    with endpoint(installation, "--ingest-delivery-timeout-ms", "2000") as running:

        def send(event_id: str) -> int:
            answer = running.send(installed(event_id=event_id))
            if answer.status == 202:
                accepted.append(event_id)
            else:
                assert (answer.status, bool(answer.headers["Retry-After"])) == (503, True)
            return answer.status

        assert send("before") == 202
        kill_broker(stack)
        try:
            assert send("away") == 503
            until(
                lambda: (
                    b"orchestrator_ingest_broker_up 0.0"
                    in running.request("GET", running.metrics_url + "/metrics").body
                ),
                seconds=20,
                what="away",
            )
            assert running.request("GET", running.metrics_url + "/readyz").status == 200, "links still lead on"
            assert running.request("GET", running.metrics_url + "/healthz").status == 200
            began = time.monotonic()
            assert [send(f"away-{number}") for number in range(20)] == [503] * 20
            assert time.monotonic() - began < 20, "it is not asked again and again while it is known to be away"
        finally:
            start_broker(stack)
        until(lambda: send("again") == 202, seconds=60, what="events are taken again")
        assert send("after") == 202
        found = {event["event_id"] for event in published(installation)}
        assert found >= set(accepted)
        assert not found & {f"away-{number}" for number in range(20)}, "what is refused at once is not kept"
        assert running.stop() == 0


def test_an_endpoint_that_is_told_to_stop_answers_what_it_has(installation: Installation) -> None:
    with endpoint(installation) as running:
        stopping = threading.Event()
        statuses: list[int] = []
        body = json.dumps([installed(event_id="slow")]).encode()
        head = (
            f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        place = urlsplit(running.url)
        assert place.hostname is not None
        with socket.create_connection((place.hostname, place.port or 0), timeout=20) as connection:
            connection.sendall(head + body[:10])
            time.sleep(0.3)

            def finish() -> None:
                stopping.wait(10)
                time.sleep(0.3)
                connection.sendall(body[10:])
                statuses.append(int(connection.recv(4096).split()[1]))

            other = threading.Thread(target=finish)
            other.start()
            running.process.terminate()
            stopping.set()
            other.join()
        assert running.process.wait(20) == 0
        assert statuses == [202]
        assert [event["event_id"] for event in published(installation)] == ["slow"]
        assert not _answers(running)


def _answers(running: EndpointProcess) -> bool:
    place = urlsplit(running.url)
    assert place.hostname is not None
    try:
        socket.create_connection((place.hostname, place.port or 0), timeout=1).close()
    except OSError:
        return False
    return True
