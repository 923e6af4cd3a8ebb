"""The worker's own cycle, the offline engine and the replay, which share no code but the engine, decide the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.actions import ActionCommand, Effects, Transition
from orchestrator.model.customer import NEVER_MS, Customer, encode_customer
from orchestrator.model.shared import SHARED_KEY, decode_shared
from orchestrator.runtime.ports import CustomerStore
from orchestrator.runtime.replay import replay_partition
from orchestrator.runtime.store import MemoryCustomerStore, RocksCustomerStore
from tests.properties.effort import examples
from tests.properties.live import Entry, Live
from tests.properties.playing import Case, InForce, Played, cases, pausing_cases, play
from tests.properties.random_logs import CUSTOMERS, DAY
from tests.properties.shop import topic_of

BATCHES = {
    "batch_records_max": st.sampled_from([100, 3, 1]),
    "timers_max": st.sampled_from([100, 1]),
    "restart_every": st.sampled_from([4, 1, 100]),
}
"""How large a worker's batches are, and how often another one takes over."""


def entries_of(played: Played) -> list[Entry]:
    """The events that came from outside, in the order in which their topics are merged."""
    emitted = {one.event.event_id for made in played.happenings for one in made.effects.events}
    entries = [(at_ms, event) for at_ms, _, event in played.log if event is not None and event.event_id not in emitted]
    return sorted(entries, key=lambda entry: (entry[0], topic_of(entry[1].type)))


def is_told_by_logs_alone(played: Played) -> bool:
    """Whether every decision is a function of the customer's own events and timers alone.

    Where journeys emit, customers share something, or one is forgotten, it also matters when the worker gets to it,
    which the journal says.
    """
    erased = any(event is not None and event.type == "customer_erased" for _, _, event in played.log)
    return not erased and not any(journeys.emits or journeys.uses_shared for journeys in played.sets())


@given(case=cases(most=15), **BATCHES)
@examples(60)
def test_a_worker_decides_what_simulation_and_replay_decide(
    case: Case, batch_records_max: int, timers_max: int, restart_every: int
) -> None:
    check_worker(case, batch_records_max, timers_max, restart_every)


@given(case=pausing_cases(most=12), **BATCHES, abrupt=st.booleans())
@examples(50)
def test_so_it_does_where_journeys_are_paused_and_run_again(
    case: Case, batch_records_max: int, timers_max: int, restart_every: int, *, abrupt: bool
) -> None:
    check_worker(case, batch_records_max, timers_max, restart_every, abrupt=abrupt)


def check_worker(
    case: Case, batch_records_max: int, timers_max: int, restart_every: int, *, abrupt: bool = False
) -> None:
    """Has a worker work on the case, and compares. Changes that come into force wherever the worker is just then only
    its journal tells, so only the replay can follow.
    """
    played = play(case)
    entries = entries_of(played)
    until_ms = case.log[-1].at_ms + DAY
    live = Live(played.first, batch_records_max, timers_max, played.changes, abrupt)
    live.work(entries, until_ms, restart_every=restart_every)
    assert set(live.dead_letters()) <= {"condition_failed"}
    if is_told_by_logs_alone(played) and not abrupt:
        check_simulated(live, played, entries, until_ms)
    check_replayed(live)


def check_simulated(live: Live, played: Played, entries: list[Entry], until_ms: int) -> None:
    """The offline engine, given the same records, comes to what the worker came to."""
    offline = OfflineEngine(played.first)
    effects: list[Effects] = []
    coming = list(played.changes)
    for at_ms, event in entries:
        while coming and coming[0].at_ms < at_ms:
            effects += take_up(offline, coming.pop(0))
        if event.type in offline.journeys.wanted:
            effects += [offline.advance(at_ms - 1), offline.apply(at_ms, event)]
    for change in coming:
        effects += take_up(offline, change)
    effects.append(offline.advance(until_ms))
    check_same(live, [m for one in effects for m in one.transitions], [a for one in effects for a in one.actions])
    for customer_id in CUSTOMERS:
        kept, known = live.customer(customer_id), offline.customers.get(customer_id)
        # What a passage keeps of an event has no order of fields.
        assert kept == known


