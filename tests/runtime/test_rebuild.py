"""What a rebuild works out together with what was kept since is what keeping from the beginning would have given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.sources import Sources
from orchestrator.authoring.tracking import listed_aggregates
from orchestrator.engine.aggregates import next_expiry_ms, read_of
from orchestrator.engine.distinct import read_distinct
from orchestrator.engine.erasure import ERASED
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.types import Kind
from orchestrator.resources import schemas_dir
from orchestrator.runtime.codec import JournalEntry, RejectedRecord, Slice
from orchestrator.runtime.rebuild import Gathering, Order, PastRecord, read_journal, rebuilt_event
from orchestrator.runtime.replay import InForceKey, ReplayImpossible
from orchestrator.runtime.scratch import RocksScratch

START = 1_700_000_000_000
TOPICS = ("orders", "web")
WINDOW = 3_600_000
BARE = """
journey: plain
owner: lifecycle@shop.example
status: live
entry: {on: customer_registered}
exit:
  - on: order_placed
steps:
  pause: {wait: 900 days}
"""
READ = {
    "count(order_placed, 1 hour)": ("count", Kind.INTEGER, WINDOW),
    "count(page_viewed, 1 hour)": ("count", Kind.INTEGER, WINDOW),
    "count(page_viewed)": ("count", Kind.INTEGER, None),
    "sum(order_placed.total, 1 hour)": ("sum", Kind.DECIMAL, WINDOW),
    "sum(order_placed.total)": ("sum", Kind.DECIMAL, None),
    "avg(order_placed.total, 1 hour)": ("avg", Kind.DECIMAL, WINDOW),
    "min(order_placed.total, 1 hour)": ("min", Kind.DECIMAL, WINDOW),
    "max(order_placed.total)": ("max", Kind.DECIMAL, None),
    "first(order_placed.order_id)": ("first", Kind.STRING, None),
    "last(order_placed.order_id, 1 hour)": ("last", Kind.STRING, WINDOW),
    "last(page_viewed.url)": ("last", Kind.STRING, None),
    "distinct(order_placed.order_id, 1 hour)": ("distinct", Kind.STRING, WINDOW),
    "distinct(page_viewed.url)": ("distinct", Kind.STRING, None),
    "days_since(page_viewed)": ("days_since", Kind.INTEGER, None),
}
ASKING = BARE.replace("plain", "asking") + "".join(
    f"  look_{number}: {{set: {{what_{number}: '{text}'}}}}\n" for number, text in enumerate(READ)
)


@cache
def compiled(*texts: str) -> JourneySet:
    files = {f"{text.split()[1]}.yaml": text for text in texts}
    compilation = compile_journeys(Sources(files=files), load_event_types(schemas_dir() / "events"))
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys


@dataclass(slots=True)
class Log:
    """Sources of one partition in memory, as they were taken in batches."""

    records: dict[str, list[PastRecord]] = field(default_factory=lambda: {topic: [] for topic in TOPICS})
    entries: list[JournalEntry] = field(default_factory=list)

    def batch(self, journeys: str, records: Iterable[tuple[str, int, Event]], rejected: Sequence[int] = ()) -> None:
        firsts = {topic: len(there) for topic, there in self.records.items()}
        refused = []
        for number, (topic, at_ms, event) in enumerate(records):
            there = self.records[topic]
            if number in rejected:
                refused.append(RejectedRecord(topic, len(there), "failed"))
            there.append(PastRecord(len(there), at_ms, event.customer_id, event.type, event))
        slices = [
            Slice(topic, firsts[topic], len(there) - 1)
            for topic, there in self.records.items()
            if len(there) > firsts[topic]
        ]
        self.entries.append(JournalEntry(0, slices, refused, -1, None, journeys))

    def ends(self) -> dict[str, int]:
        return {topic: len(there) for topic, there in self.records.items()}

    def read(self, topic: str, first: int, end: int) -> Iterator[PastRecord]:
        yield from self.records[topic][first:end]

    def applied(self, entry: JournalEntry) -> Iterator[tuple[int, Event]]:
        """In the order of `docs/architecture.md`: the head with the least (timestamp, topic)."""
        parts = {part.topic: self.records[part.topic][part.first : part.last + 1] for part in entry.slices}
        refused = {(one.topic, one.offset) for one in entry.rejected}
        while any(parts.values()):
            topic = min((there[0].timestamp_ms, topic) for topic, there in parts.items() if there)[1]
            record = parts[topic].pop(0)
            if (topic, record.offset) not in refused and record.event is not None:
                yield record.timestamp_ms, record.event


@contextmanager
def scratch() -> Iterator[RocksScratch]:
    with TemporaryDirectory() as directory:
        made = RocksScratch(Path(directory) / "scratch", cached_max=2)
        yield made
        made.close()


def rebuilt(log: Log, sets: Mapping[InForceKey, JourneySet], newest: JourneySet) -> list[Event]:
    """What the command sends."""
    aggregates = listed_aggregates(newest).values()
    since = {one.key: newest.resumed.get(one.key, 0) for one in aggregates}
    journaled = read_journal(log.entries, sets, since)
    lacking = [one for one in aggregates if journaled.cuts[one.key].entries]
    if not lacking:
        return []
    with scratch() as pasts:
        starts = dict.fromkeys(TOPICS, 0)
        gathering = Gathering(journaled, lacking, journeys=newest, starts=starts, read=log.read, scratch=pasts)
        gathering.look_ahead(log.ends())
        gathering.run(log.entries, sets)
        return [
            rebuilt_event(who, kept, since=newest.resumed, cuts=journaled.cuts, at_ms=START, order=Order("a", "b"))
            for who, kept in gathering.pasts()
        ]


def engine_after(log: Log, sets: Mapping[InForceKey, JourneySet], first: JourneySet) -> OfflineEngine:
    engine = OfflineEngine(first)
    for entry in log.entries:
        engine.journeys = sets[entry.journeys]
        for at_ms, event in log.applied(entry):
            if event.type in engine.journeys.wanted:
                engine.apply(at_ms, event)
    return engine


def said(engine: OfflineEngine, customer_id: str, now_ms: int) -> dict[str, Any]:
    """What each aggregate says about the customer at this instant."""
    kept = engine.customers[customer_id].aggregates if customer_id in engine.customers else {}
    values = {}
    for text, aggregate in listed_aggregates(engine.journeys).items():
        name, of, window_ms = READ[text]
        read = read_distinct(window_ms) if name == "distinct" else read_of(name, of, window_ms)
        values[text] = read(kept.get(aggregate.key), now_ms)
    return values


def expiries(engine: OfflineEngine, customer_id: str, now_ms: int) -> set[int]:
    """Every later instant at which something goes out of a window."""
    found = set()
    for aggregate in listed_aggregates(engine.journeys).values():
        kept = engine.customers[customer_id].aggregates.get(aggregate.key)
        at_ms: int | None = now_ms
        while aggregate.window_ms and at_ms is not None:
            at_ms = next_expiry_ms(kept, aggregate.window_ms, at_ms)
            found |= {at_ms} - {None}
    return {at_ms for at_ms in found if at_ms is not None}


def event_of(kind: str, customer_id: str, number: int) -> Event:
    fields: dict[str, Any] = {"occurred_at": START}
    if kind == "order_placed":
        fields |= {"order_id": f"o{number % 5}", "total": Decimal(number % 7) / 2}
    elif kind == "page_viewed":
        fields |= {"url": f"/{number % 4}"}
    return Event(kind, f"e{number}", customer_id, fields)


KINDS = ("order_placed", "order_placed", "page_viewed", "customer_registered", ERASED)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.sampled_from(TOPICS),
        st.sampled_from(["ada", "bob", "cleo"]),
        st.integers(-400_000, 1_500_000),
        st.integers(0, 9),
    ),
    max_size=25,
)


def made_log(steps: Sequence[tuple[str, str, str, int, int]], sizes: Sequence[int], cut: int) -> Log:
    """A log in batches of these sizes; records may be late, come twice, or be refused. From batch `cut` on the journeys
    ask for aggregates; none of those records is from before the cut.
    """
    log, at_ms, cut_ms = Log(), START, 0
    numbered = iter(enumerate(steps))
    known: dict[str, list[Event]] = {"before": [], "after": []}
    for number, size in enumerate([*sizes, len(steps)]):
        sent: list[tuple[str, int, Event]] = []
        rejected: list[int] = []
        era = "after" if number >= cut else "before"
        if number == cut:
            cut_ms = at_ms
        for place, (index, (kind, topic, customer_id, step_ms, chance)) in zip(range(size), numbered, strict=False):
            at_ms += max(step_ms, 0)
            event = event_of(kind, customer_id, index)
            # What is delivered twice comes again within the same half: what comes in both is another test's.
            if chance == 0 and known[era]:
                event = known[era][index % len(known[era])]
            elif kind in {"order_placed", "page_viewed"}:
                # Of other types a rebuild does not read ids: one that comes again brings the customer's time on.
                known[era].append(event)
            # Who asks to be forgotten gets no past, also where that was refused.
            if chance == 1 and kind != ERASED:
                rejected.append(place)
            sent.append((topic, max(at_ms + min(step_ms, 0), cut_ms), event))
        log.batch("asking" if number >= cut else "plain", sent, rejected)
    return log


@settings(max_examples=100)
@given(steps=STEPS, sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6), cut=st.integers(0, 6))
def test_the_past_and_what_was_kept_since_say_what_keeping_from_the_beginning_says(
    steps: list[tuple[str, str, str, int, int]], sizes: list[int], cut: int
) -> None:
    plain, asking = compiled(BARE), compiled(BARE, ASKING)
    log = made_log(steps, sizes, min(cut, len(sizes)))
    sets: dict[InForceKey, JourneySet] = {"plain": plain, "asking": asking}
    live = engine_after(log, sets, plain)
    whole = engine_after(log, {"plain": asking, "asking": asking}, asking)
    events = rebuilt(log, sets, asking)
    now_ms = max([START, *(customer.last_at_ms for customer in whole.customers.values())]) + 1
    # The command ran twice, and was interrupted the first time.
    for event in [*events[: len(events) // 2], *events]:
        live.apply(now_ms, event)
    for customer_id in whole.customers:
        for at_ms in sorted({now_ms} | expiries(whole, customer_id, now_ms)):
            assert said(live, customer_id, at_ms) == said(whole, customer_id, at_ms)


def test_an_event_that_nobody_decided_about_counts_once_though_it_comes_once_more_after_the_cut() -> None:
    plain, asking = compiled(BARE), compiled(BARE, ASKING)
    view = event_of("page_viewed", "ada", 1)
    log = Log()
    log.batch("plain", [("web", START, view)])
    log.batch("asking", [("web", START + 5, view), ("web", START + 6, event_of("page_viewed", "ada", 2))])
    sets: dict[InForceKey, JourneySet] = {"plain": plain, "asking": asking}
    live = engine_after(log, sets, plain)
    for event in rebuilt(log, sets, asking):
        live.apply(START + 9, event)
    assert said(live, "ada", START + 9)["count(page_viewed)"] == 2


def test_who_is_forgotten_after_the_cut_gets_no_past_back() -> None:
    log = Log()
    log.batch(
        "plain", [("web", START, event_of("page_viewed", "ada", 1)), ("web", START, event_of("page_viewed", "bob", 2))]
    )
    log.batch("asking", [("web", START + 5, event_of(ERASED, "ada", 3))])
    sets: dict[InForceKey, JourneySet] = {"plain": compiled(BARE), "asking": compiled(BARE, ASKING)}
    assert [event.customer_id for event in rebuilt(log, sets, sets["asking"])] == ["bob"]


def test_of_an_aggregate_that_was_not_kept_for_a_while_everything_before_the_last_cut_is_worked_out() -> None:
    plain, asking = compiled(BARE), compiled(BARE, ASKING)
    gap = {aggregate.key: 2 for aggregate in listed_aggregates(asking).values()}
    again = replace(asking, resumed=gap, alignment="again")
    log = Log()
    for number, name in enumerate(["asking", "plain", "again"]):
        log.batch(name, [("orders", START + number, event_of("order_placed", who, number)) for who in ("ada", "bob")])
    # Only one of them is looked at while nothing is kept; the other still holds what was kept before.
    sets: dict[InForceKey, JourneySet] = {"asking": asking, "plain": plain, "again": again}
    live = engine_after(log, sets, asking)
    assert said(live, "ada", START + 9)["count(order_placed, 1 hour)"] == 1
    for event in rebuilt(log, sets, again):
        live.apply(START + 9, event)
    for who in ("ada", "bob"):
        assert said(live, who, START + 9)["count(order_placed, 1 hour)"] == 3


def test_nothing_is_lacking_where_it_was_always_kept() -> None:
    log = Log()
    log.batch("asking", [("web", START, event_of("page_viewed", "ada", 1))])
    assert rebuilt(log, {"asking": compiled(BARE, ASKING)}, compiled(BARE, ASKING)) == []


def test_sets_that_are_not_there_any_more_are_said() -> None:
    log = Log()
    log.batch("gone", [])
    with pytest.raises(ReplayImpossible, match="gone"):
        read_journal(log.entries, {}, {})


def test_where_the_journal_begins_late_the_sources_before_are_taken_in_the_order_of_their_times() -> None:
    plain, asking = compiled(BARE), compiled(BARE, ASKING)
    log = Log()
    log.batch("plain", [("orders", START + 5, event_of("order_placed", "ada", 1))])
    log.batch("plain", [("orders", START + 1, event_of("order_placed", "ada", 2))])
    log.batch("plain", [("orders", START + 6, event_of("order_placed", "ada", 3))])
    log.batch("asking", [("orders", START + 7, event_of("order_placed", "ada", 4))])
    del log.entries[:2]
    sets: dict[InForceKey, JourneySet] = {"plain": plain, "asking": asking}
    [event] = rebuilt(log, sets, asking)
    live = OfflineEngine(asking)
    live.apply(START + 9, event)
    assert said(live, "ada", START + 9)["count(order_placed, 1 hour)"] == 3
