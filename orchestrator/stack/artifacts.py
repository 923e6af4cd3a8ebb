"""The files of the stack: locked, fetched once into the user's cache, checked each time they are used.

Every file is hashed before each start. That costs a fraction of a second for the whole set, finds a file that was cut
off or damaged in any way, and needs no bookkeeping that could itself be wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.stack.progress import Progress

FETCH_THREADS = 8
"""Most of the time goes into waiting for the first byte of small files."""

ATTEMPTS = 3
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file as it must be. `path` is its place in a Maven repository, or below an unpacked archive."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Lock:
    """Every file of the stack: the jars of broker and tools, the archive of the registry, what the sinks of Kafka
    Connect are made of, the compiler that makes them, and the databases that their tests write to.
    """

    kafka: tuple[LockedFile, ...]
    registry: tuple[LockedFile, ...]
    sinks: tuple[LockedFile, ...] = ()
    compiler: tuple[LockedFile, ...] = ()
    databases: tuple[LockedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifacts:
    """What a start needs: the class path of the broker and the unpacked folder of the registry."""

    kafka_jars: tuple[Path, ...]
    registry_dir: Path


Fetch = Callable[[LockedFile, Path, Callable[[int], None]], Path]
"""Downloads one file below a folder and returns where it is; reports the bytes received as they come."""


def read_lock(path: Path | None = None) -> Lock:
    """The locked files, as shipped with the package unless another lock is named."""
    text = (path or Path(__file__).with_name("jars.lock.json")).read_text()
    sets = {name: tuple(LockedFile(**entry) for entry in entries) for name, entries in json.loads(text).items()}
    return Lock(**sets)


def ensure_artifacts(cache_dir: Path, *, lock: Lock, fetch: Fetch, progress: Progress) -> Artifacts:
    """All files of the stack below `cache_dir`, each equal to its locked sum; what is missing or differs is fetched.

    A run that is cut off keeps the files it had finished. Where everything is there, nothing touches the network.

    Raises: EnvironmentProblem when a file cannot be had.
    """
    jars_dir = cache_dir / "jars"
    wanted = {jars_dir / file.path: file for file in lock.kafka}
    unpacked = [(file, _unpacked_dir(cache_dir, file)) for file in lock.registry]
    archives = {jars_dir / file.path: file for file, folder in unpacked if not _is_unpacked(folder)}
    missing = {path: file for path, file in {**wanted, **archives}.items() if not is_intact(path, file)}
    if missing:
        _fetch_all(cache_dir, missing, fetch=fetch, progress=progress)
    for file, folder in unpacked:
        archive = jars_dir / file.path
        if archive in archives:
            progress.note(f"unpacking {archive.name}")
            _unpack(archive, folder)
            # The unpacked files carry their own sums from here on, and the archive is two thirds of the cache.
            archive.unlink()
    return Artifacts(kafka_jars=tuple(wanted), registry_dir=unpacked[0][1])


def ensure_jars(cache_dir: Path, files: Sequence[LockedFile], *, fetch: Fetch, progress: Progress) -> tuple[Path, ...]:
    """These jars below `cache_dir`, each equal to its locked sum; what is missing or differs is fetched.

    Raises: EnvironmentProblem when a file cannot be had.
    """
    wanted = {cache_dir / "jars" / file.path: file for file in files}
    missing = {path: file for path, file in wanted.items() if not is_intact(path, file)}
    if missing:
        _fetch_all(cache_dir, missing, fetch=fetch, progress=progress)
    return tuple(wanted)


def is_intact(path: Path, file: LockedFile) -> bool:
    """Whether the file is there with the locked size and sum."""
    try:
        if path.stat().st_size != file.size:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def maven_fetch(*, repository: str | None = None, timeout_s: int = 60) -> Fetch:
    """A fetch from Maven Central, or from the `repository` that mirrors it."""
    remote = None if repository is None else {"mirror": repository}

    def fetch(file: LockedFile, folder: Path, on_bytes: Callable[[int], None]) -> Path:
        # The import takes a noticeable part of a second and is needed only when something is missing.
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

        resolver = PythonResolver(progress_callback=lambda _name, _size: nullcontext(on_bytes))
        context = MavenContext(resolver=resolver, repo_cache=folder, remote_repos=remote, timeout=timeout_s)
        group, name, version, classifier, packaging = coordinates(file.path)
        component = context.project(group, name).at_version(version)
        return Path(component.artifact(classifier=classifier, packaging=packaging).resolve())

    return fetch


def coordinates(path: str) -> tuple[str, str, str, str, str]:
    """Group, name, version, classifier and packaging of a path in a Maven repository.

    >>> coordinates("org/acme/thing/1.2/thing-1.2-all.tar.gz")
    ('org.acme', 'thing', '1.2', 'all', 'tar.gz')
    >>> coordinates("org/acme/thing/1.2/thing-1.2.jar")
    ('org.acme', 'thing', '1.2', '', 'jar')
    """
    *group, name, version, filename = PurePosixPath(path).parts
    rest = filename.removeprefix(f"{name}-{version}")
    classifier, _, packaging = rest.partition(".")
    return ".".join(group), name, version, classifier.removeprefix("-"), packaging


def _fetch_all(cache_dir: Path, missing: dict[Path, LockedFile], *, fetch: Fetch, progress: Progress) -> None:
    cache_dir.mkdir(parents=True, exist_ok=True)
    # Downloads land in a folder of this process alone, so that a file in the cache is always a whole one, also when
    # two processes fill the cache at once.
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=cache_dir) as staging:
        total = sum(file.size for file in missing.values())
        # The largest first, so that it does not run alone at the end.
        order = sorted(missing.items(), key=lambda item: -item[1].size)
        with progress.task(f"downloading {len(missing)} files", total) as on_bytes:
            _run_all(order, staging=Path(staging), fetch=fetch, on_bytes=on_bytes)


class _Unwanted(Exception):
    """Another download failed, or the person pressed Ctrl-C."""


def _run_all(
    items: Sequence[tuple[Path, LockedFile]], *, staging: Path, fetch: Fetch, on_bytes: Callable[[int], None]
) -> None:
    is_over = threading.Event()

    def count(received: int) -> None:
        if is_over.is_set():
            raise _Unwanted
        on_bytes(received)

    pool = ThreadPoolExecutor(FETCH_THREADS)
    try:
        futures = [
            pool.submit(_fetch_one, target, file, staging=staging, fetch=fetch, on_bytes=count)
            for target, file in items
        ]
        for future in as_completed(futures):
            future.result()
    finally:
        # Threads cannot be interrupted: what is under way ends with the next bytes that it reports.
        is_over.set()
        pool.shutdown(cancel_futures=True)


def _fetch_one(target: Path, file: LockedFile, *, staging: Path, fetch: Fetch, on_bytes: Callable[[int], None]) -> None:
    reason = ""
    for attempt in range(ATTEMPTS):
        folder = staging / f"{file.sha256}-{attempt}"
        try:
            fetched = fetch(file, folder, on_bytes)
        except (OSError, RuntimeError) as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        if is_intact(fetched, file):
            target.parent.mkdir(parents=True, exist_ok=True)
            fetched.replace(target)
            return
        reason = f"{fetched.stat().st_size} bytes arrived whose SHA-256 is not the locked one"
    raise EnvironmentProblem(
        f"cannot download {file.path}: {reason}",
        hint="check the network and the proxy (HTTPS_PROXY); behind a private certificate authority set"
        " REQUESTS_CA_BUNDLE to its file; a mirror of Maven Central is named by ORCHESTRATOR_MAVEN_REPOSITORY",
    )


def _unpacked_dir(cache_dir: Path, file: LockedFile) -> Path:
    return cache_dir / "unpacked" / f"{PurePosixPath(file.path).name}-{file.sha256[:12]}"


def _is_unpacked(folder: Path) -> bool:
    try:
        entries = [LockedFile(**entry) for entry in json.loads((folder / MANIFEST).read_text())]
    except (OSError, ValueError, TypeError):
        return False
    return all(is_intact(folder / entry.path, entry) for entry in entries)


def _unpack(archive: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The folder appears at once and whole: the manifest is written last and the rename makes it visible.
    staging = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        _extract(archive, staging)
        manifest = [_locked(staging, path) for path in _files(staging)]
        (staging / MANIFEST).write_text(json.dumps(manifest))
        shutil.rmtree(folder, ignore_errors=True)
        staging.replace(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    # Python 3.11 has the safe extraction filters only from 3.11.4 on, and Debian 12 has 3.11.2.
    with tarfile.open(archive) as tar:
        for member in filter(tarfile.TarInfo.isfile, tar):
            path = (folder / member.name).resolve()
            content = tar.extractfile(member)
            if content is None or not path.is_relative_to(folder.resolve()):
                raise EnvironmentProblem(f"{archive.name} would write outside its folder: {member.name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as target:
                shutil.copyfileobj(content, target)


def _files(folder: Path) -> Iterable[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in sorted(names))


def _locked(folder: Path, path: Path) -> dict[str, str | int]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "sha256": digest}
