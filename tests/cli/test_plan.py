"""``orchestrator plan`` without a broker: words and exit codes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.authoring.changes import changes_between, side_of
from orchestrator.authoring.graph import mermaid
from orchestrator.cli._plan import Plan, plan_values, render_plan
from orchestrator.cli.main import run
from orchestrator.runtime.places import Place, Places
from tests.authoring.cases import fixture_events, fixture_sources

FIXTURES = Path(__file__).parent.parent / "authoring" / "fixtures"
CLEAN = str(FIXTURES / "journeys")
SCHEMAS = ["--schemas", str(FIXTURES / "schemas")]


@pytest.fixture
def changed(tmp_path: Path) -> str:
    journeys = Path(shutil.copytree(CLEAN, tmp_path / "journeys"))
    path = journeys / "cart.yaml"
    path.write_text(path.read_text().replace("wait: 1 hour", "wait: 2 hours"))
    return str(journeys)


def test_no_change_is_said_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", CLEAN, "--against", CLEAN, "--detailed-exitcode", *SCHEMAS]) == 0
    assert capsys.readouterr().out == "nothing changes\n"


def test_a_change_is_told_and_exits_as_asked(changed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", changed, "--against", CLEAN, *SCHEMAS]) == 0
    out = capsys.readouterr().out
    assert out.startswith("~ journey cart (live), version ")
    assert out.endswith("    ~ step pause\n")
    assert run(["plan", changed, "--against", CLEAN, "--detailed-exitcode", "--diff", *SCHEMAS]) == 4
    assert "+  pause: {wait: 2 hours}" in capsys.readouterr().out


def test_programs_get_values(changed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", changed, "--against", CLEAN, "--format", "json", *SCHEMAS]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["changes"]
    assert said["journeys"][0]["steps_changed"] == ["pause"]
    assert "places" not in said


def test_journeys_with_errors_are_shown_and_exit_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journeys = Path(shutil.copytree(CLEAN, tmp_path / "journeys"))
    (journeys / "cart.yaml").write_text("journey: [")
    assert run(["plan", str(journeys), "--against", CLEAN, *SCHEMAS]) == 1
    assert "error[" in capsys.readouterr().out


def places(version: str) -> Places:
    passages = {
        Place("cart", version, "active", "pause"): 1_200,
        Place("cart", "old", "active", "gone"): 3,
        Place("cart", version, "held_out", ""): 40,
    }
    return Places(2_000, Counter(passages))


def test_customers_inside_are_counted_by_version_and_step() -> None:
    before = side_of(fixture_sources().files, fixture_events().types)
    text = fixture_sources().files["cart.yaml"].replace("wait: 1 hour", "wait: 2 hours")
    after = side_of(fixture_sources({"cart.yaml": text}).files, fixture_events().types)
    assert before.journeys is not None
    plan = Plan("a", "b", changes_between(before, after), places(before.journeys.current["cart"].version))
    text = render_plan(plan, is_coloured=False, shows_diff=False)
    assert "1203 passages stay in the versions they entered" in text
    assert "(held_out)" in text
    assert "1,200" in text
    values = plan_values(plan)
    assert (values["journeys"][0]["inside"], values["journeys"][0]["pinned"]) == (1203, 1203)
    assert sum(place["count"] for place in values["places"]) == 1243


def test_a_drawing_says_how_many_are_in_each_step() -> None:
    draft = side_of(fixture_sources().files, fixture_events().types).drafts["cart"]
    text = mermaid(draft, {"pause": 1_200, "remind": 0})
    assert '"pause<br/>wait 1 hour<br/>1,200 inside"' in text
    assert "0 inside" in text
    assert "inside" not in mermaid(draft)
