from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli.demo import command
from orchestrator.model.problems import EnvironmentProblem


def test_a_directory_that_holds_something_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = CliRunner().invoke(command, [f"--data-dir={tmp_path}"])
    assert isinstance(result.exception, EnvironmentProblem)
    assert "is not empty" in str(result.exception)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_the_variable_of_the_workers_data_directory_is_not_the_demos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.demo import run

    seen: list[Path] = []
    monkeypatch.setattr(run, "run_demo", lambda options, _console: seen.append(options.data_dir))
    result = CliRunner().invoke(
        command, [], env={"ORCHESTRATOR_DATA_DIR": str(tmp_path)}, auto_envvar_prefix="ORCHESTRATOR"
    )
    assert result.exit_code == 0, result.output
    assert seen[0] != tmp_path
    # The temporary directory is gone with the demo.
    assert not seen[0].exists()


def test_help_has_an_example_and_says_what_is_made_up() -> None:
    text = CliRunner().invoke(command, ["--help"]).stdout
    assert "orchestrator demo --keep" in text
    assert "made up" in text
