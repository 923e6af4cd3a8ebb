"""What messages on a channel consist of: read from schemas, refused with a reason, and kept to by what is shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.authoring.channel_contents import ChannelContent, channel_content, load_channel_contents
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import schemas_dir


def record(*fields: dict[str, Any], name: str = "letter_content") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


BODY = {"name": "body", "type": "string"}


def test_a_string_must_be_there_and_null_with_a_default_may_be() -> None:
    enclosure = {"name": "enclosure", "type": ["null", "string"], "default": None}
    found = channel_content(record(BODY, enclosure))
    assert found == ChannelContent("letter", frozenset({"body"}), frozenset({"enclosure"}))
    assert found.parts == {"body", "enclosure"}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (record(BODY, name="letter"), "called <channel>_content"),
        ({"type": "enum", "name": "letter_content", "symbols": ["a"]}, "called <channel>_content"),
        (record({"name": "pages", "type": "int"}), '"pages" must be a string'),
        (record({"name": "seal", "type": ["null", "string"]}), '"seal" must be a string, or null or a string with'),
        (record({"name": "seal", "type": ["string", "null"], "default": "x"}), '"seal" must be a string'),
    ],
)
def test_other_schemas_are_refused_with_the_reason(schema: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason):
        channel_content(schema)
    (tmp_path / "actions").mkdir()
    (tmp_path / "actions" / "letter_content.avsc").write_text(json.dumps(schema))
    with pytest.raises(EnvironmentProblem, match=reason):
        load_channel_contents(tmp_path)


def test_a_file_that_is_no_schema_is_named(tmp_path: Path) -> None:
    (tmp_path / "actions").mkdir()
    (tmp_path / "actions" / "letter_content.avsc").write_text("{")
    with pytest.raises(EnvironmentProblem, match="is no channel's content"):
        load_channel_contents(tmp_path)


def test_without_a_folder_of_commands_nothing_is_known(tmp_path: Path) -> None:
    assert load_channel_contents(tmp_path) == {}


def test_every_shipped_content_is_personal_data_and_has_a_body() -> None:
    files = sorted((schemas_dir() / "actions").glob("*_content.avsc"))
    assert {file.name.removesuffix("_content.avsc") for file in files} == set(load_channel_contents(schemas_dir()))
    for file in files:
        schema = json.loads(file.read_text())
        assert "body" in channel_content(schema).required, file
        assert all(field["pii"] and field["doc"] for field in schema["fields"]), file


def test_the_documentation_lists_every_channel_with_its_parts() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations" / "channels.md").read_text()
    contents = load_channel_contents(schemas_dir())
    rows = {row.split("`")[1]: row.split(" | ")[2] for row in text.splitlines() if row.startswith("| `")}
    for channel, content in contents.items():
        parts = [part.strip() for part in rows[channel].split(",")]
        assert {part.strip("`") for part in parts if part.startswith("`")} == content.required, channel
        assert {part.strip("[]`") for part in parts if part.startswith("[")} == content.optional, channel
