"""TLS to brokers, registry and Kafka Connect, with client certificates, for real: what works, and what is said else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.runtime.roles import rights_of
from orchestrator.stack.connect import secrets_dir
from orchestrator.stack.ports import HOST
from orchestrator.stack.stack import Stack
from tests.runtime.secured.shop import PREFIX, Shop, become, failure
from tests.runtime.secured.stack import Secured
from tests.runtime.worker_process import START_MS, Installation, until

pytestmark = pytest.mark.broker

API = "/apis/ccompat/v7"


def certified(secured: Secured, user: str) -> dict[str, str]:
    """The settings of somebody who shows a certificate everywhere and has no password."""
    shown = str(secured.certificate_file(user))
    return {
        "BOOTSTRAP_SERVERS": secured.addresses["mutual"],
        "REGISTRY_URL": f"https://{HOST}:{secured.proxy_port}{API}",
        "SECURITY_PROTOCOL": "ssl",
        "SSL_CA_FILE": str(secured.ca_file),
        "SSL_CERTIFICATE_FILE": shown,
        "CONNECT_URL": f"https://{HOST}:{secured.connect_port}",
        "CONNECT_CA_FILE": str(secured.ca_file),
        "CONNECT_CERTIFICATE_FILE": shown,
    }


def show(shop: Shop, user: str, monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    become(shop, user, monkeypatch)
    for name in ("SASL_USERNAME", "SASL_PASSWORD_FILE"):
        monkeypatch.delenv(f"ORCHESTRATOR_{name}")
    for name, value in {**certified(shop.secured, user), **changed}.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)


def test_a_worker_that_shows_a_certificate_everywhere_does_its_work_with_the_rights_of_its_name(
    shop: Shop, tmp_path: Path
) -> None:
    secured = shop.secured
    installation = Installation(secured.stack, "tls.", tmp_path)
    journeys = shop.journeys
    publishing = dataclasses.replace(installation.settings, publish=True)
    secured.grant(
        "certified",
        rights_of("worker", publishing, channels=journeys.destinations, emits=journeys.emits.values()),
    )
    told = certified(secured, "certified")
    names = ("BOOTSTRAP_SERVERS", "REGISTRY_URL", "SECURITY_PROTOCOL", "SSL_CA_FILE", "SSL_CERTIFICATE_FILE")
    options = [part for name in names for part in (f"--{name.lower().replace('_', '-')}", told[name])]
    installation.register("wanda", at_ms=START_MS)
    installation.heartbeat(at_ms=START_MS + 1)
    with installation.worker("t", "--publish", *options) as worker:
        worker.until_ready()
        until(installation.actions, seconds=30, what="the message")
        assert worker.stop() == 0


@pytest.mark.parametrize("where", ["registry itself", "proxy with certificates"])
def test_schemas_are_registered_and_checked_over_tls(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    show(shop, "operator", monkeypatch)
    if where == "registry itself":
        monkeypatch.setenv("ORCHESTRATOR_REGISTRY_URL", f"https://{HOST}:{shop.secured.registry_port}{API}")
        monkeypatch.delenv("ORCHESTRATOR_SSL_CERTIFICATE_FILE")
        monkeypatch.delenv("ORCHESTRATOR_SECURITY_PROTOCOL")
    assert run(["schemas", "register"]) == 0, capsys.readouterr()
    assert run(["schemas", "check"]) == 0, capsys.readouterr()
    assert "schemas are registered as they are" in capsys.readouterr().out


def test_operators_see_sinks_and_dead_letters_with_certificates(
    shop: Shop, connected: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    show(shop, "operator", monkeypatch)
    file = ["connect", "apply", "file", "--name", "secured", "--set", "FILE_CHANNEL=sms"]
    # Sinks reach brokers and registry in their own way.
    values = {
        "REGISTRY_URL": shop.settings.registry_url,
        "BOOTSTRAP_SERVERS": shop.secured.servers,
        "RECALLS_CONSUMER": f"${{dir:{secrets_dir(connected.data_dir)}:recalls.properties}}",
        "FILE_PATH": str(tmp_path / "sms"),
    }
    places = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    assert run([*file, *places]) == 0, capsys.readouterr()
    until(lambda: run(["connect", "status"]) == 0, seconds=30, what="the sink runs")
    assert run(["connect", "remove", "secured"]) == 0
    assert run(["dead-letters", "list"]) in {0, 1}, capsys.readouterr()
    assert run(["audit"]) == 0, capsys.readouterr()


FAULTS = {
    "authority": "cannot be trusted: ",
    "host": "cannot be trusted: Hostname mismatch",
    "none": "wants to see a client certificate",
    "stranger": "does not accept the client certificate",
}
SERVICES = {
    "the broker": (("topics", "check"), "SSL", "--ssl", "BOOTSTRAP_SERVERS"),
    "the schema registry": (("schemas", "check"), "REGISTRY", "--registry", "REGISTRY_URL"),
    "Kafka Connect": (("connect", "status"), "CONNECT", "--connect", "CONNECT_URL"),
}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_a_certificate_is_told_with_the_setting(
    shop: Shop,
    connected: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    service: str,
    fault: str,
) -> None:
    command, settings, options, address = SERVICES[service]
    show(shop, "operator", monkeypatch)
    secured = shop.secured
    at = certified(secured, "operator")[address]
    setting, named = "", ""
    match fault:
        case "authority":
            setting, value, named = f"{settings}_CA_FILE", str(secured.other_ca_file), f"{options}-ca-file"
        case "host":
            at = at.replace(HOST, "localhost")
            setting, value, named = address, at, "the address that the certificate is for"
        case "none":
            setting, value, named = f"{settings}_CERTIFICATE_FILE", "", f"{options}-certificate-file"
            monkeypatch.setenv("ORCHESTRATOR_SSL_CERTIFICATE_FILE", "")
        case _:
            unknown = secured.certificate_file("operator", is_known=False)
            setting, value, named = f"{settings}_CERTIFICATE_FILE", str(unknown), f"{options}-certificate-file"
    monkeypatch.setenv(f"ORCHESTRATOR_{setting}", value)
    said = failure(capsys, *command)
    assert f"{service} at {at.partition('/apis')[0]}" in said
    assert FAULTS[fault] in said
    assert named in said
    assert "PRIVATE" not in said


def test_who_shows_a_certificate_and_has_not_the_right_reads_how_it_is_granted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show(shop, "nobody", monkeypatch)
    said = failure(capsys, "topics", "create")
    assert f"Create topic {PREFIX}journeys.journal" in said
    assert "--allow-principal 'User:CN=nobody,OU=" in said
    assert "ssl.principal.mapping.rules" in said
