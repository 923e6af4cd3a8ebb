from __future__ import annotations

import errno
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orchestrator import __version__
from orchestrator.cli import main
from orchestrator.model.problems import EnvironmentProblem

ROOT = Path(__file__).parents[2]

THERE = main.cli.list_commands(click.Context(main.cli))


@pytest.fixture(autouse=True)
def untouched_logging(home: Path) -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers, root.level
    yield
    root.handlers, level = before
    root.setLevel(level)


def replace_command(monkeypatch: pytest.MonkeyPatch, command: click.Command) -> None:
    """`orchestrator status` is the command given, for one test."""
    monkeypatch.setattr(main, "load", lambda _: command)


@pytest.mark.parametrize("name", THERE)
def test_every_command_has_help_with_an_example_and_its_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"orchestrator {name}" in text.split("Example", 1)[1]
    assert text.count("Exit codes: 0 done; 1 ") == 1


def test_every_command_file_is_listed() -> None:
    files = {path.stem for path in Path(main.__file__).parent.glob("*.py")}
    with_command = {
        name for name in files if "\ndef command(" in (Path(main.__file__).parent / f"{name}.py").read_text()
    }
    assert with_command == {name.replace("-", "_") for name in THERE}


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["status", "--nonsense"], ["status", "--format", "nonsense"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(arguments) == 2
    assert "Error: " in capsys.readouterr().err


def test_what_a_command_returns_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_command(monkeypatch, click.Command("status", callback=lambda: 1))
    assert main.run(["status"]) == 1


def test_an_environment_problem_exits_with_3_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise EnvironmentProblem("the broker does not answer", hint="start it")

    replace_command(monkeypatch, click.Command("status", callback=fail))
    assert main.run(["status"]) == 3
    assert capsys.readouterr().err == "error: the broker does not answer\nhint: start it\n"


def test_ctrl_c_exits_with_130_and_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    replace_command(monkeypatch, click.Command("status", callback=interrupted))
    assert main.run(["status"]) == 130
    assert capsys.readouterr().err.strip() == "stopped"


def test_an_option_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def show(colour: str) -> None:
        click.echo(colour)

    replace_command(monkeypatch, click.Command("status", params=[click.Option(["--colour"])], callback=show))
    monkeypatch.setenv("ORCHESTRATOR_COLOUR", "green")
    assert main.run(["status"]) == 0
    assert capsys.readouterr().out == "green\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    # `head` ends after the first line, long before everything is written.
    program = (
        "import click, orchestrator.cli.main as m\n"
        "command = click.Command('status', callback=lambda: [click.echo('x' * 1000) for _ in range(10_000)] and 0)\n"
        "m.load = lambda _: command\n"
        "m.main(['status'])\n"
    )
    script = f'"{sys.executable}" -c "$PROGRAM" | head -n 1; exit "${{PIPESTATUS[0]}}"'
    result = subprocess.run(
        ["bash", "-c", script],
        env={"PROGRAM": program, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_another_broken_pipe_is_not_taken_for_a_reader_that_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise BrokenPipeError(errno.EPIPE, "a connection broke")

    replace_command(monkeypatch, click.Command("status", callback=fail))
    with pytest.raises(BrokenPipeError):
        main.run(["status"])


def test_output_that_finds_no_room_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(number: int) -> None:
        raise OSError(number, "what the system says")

    replace_command(monkeypatch, click.Command("status", callback=lambda: fail(errno.ENOSPC)))
    assert main.run(["status"]) == 3
    assert capsys.readouterr().err == "error: what was to be written found no room: what the system says\n"
    replace_command(monkeypatch, click.Command("status", callback=lambda: fail(errno.EIO)))
    with pytest.raises(OSError, match="what the system says"):
        main.run(["status"])


def test_a_real_ctrl_c_ends_a_command_with_130() -> None:
    program = (
        "import click, orchestrator.cli.main as m, time\n"
        "def wait():\n"
        "    print('waiting', flush=True)\n"
        "    time.sleep(600)\n"
        "m.load = lambda _: click.Command('status', callback=wait)\n"
        "m.main(['status'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_only_logs_as_severe_as_asked_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def log() -> None:
        logging.getLogger("some.library").warning("late by %d s", 3)
        logging.getLogger("some.library").info("unseen")

    replace_command(monkeypatch, click.Command("status", callback=log))
    # As in a new process; pytest has handlers of its own.
    logging.getLogger().handlers = []
    assert main.run(["--log-level", "warning", "status"]) == 0
    assert capsys.readouterr().err == "WARNING some.library: late by 3 s\n"


def test_the_package_can_be_run_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "orchestrator", "--version"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert __version__ in result.stdout
