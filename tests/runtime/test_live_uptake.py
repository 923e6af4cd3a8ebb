"""Journeys that come into force while workers run, on the real broker."""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.stack.stack import Stack
from tests.runtime.worker_process import DAY_MS, PARTITIONS, START_MS, Installation, WorkerProcess, until


@pytest.fixture
def installation(stack: Stack, topic_prefix: str, tmp_path: Path) -> Installation:
    return Installation(stack, topic_prefix, tmp_path)


@pytest.fixture
def journeys(tmp_path: Path) -> Path:
    return Path(shutil.copytree(journeys_dir(), tmp_path / "journeys"))


def set_wait(journeys: Path, days: str) -> None:
    text = (journeys_dir() / "welcome_series.yaml").read_text()
    assert "wait: 1 day" in text
    (journeys / "welcome_series.yaml").write_text(text.replace("wait: 1 day", f"wait: {days}"))


def apply(installation: Installation, journeys: Path, why: str) -> None:
    options = ["--time", "stream", "--partitions", str(PARTITIONS), "--schemas", str(schemas_dir())]
    result = installation.command("apply", str(journeys), "--who", "anna", "--why", why, *options)
    assert result.returncode == 0, result.stdout + result.stderr


def taken_up(worker: WorkerProcess) -> list[str]:
    lines = (json.loads(line) for line in worker.output().splitlines() if line.startswith("{"))
    return [line["why"] for line in lines if line["event"] == "journeys taken up"]


def sent(installation: Installation) -> list[tuple[str, str]]:
    return sorted((action["customer_id"], action["step"]) for action in installation.actions())


def until_sent(installation: Installation, expected: list[tuple[str, str]]) -> list[Any]:
    until(lambda: len(sent(installation)) >= len(expected), seconds=20, what=f"messages {expected}")
    assert sent(installation) == sorted(expected)
    return installation.actions()


def test_running_workers_take_new_journeys_up_and_back_and_a_replay_agrees(
    installation: Installation, journeys: Path
) -> None:
    with installation.worker("a", journeys=journeys) as first, installation.worker("b", journeys=journeys) as second:
        metrics = first.until_ready()
        second.until_ready()
        installation.register("early", at_ms=START_MS)
        installation.heartbeat(at_ms=START_MS + 1)
        expected = [("early", "welcome")]
        until_sent(installation, expected)
        set_wait(journeys, "3 days")
        apply(installation, journeys, "slower")
        until(lambda: taken_up(first) == taken_up(second) == ["slower"], seconds=20, what="taken up")
        for number in range(4):
            installation.register(f"late-{number}", at_ms=START_MS + 1_000)
        installation.heartbeat(at_ms=START_MS + 1_001)
        expected += [(f"late-{number}", "welcome") for number in range(4)]
        until_sent(installation, expected)
        set_wait(journeys, "1 day")
        result = installation.command("plan", str(journeys), "--schemas", str(schemas_dir()), "--format", "json")
        planned = json.loads(result.stdout)
        change = next(one for one in planned["journeys"] if one["name"] == "welcome_series")
        # Going back, the early one is in the planned version already.
        assert (planned["customers"], change["inside"], change["pinned"]) == (5, 5, 4)
        assert change["steps_changed"] == ["next_day"]
        drawing = ["welcome_series", str(journeys), "--live", "--schemas", str(schemas_dir())]
        drawn = installation.command("graph", *drawing, has_prefix=False)
        assert "5 inside" in drawn.stdout, drawn.stderr
        apply(installation, journeys, "back again")
        until(lambda: taken_up(first) == taken_up(second) == ["slower", "back again"], seconds=20, what="taken back")
        installation.register("again", at_ms=START_MS + 2_000)
        installation.heartbeat(at_ms=START_MS + 2 * DAY_MS)
        expected += [("early", "how_it_works"), ("again", "welcome"), ("again", "how_it_works")]
        actions = until_sent(installation, expected)
        versions = {action["customer_id"]: action["version"] for action in actions}
        assert versions["early"] == versions["again"] != versions["late-0"]
        with urllib.request.urlopen(metrics, timeout=5) as answer:
            assert "orchestrator_journey_sets_refused 0.0" in answer.read().decode()
        collecting = ["versions", "--collect", "--after", "1 second", "--who", "anna", "--why", "spring"]
        collected = installation.command(*collecting)
        # Everybody who is inside the slower one keeps it. Both workers may have published what they started with.
        states = {line.rpartition(": ")[2]: line for line in collected.stdout.splitlines()}
        assert "  kept  " in states["slower"], collected.stdout + collected.stderr
        assert "  not needed  " in states["started with it"]
        assert "  in force  " in states["back again"]
        until(lambda: taken_up(first)[-1] == taken_up(second)[-1] == "spring", seconds=20, what="collected")
        installation.heartbeat(at_ms=START_MS + 4 * DAY_MS)
        slower = {(f"late-{number}", "how_it_works") for number in range(4)}
        until(lambda: slower <= set(sent(installation)), seconds=20, what="messages of the kept version")
        assert (first.stop(), second.stop()) == (0, 0)
    replayed = installation.command("replay", "--registry-url", installation.registry_url)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def test_a_set_whose_topics_are_missing_is_refused_and_the_one_before_goes_on(
    installation: Installation, journeys: Path
) -> None:
    with installation.worker("a", journeys=journeys) as worker:
        metrics = worker.until_ready()
        channels = journeys / "channels.yaml"
        channels.write_text(channels.read_text() + "  fax: {address: phone, consent: sms}\n")
        options = ["--time", "stream", "--partitions", str(PARTITIONS), "--schemas", str(schemas_dir())]
        refused = installation.command("apply", str(journeys), "--who", "a", "--why", "fax", *options)
        assert (refused.returncode, "actions.fax" in refused.stderr) == (3, True)
        # Somebody else publishes it all the same.
        with installation.worker("b", "--publish", "--create-topics", journeys=journeys) as other:
            other.until_ready()
            until(lambda: taken_up(worker) == ["started with it"], seconds=20, what="the set with its topic")
            with urllib.request.urlopen(metrics, timeout=5) as answer:
                assert "orchestrator_journey_sets_refused 0.0" in answer.read().decode()
