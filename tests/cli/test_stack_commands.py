"""`up`, `down` and `status`, with a stack that takes no time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orchestrator.cli import main
from orchestrator.cli.main import run
from orchestrator.stack.stack import running_endpoints, stop_stack
from tests.stack.conftest import install_fake_java


@pytest.fixture(autouse=True)
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    install_fake_java(tmp_path, monkeypatch)
    yield home / "stack"
    stop_stack(home / "stack")


def test_up_prints_where_the_stack_is_and_down_stops_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["up"]) == 0
    names = [line.split("=")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["export ORCHESTRATOR_BOOTSTRAP_SERVERS", "export ORCHESTRATOR_REGISTRY_URL"]
    assert run(["status"]) == 0
    assert run(["down"]) == 0
    assert capsys.readouterr().out.endswith("stopped broker and registry\n")
    assert run(["status"]) == 1


def test_up_again_finds_the_same_stack(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["up"]) == 0
    first = capsys.readouterr().out
    assert run(["up"]) == 0
    assert capsys.readouterr().out == first


def test_status_is_readable_by_programs(capsys: pytest.CaptureFixture[str]) -> None:
    run(["up"])
    capsys.readouterr()
    assert run(["status", "--format", "json"]) == 0
    services = json.loads(capsys.readouterr().out)
    assert [(service["name"], service["state"]) for service in services] == [
        ("broker", "ready"),
        ("registry", "ready"),
    ]


def test_status_and_down_say_so_where_nothing_was_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"]) == 1
    assert run(["down"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "no stack was started here; orchestrator up starts one",
        "nothing runs here",
    ]


def test_down_deletes_only_when_asked(folder: Path) -> None:
    run(["up"])
    run(["down"])
    assert (folder / "logs" / "broker.log").exists()
    run(["down", "--delete"])
    assert not folder.exists()


def test_a_broker_that_does_not_start_exits_with_3_and_shows_its_log(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broker").mkdir(parents=True)
    (folder / "broker" / "behaviour").write_text("fail")
    assert run(["up"]) == 3
    errors = capsys.readouterr().err
    assert "the disk is full" in errors
    assert "Traceback" not in errors


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> None:
    """`orchestrator tail` only prints which broker and registry it would use."""
    options = [
        click.Option(["--bootstrap-servers"], default="127.0.0.1:9092"),
        click.Option(["--registry-url"], default="http://127.0.0.1:8081"),
    ]

    def callback(bootstrap_servers: str, registry_url: str) -> None:
        click.echo(f"{bootstrap_servers} {registry_url}")

    command = click.Command("tail", params=[*options], callback=callback)
    load = main.load
    monkeypatch.setattr(main, "load", lambda name: command if name == "tail" else load(name))


@pytest.mark.usefixtures("show")
def test_other_commands_find_the_stack_of_this_folder_unless_another_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*arguments: str) -> str:
        capsys.readouterr()
        assert run(["tail", *arguments]) == 0
        return capsys.readouterr().out.strip()

    assert told() == "127.0.0.1:9092 http://127.0.0.1:8081"
    run(["up"])
    endpoints = running_endpoints(folder)
    assert endpoints is not None
    broker, registry = endpoints
    assert told() == f"{broker} {registry}"
    monkeypatch.setenv("ORCHESTRATOR_BOOTSTRAP_SERVERS", "elsewhere:1")
    assert told() == f"elsewhere:1 {registry}"
    assert told("--bootstrap-servers", "named:1") == f"named:1 {registry}"
    run(["down"])
    assert told() == "elsewhere:1 http://127.0.0.1:8081"
