"""Workers are killed at any moment, and everything happens exactly once all the same.

The proof is a second computation: `runtime/replay` repeats every decision from journal and sources with code that it
shares with the worker in the engine only, and compares actions, transitions and customers' records.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.resources import schemas_dir
from orchestrator.runtime.replay_run import Replay
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import create_topics, topic_names, topic_specs
from orchestrator.stack.stack import Stack, restart_broker
from tests.proof.fleet import Fleet, until
from tests.proof.ledger import Ledger
from tests.proof.traffic import Traffic

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]

JOURNEYS = Path(__file__).parent / "journeys"
KILLS = 10
WIPES = {3, 7}
"""The kills after which the worker comes back with an empty data directory."""

QUIET_S = 25.0
"""Longer than the longest chain of waits in the test's journeys, goals' windows included."""


@pytest.fixture
def settings(stack: Stack, topic_prefix: str) -> Settings:
    found = Settings(
        bootstrap_servers=stack.bootstrap_servers,
        registry_url=stack.registry_url,
        app_id=topic_prefix.rstrip("."),
        topic_prefix=topic_prefix,
        partitions=4,
        journeys=JOURNEYS,
        schemas=schemas_dir(),
        time="wall",
    )
    create_topics(found, topic_specs(found, ["email", "sms"]))
    return found


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(settings, tmp_path)
    yield fleet
    fleet.end()


def settle(ledger: Ledger, fleet: Fleet) -> None:
    """Waits until all events are taken and all timers are due and gone."""

    def is_taken() -> bool:
        fleet.revive()
        return ledger.is_taken()

    until(is_taken, timeout_s=90, what="the workers catch up")
    time.sleep(QUIET_S)


def assert_nothing_lost_or_doubled(settings: Settings, traffic: Traffic) -> None:
    ledger = Ledger(settings)
    # Every record was applied once: the journal's slices tile each source partition from its beginning to its end.
    journalled = ledger.journalled()
    for place, end in ledger.ends().items():
        at = 0
        for first, last in journalled.get(place, []):
            assert first == at, f"{place}: a slice begins at {first}, the one before ended at {at}"
            at = last + 1
        assert at == end, f"{place}: applied up to {at} of {end}"
    # Poison went to the dead-letter topic, each record once.
    reasons = ("not_avro", "unknown_schema", "undecodable", "missing_customer")
    assert ledger.dead_letters() == {reason: traffic.sent[reason] for reason in reasons}
    # No action is there twice.
    assert max(ledger.action_ids().values()) == 1
    # And all is as a second implementation computes it from the journal.
    replay = Replay(settings)
    verified = replay.verify()
    replay.close()
    assert verified.differences.lines(10) == []
    assert verified.customers == ()
    assert not any(part.is_moving for part in verified.partitions)
    actions = sum(part.actions for part in verified.partitions)
    assert actions == sum(ledger.action_ids().values())
    assert actions > 500


def test_kills_wipes_and_rebalances_change_nothing(settings: Settings, fleet: Fleet) -> None:
    chance = random.Random(20)
    traffic = Traffic(settings, rate=600, seed=20)
    traffic.start()
    ledger = Ledger(settings)
    outages: list[tuple[float, float]] = []
    fleet.start("one")
    until(lambda: sum(ledger.action_ids().values()) > 100, timeout_s=60, what="the first actions")
    while fleet.kills < KILLS:
        step = fleet.kills
        if step in {2, 6}:
            fleet.start("two")
        # Anything from the middle of a rebalance to well after it.
        time.sleep(chance.uniform(1.0, 9.0))
        victim = "one" if step in WIPES else chance.choice(sorted(fleet.running))
        fleet.kill(victim)
        if step in WIPES:
            fleet.wipe(victim)
        if not fleet.running:
            began = time.time()
            time.sleep(chance.uniform(0.0, 4.0))
            outages.append((began, time.time()))
        fleet.start(victim)
        if step == 4:
            # The second worker leaves in good order and hands its partitions over.
            time.sleep(8.0)
            assert fleet.leave("two") == 0, fleet.tail("two")
    traffic.stop()
    settle(ledger, fleet)
    for name in sorted(fleet.running):
        assert fleet.leave(name) == 0, fleet.tail(name)
    # Only what was killed or asked to leave has ended: no worker fell over by itself.
    assert all(code == 0 for _, code in fleet.endings), fleet.endings
    timers = [
        one["at"].timestamp() for one in ledger.values(topic_names(settings).transitions) if one["event_id"] is None
    ]
    assert any(began < at < ended for began, ended in outages for at in timers), "no timer was due during an outage"
    assert_nothing_lost_or_doubled(settings, traffic)


def test_a_broker_that_restarts_changes_nothing(stack: Stack, settings: Settings, fleet: Fleet) -> None:
    traffic = Traffic(settings, rate=200, seed=21)
    traffic.start()
    ledger = Ledger(settings)
    fleet.start("one")
    until(lambda: sum(ledger.action_ids().values()) > 300, timeout_s=60, what="the first actions")
    restart_broker(stack)
    time.sleep(15)
    traffic.stop()
    settle(ledger, fleet)
    assert fleet.leave("one") == 0, fleet.tail("one")
    assert_nothing_lost_or_doubled(settings, traffic)
