from __future__ import annotations

import dataclasses
import errno
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli.worker import command
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime import worker
from orchestrator.runtime.data_dir import claim_data_dir
from orchestrator.runtime.settings import Settings, transactional_id


def test_every_setting_is_documented() -> None:
    for field in dataclasses.fields(Settings):
        assert field.metadata["help"].endswith("."), field.name


def test_every_setting_is_an_option_of_the_worker_with_its_documentation() -> None:
    options = {option.name: option for option in command.params}
    for field in dataclasses.fields(Settings):
        if field.metadata.get("secret"):
            assert field.name not in options
            continue
        assert field.name in options, field.name
        assert field.metadata["help"] == getattr(options[field.name], "help", "")


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"partitions": 0}, "partitions"),
        ({"batch_records_max": 0}, "batch_records_max"),
        ({"time": "lunar"}, "time"),
        ({"event_topics": ()}, "event_topics"),
        ({"app_id": ""}, "app_id"),
        ({"worker_id": "a/b"}, "worker_id"),
        ({"session_timeout_ms": 1000}, "session_timeout_ms"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(wrong: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Settings(**wrong)  # type: ignore[arg-type]


def test_a_worker_keeps_its_name_over_restarts_and_another_directory_has_another(tmp_path: Path) -> None:
    here = Settings(app_id="shop", data_dir=tmp_path / "a")
    elsewhere = Settings(app_id="shop", data_dir=tmp_path / "b")
    assert transactional_id(here) == transactional_id(here)
    assert transactional_id(here) != transactional_id(elsewhere)
    assert transactional_id(here).startswith("shop-")


def test_a_given_worker_id_is_used_as_it_is(tmp_path: Path) -> None:
    assert transactional_id(Settings(app_id="shop", worker_id="w7", data_dir=tmp_path)) == "shop-w7"
    assert not (tmp_path / "worker-id").exists()


def test_the_data_directory_is_made_also_for_a_given_worker_id(tmp_path: Path) -> None:
    transactional_id(Settings(worker_id="w1", data_dir=tmp_path / "not" / "there"))
    assert (tmp_path / "not" / "there").is_dir()


def test_a_torn_worker_id_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "worker-id").write_text("")
    settings = Settings(app_id="shop", data_dir=tmp_path)
    assert transactional_id(settings) == transactional_id(settings) != "shop-"


def test_a_data_directory_that_cannot_be_made_is_a_problem_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentProblem, match="data directory") as caught:
        transactional_id(Settings(data_dir=tmp_path / "file" / "below"))
    assert "--data-dir" in caught.value.hint


def run(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str]
) -> tuple[int, Settings | None]:
    seen: list[Settings] = []

    def run_worker(settings: Settings) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr(worker, "run_worker", run_worker)
    result = CliRunner(env=environment).invoke(command, arguments, auto_envvar_prefix="ORCHESTRATOR")
    return result.exit_code, seen[0] if seen else None


def test_settings_come_from_options_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    code, settings = run(
        monkeypatch,
        ["--partitions", "12", "--create-topics"],
        {"ORCHESTRATOR_EVENT_TOPICS": "web, orders", "ORCHESTRATOR_TIME": "stream", "ORCHESTRATOR_PARTITIONS": "3"},
    )
    assert code == 0
    assert settings == Settings(
        partitions=12, create_topics=True, event_topics=("web", "orders"), time="stream", log_level="info"
    )


def test_a_setting_that_cannot_work_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, ["--partitions", "0"], {}) == (2, None)


def test_a_data_directory_is_one_workers_alone_until_it_ends(tmp_path: Path) -> None:
    first = claim_data_dir(tmp_path / "data")
    with pytest.raises(EnvironmentProblem, match="another worker runs with the data directory") as refused:
        claim_data_dir(tmp_path / "data")
    assert "--data-dir" in refused.value.hint
    claim_data_dir(tmp_path / "other").close()
    first.close()
    claim_data_dir(tmp_path / "data").close()


def test_a_data_directory_that_cannot_be_used_is_a_problem_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be used: Not a directory"):
        claim_data_dir(tmp_path / "file" / "data")


def test_a_file_system_without_locks_is_said_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    claim_data_dir(tmp_path).close()
    assert "cannot be locked" in caplog.text
