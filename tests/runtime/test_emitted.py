"""Events that journeys emit, in the batch cycle: published once with the batch, and taken in as any other."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.action_steps import Emit
from orchestrator.model.events import Event
from orchestrator.model.journey import Awaited, Journey, JourneySet, ReEntry, Step, Wait, WaitFor
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.codec import JournalEntry, RejectedRecord, Slice, frame
from orchestrator.runtime.cycle import Cycle
from orchestrator.runtime.memory import Sent
from orchestrator.runtime.replay import SourceRecord, replay_partition
from orchestrator.runtime.store import MemoryCustomerStore
from orchestrator.runtime.topics import unread_events
from orchestrator.runtime.worker import check_emitted_topics
from tests.engine.build import event_field, expression, journey, journeys, send
from tests.runtime.cycle_build import IDS, PARSED, FakeRecord, World, record, run

TELL = Emit("tell", "clicked", "events.b", (("mood", expression(lambda _: "told")),), lambda values: values, "_end")


def emitting(*, tell: Emit = TELL) -> JourneySet:
    """Registered: after 10, emits a click; whoever waits for a click gets a mail."""

    def each_time(name: str, *steps: Step) -> Journey:
        key = event_field("event_id")
        return journey(*steps, name=name, key=key, reentry=ReEntry("always"), listens=frozenset({"clicked"}))

    wait = WaitFor("wait", (Awaited("clicked", None, "mail"),), 25, "_end")
    teller = each_time("teller", Wait("pause", 10, "tell"), tell)
    made = journeys(each_time("mailer", wait, send("mail", "_end")), teller)
    reachable = World().journeys.profile_rules
    wanted = frozenset({"registered", "clicked"})
    return replace(made, emits={"clicked": "events.b"}, wanted=wanted, profile_rules=reachable)


def fields_of(value: bytes) -> dict[str, Any]:
    name = next(name for name, number in IDS.items() if frame(number) == value[:5])
    fields = fastavro.schemaless_reader(io.BytesIO(value[5:]), PARSED[name], None)
    assert isinstance(fields, dict)
    return {"type": name, **fields}


@dataclass
class Shop:
    """One partition's topics and a worker on the wall clock. What is emitted comes back, as on a broker."""

    journeys: JourneySet = field(default_factory=emitting)
    log: dict[str, list[FakeRecord]] = field(default_factory=lambda: {"events.a": [], "events.b": []})
    returned: int = 0

    def __post_init__(self) -> None:
        self.world = World(is_strict=False, journeys=self.journeys)
        self.store = MemoryCustomerStore()
        self.cycle: Cycle = self.started()

    def started(self) -> Cycle:
        cycle = self.world.cycle(is_warm=True)
        cycle.assign(0, self.store)
        for topic, records in self.log.items():
            start = self.world.log.offsets.get((topic, 0), 0)
            cycle.offer(topic, 0, records[start:], len(records), position=len(records))
        return cycle

    def comes(self, topic: str, *records: FakeRecord) -> None:
        self.log[topic] += records
        self.cycle.offer(topic, 0, records, len(self.log[topic]))

    def emitted(self) -> list[Sent]:
        return [sent for sent in self.world.log.sent if sent.topic == "events.b"]

    def come_back(self) -> bool:
        """Puts what was emitted since the last time into the topic; whether there was anything."""
        new = self.emitted()[self.returned :]
        self.returned += len(new)
        at = len(self.log["events.b"])
        self.comes(
            "events.b",
            *(
                FakeRecord("events.b", sent.partition, at + number, sent.timestamp_ms or 0, sent.key, sent.value)
                for number, sent in enumerate(new)
            ),
        )
        return bool(new)

    def work(self) -> None:
        while True:
            run(self.cycle)
            if not self.come_back():
                return


def test_an_emitted_event_is_published_with_the_batch_at_the_decisions_time_for_its_customer() -> None:
    shop = Shop()
    shop.world.clock.ms = 100
    shop.comes("events.a", record("events.a", 0, 100))
    run(shop.cycle)
    shop.world.clock.ms = 150
    run(shop.cycle)
    assert [(sent.partition, sent.key, sent.timestamp_ms) for sent in shop.emitted()] == [(0, b"c1", 110)]
    told = next(t for t in shop.world.values("transitions") if t["reason"] == "emitted")
    fields = fields_of(shop.emitted()[0].value or b"")
    assert fields == {"type": "clicked", "event_id": told["action_id"], "customer_id": "c1", "mood": "told"}
    assert dict(shop.emitted()[0].headers) == {"emitted.by": b"teller/v1/2/tell"}
    assert shop.world.reports.reports[-1].emitted == {"clicked": 1}


def in_ms(at: datetime | int) -> int:
    return at if isinstance(at, int) else round(at.timestamp() * 1000)


class Crash(BaseException):
    """The worker dies here."""


@pytest.mark.parametrize("moment", ["begin", "produce", "changelog", "offsets", "commit", "committed"])
def test_a_crash_at_any_moment_emits_the_event_exactly_once(moment: str) -> None:
    shop = Shop()
    shop.world.clock.ms = 100
    shop.comes("events.a", record("events.a", 0, 100))
    run(shop.cycle)
    shop.world.clock.ms = 120

    def dies(at: str) -> None:
        if at == moment:
            raise Crash

    shop.world.log.at = dies
    with pytest.raises(Crash):
        run(shop.cycle)
    assert len(shop.emitted()) == (moment == "committed")
    shop.world.log.at = lambda _: None
    shop.world.log.restore(0, shop.store)
    shop.cycle = shop.started()
    shop.work()
    assert len(shop.emitted()) == 1
    assert [action["step"] for action in shop.world.values("actions.email")] == ["mail"]


