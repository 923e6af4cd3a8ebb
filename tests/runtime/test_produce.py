from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.demo.clickstream import convert, read_clicks
from orchestrator.model.events import Event
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.produce import (
    Feed,
    Produced,
    event_routes,
    produce_events,
    produced_schemas,
    registered_ids,
)
from orchestrator.runtime.schemas import SchemaFile, read_schema_files
from orchestrator.runtime.settings import DEFAULT_EVENT_TOPICS

SCHEMAS = Path(__file__).parents[2] / "schemas"


class Recorder:
    """Notes what is sent instead of sending it; two partitions in one topic."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.failed = 0
        self.failure = ""
        self.is_flushed = False

    def send(self, event: Event, *, timestamp_ms: int) -> None:
        self.sent.append((event.event_id, timestamp_ms))

    def heartbeat(self, at_ms: int) -> int:
        self.sent.append(("heartbeat", at_ms))
        return 2

    def poll(self, timeout_s: float) -> None:
        pass

    def flush(self) -> None:
        self.is_flushed = True


def event(name: str, at_ms: int) -> Event:
    return Event("page_viewed", name, "c", {"occurred_at": at_ms})


def test_events_carry_their_own_times_and_are_flushed() -> None:
    recorder = Recorder()
    produced = produce_events([event("a", 5), event("b", 7)], recorder, Feed())
    assert recorder.sent == [("a", 5), ("b", 7)]
    assert recorder.is_flushed
    assert produced == Produced(2, 0, 0, "", 7, None)


def test_events_of_now_leave_the_time_to_the_client() -> None:
    recorder = Recorder()
    produce_events([event("a", 5)], recorder, Feed(timestamps="now"))
    assert recorder.sent == [("a", 0)]


def test_heartbeats_come_where_stream_time_passes_a_boundary() -> None:
    recorder = Recorder()
    events = [event("a", 5), event("b", 12), event("c", 13), event("d", 47)]
    produced = produce_events(events, recorder, Feed(heartbeat_every_ms=10))
    # Only the last of the boundaries between two events: it says all that those before it would.
    assert recorder.sent == [("a", 5), ("heartbeat", 10), ("b", 12), ("c", 13), ("heartbeat", 40), ("d", 47)]
    assert produced.heartbeats == 4


def test_no_heartbeat_says_complete_before_all_events_of_its_time_are_sent() -> None:
    recorder = Recorder()
    events = [event("a", 10), event("b", 10), event("c", 20), event("d", 20), event("e", 21)]
    produce_events(events, recorder, Feed(heartbeat_every_ms=10))
    assert recorder.sent == [
        ("a", 10), ("b", 10), ("heartbeat", 10), ("c", 20), ("d", 20), ("heartbeat", 20), ("e", 21),
    ]  # fmt: skip


def test_the_whole_clickstream_with_heartbeats_never_goes_back_in_time() -> None:
    recorder = Recorder()
    produce_events(convert(read_clicks()), recorder, Feed(heartbeat_every_ms=3_600_000))
    complete_ms = -1
    for name, at_ms in recorder.sent:
        assert at_ms > complete_ms
        if name == "heartbeat":
            complete_ms = at_ms


def test_the_last_heartbeat_is_counted_from_the_last_event() -> None:
    recorder = Recorder()
    produced = produce_events([event("a", 5), event("b", 7)], recorder, Feed(until_after_ms=100))
    assert recorder.sent[-1] == ("heartbeat", 107)
    assert produced.until_ms == 107


def test_the_last_heartbeat_can_be_an_instant() -> None:
    recorder = Recorder()
    assert produce_events([], recorder, Feed(until_ms=1_000)).until_ms == 1_000
    assert recorder.sent == [("heartbeat", 1_000)]


def test_without_events_there_is_nothing_to_count_from() -> None:
    recorder = Recorder()
    assert produce_events([], recorder, Feed(until_after_ms=100)).until_ms is None
    assert recorder.sent == []


def test_heartbeats_need_events_in_time_order() -> None:
    with pytest.raises(ValueError, match="time order"):
        produce_events([event("a", 7), event("b", 5)], Recorder(), Feed(heartbeat_every_ms=10))


def test_failed_deliveries_are_in_the_total() -> None:
    recorder = Recorder()
    recorder.failed, recorder.failure = 1, "Broker: Message size too large"
    produced = produce_events([event("a", 5)], recorder, Feed())
    assert (produced.failed, produced.failure) == (1, "Broker: Message size too large")


def test_every_event_type_has_a_topic_that_workers_read() -> None:
    files = produced_schemas(read_schema_files(SCHEMAS))
    ids = {file.name: number for number, file in enumerate(files)}
    routes = event_routes(files, ids, topic_prefix="test.", event_topics=DEFAULT_EVENT_TOPICS)
    types = {path.stem for path in (SCHEMAS / "events").glob("*.avsc")}
    assert set(routes) == types | {"stream_heartbeat"}
    assert {routes[name].topic for name in types} == {f"test.{topic}" for topic in DEFAULT_EVENT_TOPICS}
    assert all(routes[name].schema_id == ids[name] for name in routes)


def test_a_topic_that_no_worker_reads_is_refused_with_its_name() -> None:
    text = json.dumps({"type": "record", "name": "odd", "topic": "events.odd", "fields": []})
    with pytest.raises(EnvironmentProblem, match=r"events\.odd"):
        event_routes([SchemaFile("odd", "odd", "odd.avsc", text)], {"odd": 1}, topic_prefix="", event_topics=["a"])


class FakeRegistry:
    def __init__(self, latest: dict[str, tuple[int, str]]) -> None:
        self._latest = latest

    def latest(self, subject: str) -> tuple[int, str] | None:
        return self._latest.get(subject)


def test_schemas_that_are_not_registered_as_they_are_are_named() -> None:
    file = SchemaFile("a", "x.a", "a.avsc", '{"name": "a"}')
    assert registered_ids(FakeRegistry({"x.a": (7, '{ "name":"a" }')}), [file]) == {"a": 7}
    with pytest.raises(EnvironmentProblem, match=r"a\.avsc is not registered") as missing:
        registered_ids(FakeRegistry({}), [file])
    assert "--register" in missing.value.hint
    with pytest.raises(EnvironmentProblem, match="another version"):
        registered_ids(FakeRegistry({"x.a": (7, '{"name": "b"}')}), [file])
