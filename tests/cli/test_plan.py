"""``orchestrator plan`` without a broker: words and exit codes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from orchestrator.authoring.changes import changes_between, side_of
from orchestrator.authoring.graph import mermaid
from orchestrator.cli._plan import Plan, plan_values, render_plan
from orchestrator.cli.main import run
from orchestrator.runtime.places import Place, Places
from tests.authoring.cases import GOLDEN, fixture_events, fixture_sources

FIXTURES = Path(__file__).parent.parent / "authoring" / "fixtures"
CLEAN = str(FIXTURES / "journeys")
CART = fixture_sources().files["cart.yaml"]
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


def test_the_command_that_gives_a_new_aggregate_the_past_is_told(
    changed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(changed) / "cart.yaml"
    path.write_text(path.read_text().replace("event.value > 0", "event.value > 0 and count(order_placed, 3 days) == 0"))
    assert run(["plan", changed, "--against", CLEAN, *SCHEMAS]) == 0
    command = "orchestrator rebuild 'count(order_placed, 3 days)' --who NAME --why TEXT"
    assert f"    {command}\n" in capsys.readouterr().out
    assert run(["plan", changed, "--against", CLEAN, "--format", "json", *SCHEMAS]) == 0
    assert json.loads(capsys.readouterr().out)["rebuilds"] == [command]


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


RENAMED = ("  react:\n", "  await_click:\n")
MIGRATE = "migrate:\n  from: any\n  steps: {react: await_click}\nsteps:\n"


def migrating(text: str, declared: str = MIGRATE) -> str:
    return text.replace(*RENAMED).replace("steps:\n", declared, 1)


def test_who_comes_along_is_shown_and_who_does_not() -> None:
    before = side_of(fixture_sources().files, fixture_events().types)
    after = side_of(fixture_sources({"cart.yaml": migrating(CART)}).files, fixture_events().types)
    assert before.journeys is not None
    assert after.journeys is not None
    old, new = (side.journeys.current["cart"].version for side in (before, after) if side.journeys is not None)
    counts = {("active", "react", old): 7, ("active", "pause", old): 1_200, ("held_out", "", old): 40}
    counts |= {("active", "pause", new): 5, ("finished", "", old): 2}
    inside = Places(2_000, Counter({Place("cart", v, state, step): n for (state, step, v), n in counts.items()}))
    changes = changes_between(before, after)
    for name, journeys in (("any", after.journeys), ("none", before.journeys)):
        plan = Plan("a", "b", changes, inside, journeys.migrating)
        golden = GOLDEN / "plans" / name
        said = {
            ".txt": render_plan(plan, is_coloured=False, shows_diff=False) + "\n",
            ".json": msgspec.json.format(msgspec.json.encode(plan_values(plan)), indent=2).decode() + "\n",
        }
        for suffix, text in said.items():
            assert text == golden.with_suffix(suffix).read_text()


def test_customers_who_cannot_come_along_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journeys = Path(shutil.copytree(CLEAN, tmp_path / "journeys"))
    (journeys / "cart.yaml").write_text(migrating(CART, "migrate: {from: any}\nsteps:\n"))
    against = ["--against", CLEAN, *SCHEMAS]
    for command in ("plan", "validate"):
        assert run([command, str(journeys), *against]) == 1
        assert "error[J312]" in capsys.readouterr().out
        assert run([command, str(journeys), *against, "--format", "json"]) == 1
        assert "J312" in [problem["code"] for problem in json.loads(capsys.readouterr().out)["problems"]]
    assert run(["validate", str(journeys), *SCHEMAS]) == 0
    (journeys / "cart.yaml").write_text(migrating(CART, "migrate: {from: [abcdef]}\nsteps:\n"))
    capsys.readouterr()
    assert run(["plan", str(journeys), *against]) == 0
    said = capsys.readouterr().out
    assert "warning[J310]" in said
    assert "~ journey cart (live)" in said
    assert run(["plan", str(journeys), *against, "--format", "json"]) == 0
    assert [problem["code"] for problem in json.loads(capsys.readouterr().out)["problems"]] == ["J310"]


def test_journeys_to_compare_with_must_have_no_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journeys = Path(shutil.copytree(CLEAN, tmp_path / "journeys"))
    (journeys / "cart.yaml").write_text("journey: [")
    assert run(["validate", CLEAN, "--against", str(journeys), *SCHEMAS]) == 3
    assert "have errors" in capsys.readouterr().err


def test_a_drawing_says_how_many_are_in_each_step() -> None:
    draft = side_of(fixture_sources().files, fixture_events().types).drafts["cart"]
    text = mermaid(draft, {"pause": 1_200, "remind": 0})
    assert '"pause<br/>wait 1 hour<br/>1,200 inside"' in text
    assert "0 inside" in text
    assert "inside" not in mermaid(draft)
