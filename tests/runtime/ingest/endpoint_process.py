"""The endpoint as a process of its own, and requests to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from orchestrator.resources import schemas_dir
from tests.runtime.ingest.served import TOKEN
from tests.runtime.worker_process import Installation, until


@dataclass(frozen=True)
class Answer:
    """What a request was answered with."""

    status: int
    headers: Message[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other."""

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirects)


class EndpointProcess:
    """A started endpoint and what it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self.url = self.metrics_url = ""

    def output(self) -> str:
        return self._log.read_text()

    def until_ready(self) -> None:
        def ready() -> re.Match[str] | None:
            assert self.process.poll() is None, self.output()
            return re.search(r"^ready: events at (\S+); metrics at (\S+)/metrics$", self.output(), re.MULTILINE)

        found = until(ready, seconds=60, what=f"ready; {self.output()}")
        self.url, self.metrics_url = found[1], found[2]

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        url = path if path.startswith("http") else self.url + path
        request = urllib.request.Request(url, body, dict(headers or {}), method=method)
        try:
            with OPENER.open(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def send(self, *events: dict[str, Any], token: str = TOKEN, **headers: str) -> Answer:
        given = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
        return self.request("POST", "/v1/events", json.dumps(events).encode(), given)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def endpoint(installation: Installation, *more: str, **environment: str) -> Iterator[EndpointProcess]:
    """A ready endpoint; it is killed at the end if it still runs."""
    settings = installation.settings
    log = installation.directory / "ingest.log"
    arguments = [
        *("--bootstrap-servers", settings.bootstrap_servers, "--registry-url", settings.registry_url),
        *("--topic-prefix", settings.topic_prefix, "--schemas", str(schemas_dir()), "--log-format", "json"),
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "ingest", *arguments, *more],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**kept, "ORCHESTRATOR_INGEST_TOKENS": f"shop {TOKEN}", **environment},
        )
    try:
        running = EndpointProcess(process, log)
        running.until_ready()
        yield running
    finally:
        process.kill()
        process.wait()
