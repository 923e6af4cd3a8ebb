"""``orchestrator new journey``: files that validate and whose scenarios pass, and nothing else touched."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.resources import journeys_dir, schemas_dir
from tests.authoring.cases import GOLDEN


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(schemas_dir() / "events", tmp_path / "schemas" / "events")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def with_journeys(project: Path) -> Path:
    shutil.copytree(journeys_dir(), project / "journeys")
    return project


def contents(directory: Path) -> dict[str, str]:
    return {path.relative_to(directory).as_posix(): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_a_new_journey_validates_and_its_scenarios_pass(
    with_journeys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(with_journeys)
    assert run(["new", "journey", "spring_greeting"]) == 0
    written, _, next_steps = capsys.readouterr().out.partition("\n\n")
    assert next_steps == (GOLDEN / "cli" / "new_journey.txt").read_text()
    added = contents(with_journeys).keys() - before.keys()
    assert {line.removeprefix("wrote ") for line in written.splitlines()} == added
    assert contents(with_journeys).items() > before.items()
    assert run(["validate"]) == 0
    assert run(["test"]) == 0


def test_an_empty_project_gets_the_rules_too(project: Path) -> None:
    assert run(["new", "journey", "first", "--journeys", "mine"]) == 0
    rules = {"profile.yaml", "channels.yaml", "policies.yaml"}
    assert rules | {"first.yaml", "first.scenarios.yaml"} <= set(contents(project / "mine"))
    assert run(["validate", "mine"]) == 0
    assert run(["test", "mine"]) == 0


def test_an_own_journey_can_be_the_example(with_journeys: Path) -> None:
    assert run(["new", "journey", "second"]) == 0
    assert run(["new", "journey", "third", "--from", "second"]) == 0
    assert (with_journeys / "journeys" / "templates" / "third_second_welcome" / "email.liquid").exists()
    assert run(["test"]) == 0


def test_nothing_is_overwritten(with_journeys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(with_journeys)
    assert run(["new", "journey", "cart_abandonment"]) == 2
    assert "exists already and is not overwritten" in capsys.readouterr().err
    assert contents(with_journeys) == before


def test_an_example_that_does_not_fit_the_rules_here_is_not_written(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # It looks at an attribute that only the welcome series sets.
    assert run(["new", "journey", "basket", "--from", "cart_abandonment"]) == 1
    out = capsys.readouterr().out
    assert "journeys/basket.yaml:" in out
    assert 'the profile has no attribute "welcome_discount"' in out
    assert out.endswith("nothing was written\n")
    assert not (project / "journeys").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["../x"], '"../x" cannot be the name of a journey'),
        (["profile"], '"profile" cannot be the name of a journey'),
        (["x", "--from", "wlcome_series"], 'there is no journey "wlcome_series"; did you mean "welcome_series"?'),
    ],
)
def test_what_cannot_be_done_is_wrong_usage(
    arguments: list[str], said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["new", "journey", *arguments]) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert not (project / "journeys").exists()


def test_mistakes_that_were_there_before_do_not_hinder(with_journeys: Path) -> None:
    path = with_journeys / "journeys" / "cart_abandonment.yaml"
    path.write_text(path.read_text().replace("go: choose_offer", "go: chose_offer"))
    assert run(["new", "journey", "spring_greeting"]) == 0
    assert run(["validate"]) == 1