def stories(least_ms: int) -> st.SearchStrategy[list[tuple[int, str, str]]]:
    customers, types = st.sampled_from(["c1", "c2"]), st.sampled_from(["registered", "clicked"])
    return st.lists(st.tuples(st.integers(least_ms, 12), customers, types), max_size=10)


def played(story: list[tuple[int, str, str]], *, tick_ms: int) -> Shop:
    """The story on a worker that looks at its timers and its topics every so many milliseconds."""
    shop = Shop()
    at_ms, coming = 0, []
    for number, (after_ms, customer, name) in enumerate(story):
        at_ms += after_ms
        coming.append(record("events.a", number, at_ms, customer, name))
    for now_ms in range(0, at_ms + 60, tick_ms):
        shop.world.clock.ms = now_ms
        due = [one for one in coming if one.timestamp <= now_ms]
        coming = coming[len(due) :]
        if due:
            # Timers due before these records fire first, as on a worker that keeps up.
            shop.world.clock.ms = max(0, due[0].timestamp - 1)
            shop.work()
            shop.world.clock.ms = now_ms
            shop.comes("events.a", *due)
        shop.work()
    return shop


def event_of(one: FakeRecord) -> Event:
    fields = fields_of(one.value or b"")
    return Event(fields.pop("type"), fields["event_id"], fields["customer_id"], fields)


# Of two events at the same instant the second is applied before what the first one leads to is back.
@settings(max_examples=60, deadline=None)
@given(stories(1))
def test_a_worker_that_keeps_up_does_what_the_offline_engine_does(story: list[tuple[int, str, str]]) -> None:
    shop = played(story, tick_ms=1)
    engine = OfflineEngine(emitting())
    effects = [engine.apply(one.timestamp, event_of(one)) for one in shop.log["events.a"]]
    effects.append(engine.advance(10_000))
    expected = Counter((a.action_id, a.created_at_ms) for made in effects for a in made.actions)
    found = Counter((a["action_id"], in_ms(a["created_at"])) for a in shop.world.values("actions.email"))
    assert sorted(found.items()) == sorted(expected.items())
    emitted = [made.event.event_id for one in effects for made in one.events]
    assert sorted(emitted) == sorted(fields_of(sent.value or b"")["event_id"] for sent in shop.emitted())


@settings(max_examples=40, deadline=None)
@given(stories(0), st.integers(1, 40))
def test_the_journal_repeats_a_worker_that_is_late_with_emitted_events_as_sources(
    story: list[tuple[int, str, str]], tick_ms: int
) -> None:
    shop = played(story, tick_ms=tick_ms)
    entries = [
        JournalEntry(
            0,
            [Slice(**part) for part in entry["slices"]],
            [RejectedRecord(**one) for one in entry["rejected"]],
            in_ms(entry["timers_until"]),
            entry["timers_until_customer"],
            entry["journeys"],
            aligned_after=entry["aligned_after"],
            aligned_until=entry["aligned_until"],
        )
        for entry in shop.world.values("journal")
    ]

    def read(_key: str | int, part: Slice, _rejected: frozenset[int]) -> list[SourceRecord]:
        records = shop.log[part.topic][part.first : part.last + 1]
        return [SourceRecord(one.offset, one.timestamp, event_of(one)) for one in records]

    replayed = replay_partition(entries, read, {"set": shop.journeys})
    assert [a.action_id for a in replayed.actions] == [a["action_id"] for a in shop.world.values("actions.email")]
    assert len({sent.value for sent in shop.emitted()}) == len(shop.emitted())
    told = [t["action_id"] for t in shop.world.values("transitions") if t["reason"] == "emitted"]
    assert sorted(told) == sorted(fields_of(sent.value or b"")["event_id"] for sent in shop.emitted())


def test_an_event_that_its_schema_of_now_cannot_hold_ends_the_worker_with_a_reason() -> None:
    shop = Shop(emitting(tell=replace(TELL, variables=())))
    shop.world.clock.ms = 200
    shop.comes("events.a", record("events.a", 0, 100))
    with pytest.raises(EnvironmentProblem, match="teller/v1/2/tell: an event clicked cannot be written"):
        shop.work()


def test_events_that_journeys_ask_for_by_a_topic_that_is_not_read_are_named() -> None:
    schemas = {"clicked": '{"topic": "events.a"}', "paid": '{"topic": "events.bank"}', "seen": "{}"}
    assert unread_events(["clicked", "paid", "seen", "own"], schemas, ["events.a"]) == {"paid": "events.bank"}
    assert unread_events(["clicked"], schemas, ["events.a"]) == {}


def test_a_worker_does_not_start_if_an_event_would_go_where_nobody_reads() -> None:
    check_emitted_topics({"clicked": "events.b"}, ["events.a", "events.b"])
    with pytest.raises(EnvironmentProblem, match="journeys emit clicked to the topic"):
        check_emitted_topics({"clicked": "events.c"}, ["events.a", "events.b"])
