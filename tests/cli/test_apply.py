"""``orchestrator apply`` without a broker: what is published, for which environment, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.runtime import definitions, places, publishing, topics
from orchestrator.runtime.definitions import Definition
from orchestrator.runtime.in_force import Publications
from orchestrator.runtime.places import Places
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import TopicSpec
from tests.authoring.cases import FIXTURES
from tests.authoring.test_governance import GOVERNANCE
from tests.cli.test_pause import Topic, in_force
from tests.cli.test_plan import CLEAN


class Installation(Topic):
    """The definitions topic, the audit log and the topics, in memory."""

    def __init__(self, *published: Definition) -> None:
        self.refused: list[list[str]] = []
        self.topics: set[str] = set()
        super().__init__(*published)

    def record_refusal(self, _: Settings, __: Definition, found: Iterable[object], *, act: str) -> None:
        assert act == "apply"
        self.refused.append([str(one) for one in found])

    def ensure(self, _: Settings, specs: Iterable[TopicSpec], *, create: bool) -> list[str]:
        if create:
            self.topics |= {spec.name for spec in specs}
        return []


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Installation:
    made = Installation()
    monkeypatch.setattr(definitions, "read_definitions", made.read)
    monkeypatch.setattr(publishing, "read_definitions", made.read)
    monkeypatch.setattr(publishing, "publish", made.publish)
    monkeypatch.setattr(publishing, "record_refusal", made.record_refusal)
    monkeypatch.setattr(publishing, "approvals", lambda _: {})
    monkeypatch.setattr(topics, "ensure_topics", made.ensure)
    monkeypatch.setattr(places, "count_places", lambda *_, **__: Places())
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURES / "schemas", tmp_path / "schemas" / "events")
    return Path(shutil.copytree(CLEAN, tmp_path / "journeys"))


def apply(directory: Path, *more: str) -> int:
    said = ["--who", "anna", "--why", "spring", "--schemas", str(directory.parent / "schemas")]
    return run(["apply", str(directory), *said, *more])


def test_another_environment_than_that_in_force_is_refused_unless_it_is_meant(
    installation: Installation, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "governance.yaml").write_text(
        GOVERNANCE.replace("production", "live").replace("- {for: live,", "- {for: shadow,")
    )
    assert apply(directory, "--environment", "staging") == 0
    assert apply(directory, "--environment", "staging") == 0
    assert "in force already" in capsys.readouterr().out
    assert apply(directory, "--environment", "live") == 1
    assert "staging is in force here, not live" in capsys.readouterr().out
    assert apply(directory, "--environment", "live", "--move-environment") == 0, "a mistake can be corrected"
    assert [one.environment for one in installation.published] == ["staging", "live"]
    assert Publications(installation.published).environment == "live"
    assert apply(directory, "--environment", "staging", "--move-environment") == 1
    assert "that live becomes staging" in installation.refused[-1][0]


def test_what_somebody_else_publishes_meanwhile_is_not_undone(
    installation: Installation, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paused = in_force(("status: live", "status: paused"))
    # It is looked at once to judge by it, and once more right before it would be replaced.
    installation.others[2] = paused
    assert apply(directory) == 3
    assert "published other journeys meanwhile" in capsys.readouterr().err
    assert [one.set_id for one in installation.published] == [paused.set_id]


def test_what_is_refused_leaves_no_topic_of_its_channels_behind(
    installation: Installation, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "governance.yaml").write_text(GOVERNANCE)
    assert apply(directory, "--create-topics") == 1
    assert "nothing was published" in capsys.readouterr().out
    assert not [name for name in installation.topics if name.startswith("actions.")]
    (directory / "governance.yaml").unlink()
    assert apply(directory, "--create-topics") == 0
    assert [name for name in installation.topics if name.startswith("actions.")]
