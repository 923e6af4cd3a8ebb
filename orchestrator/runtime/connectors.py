"""Connectors of Kafka Connect: configurations from templates, and what its REST interface does with them.

A template is a JSON file with `name` and `config`. `${NAME}` in it is filled in here, from what the command was told or
from the environment, and `${NAME:-default}` has a value without either. Names with a colon, such as `${env:SINK_TOKEN}`
and `${file:/path:key}`, are secrets: they stay as they are and Kafka Connect looks them up where it runs.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.web import REACHED_BY, WebService, connection_problem, web_service

TIMEOUT_S = 30.0
"""Connect validates a configuration while it answers, and may wait for its group to be in order."""

ATTEMPTS, PAUSE_S = 20, 0.5
"""Connect refuses changes with 409 while its workers share out their work."""

_PLACE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_SECRET_KEY = re.compile(r"password|secret|token|authorization|http\.headers|recalls\.consumer", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector as it should be."""

    name: str
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one setting."""

    setting: str
    text: str


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task of a connector. `trace` is the first line of why it failed."""

    number: int
    state: str
    trace: str


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """How a connector does, in Connect's words: `RUNNING`, `FAILED`, `PAUSED`, `UNASSIGNED`."""

    name: str
    state: str
    topics: str
    tasks: tuple[TaskState, ...]

    @property
    def is_running(self) -> bool:
        """Whether the connector and all its tasks run, and there are any."""
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)


