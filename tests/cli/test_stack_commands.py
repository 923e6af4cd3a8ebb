"""`up`, `down` and `status`, with a stack that takes no time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.stack.stack import stop_stack
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