def take_up(offline: OfflineEngine, change: InForce) -> list[Effects]:
    """Brings another set into force when everything up to its instant is decided."""
    before = offline.advance(change.at_ms)
    offline.journeys = change.journeys
    return [before, offline.bring_in_line(change.at_ms), offline.advance(change.at_ms)]


def check_replayed(live: Live) -> None:
    """The replay of the worker's journal comes to what the worker came to."""
    again = replay_partition(live.journal(), live.read_slice, live.in_force)
    check_same(live, again.transitions, again.actions)
    for customer_id in CUSTOMERS:
        # Of somebody who is unknown, or was forgotten, there need not be a record.
        kept, known = live.customer(customer_id) or Customer(), again.customers.get(customer_id) or Customer()
        assert encode_customer(kept) == encode_customer(known)
    if any(journeys.uses_shared for journeys in live.in_force.values()):
        assert decode_shared(live.store.read([SHARED_KEY])[0], partition=0, partitions=1) == again.shared


def check_same(live: Live, transitions: list[Transition], actions: list[ActionCommand]) -> None:
    """These are what the worker published: each customer's transitions in order, and the commands."""
    published = live.published("journey_transition")
    commands = live.published("action_command")
    for customer_id in CUSTOMERS:
        decided = [_told(made) for made in transitions if made.customer_id == customer_id]
        assert [_read(one) for one in published if one["customer_id"] == customer_id] == decided
        expected = sorted(_command(action) for action in actions if action.customer_id == customer_id)
        assert sorted(_read_command(one) for one in commands if one["customer_id"] == customer_id) == expected


@given(case=cases(most=15), **BATCHES, loses_disk=st.booleans())
@examples(20)
def test_the_store_on_disk_and_its_twin_in_memory_come_to_the_same(
    case: Case, batch_records_max: int, timers_max: int, restart_every: int, *, loses_disk: bool
) -> None:
    """Also where each new worker has lost its disk and fills it from the changelog."""
    played = play(case)
    until_ms = case.log[-1].at_ms + DAY
    left: list[tuple[object, ...]] = []
    with TemporaryDirectory() as directory:
        for kind in ("memory", "disk"):
            live = Live(played.journeys, batch_records_max, timers_max)
            live.new_store = opener(kind, live, Path(directory), loses_disk=loses_disk)
            live.work(entries_of(played), until_ms, restart_every=restart_every)
            keys = live.store.keys(b"", 100)
            due = live.store.due(NEVER_MS - 1, 100)
            left.append((live.log.sent, live.log.changelogs, keys, live.store.read(keys), due, live.store.position()))
            live.store.close()
    assert left[0] == left[1]


def opener(
    kind: str, live: Live, directory: Path, *, loses_disk: bool
) -> Callable[[CustomerStore | None], CustomerStore]:
    """Opens the store of a worker that takes over."""
    numbers = iter(range(1_000))

    def open_next(before: CustomerStore | None) -> CustomerStore:
        if kind == "memory" and before is not None and not loses_disk:
            return before
        if before is not None:
            before.close()
        number = next(numbers) if loses_disk else 0
        store = MemoryCustomerStore() if kind == "memory" else RocksCustomerStore(directory / str(number))
        if loses_disk:
            live.log.restore(0, store)
        return store

    return open_next


def _told(made: Transition) -> tuple[Any, ...]:
    what = (made.journey, made.instance, made.kind, made.step, made.to, made.reason, made.value, made.action_id)
    return (*what, made.at_ms, made.event_id)


def _read(record: dict[str, Any]) -> tuple[Any, ...]:
    at_ms = round(record["at"].timestamp() * 1000)
    names = ("journey", "instance", "kind", "step", "to", "reason", "value", "action_id")
    return (*(record[name] for name in names), at_ms, record["event_id"])


def _command(action: ActionCommand) -> tuple[Any, ...]:
    content = sorted(action.content.items())
    what = (action.action_id, action.kind, action.target, action.channel, action.address, action.message_class)
    return (*what, content, sorted(action.experiments.items()), action.created_at_ms)


def _read_command(record: dict[str, Any]) -> tuple[Any, ...]:
    content = sorted(record["content"].items())
    names = ("action_id", "kind", "target", "channel", "address", "message_class")
    at_ms = round(record["created_at"].timestamp() * 1000)
    return (*(record[name] for name in names), content, sorted(record["experiments"].items()), at_ms)
