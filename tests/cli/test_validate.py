"""``orchestrator validate`` and ``orchestrator graph``: words and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.cli.main import run

FIXTURES = Path(__file__).parent.parent / "authoring" / "fixtures"
PROBLEMS = FIXTURES.parent / "problems"
SCHEMAS = ["--schemas", str(FIXTURES / "schemas")]
CLEAN = str(FIXTURES / "journeys")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    for file in (FIXTURES / "journeys").rglob("*.*"):
        target = tmp_path / file.relative_to(FIXTURES / "journeys")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.read_text().replace("go: offer", "go: ofer"))
    return tmp_path


def test_clean_journeys_are_counted_and_exit_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", CLEAN, *SCHEMAS]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 journey, 8 steps: no problems\n\nmessages to one customer in a week, at most")


def test_a_problem_is_shown_with_its_line_and_exits_with_1(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(broken), *SCHEMAS]) == 1
    out = capsys.readouterr().out
    assert out == (
        f'{broken}/cart.yaml:29:40: error[J203]: step "worth_it" goes to unknown step "ofer"\n'
        "  29 |       - {when: entry.value >= 100, go: ofer}\n"
        "     |                                        ^^^^\n"
        '  hint: did you mean "offer"?\n'
        "1 journey, 8 steps: 1 error\n"
    )


def test_problems_as_json_can_be_read_by_a_program(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(broken), "--format", "json", *SCHEMAS]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["journeys"], found["steps"]) == (1, 8)
    assert found["problems"] == [
        {
            "path": f"{broken}/cart.yaml",
            "line": 29,
            "column": 40,
            "length": 4,
            "code": "J203",
            "severity": "error",
            "message": 'step "worth_it" goes to unknown step "ofer"',
            "hint": 'did you mean "offer"?',
        }
    ]


def test_warnings_alone_exit_with_0(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (FIXTURES / "journeys" / "cart.yaml").read_text().replace(", within: 7 days", "")
    (broken / "cart.yaml").write_text(text)
    assert run(["validate", str(broken), *SCHEMAS]) == 0
    assert "\n1 journey, 8 steps: 1 warning\n" in capsys.readouterr().out


def test_broken_schemas_are_shown_first_and_exit_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.avsc").write_text("{")
    assert run(["validate", CLEAN, "--schemas", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "broken.avsc:1:2: error[J901]" in out
    assert out.endswith("the journeys were not checked: 1 error\n")


def test_the_folder_events_below_the_schemas_is_found(tmp_path: Path) -> None:
    (tmp_path / "events").symlink_to(FIXTURES / "schemas")
    assert run(["validate", CLEAN, "--schemas", str(tmp_path)]) == 0


@pytest.mark.parametrize("arguments", [["nowhere"], [CLEAN, "--schemas", "nowhere"]])
def test_a_missing_directory_exits_with_3(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", *arguments]) == 3
    assert "hint: name the directory" in capsys.readouterr().err


def test_a_file_instead_of_the_directory_says_to_name_the_directory(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", f"{CLEAN}/cart.yaml", *SCHEMAS]) == 3
    assert f"name the directory that holds them, such as {CLEAN}" in capsys.readouterr().err
    assert run(["test", f"{CLEAN}/cart.yaml", *SCHEMAS]) == 2
    assert "name " + f"{CLEAN}/cart.scenarios.yaml" in " ".join(capsys.readouterr().err.split())


def test_a_graph_is_printed_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "cart", CLEAN, *SCHEMAS]) == 0
    assert capsys.readouterr().out == (FIXTURES.parent.parent / "golden" / "graph" / "cart.mmd").read_text()


def test_a_graph_of_an_unknown_journey_exits_with_2_and_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "carts", CLEAN, *SCHEMAS]) == 2
    assert 'did you mean "cart"?' in capsys.readouterr().err


def test_a_graph_of_journeys_with_errors_shows_them_and_exits_with_1(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["graph", "cart", str(broken), *SCHEMAS]) == 1
    assert "error[J203]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["validate", "graph"])
def test_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"  orchestrator {name}" in capsys.readouterr().out
