from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from orchestrator.stack.processes import ProcessRecord, find, kill, stop

ROOT = Path(__file__).parents[2]
WAIT_S = 60


def sleeper(*arguments: str) -> psutil.Popen:
    return psutil.Popen([sys.executable, "-c", "import time; time.sleep(600)", *arguments])


@pytest.mark.parametrize("end", [stop, kill])
def test_a_recycled_process_id_is_never_touched(end: object) -> None:
    stranger = sleeper("-Dorchestrator.process=another")
    record = ProcessRecord(pid=stranger.pid, token="-Dorchestrator.process=ours")
    try:
        assert find(record) is None
        if end is stop:
            stop([record])
        else:
            kill(record)
        assert stranger.is_running()
    finally:
        stranger.kill()
        stranger.wait()


def test_an_ended_process_is_not_found() -> None:
    process = sleeper("-Dorchestrator.process=ours")
    record = ProcessRecord(pid=process.pid, token="-Dorchestrator.process=ours")
    assert find(record) is not None
    process.kill()
    psutil.wait_procs([process])
    assert find(record) is None


OWNER = '''
import os, subprocess, sys, time
leash, grace_s, on_request = sys.argv[1:]
child = f"""import signal, sys, time
signal.signal(signal.SIGTERM, {on_request})
print('up', flush=True)
time.sleep(600)
"""
command = [sys.executable, "-I", "-S", leash, str(os.getpid()), grace_s, sys.executable, "-c", child]
process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
process.stdout.readline()
print(process.pid, flush=True)
time.sleep(600)
'''

LEASH = ROOT / "orchestrator" / "stack" / "leash.py"


def leashed(
    on_request: str = "signal.SIG_DFL", *, grace_s: float = WAIT_S
) -> tuple[subprocess.Popen[str], psutil.Process, list[psutil.Process]]:
    """An owner, the process on its leash, and everything else that belongs to that process."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(LEASH), str(grace_s), on_request], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    child = psutil.Process(int(owner.stdout.readline()))
    return owner, child, child.children(recursive=True)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_is_on_a_leash_ends_with_its_owner_however_that_ends(sent: signal.Signals) -> None:
    owner, child, watchers = leashed()
    assert watchers
    owner.send_signal(sent)
    owner.wait(timeout=WAIT_S)
    assert psutil.wait_procs([child, *watchers], timeout=WAIT_S)[1] == []


def test_what_is_on_a_leash_is_asked_to_stop_before_it_is_killed(tmp_path: Path) -> None:
    goodbye = tmp_path / "goodbye"
    owner, child, _ = leashed(f"lambda *_: sys.exit(open({str(goodbye)!r}, 'w').close())")
    owner.kill()
    owner.wait(timeout=WAIT_S)
    psutil.wait_procs([child], timeout=WAIT_S)
    assert goodbye.exists()


def test_what_is_on_a_leash_and_ignores_the_request_to_stop_is_killed() -> None:
    owner, child, watchers = leashed("signal.SIG_IGN", grace_s=0.2)
    owner.kill()
    owner.wait(timeout=WAIT_S)
    assert psutil.wait_procs([child, *watchers], timeout=WAIT_S)[1] == []


def test_the_watch_ends_with_what_it_watches() -> None:
    owner, child, watchers = leashed()
    try:
        child.kill()
        # A dead parent that its own parent does not collect is a zombie, and so may be its watcher.
        for watcher in watchers:
            psutil.wait_procs([watcher], timeout=WAIT_S)
            assert not watcher.is_running() or watcher.status() == psutil.STATUS_ZOMBIE
        assert owner.poll() is None
    finally:
        owner.kill()
        owner.wait()


def test_a_leash_without_its_owner_starts_nothing(tmp_path: Path) -> None:
    started = tmp_path / "started"
    program = f"open({str(started)!r}, 'w').close()"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(LEASH), str(gone.pid), "0.2", sys.executable, "-c", program], check=False
    )
    assert result.returncode == 1
    assert not started.exists()


KILLED = """
import sys, time
from pathlib import Path
import pytest
from tests.stack.conftest import install_fake_java
from orchestrator.stack.stack import running_stack

folder = Path(sys.argv[1])
install_fake_java(folder, pytest.MonkeyPatch())
with running_stack(folder / "stack") as stack:
    print((folder / "stack" / "stack.json").read_text().replace("\\n", " "), flush=True)
    time.sleep(600)
"""


def test_kill_9_of_the_process_that_has_a_stack_leaves_no_process(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert owner.stdout is not None
    assert '"pid"' in owner.stdout.readline()
    mine = [process for process in psutil.process_iter() if belongs_to(process, tmp_path)]
    assert len([process for process in mine if process.pid != owner.pid]) >= 2
    owner.kill()
    owner.wait(timeout=WAIT_S)
    psutil.wait_procs(mine, timeout=WAIT_S)
    assert not [process for process in psutil.process_iter() if belongs_to(process, tmp_path)]


def belongs_to(process: psutil.Process, folder: Path) -> bool:
    try:
        return str(folder) in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_a_process_that_is_just_turning_into_another_program_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    process = sleeper("-Dorchestrator.process=ours")
    record = ProcessRecord(pid=process.pid, token="-Dorchestrator.process=ours")
    shown = iter([[], [], ["java", record.token]])
    monkeypatch.setattr(psutil.Process, "cmdline", lambda _: next(shown))
    try:
        assert find(record) is not None
    finally:
        process.kill()
        process.wait()
