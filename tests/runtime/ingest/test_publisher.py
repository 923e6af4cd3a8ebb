"""The publisher without a broker: what it was given and nobody acknowledged is counted, and so is nothing else."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.model.events import Event
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.ingest import publisher
from orchestrator.runtime.ingest.publisher import Publisher, Unavailable
from orchestrator.runtime.produce import Route
from orchestrator.stack.ports import free_port

SCHEMA = {"type": "record", "name": "ping", "fields": [{"name": "event_id", "type": "string"}]}


def ping(number: int) -> Event:
    return Event("ping", f"e-{number}", "anna", {"event_id": f"e-{number}"})


def test_events_that_no_broker_acknowledged_are_counted_and_those_never_given_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "CONNECT_TIMEOUT_S", 0.2)
    # Only the test says whether the broker is known to be away.
    monkeypatch.setattr(Publisher, "_is_away", lambda *_: None)
    counted: list[int] = []

    async def run() -> list[str]:
        said: list[str] = []
        publishing = Publisher(
            Brokers(f"127.0.0.1:{free_port()}"),
            {"ping": Route("events.web", SCHEMA, 1)},
            event_topics=["events.web"],
            in_flight_max=3,
            delivery_timeout_ms=300,
            on_fatal=said.append,
            on_unconfirmed=counted.append,
        )
        for away, events in (("no broker", 1), ("", 4), ("", 2)):
            publishing.away = away
            with pytest.raises(Unavailable) as refused:
                await publishing.publish([ping(number) for number in range(events)])
            said.append(str(refused.value))
        await publishing.close()
        return said

    said = asyncio.run(run())
    assert said == [
        "no broker",
        "too many events wait for the broker",
        "the broker did not acknowledge: _MSG_TIMED_OUT",
    ]
    assert counted == [2]
