from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.demo.workers import Worker, check_alive, running_workers
from orchestrator.model.problems import EnvironmentProblem


def test_a_worker_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(
            EnvironmentProblem, match=r"worker-1 ended with code 2; the end of its log:\n(.*\n)*.*--nonsense"
        ),
        running_workers(1, lambda _name: ["--nonsense"], log_dir=tmp_path / "logs"),
    ):
        pass
    assert "--nonsense" in (tmp_path / "logs" / "worker-1.log").read_text()


def test_a_worker_that_dies_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "worker-7.log"
    log.write_text("all was well\nuntil now\n")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker = Worker("worker-7", process, log, 1)
    check_alive([worker])
    process.kill()
    process.wait()
    with pytest.raises(
        EnvironmentProblem, match=r"worker-7 ended with signal SIGKILL; the end .*:\nall was well\nuntil now"
    ):
        check_alive([worker])
