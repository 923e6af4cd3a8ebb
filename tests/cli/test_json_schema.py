"""``orchestrator json-schema``: one schema on the standard output, or all in a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.authoring.json_schema import SCHEMAS, editor_schema
from orchestrator.cli.main import run


def test_the_schema_of_one_kind_of_file_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["json-schema", "journey"]) == 0
    assert capsys.readouterr().out == editor_schema("journey")


def test_the_schemas_of_all_kinds_are_written_to_a_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["json-schema", "--output", str(tmp_path / "new")]) == 0
    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == {
        f"{kind}.json": editor_schema(kind) for kind in SCHEMAS
    }
    assert capsys.readouterr().out.count("wrote ") == len(SCHEMAS)


def test_neither_a_kind_nor_a_directory_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["json-schema"]) == 2
    assert "name a kind of file (journey, channels" in capsys.readouterr().err


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(["json-schema", "--output", str(tmp_path / "file" / "below")]) == 3
    assert "below cannot be written" in capsys.readouterr().err