def read_connector(path: Path, values: Mapping[str, str], *, name: str = "") -> Connector:
    """The connector of a template, with its places filled in; under another `name` if one is given.

    Raises: EnvironmentProblem naming every place that has no value.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        named, settings = name or content["name"], content["config"]
        config = {str(key): _text(value) for key, value in settings.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvironmentProblem(
            f"{path} is not a connector: {type(error).__name__}: {error}",
            hint='it is a JSON object with "name" and "config"',
        ) from error
    missing: set[str] = set()
    # The connector's own name is known to its template, for topics that belong to it.
    known = {**values, "NAME": fill(str(named), values, missing)}
    filled = {key: fill(text, known, missing) for key, text in config.items()}
    if missing:
        raise EnvironmentProblem(
            f"{path} needs {', '.join(sorted(missing))}",
            hint="set them in the environment, with --set NAME=VALUE, or in a file named with --values",
        )
    if not _NAME.fullmatch(known["NAME"]):
        raise EnvironmentProblem(
            f"{known['NAME']!r} is no name for a connector", hint="use letters, digits, dots, dashes and underscores"
        )
    if exposed := sorted(key for key, text in filled.items() if _SECRET_KEY.search(key) and text and "${" not in text):
        raise EnvironmentProblem(
            f"{path}: {', '.join(exposed)} would stand in Connect's configuration for everyone to read",
            hint="name a secret instead, such as ${env:SINK_TOKEN} or ${file:/path/to/file:key}",
        )
    return Connector(known["NAME"], {**filled, "name": known["NAME"]})


def fill(text: str, values: Mapping[str, str], missing: set[str]) -> str:
    """The text with its places filled in; what has neither a value nor a default is added to `missing`.

    >>> fill("${HOST}:${PORT:-25} ${env:SINK_TOKEN}", {"HOST": "mail"}, set())
    'mail:25 ${env:SINK_TOKEN}'
    """

    def value(place: re.Match[str]) -> str:
        name, default = place.groups()
        if found := values.get(name):
            return found
        if default is None and name not in values:
            missing.add(name)
        return default or ""

    return _PLACE.sub(value, text)


def places(text: str) -> list[str]:
    """The names of a template's places that have no default.

    >>> places("${HOST}:${PORT:-25} ${env:SINK_TOKEN}")
    ['HOST']
    """
    return [match[1] for match in _PLACE.finditer(text) if match[2] is None]


def read_values(path: Path) -> dict[str, str]:
    """The values of a file with one NAME=VALUE a line; empty lines and those that begin with # count for nothing.

    Raises: EnvironmentProblem naming the line that is neither.
    """
    values = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(f"{path} cannot be read: {type(error).__name__}", hint="name another file") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator:
            raise EnvironmentProblem(f"{path}:{number} is not NAME=VALUE", hint="write one value a line")
        values[name.strip()] = value.strip()
    return values


class ConnectWorker:
    """A worker of Kafka Connect behind its REST interface.

    Every call raises EnvironmentProblem if it cannot be reached or refuses.
    """

    __slots__ = ("_base", "_headers", "_opener", "_service")

    def __init__(self, service: WebService | str) -> None:
        """An address is enough where nobody needs to sign in and the machine's authorities are those to trust."""
        if isinstance(service, str):
            service = web_service(service, what="Kafka Connect", option="--connect-url")
        self._service, self._base = service, service.base
        self._opener = service.opener()
        self._headers = {"Accept": "application/json", "Content-Type": "application/json", **service.headers}

    def faults(self, connector: Connector) -> list[Fault]:
        """What Connect finds wrong with the configuration; nothing is changed."""
        plugin = connector.config.get("connector.class", "").rpartition(".")[2]
        status, body = self._call("PUT", f"/connector-plugins/{_quoted(plugin)}/config/validate", connector.config)
        if status == http.client.NOT_FOUND:
            return [Fault("connector.class", f"Connect has no {connector.config.get('connector.class', 'class')}")]
        found = self._body(status, body)
        values = [entry["value"] for entry in found["configs"]]
        return [Fault(str(value["name"]), str(error)) for value in values for error in value["errors"]]

    def apply(self, connector: Connector) -> bool:
        """The connector is as described, from now on; True if it is new."""
        status, body = self._call("PUT", f"/connectors/{_quoted(connector.name)}/config", connector.config)
        if status == http.client.CREATED:
            return True
        self._body(status, body)
        return False

    def states(self) -> list[ConnectorState]:
        """Every connector, by name."""
        status, body = self._call("GET", "/connectors?expand=status&expand=info")
        found = self._body(status, body)
        return sorted((_state(name, entry) for name, entry in found.items()), key=lambda state: state.name)

    def remove(self, name: str) -> bool:
        """The connector is gone; False if there was none."""
        status, body = self._call("DELETE", f"/connectors/{_quoted(name)}")
        if status == http.client.NOT_FOUND:
            return False
        self._body(status, body)
        return True

    def restart_failed(self, name: str) -> None:
        """What failed of the connector starts again."""
        path = f"/connectors/{_quoted(name)}/restart?includeTasks=true&onlyFailed=true"
        status, body = self._call("POST", path)
        self._body(status, body)

    def _body(self, status: int, body: Any) -> Any:
        if status < http.client.MULTIPLE_CHOICES:
            return body
        message = body.get("message", "") if isinstance(body, dict) else ""
        raise EnvironmentProblem(
            f"Kafka Connect at {self._base} refused: {status} {message}".rstrip(),
            hint="see `orchestrator connect status` and the log of Kafka Connect",
        )

    def _call(self, method: str, path: str, body: Mapping[str, str] | None = None) -> tuple[int, Any]:
        payload = None if body is None else json.dumps(body).encode()
        # The scheme was checked to be http(s) when the worker was made.
        request = urllib.request.Request(self._base + path, payload, self._headers, method=method)  # noqa: S310
        status, answer = 0, b""
        for _ in range(ATTEMPTS):
            try:
                with self._opener.open(request, timeout=TIMEOUT_S) as reply:
                    return reply.status, _parsed(reply.read())
            except urllib.error.HTTPError as error:
                status, answer = error.code, error.read()
                if status != http.client.CONFLICT:
                    break
                time.sleep(PAUSE_S)
            except REACHED_BY as error:
                hint = "start one with `orchestrator up --connect`, or set --connect-url"
                said, what_to_do = connection_problem("Kafka Connect", self._service, error, hint=hint)
                raise EnvironmentProblem(said, hint=what_to_do) from error
        return status, _parsed(answer)


def _state(name: str, entry: Mapping[str, Any]) -> ConnectorState:
    status, config = entry.get("status", {}), entry.get("info", {}).get("config", {})
    tasks = tuple(
        TaskState(int(task["id"]), str(task["state"]), _first_line(task.get("trace", "")))
        for task in status.get("tasks", ())
    )
    topics = str(config.get("topics") or config.get("topics.regex") or "")
    return ConnectorState(name, str(status.get("connector", {}).get("state", "UNASSIGNED")), topics, tasks)


def _first_line(trace: str) -> str:
    # The cause says more than what Connect wraps around it.
    lines: Sequence[str] = trace.splitlines()
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return causes[-1] if causes else (lines[0] if lines else "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else {}
    except ValueError:
        return {"message": re.sub(r"\s+", " ", body[:100].decode("utf-8", "replace"))}
