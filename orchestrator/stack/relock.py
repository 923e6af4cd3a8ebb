"""``python -m orchestrator.stack.relock``: writes the lock of the stack's files anew, for the versions named here."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import Artifact, Dependency, MavenContext

from orchestrator.stack.artifacts import FETCH_THREADS
from orchestrator.stack.home import maven_repository

KAFKA_VERSION = "4.3.1"
KAFKA_MODULES = ("kafka_2.13", "kafka-tools", "connect-runtime", "connect-json", "connect-file", "connect-transforms")
LOGGING = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4")
"""Without a logging implementation the broker says nothing, also not why it does not start."""

REGISTRY = ("io.apicurio", "apicurio-registry-app", "3.3.3", "all", "tar.gz")

SINKS = (("org.apache.avro", "avro", "1.12.1"), ("org.eclipse.angus", "angus-mail", "2.0.5"))
"""What the sinks in `deploy/connect` are compiled against and run with."""

PROVIDED = frozenset({"slf4j-api"})
"""Connect hands its own to every plugin."""

COMPILER = ("org.eclipse.jdt", "ecj", "3.43.0")
"""The Java of the stack has no compiler of its own."""

POSTGRESQL = ("io.zonky.test.postgres", "18.6.0", ("linux-amd64", "linux-arm64v8", "darwin-amd64", "darwin-arm64v8"))
"""A server for the tests of the table sinks: nothing that runs in production."""

DRIVERS = (("org.postgresql", "postgresql", "42.7.14"),)
"""The database drivers of those tests."""

LOCK = Path(__file__).with_name("jars.lock.json")


def main() -> None:
    """Downloads everything once and writes path, size and sum of each file."""
    repository = maven_repository()
    remote = None if repository is None else {"mirror": repository}
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), remote_repos=remote, timeout=60)
        group, name, version, classifier, packaging = REGISTRY
        component = context.project(group, name).at_version(version)
        registry = component.artifact(classifier=classifier, packaging=packaging)
        sets = {
            "kafka": _locked(_kafka(context)),
            "registry": _locked([registry]),
            "sinks": _locked(_resolved(context, SINKS, without=PROVIDED)),
            "compiler": _locked(_resolved(context, [COMPILER])),
            "databases": _locked(_databases(context)),
        }
    LOCK.write_text(_as_json(sets))


def _kafka(context: MavenContext) -> Iterable[Artifact]:
    modules = [("org.apache.kafka", module, KAFKA_VERSION) for module in KAFKA_MODULES]
    return _resolved(context, [*modules, LOGGING])


def _databases(context: MavenContext) -> Iterable[Artifact]:
    group, version, platforms = POSTGRESQL
    servers = [(group, f"embedded-postgres-binaries-{platform}", version) for platform in platforms]
    return [
        context.project(group, name).at_version(version).artifact() for group, name, version in (*servers, *DRIVERS)
    ]


def _resolved(
    context: MavenContext, modules: Iterable[tuple[str, str, str]], *, without: frozenset[str] = frozenset()
) -> Iterable[Artifact]:
    # Raw: otherwise what the logging library recommends for its neighbours overrules Kafka's own versions.
    roots = [
        Dependency(context.project(group, name).at_version(version).artifact(), raw=True)
        for group, name, version in modules
    ]
    inputs, transitive = context.resolver.resolve(roots)
    artifacts = (dependency.artifact for dependency in (*inputs, *transitive))
    return [artifact for artifact in artifacts if artifact.artifactId not in without]


def _locked(artifacts: Iterable[Artifact]) -> list[dict[str, str | int]]:
    with ThreadPoolExecutor(FETCH_THREADS) as pool:
        return sorted(pool.map(_entry, artifacts), key=lambda entry: entry["path"])


def _entry(artifact: Artifact) -> dict[str, str | int]:
    path = artifact.resolve()
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    place = artifact.component.path_prefix / artifact.filename
    return {"path": place.as_posix(), "size": path.stat().st_size, "sha256": digest}


def _as_json(sets: dict[str, list[dict[str, str | int]]]) -> str:
    # One line for one file, so that a change of versions can be read as a difference.
    blocks = [
        f'  "{name}": [\n' + ",\n".join(f"    {json.dumps(entry)}" for entry in entries) + "\n  ]"
        for name, entries in sets.items()
    ]
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    main()
