from __future__ import annotations

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.stack.artifacts import (
    ATTEMPTS,
    Artifacts,
    Fetch,
    Lock,
    LockedFile,
    coordinates,
    ensure_artifacts,
    maven_fetch,
    read_lock,
)
from orchestrator.stack.progress import QUIET

JAR = "org/acme/broker/1.0/broker-1.0.jar"
OTHER_JAR = "org/acme/tools/1.0/tools-1.0.jar"
ARCHIVE = "org/acme/registry/2.0/registry-2.0-all.tar.gz"


def archive_of(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


REPOSITORY = {
    JAR: b"the broker" * 100,
    OTHER_JAR: b"the tools" * 100,
    ARCHIVE: archive_of({"run.jar": b"the registry", "lib/part.jar": b"a part"}),
}


def locked(path: str) -> LockedFile:
    content = REPOSITORY[path]
    return LockedFile(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())


LOCK = Lock(kafka=(locked(JAR), locked(OTHER_JAR)), registry=(locked(ARCHIVE),))


class Repository:
    """A repository that remembers what was asked of it, and can be made to fail."""

    def __init__(self, *, broken: dict[str, bytes] | None = None, failing: tuple[str, ...] = ()) -> None:
        self.asked: list[str] = []
        self.broken = broken or {}
        self.failing = failing

    def fetch(self, file: LockedFile, folder: Path, on_bytes: Callable[[int], None]) -> Path:
        self.asked.append(file.path)
        path = folder / file.path
        path.parent.mkdir(parents=True)
        if file.path in self.failing:
            path.write_bytes(REPOSITORY[file.path][:5])
            raise ConnectionResetError("connection reset by peer")
        path.write_bytes(self.broken.get(file.path, REPOSITORY[file.path]))
        on_bytes(file.size)
        return path


def no_network(file: LockedFile, folder: Path, on_bytes: Callable[[int], None]) -> Path:
    raise AssertionError(f"the network was used for {file.path}")


def ensure(cache: Path, fetch: Fetch) -> Artifacts:
    return ensure_artifacts(cache, lock=LOCK, fetch=fetch, progress=QUIET)


@pytest.fixture
def warm_cache(tmp_path: Path) -> Path:
    ensure(tmp_path / "cache", Repository().fetch)
    return tmp_path / "cache"


def test_an_empty_cache_is_filled_and_the_archive_unpacked(tmp_path: Path) -> None:
    repository = Repository()
    artifacts = ensure(tmp_path, repository.fetch)
    assert sorted(repository.asked) == sorted(REPOSITORY)
    assert [jar.read_bytes() for jar in artifacts.kafka_jars] == [REPOSITORY[JAR], REPOSITORY[OTHER_JAR]]
    assert (artifacts.registry_dir / "lib" / "part.jar").read_bytes() == b"a part"


def test_a_warm_cache_needs_no_network(warm_cache: Path) -> None:
    assert ensure(warm_cache, no_network).kafka_jars[0].read_bytes() == REPOSITORY[JAR]


def test_a_file_that_was_cut_off_is_fetched_again(warm_cache: Path) -> None:
    jar = warm_cache / "jars" / JAR
    jar.write_bytes(REPOSITORY[JAR][:10])
    repository = Repository()
    ensure(warm_cache, repository.fetch)
    assert repository.asked == [JAR]
    assert jar.read_bytes() == REPOSITORY[JAR]


def test_a_damaged_file_of_the_right_size_is_fetched_again(warm_cache: Path) -> None:
    jar = warm_cache / "jars" / JAR
    jar.write_bytes(b"X" + REPOSITORY[JAR][1:])
    repository = Repository()
    ensure(warm_cache, repository.fetch)
    assert repository.asked == [JAR]
    assert jar.read_bytes() == REPOSITORY[JAR]


@pytest.mark.parametrize("damage", ["changed", "deleted", "manifest cut off"])
def test_a_damaged_unpacked_file_brings_the_archive_back(warm_cache: Path, damage: str) -> None:
    folder = ensure(warm_cache, no_network).registry_dir
    if damage == "changed":
        (folder / "run.jar").write_bytes(b"the REGISTRY")
    elif damage == "deleted":
        (folder / "lib" / "part.jar").unlink()
    else:
        (folder / "manifest.json").write_text("[{")
    repository = Repository()
    ensure(warm_cache, repository.fetch)
    assert repository.asked == [ARCHIVE]
    assert (folder / "run.jar").read_bytes() == b"the registry"
    assert (folder / "lib" / "part.jar").read_bytes() == b"a part"


def test_a_failed_download_names_the_file_and_what_to_check(tmp_path: Path) -> None:
    repository = Repository(failing=(JAR,))
    with pytest.raises(EnvironmentProblem, match=rf"{JAR}.*connection reset by peer") as caught:
        ensure(tmp_path, repository.fetch)
    assert "REQUESTS_CA_BUNDLE" in caught.value.hint
    assert repository.asked.count(JAR) == ATTEMPTS


def test_bytes_that_do_not_match_the_lock_never_reach_the_cache(tmp_path: Path) -> None:
    repository = Repository(broken={JAR: b"Y" * len(REPOSITORY[JAR])})
    with pytest.raises(EnvironmentProblem, match="SHA-256 is not the locked one"):
        ensure(tmp_path, repository.fetch)
    assert not (tmp_path / "jars" / JAR).exists()


def test_what_was_finished_before_a_failure_is_kept_and_nothing_half_done(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem):
        ensure(tmp_path, Repository(failing=(OTHER_JAR,)).fetch)
    kept = {path.relative_to(tmp_path / "jars").as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert OTHER_JAR not in kept
    assert all((tmp_path / "jars" / path).read_bytes() == REPOSITORY[path] for path in kept)
    second = Repository()
    ensure(tmp_path, second.fetch)
    assert set(second.asked) == set(REPOSITORY) - kept


def test_a_failure_ends_the_downloads_that_are_under_way(tmp_path: Path) -> None:
    repository = Repository(failing=(JAR,))
    is_under_way = threading.Event()

    def endless(file: LockedFile, folder: Path, on_bytes: Callable[[int], None]) -> Path:
        while file.path == ARCHIVE:
            is_under_way.set()
            on_bytes(0)
        is_under_way.wait()
        return repository.fetch(file, folder, on_bytes)

    with pytest.raises(EnvironmentProblem, match=JAR):
        ensure(tmp_path, endless)


def test_an_archive_that_writes_outside_its_folder_is_refused(tmp_path: Path) -> None:
    content = archive_of({"../outside.txt": b"escaped"})
    evil = LockedFile(path=ARCHIVE, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    lock = Lock(kafka=(), registry=(evil,))
    with pytest.raises(EnvironmentProblem, match="outside its folder"):
        ensure_artifacts(
            tmp_path / "cache", lock=lock, fetch=Repository(broken={ARCHIVE: content}).fetch, progress=QUIET
        )
    assert not list(tmp_path.rglob("outside.txt"))


def test_the_shipped_lock_pins_one_version_of_each_jar_and_names_no_host() -> None:
    lock = read_lock()
    names = [coordinates(file.path)[:2] for file in lock.kafka + lock.registry]
    assert len(set(names)) == len(names) == 94
    text = (Path(__file__).parents[2] / "orchestrator" / "stack" / "jars.lock.json").read_text()
    assert "://" not in text


@contextmanager
def serving(folder: Path, *, cut_off_first: bool) -> Iterator[str]:
    """A repository on loopback; where asked to, each file's first answer ends before its last byte."""
    seen: set[str] = set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = folder / self.path.lstrip("/")
            if not file.exists():
                self.send_error(404)
                return
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            is_first = self.path not in seen
            seen.add(self.path)
            self.wfile.write(content[:7] if cut_off_first and is_first else content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def repository_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for path, content in REPOSITORY.items():
        (tmp_path / "repository" / path).parent.mkdir(parents=True)
        (tmp_path / "repository" / path).write_bytes(content)
    return tmp_path / "repository"


def test_a_connection_that_breaks_off_is_tried_again(repository_folder: Path, tmp_path: Path) -> None:
    with serving(repository_folder, cut_off_first=True) as url:
        artifacts = ensure(tmp_path / "cache", maven_fetch(repository=url))
    assert [jar.read_bytes() for jar in artifacts.kafka_jars] == [REPOSITORY[JAR], REPOSITORY[OTHER_JAR]]


def test_a_file_that_the_repository_lacks_is_named(repository_folder: Path, tmp_path: Path) -> None:
    (repository_folder / JAR).unlink()
    with (
        serving(repository_folder, cut_off_first=False) as url,
        pytest.raises(EnvironmentProblem, match=JAR),
    ):
        ensure(tmp_path / "cache", maven_fetch(repository=url))


def test_nobody_answering_is_a_problem_with_a_hint(tmp_path: Path) -> None:
    with serving(tmp_path, cut_off_first=False) as url:
        pass
    with pytest.raises(EnvironmentProblem, match="cannot download") as caught:
        ensure(tmp_path / "cache", maven_fetch(repository=url))
    assert "ORCHESTRATOR_MAVEN_REPOSITORY" in caught.value.hint
