"""The schemas for editors: published as the code makes them, and of one mind with the compiler."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from orchestrator.authoring import (
    action_source,
    entry_bounds,
    entry_source,
    experiments,
    governance_source,
    journey_source,
    migrate_source,
    pause_source,
    policies_source,
    reading,
    rules_source,
    scenario_nodes,
    segment_source,
    step_source,
    wait_source,
)
from orchestrator.authoring.durations import UNITS_MS, parse_duration
from orchestrator.authoring.json_schema import DURATION, MOVED, NAME, PERCENT, SCHEMAS, WAIT, editor_schema
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenario_nodes import value_of_node
from orchestrator.authoring.sources import SCENARIO_SUFFIXES, read_sources
from orchestrator.authoring.step_source import KEYS
from orchestrator.authoring.yaml_source import Document, Node, Scalar, parse_yaml
from orchestrator.model.problems import Problem
from orchestrator.resources import journeys_dir
from tests.authoring.cases import HERE, Case, all_codes
from tests.authoring.test_language_docs import examples
from tests.journeys.shipped import shipped_journeys, shipped_shapes

ROOT = HERE.parent.parent
FIXTURES = HERE / "fixtures" / "journeys"
SHAPES_ONLY = frozenset(
    {
        "J107",
        "J108",
        "J109",
        "J110",
        "J113",
        "J114",
        "J115",
        "J116",
        "J117",
        "J118",
        "J119",
        "J140",
        "J141",
        "J160",
        "J163",
        "J185",
        "J186",
        "J195",
        "J196",
        "J180",
        "J501",
        "J502",
        "J506",
        "J701",
        "J801",
        "J802",
        "J803",
    }
)
"""Problems of keys and kinds of values: those that a schema can see. The others need the whole of the journeys."""


def kind_of(path: str) -> str:
    if path.endswith(SCENARIO_SUFFIXES):
        return "scenarios"
    stem = path.removesuffix(".yaml")
    return stem if stem in SCHEMAS else "journey"


def plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def mistakes(path: str, text: str) -> list[str]:
    problems: list[Problem] = []
    root = parse_yaml(path, text, problems)
    assert root is not None
    assert problems == []
    validator = Draft7Validator(json.loads(editor_schema(kind_of(path))))
    return [
        f"{path}: {error.json_path}: {error.message}" for error in validator.iter_errors(plain(value_of_node(root)))
    ]


def yaml_files(directory: Path) -> list[tuple[str, str]]:
    return [(path, text) for path, text in read_sources(directory).files.items() if not path.endswith(".liquid")]


def objects(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every part of the schema that lists the keys of an object."""
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is False:
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def all_objects() -> list[Mapping[str, Any]]:
    return [found for kind in SCHEMAS for found in objects(json.loads(editor_schema(kind)))]


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_a_published_schema_is_what_the_code_makes_of_it(kind: str) -> None:
    published = (ROOT / "schemas" / "editor" / f"{kind}.json").read_text()
    assert published == editor_schema(kind), "stale: orchestrator json-schema --output schemas/editor"


def test_every_schema_of_the_folder_is_one_that_the_code_makes() -> None:
    assert {path.stem for path in (ROOT / "schemas" / "editor").iterdir()} == set(SCHEMAS)


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_a_schema_is_a_schema_and_says_what_each_key_means(kind: str) -> None:
    schema = json.loads(editor_schema(kind))
    Draft7Validator.check_schema(schema)
    described = [part for found in objects(schema) for part in found["properties"].values()]
    assert described
    assert all("\n" not in part["description"] and part["description"].endswith(".") for part in described)


@pytest.mark.parametrize(("path", "text"), [*yaml_files(journeys_dir()), *yaml_files(FIXTURES)])
def test_every_file_that_is_shipped_fits_its_schema(path: str, text: str) -> None:
    assert mistakes(path, text) == []


def test_the_examples_of_the_language_reference_fit_their_schemas() -> None:
    found = {path: text for path, text in examples().items() if path.endswith(".yaml")}
    assert len(found) >= 4
    assert [mistake for path, text in found.items() for mistake in mistakes(path, text)] == []


def own_files(code: str) -> list[tuple[str, str]]:
    return yaml_files(HERE / "problems" / code)


@pytest.mark.parametrize("code", sorted(SHAPES_ONLY))
def test_a_mistake_in_keys_or_kinds_of_values_is_one_for_the_schema_too(code: str) -> None:
    assert any(mistakes(path, text) for path, text in own_files(code))


def test_what_only_the_compiler_can_know_is_no_mistake_for_the_schema() -> None:
    unreadable = {"J101", "J102", "J103", "J104", "J105", "J106", "J111", "J112", "J197"}
    deeper = {"J303", "J306", "J601", "J703", "J704", "J804", "J807", "J809"}
    for code in set(all_codes()) - SHAPES_ONLY - unreadable - deeper:
        for path, text in own_files(code):
            assert mistakes(path, text) == [], code


