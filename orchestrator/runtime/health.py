"""What a worker answers over HTTP: /metrics for Prometheus, /healthz and /readyz for whoever supervises it.

- /healthz is 503 when the process should be ended: its cycles have not come round for longer than any call may take.
  A broker or a registry that is away is no such reason: starting again would not bring it back.
- /readyz is 503 while the worker does not process all that was given to it: before the first assignment, while
  partitions are handed over or restored, and while it stops.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, exposition

from orchestrator.model.problems import EnvironmentProblem

REQUEST_TIMEOUT_S = 10.0
"""A connection on which nothing comes for so long is closed: each one holds a thread."""

Answer = Callable[[], str]
"""Why not, in a few words without personal data; "" if all is well."""


class HealthServer:
    """Serves the registry's metrics, and health and readiness as the two functions say when asked."""

    def __init__(self, registry: CollectorRegistry, *, host: str, port: int, ailing: Answer, unready: Answer) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(registry, ailing, unready))
        except OSError as error:
            raise EnvironmentProblem(
                f"metrics cannot be served on {host}:{port}: {error.strerror}",
                hint="choose another --metrics-port; 0 takes a free one",
            ) from error
        self._server.daemon_threads = True
        bound = self._server.server_address
        self.url = f"http://{host}:{bound[1]}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()


def _handler(registry: CollectorRegistry, ailing: Answer, unready: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, content_type = exposition.choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, encode(registry), content_type)
            elif path == "/healthz":
                self._state("ok", ailing())
            elif path == "/readyz":
                self._state("ready", unready())
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"see /metrics, /healthz, /readyz\n", "text/plain")

        def _state(self, well: str, why_not: str) -> None:
            status = HTTPStatus.SERVICE_UNAVAILABLE if why_not else HTTPStatus.OK
            self._answer(status, f"{why_not or well}\n".encode(), "text/plain")

        def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a scrape every few seconds is not worth a line."""

    return Handler
