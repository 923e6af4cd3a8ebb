"""The whole demo on a broker of its own, against the same events run offline."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from orchestrator.authoring.event_files import EventLine
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.simulate import simulate
from orchestrator.demo.clickstream import occurred_at_ms
from orchestrator.demo.picture import funnel
from orchestrator.demo.run import UNTIL_AFTER_MS, DemoOptions, DemoResult, demo_events, run_demo, shipped_journeys
from orchestrator.model.actions import Effects, Transition

pytestmark = [pytest.mark.broker, pytest.mark.slow]


@pytest.fixture(scope="module")
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, printed: io.StringIO) -> DemoResult:
    options = DemoOptions(data_dir=tmp_path_factory.mktemp("demo"))
    return run_demo(options, Console(file=printed, width=100))


@pytest.fixture(scope="module")
def offline() -> Effects:
    """What the same events lead to without Kafka."""
    engine = OfflineEngine(shipped_journeys())
    total = Effects(actions=[], transitions=[], failures=[])
    events = demo_events(shipped_journeys())
    parts = [engine.apply(occurred_at_ms(event), event) for event in events if event.type in engine.journeys.wanted]
    parts.append(engine.advance(occurred_at_ms(events[-1]) + UNTIL_AFTER_MS))
    for part in parts:
        total.actions.extend(part.actions)
        total.transitions.extend(part.transitions)
    return total


def test_every_decision_is_made_exactly_as_offline(result: DemoResult, offline: Effects) -> None:
    assert Counter(map(_plain, result.picture.transitions)) == Counter(map(_plain, offline.transitions))


def test_as_many_actions_go_to_each_channel_as_offline(result: DemoResult, offline: Effects) -> None:
    assert result.picture.actions == Counter(action.channel for action in offline.actions)
    assert sum(result.picture.actions.values()) > 1_000


def test_the_funnels_have_the_numbers_of_a_simulation(result: DemoResult) -> None:
    events = enumerate(demo_events(shipped_journeys()), start=1)
    simulation = simulate(shipped_journeys(), (EventLine(n, occurred_at_ms(event), event) for n, event in events))
    assert simulation.until_ms == result.produced.until_ms
    for journey in result.journeys:
        shown, expected = funnel(journey, result.picture.transitions), simulation.journeys[journey.name]
        assert shown.exits == expected.exits
        for arm, other in ((shown.treated, expected.treated), (shown.held_out, expected.held_out)):
            assert (arm.passages, arm.converted, arm.value) == (other.passages, other.converted, other.value)
        for step in shown.steps:
            assert step.passages <= expected.steps[step.step].visits


def test_nothing_is_dead_lettered_and_everything_is_applied(result: DemoResult) -> None:
    assert result.picture.dead_letters == 0
    assert result.picture.applied == result.produced.events + result.produced.heartbeats


def test_the_demo_prints_funnels_actions_a_customers_way_and_where_to_look(
    result: DemoResult, printed: io.StringIO
) -> None:
    text = printed.getvalue()
    for journey in result.journeys:
        entered = funnel(journey, result.picture.transitions).treated.passages
        assert f"{journey.name} - {journey.title}" in text
        assert f"{entered:,}      100.0%" in text
    assert "records applied" in text
    assert "one of each channel" in text
    assert "the way of user_" in text
    assert "orchestrator demo --keep" in text


def _plain(told: Transition) -> tuple[object, ...]:
    return tuple(getattr(told, name) for name in told.__struct_fields__)


class Running:
    """A demo in a process of its own, and everything that belongs to it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.log = directory / "demo.log"
        command = [sys.executable, "-m", "orchestrator", "demo", f"--data-dir={directory / 'data'}", *options]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "COLUMNS": "100"}
            )

    def end(self) -> None:
        """Nothing is left behind, also by a test that failed."""
        self.process.kill()
        self.process.wait()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def await_text(self, text: str) -> None:
        deadline = time.monotonic() + 120
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def workers(self) -> list[psutil.Process]:
        # Beside each worker is the process that watches over it, under another command line.
        return [child for child in self.children() if child.cmdline()[1:4] == ["-m", "orchestrator", "worker"]]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, "--rate=2000")
    running.await_text("replaying")
    yield running
    running.end()


def _gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_ctrl_c_ends_the_demo_with_all_its_processes(demo: Running) -> None:
    children = demo.children()
    assert len(demo.workers()) == 2
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 130
    assert _gone(children)
    assert "Traceback" not in demo.log.read_text()
