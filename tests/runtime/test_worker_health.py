"""What a worker says of itself when it is asked, from what its pump does."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import structlog

from orchestrator.engine.turn import UnknownVersion
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime import worker as worker_module
from orchestrator.runtime.ports import TransactionFailed
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.worker import _report, _Worker, run_worker


@pytest.fixture
def worker() -> _Worker:
    """A worker that owns partitions and processes them."""
    prepared: Any = SimpleNamespace(
        settings=Settings(hang_timeout_ms=90_000), uptake=SimpleNamespace(is_broker_up=True)
    )
    worker = _Worker(prepared)
    pump: Any = SimpleNamespace(silent_s=lambda: 0.05, is_flowing=True)
    worker.pump = pump
    worker.announced = True
    return worker


def test_a_worker_that_processes_everything_is_well_and_ready(worker: _Worker) -> None:
    assert (worker._ailing(), worker._unready()) == ("", "")


def test_a_worker_whose_cycles_hang_is_not_well_and_one_that_is_slow_is(worker: _Worker, monkeypatch: Any) -> None:
    monkeypatch.setattr(worker.pump, "silent_s", lambda: 89.0)
    assert worker._ailing() == ""
    monkeypatch.setattr(worker.pump, "silent_s", lambda: 91.0)
    assert worker._ailing() == "the cycles have not come round for 91 s"


def test_a_worker_is_not_ready_before_its_first_partitions_while_they_change_and_while_it_stops(
    worker: _Worker, monkeypatch: Any
) -> None:
    monkeypatch.setattr(worker.pump, "is_flowing", False)
    assert "handed over or restored" in worker._unready()
    worker.announced = False
    assert "no partitions were assigned yet" in worker._unready()
    worker.is_stopping = True
    assert worker._unready() == "stopping"
    # None of this is a reason to start it again.
    assert worker._ailing() == ""


def test_a_worker_without_a_broker_is_not_ready_and_is_not_started_again_for_it(worker: _Worker) -> None:
    worker.prepared.uptake.is_broker_up = False
    assert (worker._unready(), worker._ailing()) == ("not ready: no broker answers", "")


def test_a_worker_that_cannot_start_says_why_in_one_line_for_machines_where_logs_are_for_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Settings) -> NoReturn:
        raise EnvironmentProblem("the broker does not answer", hint="start one")

    monkeypatch.setattr(worker_module, "prepare", refuse)
    # No handler of the test's own: what goes to standard error is looked at.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    assert run_worker(Settings(log_format="json")) == 3
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["reason"]) == ("the worker ends", "the broker does not answer")
    with pytest.raises(EnvironmentProblem):
        run_worker(Settings(log_format="text"))
    structlog.reset_defaults()


def test_a_version_that_was_lost_is_named_and_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    assert _report(UnknownVersion("journey cart version 0a1b is not loaded")) == 3
    assert "journey cart version 0a1b" in caplog.text
    assert _report(TransactionFailed("commit_transaction: _FENCED: by a newer instance")) == 3
    assert "--worker-id" in caplog.text
    assert _report(KeyError("ada@example.com")) == 70
    assert "ada" not in caplog.text
