"""Who this process says it is, without a broker: what settings refuse, where secrets come from, where they never go."""

from __future__ import annotations

import ast
import dataclasses
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner
from confluent_kafka import KafkaError

import orchestrator
from orchestrator.cli.main import cli
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime import access
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tls import Tls
from orchestrator.runtime.web import web_service

PACKAGE = Path(orchestrator.__file__).parent
PASSWORD = "s3cret-of-anna"
SIGNED_IN = {"security_protocol": "sasl_ssl", "sasl_username": "anna", "sasl_password": PASSWORD}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sasl_username": "anna"}, "set it to sasl_ssl"),
        ({"sasl_password": PASSWORD}, "set it to sasl_ssl"),
        ({"security_protocol": "sasl_ssl"}, "needs sasl_username"),
        ({"security_protocol": "sasl_ssl", "sasl_username": "anna"}, "ORCHESTRATOR_SASL_PASSWORD"),
        (
            SIGNED_IN | {"security_protocol": "sasl_plaintext", "bootstrap_servers": "127.0.0.1:1,kafka:9092"},
            "in plain text; use sasl_ssl",
        ),
        (SIGNED_IN | {"sasl_password_file": "p"}, "both given"),
        ({"ssl_certificate_file": "c.pem"}, "use ssl"),
        ({"security_protocol": "ssl", "ssl_key_file": "k.pem"}, "ssl_certificate_file"),
        ({"registry_password": PASSWORD}, "registry_username"),
        ({"security_protocol": "tls"}, "security_protocol must be one of"),
    ],
)
def test_settings_that_contradict_each_other_or_show_a_password_are_refused(
    given: Mapping[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Settings(**given)  # type: ignore[arg-type]
    assert PASSWORD not in str(caught.value)


def test_a_password_to_this_machine_may_go_in_plain_text() -> None:
    settings = Settings(**SIGNED_IN | {"security_protocol": "sasl_plaintext", "bootstrap_servers": "localhost:9092"})  # type: ignore[arg-type]
    assert brokers_of(settings).client({})["sasl.password"] == PASSWORD


def test_plain_text_to_another_machine_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    access._say_open.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            brokers_of(Settings(bootstrap_servers="kafka.example.com:9092"))
        brokers_of(Settings(bootstrap_servers="127.0.0.1:9092,[::1]:9093,localhost:9094"))
        brokers_of(Settings(security_protocol="ssl", bootstrap_servers="kafka.example.com:9092"))
    (record,) = caplog.records
    assert "kafka.example.com:9092" in record.getMessage()


def test_every_client_checks_certificates_and_host_names() -> None:
    told = brokers_of(Settings(**SIGNED_IN)).client({"group.id": "g"})  # type: ignore[arg-type]
    assert told["security.protocol"] == "sasl_ssl"
    assert told["ssl.endpoint.identification.algorithm"] == "https"
    assert told["enable.ssl.certificate.verification"] is True
    assert (told["sasl.mechanism"], told["sasl.username"], told["group.id"]) == ("SCRAM-SHA-512", "anna", "g")
    context = brokers_of(Settings(**SIGNED_IN)).tls()  # type: ignore[arg-type]
    assert context is not None
    assert context.check_hostname


def test_plain_text_says_nothing_about_a_user() -> None:
    assert set(brokers_of(Settings()).client({})) == {"bootstrap.servers", "error_cb", "security.protocol"}
    assert brokers_of(Settings()).tls() is None


def test_a_password_comes_from_a_file_without_the_end_of_its_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    settings = Settings(security_protocol="sasl_ssl", sasl_username="anna", sasl_password_file=str(file))
    assert brokers_of(settings).password == PASSWORD


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_file_without_a_password_is_a_problem_that_names_it(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    settings = Settings(security_protocol="sasl_ssl", sasl_username="anna", sasl_password_file=str(file))
    with pytest.raises(EnvironmentProblem, match="--sasl-password-file") as caught:
        brokers_of(settings)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ssl_ca_file": "FILE"}, "the certificates of"),
        ({"ssl_certificate_file": "FILE", "ssl_key_file": "FILE"}, "the client certificate"),
    ],
)
@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_certificate_file_that_is_none_is_a_problem_that_names_it(
    tmp_path: Path, given: Mapping[str, str], said: str, content: str | None
) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    names = {name: str(file) for name in given}
    with pytest.raises(EnvironmentProblem, match=said) as caught:
        brokers_of(Settings(security_protocol="ssl", **names))  # type: ignore[arg-type]
    assert str(file) in str(caught.value)
    assert caught.value.hint


def test_no_text_about_settings_or_brokers_has_the_password() -> None:
    settings = Settings(**SIGNED_IN, registry_username="r", registry_password=PASSWORD)  # type: ignore[arg-type]
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in repr(brokers_of(settings))
    service = web_service("http://127.0.0.1:1", what="it", option="--x", username="r", password=PASSWORD)
    assert PASSWORD not in repr(service)
    problems = [brokers_of(settings).problem(KafkaError(code)) for code in (-169, -181, -195, 29, 58)]
    assert not any(PASSWORD in f"{problem} {problem.hint}" for problem in problems)


def test_no_command_takes_a_password_on_its_command_line() -> None:
    context = cli.make_context("orchestrator", [], resilient_parsing=True)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        for command_or_child in (command, *getattr(command, "commands", {}).values()):
            for option in command_or_child.params:
                assert not (option.name or "").endswith("password"), f"{name} {option.name}"


def test_a_password_in_an_address_on_the_command_line_is_refused() -> None:
    address = f"http://anna:{PASSWORD}@127.0.0.1:1"
    result = CliRunner().invoke(cli, ["schemas", "check", "--registry-url", address])
    assert result.exit_code == 2
    assert "--registry-password-file" in result.output
    assert PASSWORD not in result.output


def test_the_registry_gets_its_password_over_tls_or_on_this_machine_only() -> None:
    abroad = Settings(registry_url="http://registry:8081", registry_username="anna", registry_password=PASSWORD)
    with pytest.raises(EnvironmentProblem, match="plain text") as caught:
        registry_of(abroad)
    assert PASSWORD not in str(caught.value)
    registry_of(Settings(registry_url="http://[::1]:8081", registry_username="anna", registry_password=PASSWORD))
    registry_of(Settings(registry_url="https://registry:8081", registry_username="anna", registry_password=PASSWORD))


def test_clients_are_told_where_and_who_in_one_place_only() -> None:
    """A client that is made past `Brokers.client` would go out in plain text, whatever the settings say."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "_shipped" in path.parts or path.name in {"brokers.py", "access.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant):
                assert node.value != "bootstrap.servers", path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                told = ast.unparse(node.args[0])
                if node.func.id in {"Consumer", "Producer", "AdminClient"}:
                    assert "client(" in told or "reader(" in told or told.startswith("self._settings"), (
                        f"{path}: {ast.unparse(node)}"
                    )
                if node.func.id in {"Registry", "Brokers"}:
                    assert not told.startswith("settings."), f"{path}: {ast.unparse(node)}"


def test_who_somebody_is_for_access_rules() -> None:
    assert Brokers("a:1", protocol="sasl_ssl", username="anna").principal == "User:anna"
    assert Brokers("a:1").principal == "User:ANONYMOUS"


def test_an_address_without_a_port_is_a_problem_and_no_failure() -> None:
    brokers = Brokers("kafka-1,kafka-2:", protocol="ssl")
    assert "no secure connection" in str(brokers._untrusted())


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    path = tmp_path / "anna.pem"
    made = trustme.CA().issue_cert("anna@shop.example", common_name="anna", organization_name="Shop")
    made.private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


def test_a_certificate_with_its_key_in_the_same_file_is_shown_by_each_client(certificate: str) -> None:
    settings = Settings(security_protocol="ssl", ssl_certificate_file=certificate, registry_url="https://registry:8081")
    told = brokers_of(settings).client({})
    assert told["ssl.certificate.location"] == told["ssl.key.location"] == certificate
    assert brokers_of(settings).tls() is not None
    registry_of(settings)


def test_the_registry_is_shown_the_certificate_of_the_brokers_unless_it_has_one_of_its_own(certificate: str) -> None:
    settings = Settings(security_protocol="ssl", ssl_certificate_file=certificate, registry_url="https://registry:8081")
    assert access._registry_tls(settings).certificate_file == certificate
    own = dataclasses.replace(settings, registry_certificate_file="own.pem", registry_key_password=PASSWORD)
    assert access._registry_tls(own).certificate_file == "own.pem"
    assert PASSWORD not in repr(access._registry_tls(own))
    # Without TLS none is shown, and none is missed.
    plain = dataclasses.replace(settings, registry_url="http://127.0.0.1:8081")
    assert access._registry_tls(plain).certificate_file == ""
    with pytest.raises(EnvironmentProblem, match="would see no client certificate"):
        registry_of(dataclasses.replace(own, registry_url="http://127.0.0.1:8081"))


def test_brokers_know_who_shows_a_certificate_by_its_subject(certificate: str, tmp_path: Path) -> None:
    brokers = Brokers("a:1", protocol="ssl", certificate_file=certificate)
    assert brokers.principal.startswith("User:CN=anna,OU=")
    assert brokers.principal.endswith(",O=Shop")
    assert "ssl.principal.mapping.rules" in brokers.or_mapped
    assert Brokers("a:1", protocol="sasl_ssl", username="anna", certificate_file=certificate).or_mapped == ""
    assert Brokers("a:1", protocol="ssl", certificate_file=str(tmp_path / "none")).principal == "User:NAME"


@pytest.mark.parametrize(
    ("reason", "shown", "said"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "", "wants to see a client certificate"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "", "wants to see a client certificate"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "", "wants to see a client certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", "a.pem", "does not accept the client certificate a.pem: unknown ca"),
        (
            "SSLV3_ALERT_CERTIFICATE_EXPIRED",
            "a.pem",
            "does not accept the client certificate a.pem: certificate expired",
        ),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "a.pem", ""),
        ("WRONG_VERSION_NUMBER", "", ""),
    ],
)
def test_what_a_server_says_about_a_client_certificate_is_told_with_the_setting(
    reason: str, shown: str, said: str
) -> None:
    error = ssl.SSLError(1, reason)
    told, hint = Tls(certificate_file=shown, options="--registry").told(error)
    assert told == said
    assert ("--registry-certificate-file" in hint) is bool(said)


def test_a_command_that_asks_no_brokers_takes_their_certificate_for_the_registry(
    certificate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SSL_CERTIFICATE_FILE", certificate)
    result = CliRunner().invoke(
        cli, ["schemas", "check", "--registry-url", "https://127.0.0.1:1"], standalone_mode=False
    )
    assert isinstance(result.exception, EnvironmentProblem), result.output
    assert "does not answer" in str(result.exception)
