"""A real PostgreSQL for the tests of the table sinks: unpacked, started and thrown away by them."""

from __future__ import annotations

import io
import os
import platform
import pwd
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pg8000.native
import psutil

from orchestrator.stack.artifacts import LockedFile, ensure_jars, maven_fetch, read_lock
from orchestrator.stack.home import cache_dir, maven_repository
from orchestrator.stack.ports import HOST, free_port
from orchestrator.stack.progress import console_progress

WAIT_S = 30.0
PLATFORMS = {
    ("Linux", "x86_64"): "linux-amd64",
    ("Linux", "aarch64"): "linux-arm64v8",
    ("Darwin", "x86_64"): "darwin-amd64",
    ("Darwin", "arm64"): "darwin-arm64v8",
}
SETTINGS = {
    # Nothing outlives a test run, so nothing need be safe on the disk.
    "fsync": "off",
    "max_connections": "20",
    "shared_buffers": "32MB",
    "unix_socket_directories": "",
    # A zone that no other part of the tests is in, three quarters of an hour off.
    "timezone": "Asia/Kathmandu",
}


def driver_jar() -> Path:
    """The locked JDBC driver."""
    return _fetched("/postgresql-")


def _fetched(part: str) -> Path:
    found: Sequence[LockedFile] = [file for file in read_lock().databases if part in file.path]
    fetch = maven_fetch(repository=maven_repository())
    return ensure_jars(cache_dir(), found, fetch=fetch, progress=console_progress())[0]


class PostgreSQL:
    """One server on a loopback port, which takes `user` by password alone (SCRAM)."""

    user = "crm"

    def __init__(self, password: str) -> None:
        self.password = password
        # Not below the folders of pytest, which are the starting user's alone.
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._folder.chmod(0o755)
        self._account = _account()
        archive = zipfile.ZipFile(_fetched(f"-{PLATFORMS[platform.system(), platform.machine()]}-"))
        (inner,) = (name for name in archive.namelist() if name.endswith(".txz"))
        with tarfile.open(fileobj=io.BytesIO(archive.read(inner)), mode="r:xz") as tar:
            tar.extractall(self._folder / "program")
        self._data = self._folder / "data"
        self._data.mkdir()
        secret = self._folder / "secret"
        secret.write_text(password)
        if self._account:
            for path in (self._data, secret):
                shutil.chown(path, user=self._account["user"], group=self._account["group"])
        secret.chmod(0o400)
        options = ("--auth=scram-sha-256", f"--username={self.user}", "--encoding=UTF8", "--no-locale", "--no-sync")
        self._run("initdb", f"--pwfile={secret}", *options, "-D", str(self._data))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"jdbc:postgresql://{HOST}:{self.port}/postgres"

    def start(self) -> None:
        options = {**SETTINGS, "listen_addresses": HOST, "port": str(self.port)}
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program("postgres"), "-D", self._data, *given], stdout=log, stderr=log, **self._as_account()
            )
        deadline = time.monotonic() + WAIT_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends the server at once, cutting its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(WAIT_S)
            self._process = None

    def freeze(self) -> None:
        """The server goes on holding its connections and says nothing any more, as behind a network that is cut."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, sql: str, **values: Any) -> list[list[Any]]:
        """The rows of a statement, or of the last of several."""
        connection = pg8000.native.Connection(
            self.user, host=HOST, port=self.port, password=self.password, database="postgres", timeout=10
        )
        try:
            rows: list[list[Any]] = connection.run(sql, **values) or []
        finally:
            connection.close()
        return rows

    def change_password(self, password: str) -> None:
        """Whoever is signed in is sent away and has to sign in anew."""
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        self.run(f"ALTER USER {self.user} PASSWORD '{password}'; {others} AND usename = '{self.user}'")
        self.password = password

    def _answers(self) -> bool:
        try:
            return self.run("SELECT 1") == [[1]]
        except (OSError, pg8000.native.InterfaceError, pg8000.native.DatabaseError):
            return False

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        # The server has one process for each connection, all children of the first.
        server = psutil.Process(self._process.pid)
        for process in (server, *server.children(recursive=True)):
            process.send_signal(number)

    def _program(self, name: str) -> Path:
        return self._folder / "program" / "bin" / name

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._program(name), *arguments], capture_output=True, text=True, check=False, **self._as_account()
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _as_account(self) -> dict[str, Any]:
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
        return {"cwd": self._folder, "env": environment, **self._account}


def _account() -> dict[str, Any]:
    """As whom the server runs: it refuses to be root's."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
