"""``orchestrator apply`` without a broker: what is published, for which environment, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.runtime import approved, definitions, places, publishing, topics
from orchestrator.runtime.audit import AuditRecord
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


def test_nothing_is_collected_by_what_was_in_force_before_somebody_published(
    installation: Installation, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for old, new in (("wait: 1 hour", "wait: 2 hours"), ("wait: 1 hour", "wait: 3 hours"), ("x", "x")):
        path = directory / "cart.yaml"
        path.write_text((Path(CLEAN) / "cart.yaml").read_text().replace(old, new))
        assert apply(directory) == 0
    # Long ago.
    installation.published = [replace(one, at_ms=1) for one in installation.published]
    collect = ["versions", "--collect", "--who", "anna", "--why", "tidy"]
    looks = installation.looks
    installation.others[looks + 2] = in_force(("wait: 1 hour", "wait: 2 hours"))
    assert run(collect) == 3
    assert "published other journeys meanwhile" in capsys.readouterr().err
    assert not any(one.forgets for one in installation.published)
    assert run(collect) == 0
    assert installation.published[-1].forgets


class Approvals:
    """The topics of approvals and acts, in memory."""

    def __init__(self) -> None:
        self.words: list[AuditRecord] = []
        self.log: list[AuditRecord] = []

    def write(self, _: Settings, words: Sequence[AuditRecord], records: Sequence[AuditRecord]) -> None:
        self.words += words
        self.log += records


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Approvals:
    made = Approvals()
    monkeypatch.setattr(approved, "_write", made.write)
    monkeypatch.setattr(approved, "read_records", lambda *_: list(made.words))
    monkeypatch.setattr(approved, "read_audit", lambda _: list(made.log))
    monkeypatch.setattr(approved, "has_approvals", lambda _: bool(made.words))
    monkeypatch.setattr(publishing, "approvals", approved.approvals)
    return made


def approve(directory: Path, *more: str, who: str = "anna@shop.example") -> int:
    places = ["--journeys", str(directory), "--schemas", str(directory.parent / "schemas")]
    return run(["approve", *more, *places, "--who", who, "--why", "checked"])


def test_a_journey_is_taken_out_once_that_is_approved(
    installation: Installation, given: Approvals, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "governance.yaml").write_text(GOVERNANCE.replace("{for: live,", "{for: retired,"))
    sale = directory / "sale.yaml"
    sale.write_text((directory / "cart.yaml").read_text().replace("journey: cart", "journey: sale"))
    assert apply(directory) == 0
    sale.unlink()
    assert apply(directory) == 1
    assert "orchestrator approve sale --removal" in capsys.readouterr().out
    assert approve(directory, "sale") == 2
    assert "--removal" in capsys.readouterr().err
    assert approve(directory, "nothing", "--removal") == 2
    assert approve(directory, "--removal") == 2
    assert approve(directory, "sale", "--removal", "--rules") == 0
    out = capsys.readouterr().out
    assert "approves of journey/sale, its removal, version " in out
    assert "approves of rules" in out
    assert [word.about for word in given.words] == ["journey/sale", "rules"]
    assert given.log == given.words
    assert apply(directory) == 0
    assert "- journey sale" in capsys.readouterr().out


def test_what_earlier_releases_left_in_the_audit_log_is_taken_over_once_and_by_name(
    installation: Installation, given: Approvals, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "governance.yaml").write_text(GOVERNANCE)
    assert approve(directory, "cart") == 0
    assert approve(directory, "--rules") == 0
    assert approve(directory, "--rules", "--withdraw") == 0
    # As an earlier release left them.
    given.words.clear()
    assert apply(directory) == 1
    capsys.readouterr()
    assert approve(directory, "--carry-over", who="ben@shop.example") == 0
    assert "1 approval would be taken over" in capsys.readouterr().out
    assert given.words == []
    assert approve(directory, "--carry-over", "--yes", who="ben@shop.example") == 0
    assert [(word.who, word.about) for word in given.words] == [("anna@shop.example", "journey/cart")]
    last = given.log[-1]
    assert (last.act, last.who, len(last.changes)) == ("carry_over", "ben@shop.example", 1)
    assert approve(directory, "--carry-over", "--yes") == 1
    assert "count no more" in capsys.readouterr().err
    assert apply(directory) == 0
