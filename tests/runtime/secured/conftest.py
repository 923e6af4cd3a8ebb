"""One secured stack for all tests of this folder, with an installation on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.resources import deploy_dir
from orchestrator.runtime.roles import ROLES
from orchestrator.stack.connect import secrets_dir
from orchestrator.stack.ports import HOST
from orchestrator.stack.record import open_record
from orchestrator.stack.stack import Stack, start_stack
from tests.runtime.secured.shop import WHO, Shop, become
from tests.runtime.secured.stack import Secured, secured_stack


@pytest.fixture(scope="package")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured_stack(tmp_path_factory.mktemp("secured") / "stack") as running:
        yield running


@pytest.fixture(scope="package")
def shop(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(secured, tmp_path_factory.mktemp("shop"))
    for role in ROLES:
        secured.grant(role, made.rights(role))
    with pytest.MonkeyPatch.context() as monkeypatch:
        become(made, "operator", monkeypatch)
        assert run(["apply", *WHO]) == 0
    return made


@pytest.fixture(scope="package")
def connected(shop: Shop) -> Stack:
    """Kafka Connect beside the secured broker, with the settings that come for that and the sinks' rights."""
    secrets = secrets_dir(shop.secured.stack.data_dir)
    secrets.mkdir(exist_ok=True)
    password = shop.secured.password_file("sinks").read_text()
    (secrets / "kafka.properties").write_text(f"username=sinks\npassword={password}")
    page = (Path(__file__).parents[3] / "docs" / "operations" / "security.md").read_text()
    told = next(block for block in page.split("```") if block.strip().startswith("security.protocol=SASL_SSL"))
    told = told.replace('username="…"', 'username="sinks"').replace('password="…"', f'password="{password.strip()}"')
    (secrets / "recalls.properties").write_text(told.replace("/run/secrets/ca.pem", str(shop.secured.ca_file)))
    shipped = (deploy_dir() / "compose" / "connect.secured.properties").read_text()
    signing_in = [line for line in shipped.splitlines() if re.match(r"(\w+\.)?(ssl|sasl|security)\.", line)]
    lines = "\n".join(["", f"bootstrap.servers={shop.secured.servers}", *signing_in, ""])
    lines += _secured_listener(shop.secured)
    lines = lines.replace("/run/secrets/ca.pem", str(shop.secured.ca_file)).replace("/run/secrets", str(secrets))
    return start_stack(
        shop.secured.stack.data_dir, owned=True, short_lived=True, with_connect=True, connect_settings=lines
    )


def _secured_listener(secured: Secured) -> str:
    """Kafka Connect's REST interface a second time: over TLS, for those who show a certificate."""
    password = "changeit"
    keys, trusted = secured.keystores(password)
    plain = open_record(secured.stack.data_dir, connect=True).ports.connect
    listener = {
        "keystore.location": keys,
        "keystore.type": "PKCS12",
        "keystore.password": password,
        "key.password": password,
        "truststore.location": trusted,
        "truststore.type": "PKCS12",
        "truststore.password": password,
        "client.auth": "required",
    }
    return "\n".join(
        [
            f"listeners=http://{HOST}:{plain},https://{HOST}:{secured.connect_port}",
            *(f"listeners.https.ssl.{name}={value}" for name, value in listener.items()),
            "",
        ]
    )
