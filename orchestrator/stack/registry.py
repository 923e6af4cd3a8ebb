"""The embedded schema registry: Apicurio, spoken to in the Confluent way."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

from orchestrator.stack.ports import HOST, Ports
from orchestrator.stack.processes import JavaCommand

API = "/apis/ccompat/v7"
COMPATIBILITY = "BACKWARD"
"""Out of the box the registry accepts every change."""


def registry_command(folder: Path, *, unpacked: Path, ports: Ports, more: tuple[str, ...] = ()) -> JavaCommand:
    """How the registry is run, with its schemas in a database file below `folder`; `more` are options besides."""
    return JavaCommand(
        options=(
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Dquarkus.http.host={HOST}",
            f"-Dquarkus.http.port={ports.registry}",
            # Unless it is told otherwise, the registry opens its management port on every interface.
            f"-Dquarkus.management.host={HOST}",
            f"-Dquarkus.management.port={ports.registry_management}",
            "-Dapicurio.datasource.jdbc.initial-size=2",
            "-Dapicurio.datasource.jdbc.min-size=2",
            # Half a second by default, in which a registry that is killed loses a schema whose id is in use already.
            f"-Dapicurio.datasource.url=jdbc:h2:file:{folder / 'schemas'};WRITE_DELAY=10",
            *more,
        ),
        arguments=("-jar", str(unpacked / "quarkus-run.jar")),
    )


def registry_url(ports: Ports) -> str:
    """The address that Confluent clients take."""
    return f"http://{HOST}:{ports.registry}{API}"


def registry_is_ready(ports: Ports) -> bool:
    """Whether the registry answers and refuses incompatible schemas; set here where it is not yet so."""
    try:
        if _request(ports, "GET") != COMPATIBILITY:
            _request(ports, "PUT", {"compatibility": COMPATIBILITY})
            return _request(ports, "GET") == COMPATIBILITY
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return True


def _request(ports: Ports, method: str, body: dict[str, str] | None = None) -> str | None:
    connection = http.client.HTTPConnection(HOST, ports.registry, timeout=5)
    try:
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        connection.request(method, f"{API}/config", json.dumps(body) if body else None, headers)
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    level = answer.get("compatibilityLevel")
    return str(level) if level else None
