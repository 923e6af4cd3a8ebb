"""Stands in for Java: listens as one of the services would, or fails as told by `behaviour` in its folder."""

from __future__ import annotations

import http.server
import json
import signal
import socketserver
import struct
import sys
import threading
from pathlib import Path


class Broker(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1024)
        # Size, correlation, the number of brokers, and nothing more.
        self.request.sendall(struct.pack(">iii", 8, 1, 1))


class Registry(http.server.BaseHTTPRequestHandler):
    level = "NONE"

    def do_GET(self) -> None:
        self.answer({"compatibilityLevel": Registry.level})

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Registry.level = body["compatibility"]
        self.answer(body)

    def answer(self, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Connect(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


def setting(name: str, lines: list[str]) -> str:
    return next(line.split("=", 1)[1] for line in lines if line.startswith(f"{name}="))


def main() -> None:
    arguments = sys.argv[1:]
    is_broker = "kafka.Kafka" in arguments
    is_connect = "org.apache.kafka.connect.cli.ConnectDistributed" in arguments
    print("fake broker" if is_broker else "fake connect" if is_connect else "fake registry", flush=True)
    behaviour = Path("behaviour")
    if behaviour.exists() and behaviour.read_text() == "fail":
        print("java.lang.IllegalStateException: the disk is full", flush=True)
        sys.exit(1)
    if behaviour.exists() and behaviour.read_text() == "hang":
        print("still loading", flush=True)
        threading.Event().wait()
    if behaviour.exists() and behaviour.read_text() == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if is_broker:
        settings = Path(arguments[-1]).read_text().splitlines()
        address = setting("advertised.listeners", settings).removeprefix("PLAINTEXT://").split(":")
        server: socketserver.TCPServer = socketserver.ThreadingTCPServer((address[0], int(address[1])), Broker)
    elif is_connect:
        settings = Path(arguments[-1]).read_text().splitlines()
        port = int(setting("rest.advertised.port", settings))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Connect)
    else:
        port = int(setting("-Dquarkus.http.port", arguments))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Registry)
    server.serve_forever()


if __name__ == "__main__":
    socketserver.TCPServer.allow_reuse_address = True
    main()
