"""Customers inside an older version are taken along while workers run, on the real broker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.stack.stack import Stack
from tests.runtime.worker_process import DAY_MS, PARTITIONS, START_MS, Installation, WorkerProcess, until

WELCOME = "welcome_series.yaml"
SCHEMAS = ["--schemas", str(schemas_dir())]
CUSTOMERS = [f"c{number}" for number in range(6)]


@pytest.fixture
def installation(stack: Stack, topic_prefix: str, tmp_path: Path) -> Installation:
    return Installation(stack, topic_prefix, tmp_path)


@pytest.fixture
def journeys(tmp_path: Path) -> Path:
    return Path(shutil.copytree(journeys_dir(), tmp_path / "journeys"))


def rename(journeys: Path, migrate: str) -> None:
    text = (journeys_dir() / WELCOME).read_text()
    changed = text.replace("  next_day: {wait: 1 day}", "  a_day_later: {wait: 9 days}")
    assert changed != text
    (journeys / WELCOME).write_text(changed.replace("\nsteps:\n", f"\nmigrate: {migrate}\nsteps:\n", 1))


def apply(installation: Installation, journeys: Path) -> CompletedProcess[str]:
    options = ["--who", "anna", "--why", "along", "--time", "stream", "--partitions", str(PARTITIONS), *SCHEMAS]
    return installation.command("apply", str(journeys), *options)


def taken_up(worker: WorkerProcess) -> list[str]:
    lines = (json.loads(line) for line in worker.output().splitlines() if line.startswith("{"))
    return [line["why"] for line in lines if line["event"] == "journeys taken up"]


def sent(installation: Installation) -> list[tuple[str, str]]:
    return sorted((action["customer_id"], action["step"]) for action in installation.actions())


def migrated(installation: Installation) -> list[Any]:
    return [told for told in installation.transitions() if told["kind"] == "migrated"]


def states(listed: str) -> dict[str, str]:
    """Why a set was published → its line."""
    return {line.rpartition(": ")[2]: line for line in listed.splitlines()}


def test_customers_who_wait_come_along_once_and_go_on_where_they_were(
    installation: Installation, journeys: Path
) -> None:
    with installation.worker("a", journeys=journeys) as first, installation.worker("b", journeys=journeys) as second:
        first.until_ready()
        second.until_ready()
        for customer in CUSTOMERS:
            installation.register(customer, at_ms=START_MS)
        installation.heartbeat(at_ms=START_MS + 1)
        until(lambda: len(sent(installation)) == len(CUSTOMERS), seconds=20, what="the first messages")

        rename(journeys, "{from: any}")
        refused = apply(installation, journeys)
        assert (refused.returncode, "error[J312]" in refused.stdout) == (1, True), refused.stdout + refused.stderr
        assert "along" not in installation.command("versions").stdout

        rename(journeys, "{from: any, steps: {next_day: a_day_later}}")
        plan = json.loads(installation.command("plan", str(journeys), *SCHEMAS, "--format", "json").stdout)
        change = next(one for one in plan["journeys"] if one["name"] == "welcome_series")
        moves = [(move["step"], move["to"], move["count"]) for move in change["migrated"]]
        assert (moves, change["pinned"]) == ([("next_day", "a_day_later", len(CUSTOMERS))], 0)
        applied = apply(installation, journeys)
        assert applied.returncode == 0, applied.stdout + applied.stderr
        until(lambda: taken_up(first) == taken_up(second) == ["along"], seconds=20, what="taken up")
        installation.heartbeat(at_ms=START_MS + 2)
        until(lambda: len(migrated(installation)) >= len(CUSTOMERS), seconds=20, what="customers taken along")
        assert sorted(told["customer_id"] for told in migrated(installation)) == CUSTOMERS
        old, new = change["version_before"], change["version"]
        ways = {(told["reason"], told["version"], told["step"], told["to"]) for told in migrated(installation)}
        assert ways == {(old, new, "next_day", "a_day_later")}

        collecting = ["versions", "--collect", "--after", "1 second", "--who", "anna", "--why", "spring"]
        listed = states(installation.command(*collecting).stdout)
        assert "  not needed  " in listed["started with it"]
        until(lambda: taken_up(first)[-1] == taken_up(second)[-1] == "spring", seconds=20, what="collected")

        installation.heartbeat(at_ms=START_MS + 2 * DAY_MS)
        expected = sorted((customer, step) for customer in CUSTOMERS for step in ("welcome", "how_it_works"))
        until(lambda: len(sent(installation)) >= len(expected), seconds=20, what="the second messages")
        assert sent(installation) == expected
        actions = installation.actions()
        assert {action["version"] for action in actions if action["step"] == "how_it_works"} == {new}
        assert len({action["action_id"] for action in actions}) == len(actions)
        assert (first.stop(), second.stop()) == (0, 0)
    replayed = installation.command("replay", "--registry-url", installation.registry_url)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
