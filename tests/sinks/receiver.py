"""An endpoint that takes what a sink sends, and answers as the test wants."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0


class Receiver:
    """`requests` is all that arrived; `accepted` the keys of those that were answered with success, in order."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.accepted: list[str] = []
        self.answer: Callable[[Request], Answer] = lambda request: Answer()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._server = self._listen(port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/commands"

    def close(self) -> None:
        """Refuses connections from now on; open ones are cut."""
        self._wake.set()
        self._server.shutdown()
        self._server.server_close()

    def reopen(self) -> None:
        """Listens again where it did before."""
        self._wake.clear()
        self._server = self._listen(self.port)

    def _listen(self, port: int) -> http.server.ThreadingHTTPServer:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # What a client that went away leaves behind must not keep a thread.
            timeout = 5

            def take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if receiver._wake.is_set():
                    # The endpoint is down: a connection that was kept open ends as if the process had gone.
                    self.close_connection = True
                    return
                request = Request(self.command, self.path, dict(self.headers), body)
                with receiver._lock:
                    receiver.requests.append(request)
                    answer = receiver.answer(request)
                    if 200 <= answer.status < 300:
                        receiver.accepted.append(request.key)
                if answer.delay_s:
                    receiver._wake.wait(answer.delay_s)
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def __getattr__(self, name: str) -> Callable[[], None]:
                # Every method is taken alike.
                if name.startswith("do_"):
                    return self.take
                raise AttributeError(name)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that was killed is what some tests are about."""

        server = Server(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        self.port: int = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server
