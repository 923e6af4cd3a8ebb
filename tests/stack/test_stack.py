from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.stack import processes
from orchestrator.stack.record import open_record, read_record
from orchestrator.stack.stack import (
    kill_broker,
    kill_connect,
    running_connect_url,
    running_endpoints,
    running_stack,
    stack_status,
    start_broker,
    start_stack,
    stop_stack,
)

pytestmark = pytest.mark.usefixtures("fake_java")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "stack"


def recorded_pids(folder: Path) -> dict[str, int]:
    record = read_record(folder)
    assert record is not None
    return {name: process.pid for name, process in record.processes.items()}


def behave(folder: Path, name: str, behaviour: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "behaviour").write_text(behaviour)


def test_a_stack_ends_with_its_context(folder: Path) -> None:
    with running_stack(folder) as stack:
        assert {status.name: status.state for status in stack_status(folder)} == {
            "broker": "ready",
            "registry": "ready",
        }
        assert running_endpoints(folder) == (stack.bootstrap_servers, stack.registry_url)
        pids = recorded_pids(folder)
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert running_endpoints(folder) is None


def test_a_kept_stack_outlives_its_context_until_it_is_stopped(folder: Path) -> None:
    with running_stack(folder, keep=True):
        pass
    pids = recorded_pids(folder)
    assert all(psutil.pid_exists(pid) for pid in pids.values())
    assert stop_stack(folder) == ["broker", "registry"]
    assert not any(psutil.pid_exists(pid) for pid in pids.values())


def test_a_kept_stack_is_stopped_when_its_context_fails(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), running_stack(folder, keep=True):
        raise KeyboardInterrupt
    assert [status.state for status in stack_status(folder)] == ["stopped", "stopped"]


def test_a_stack_keeps_its_ports_from_one_start_to_the_next(folder: Path) -> None:
    with running_stack(folder) as first:
        pass
    with running_stack(folder) as second:
        assert (second.bootstrap_servers, second.registry_url) == (first.bootstrap_servers, first.registry_url)


def test_two_stacks_have_different_ports(tmp_path: Path) -> None:
    with running_stack(tmp_path / "a") as one, running_stack(tmp_path / "b") as other:
        assert one.bootstrap_servers != other.bootstrap_servers
        assert one.registry_url != other.registry_url


def test_a_service_that_ends_while_it_starts_shows_the_end_of_its_log(folder: Path) -> None:
    behave(folder, "broker", "fail")
    with pytest.raises(EnvironmentProblem, match="the disk is full") as caught:
        start_stack(folder, owned=True)
    assert "the broker ended while it started" in str(caught.value)
    assert str(folder / "logs" / "broker.log") in caught.value.hint


def test_a_service_that_is_not_ready_in_time_shows_the_end_of_its_log(folder: Path) -> None:
    behave(folder, "registry", "hang")
    with pytest.raises(EnvironmentProblem, match="is not ready after 3 seconds") as caught:
        start_stack(folder, owned=True, timeout_s=3)
    assert "still loading" in str(caught.value)


def test_a_failed_start_leaves_no_process_behind(folder: Path) -> None:
    behave(folder, "registry", "fail")
    with pytest.raises(EnvironmentProblem):
        start_stack(folder, owned=False)
    assert [status.state for status in stack_status(folder)] == ["stopped", "stopped"]
    assert not [process for process in psutil.process_iter(["cmdline"]) if str(folder) in str(process.info["cmdline"])]


def test_a_port_taken_by_another_program_is_named(folder: Path) -> None:
    port = open_record(folder).ports.broker
    with socket.create_server(("127.0.0.1", port)), pytest.raises(EnvironmentProblem, match=f"port {port}"):
        start_stack(folder, owned=True)
    assert [status.state for status in stack_status(folder)] == ["stopped", "stopped"]


def test_a_second_start_leaves_a_running_stack_alone(folder: Path) -> None:
    with running_stack(folder):
        before = recorded_pids(folder)
        start_stack(folder, owned=True)
        assert recorded_pids(folder) == before


def test_a_second_context_does_not_take_over_a_running_stack(folder: Path) -> None:
    with (
        running_stack(folder) as stack,
        pytest.raises(EnvironmentProblem, match="already run"),
        running_stack(folder),
    ):
        pass
    assert stack.data_dir == folder


def test_only_what_is_missing_is_started(folder: Path) -> None:
    with running_stack(folder) as stack:
        registry = recorded_pids(folder)["registry"]
        kill_broker(stack)
        assert {status.name: status.state for status in stack_status(folder)} == {
            "broker": "stopped",
            "registry": "ready",
        }
        start_broker(stack)
        assert recorded_pids(folder)["registry"] == registry
        assert [status.state for status in stack_status(folder)] == ["ready", "ready"]


def test_a_service_that_ignores_the_request_to_stop_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(folder, "broker", "deaf")
    monkeypatch.setattr(processes, "STOP_GRACE_S", 0.2)
    with running_stack(folder):
        pids = recorded_pids(folder)
    assert not any(psutil.pid_exists(pid) for pid in pids.values())


def test_a_damaged_record_is_a_problem_that_names_the_file(folder: Path) -> None:
    open_record(folder)
    (folder / "stack.json").write_text('{"ports": {}}')
    with pytest.raises(EnvironmentProblem, match=r"stack\.json is damaged"):
        stack_status(folder)


def test_nothing_of_a_stack_is_seen_by_version_control(folder: Path) -> None:
    open_record(folder)
    assert (folder / ".gitignore").read_text() == "*\n"


def test_kafka_connect_starts_when_asked_for_and_is_found_again(folder: Path) -> None:
    with running_stack(folder):
        assert running_connect_url(folder) is None
        assert len(stack_status(folder)) == 2
        with_connect = start_stack(folder, owned=True, with_connect=True)
        assert running_connect_url(folder) == with_connect.connect_url
        assert {status.name: status.state for status in stack_status(folder)}["connect"] == "ready"
        pids = recorded_pids(folder)
        assert start_stack(folder, owned=True, with_connect=True).connect_url == with_connect.connect_url
        assert recorded_pids(folder) == pids
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert running_connect_url(folder) is None


def test_a_kafka_connect_that_does_not_start_leaves_what_ran_before(folder: Path) -> None:
    with running_stack(folder) as stack:
        behave(folder, "connect", "fail")
        with pytest.raises(EnvironmentProblem, match="the connect ended while it started"):
            start_stack(folder, owned=True, with_connect=True)
        assert running_endpoints(folder) == (stack.bootstrap_servers, stack.registry_url)
        kill_connect(stack)


def test_kafka_connect_may_read_secrets_beside_the_stack_and_nothing_else(folder: Path) -> None:
    with running_stack(folder, with_connect=True):
        settings = (folder / "connect" / "connect.properties").read_text().splitlines()
    secrets = folder.parent / "secrets"
    assert f"config.providers.file.param.allowed.paths={secrets}" in settings
    assert "config.providers.env.param.allowlist.pattern=SINK_.*" in settings
    assert "consumer.isolation.level=read_committed" in settings
    assert secrets.stat().st_mode & 0o077 == 0
