from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.definitions import (
    Definition,
    Loaded,
    compile_definition,
    decode_definition,
    encode_definition,
    journeys_in_force,
    load_journeys,
    publish_definition,
    read_definitions,
)
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import create_topics, topic_names, topic_specs
from orchestrator.stack.stack import Stack

WELCOME = "welcome_series"


def with_text(journeys: Path, old: str, new: str) -> Path:
    path = journeys / f"{WELCOME}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return journeys


@pytest.fixture
def journeys(tmp_path: Path) -> Path:
    return Path(shutil.copytree(journeys_dir(), tmp_path / "journeys"))


def load(journeys: Path) -> Loaded:
    return load_journeys(journeys, schemas_dir())


def test_a_definition_survives_encoding() -> None:
    definition = Definition("abc", {"ä.yaml": "journey: ä"}, {"e.avsc": "{}"}, 7)
    assert decode_definition(b"abc", encode_definition(definition), offset=7) == definition


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"\xff", b'{"sources": 1, "schemas": 2}'])
def test_a_stranger_in_the_definitions_topic_is_named_by_offset(value: bytes) -> None:
    with pytest.raises(EnvironmentProblem, match="offset 4"):
        decode_definition(b"abc", value, offset=4)


def test_a_definition_compiles_to_the_same_versions_as_its_directory(journeys: Path) -> None:
    loaded = load(journeys)
    compiled = compile_definition(decode_definition(b"x", encode_definition(loaded.definition), offset=0))
    assert compiled is not None
    assert (compiled.set_id, compiled.versions.keys()) == (loaded.journeys.set_id, loaded.journeys.versions.keys())


def test_journeys_with_problems_are_refused_with_the_first_of_them(journeys: Path) -> None:
    with_text(journeys, f"journey: {WELCOME}", f"journey: {WELCOME}\nnonsense: 1")
    with pytest.raises(EnvironmentProblem, match=rf"{WELCOME}\.yaml:\d+") as caught:
        load(journeys)
    assert "orchestrator validate" in caught.value.hint


def test_a_definition_that_does_not_compile_any_more_is_none() -> None:
    assert compile_definition(Definition("x", {"a.yaml": "journey: ["}, {})) is None


@pytest.fixture
def settings(stack: Stack, topic_prefix: str) -> Settings:
    settings = Settings(
        bootstrap_servers=stack.bootstrap_servers, app_id=f"{topic_prefix}app", topic_prefix=topic_prefix
    )
    create_topics(settings, [spec for spec in topic_specs(settings, []) if spec.name.endswith(".definitions")])
    return settings


def in_force(settings: Settings, loaded: Loaded, *, publish: bool = True) -> tuple[object, list[str]]:
    journeys, left_out = journeys_in_force(
        settings.bootstrap_servers, topic_names(settings).definitions, loaded, publish=publish
    )
    return journeys, list(left_out)


def published(settings: Settings) -> list[str]:
    found = read_definitions(settings.bootstrap_servers, topic_names(settings).definitions)
    return [definition.set_id for definition in found]


def test_a_changed_journey_keeps_its_older_version_in_force(settings: Settings, journeys: Path) -> None:
    topic = topic_names(settings).definitions
    first = load(journeys)
    journeys_in_force(settings.bootstrap_servers, topic, first, publish=True)
    second = load(with_text(journeys, "wait: 1 day", "wait: 2 days"))
    assert second.journeys.set_id != first.journeys.set_id
    merged, left_out = journeys_in_force(settings.bootstrap_servers, topic, second, publish=True)
    old = {key for key in first.journeys.versions if key[0] == WELCOME}
    new = {key for key in second.journeys.versions if key[0] == WELCOME}
    assert old != new
    assert old | new <= merged.versions.keys()
    assert merged.current[WELCOME].version == second.journeys.current[WELCOME].version
    assert (merged.set_id, left_out) == (second.journeys.set_id, [])


def test_a_set_is_published_once_and_again_when_it_comes_back_into_force(settings: Settings, journeys: Path) -> None:
    first = load(journeys)
    for _ in range(2):
        in_force(settings, first)
    assert published(settings) == [first.journeys.set_id]
    second = load(with_text(journeys, "wait: 1 day", "wait: 2 days"))
    in_force(settings, second)
    in_force(settings, first)
    assert published(settings) == [second.journeys.set_id, first.journeys.set_id]


def test_looking_does_not_publish(settings: Settings, journeys: Path) -> None:
    in_force(settings, load(journeys), publish=False)
    assert published(settings) == []


def test_a_set_that_does_not_compile_any_more_is_left_out_by_name(settings: Settings, journeys: Path) -> None:
    broken = Definition("0123", {"a.yaml": "journey: ["}, {})
    publish_definition(settings.bootstrap_servers, topic_names(settings).definitions, broken)
    assert in_force(settings, load(journeys))[1] == ["0123"]


def test_a_missing_definitions_topic_is_a_problem(stack: Stack, topic_prefix: str) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be read"):
        read_definitions(stack.bootstrap_servers, f"{topic_prefix}none")
