"""A broker with TLS, passwords and access rules, for real: who is let in, and what is said to those who are not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from tests.runtime.secured import Secured, secured_stack

pytestmark = pytest.mark.broker

WRONG = "not-the-password"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured_stack(tmp_path_factory.mktemp("secured") / "stack") as running:
        yield running


@pytest.fixture
def signed_in(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> Secured:
    """The environment of somebody whose settings are right; each test makes one of them wrong."""
    given = {
        "BOOTSTRAP_SERVERS": secured.servers,
        "REGISTRY_URL": secured.stack.registry_url,
        "SECURITY_PROTOCOL": "sasl_ssl",
        "SASL_USERNAME": "anna",
        "SASL_PASSWORD_FILE": str(secured.password_file("anna")),
        "SSL_CA_FILE": str(secured.ca_file),
    }
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    return secured


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that cannot do its work says: one line of what is wrong and one of what to do."""
    capsys.readouterr()
    assert run(arguments) == 3
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()
    assert len(lines) == 2, said.err
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint: ")
    assert "Traceback" not in said.err
    return said.err


COMMANDS = (("topics", "check"), ("tail", "events.web"), ("worker",), ("apply", "--who", "a", "--why", "b"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_wrong_password_is_told_with_the_name_and_without_the_password(
    signed_in: Secured,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("ORCHESTRATOR_SASL_PASSWORD_FILE")
    monkeypatch.setenv("ORCHESTRATOR_SASL_PASSWORD", WRONG)
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path))
    said = failure(capsys, *command)
    assert f"the broker at {signed_in.servers} does not let anna in: the name or the password is wrong" in said
    assert WRONG not in said


@pytest.mark.parametrize(
    ("listener", "reason", "hint"),
    [
        ("secured", "unable to get local issuer certificate", "--ssl-ca-file"),
        ("elsewhere", "IP address mismatch", "the address that the certificate is for"),
        ("expired", "certificate has expired", "needs to be renewed"),
    ],
)
@pytest.mark.parametrize("command", [("topics", "check"), ("worker",)], ids=lambda command: command[0])
def test_a_broker_that_cannot_be_trusted_is_told_with_the_reason(
    signed_in: Secured,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    listener: str,
    reason: str,
    hint: str,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_BOOTSTRAP_SERVERS", signed_in.addresses[listener])
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path))
    if listener == "secured":
        monkeypatch.setenv("ORCHESTRATOR_SSL_CA_FILE", str(signed_in.other_ca_file))
    said = failure(capsys, *command)
    assert f"the broker at {signed_in.addresses[listener]} cannot be trusted" in said
    assert reason in said
    assert hint in said


def test_another_mechanism_than_the_brokers_is_told(
    signed_in: Secured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SASL_MECHANISM", "PLAIN")
    said = failure(capsys, "topics", "check")
    assert f"{signed_in.servers} does not let anybody sign in with PLAIN" in said
    assert "--sasl-mechanism" in said


def test_plain_text_on_a_listener_with_tls_is_told(
    signed_in: Secured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECURITY_PROTOCOL", "plaintext")
    for name in ("USERNAME", "PASSWORD_FILE"):
        monkeypatch.delenv(f"ORCHESTRATOR_SASL_{name}")
    monkeypatch.setattr("orchestrator.runtime.topics.TIMEOUT_S", 1.0)
    assert "--security-protocol" in failure(capsys, "topics", "check")


def test_tls_on_a_plain_listener_is_told(
    signed_in: Secured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_BOOTSTRAP_SERVERS", signed_in.stack.bootstrap_servers)
    monkeypatch.setattr("orchestrator.runtime.topics.TIMEOUT_S", 1.0)
    said = failure(capsys, "topics", "check")
    assert "connecting to a PLAINTEXT broker listener?" in said
    assert "--security-protocol" in said