def test_the_schemas_have_the_keys_that_the_compiler_knows_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: set[frozenset[str]] = set()
    fields, mapping = reading.fields, scenario_nodes.Reader.mapping

    def noted_fields(node: Node, known: Iterable[str], problems: list[Problem], **more: Any) -> Any:
        listed = tuple(known)
        checked.add(frozenset(listed))
        return fields(node, listed, problems, **more)

    def noted_mapping(self: Any, node: Node, keys: set[str] | frozenset[str], *, required: set[str]) -> Any:
        # The rest of a line that expects nothing known is read for its mistakes only.
        checked.update([frozenset(keys)] if keys else [])
        return mapping(self, node, keys, required=required)

    for module in (
        experiments,
        governance_source,
        policies_source,
        entry_bounds,
        entry_source,
        journey_source,
        pause_source,
        step_source,
        action_source,
        rules_source,
        segment_source,
        wait_source,
        migrate_source,
    ):
        monkeypatch.setattr(module, "fields", noted_fields)
    monkeypatch.setattr(scenario_nodes.Reader, "mapping", noted_mapping)
    for code in all_codes():
        Case(code).problems()
    # The problems at hand need not have every kind of entry and step.
    for kind in entry_source.TRIGGER_KEYS:
        entry_source.read_entry(parse_yaml("x.yaml", f"{kind}: x", []), [])
    for kind in KEYS:
        steps = parse_yaml("x.yaml", f"a: {{{kind}: x}}", [])
        assert steps is not None
        for name, node in reading.read_pairs(steps, [], what="steps"):
            step_source.read_step(name, node, [])
    shipped = Case("J107")
    shipped.sources = read_sources(journeys_dir())
    load_scenarios(shipped.sources.files, shipped_journeys(), shipped_shapes())
    ours = {frozenset(found["properties"]) for found in all_objects()}
    assert {tuple(sorted(found)) for found in checked - ours} == set(), "the compiler knows more"
    # The scenarios at hand need not use every kind of expectation.
    unread = {found for found in ours - checked if not {"at", "journey"} <= found}
    assert {tuple(sorted(found)) for found in unread} == set(), "the compiler does not know these"


def test_every_kind_of_step_can_be_completed() -> None:
    steps = json.loads(editor_schema("journey"))["properties"]["steps"]["additionalProperties"]["oneOf"]
    assert {step["title"]: tuple(step["properties"]) for step in steps} == KEYS


def fits(schema: Mapping[str, Any], value: str) -> bool:
    return bool(Draft7Validator(schema).is_valid(value))


def scalar(value: str) -> Scalar:
    return Scalar(Document("x.yaml", value), 0, len(value), value, "'")


units = st.sampled_from([*UNITS_MS, *(f"{unit}s" for unit in UNITS_MS), "month", "years", "hourss", ""])


@given(
    st.builds("{}{}{}".format, st.sampled_from(["1", "90", "007", "x", "-1"]), st.sampled_from([" ", "  ", ""]), units)
)
def test_a_duration_is_one_for_the_schema_and_for_the_compiler(text: str) -> None:
    found = parse_duration(text)
    # How long it may be is not the schema's to know.
    assert fits(DURATION, text) == (isinstance(found, int) or found.code in {"J503", "J504"})


calendar_units = st.sampled_from(["day", "weeks", "month", "months", "year", "years", "monthss", "moon"])


@given(
    st.builds(
        "{}{} {}".format, st.sampled_from(["", "-", "+", "--"]), st.sampled_from(["1", "12", "x"]), calendar_units
    )
)
def test_an_offset_and_a_calendar_wait_are_ones_for_the_schema_and_for_the_compiler(text: str) -> None:
    for schema, source in ((WAIT, f"a: {{wait: '{text}'}}"), (MOVED, _moved(text))):
        problems: list[Problem] = []
        root = parse_yaml("x.yaml", source, problems)
        assert root is not None
        for name, node in reading.read_pairs(root, problems, what="steps"):
            step_source.read_step(name, node, problems)
        # How long it may be is not the schema's to know.
        found = {problem.code for problem in problems} - {"J503", "J504"}
        assert fits(schema, text) == (not found), source


def _moved(offset: str) -> str:
    return f"a: {{wait: {{until: profile.birthday, offset: '{offset}', missing: b, past: now}}}}"


@given(st.text("az_09A-é", max_size=4) | st.integers(55, 65).map("a".__mul__))
def test_a_name_is_one_for_the_schema_and_for_the_compiler(text: str) -> None:
    problems: list[Problem] = []
    reading.read_name(scalar(text), problems, what="x")
    assert fits(NAME, text) == (not problems)


@given(st.text("019.% ", max_size=6))
def test_a_share_is_one_for_the_schema_and_for_the_compiler(text: str) -> None:
    problems: list[Problem] = []
    reading.read_percent(scalar(text), problems, what="x")
    assert fits(PERCENT, text) == ("J701" not in {problem.code for problem in problems} and bool(text))
