"""The sinks in `deploy/connect`, compiled for Kafka Connect once for each state of their sources.

The Java of the stack comes without a compiler, so one in a locked jar does it. What it made is found by a hash of all
that went in; a folder in the cache is always whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import __version__
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import deploy_dir
from orchestrator.stack.artifacts import Artifacts, Fetch, Lock, ensure_jars
from orchestrator.stack.java import java
from orchestrator.stack.processes import KEPT_ENVIRONMENT
from orchestrator.stack.progress import Progress

JAVA_RELEASE = "17"
"""The oldest Java that Kafka Connect runs on, so that the sinks run wherever it does."""

JAR = "orchestrator-sinks.jar"
API_MODULES = ("connect-api-", "jakarta.ws.rs-api-", "kafka-clients-", "slf4j-api-")
"""What Connect itself brings: compiled against, and not packed."""

JAR_DATE = (1980, 1, 1, 0, 0, 0)
"""The same sources give the same bytes."""


@dataclass(frozen=True, slots=True)
class SinkParts:
    """What the sinks are made from: jars of Kafka, jars that are packed beside the sinks, and the compiler."""

    kafka_jars: tuple[Path, ...]
    sink_jars: tuple[Path, ...]
    compiler: Path


def sources_dir() -> Path:
    """The Java sources of the sinks, with their manifest."""
    return deploy_dir() / "connect" / "sinks"


def ensure_plugins(cache_dir: Path, artifacts: Artifacts, *, lock: Lock, fetch: Fetch, progress: Progress) -> Path:
    """The folder that Connect takes as `plugin.path`; what is missing for it is fetched and compiled.

    Raises: EnvironmentProblem when a file cannot be had.
    """
    jars = ensure_jars(cache_dir, (*lock.sinks, *lock.compiler), fetch=fetch, progress=progress)
    return ensure_sinks(cache_dir, SinkParts(artifacts.kafka_jars, sink_jars=jars[:-1], compiler=jars[-1]))


def ensure_sinks(cache_dir: Path, parts: SinkParts, *, sources: Path | None = None) -> Path:
    """The folder that Connect takes as `plugin.path`, with the sinks compiled from these sources.

    Raises: EnvironmentProblem with the compiler's words when it refuses the sources.
    """
    source_dir = sources or sources_dir()
    files = sorted(path for path in source_dir.rglob("*") if path.is_file())
    target = cache_dir / "sinks" / _content_hash(source_dir, files, parts)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # The folder appears at once and whole, also when two processes make it at the same time.
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as scratch:
        plugin = Path(scratch) / "path" / "orchestrator-sinks"
        plugin.mkdir(parents=True)
        classes = Path(scratch) / "classes"
        _compile([path for path in files if path.suffix == ".java"], classes, parts)
        _pack(plugin / JAR, source_dir=source_dir, classes=classes)
        for jar in parts.sink_jars:
            shutil.copyfile(jar, plugin / jar.name)
        try:
            plugin.parent.rename(target)
        except OSError:
            # Another process was quicker and made the same.
            if not target.exists():
                raise
    return target


def _content_hash(source_dir: Path, files: Iterable[Path], parts: SinkParts) -> str:
    digest = hashlib.sha256(f"{JAVA_RELEASE} {__version__}".encode())
    for path in files:
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(source_dir).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    # The jars were checked against their locked sums; their names carry their versions.
    for jar in (*_api(parts), *parts.sink_jars, parts.compiler):
        digest.update(f"\n{jar.name}".encode())
    return digest.hexdigest()[:16]


def _api(parts: SinkParts) -> list[Path]:
    return [jar for jar in parts.kafka_jars if jar.name.startswith(API_MODULES)]


def _compile(sources: Sequence[Path], classes: Path, parts: SinkParts) -> None:
    class_path = os.pathsep.join(str(jar) for jar in (*_api(parts), *parts.sink_jars))
    options = ["-source", JAVA_RELEASE, "-target", JAVA_RELEASE, "-proc:none", "-failOnWarning", "-encoding", "UTF-8"]
    result = subprocess.run(
        [java(), "-jar", str(parts.compiler), *options, "-cp", class_path, "-d", str(classes)]
        + [str(path) for path in sources],
        env={name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise EnvironmentProblem(
            f"the sinks of Kafka Connect do not compile:\n{result.stdout}{result.stderr}",
            hint="undo what was changed below deploy/connect/sinks",
        )


def _pack(jar: Path, *, source_dir: Path, classes: Path) -> None:
    manifest = f"Manifest-Version: 1.0\r\nImplementation-Version: {__version__}\r\n\r\n"
    entries = {"META-INF/MANIFEST.MF": manifest.encode()}
    for root in (source_dir / "META-INF", classes):
        base = source_dir if root.name == "META-INF" else root
        for path in sorted(root.rglob("*")):
            if path.is_file():
                entries[path.relative_to(base).as_posix()] = path.read_bytes()
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, JAR_DATE), content)
