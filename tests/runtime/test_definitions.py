from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime import definitions
from orchestrator.runtime import uptake as uptakes
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.definitions import (
    Definition,
    DefinitionsReader,
    decode_definition,
    encode_definition,
    publish_definition,
    read_definitions,
)
from orchestrator.runtime.in_force import (
    InForce,
    Loaded,
    Publications,
    collectable,
    compile_definition,
    load_journeys,
)
from orchestrator.runtime.replay_kafka import journey_sets
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import create_topics, topic_names, topic_specs
from orchestrator.runtime.uptake import Uptake
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
    definition = Definition("abc", {"ä.yaml": "journey: ä"}, {"e.avsc": "{}"}, 7, "anna", "spring", 5)
    assert decode_definition(b"abc/5/0a", encode_definition(definition), offset=7) == definition


def test_a_definition_of_an_earlier_release_is_read() -> None:
    value = b'{"sources": {"a.yaml": "x"}, "schemas": {}}'
    assert decode_definition(b"abc", value, offset=3) == Definition("abc", {"a.yaml": "x"}, {}, 3)


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


def changed(journeys: Path, old: str = "wait: 1 day", new: str = "wait: 2 days") -> Loaded:
    return load(with_text(journeys, old, new))


def versions_of(in_force: InForce) -> set[str]:
    return {version for name, version in in_force.journeys.versions if name == WELCOME}


def at(loaded: Loaded, offset: int) -> Definition:
    return replace(loaded.definition, offset=offset)


def test_a_changed_journey_keeps_its_older_version_in_force(journeys: Path) -> None:
    first = load(journeys)
    second = changed(journeys)
    publications = Publications([at(first, 0), at(second, 1)])
    found = publications.newest
    assert found is not None
    old, new = (loaded.journeys.current[WELCOME].version for loaded in (first, second))
    assert versions_of(found) == {old, new}
    assert found.journeys.current[WELCOME].version == new
    assert (found.journeys.set_id, found.offset) == (second.journeys.set_id, 1)


def test_a_set_is_never_replayed_under_versions_that_came_later(journeys: Path) -> None:
    first = load(journeys)
    second = changed(journeys)
    third = changed(journeys, "wait: 2 days", "wait: 3 days")
    # There, back again, and on: each time other versions are inside.
    sets = journey_sets([at(first, 0), at(second, 1), at(first, 2), at(third, 3)])
    counts = [len({version for name, version in sets[offset].versions if name == WELCOME}) for offset in range(4)]
    assert counts == [1, 2, 2, 3]
    assert sets[0].set_id == sets[2].set_id
    assert sets[first.journeys.set_id] is sets[2]


def test_a_set_that_does_not_compile_any_more_is_refused_and_the_one_before_stays(journeys: Path) -> None:
    publications = Publications([at(load(journeys), 0)])
    assert publications.add(Definition("0123", {"a.yaml": "journey: ["}, {}, 1)) is None
    assert publications.newest is not None
    assert publications.newest.offset == 0
    assert publications.refused == {1: "it does not compile with this release"}


def test_a_set_that_cannot_take_customers_along_as_it_says_is_refused(journeys: Path) -> None:
    first = load(journeys)
    second = changed(journeys, "  next_day:", "  a_day_later:")
    file = journeys / f"{WELCOME}.yaml"
    text = file.read_text()
    file.write_text(text.replace("steps:\n", "migrate: {from: any}\nsteps:\n", 1))
    third = load(journeys)
    file.write_text(text.replace("steps:\n", "migrate: {from: any, steps: {next_day: a_day_later}}\nsteps:\n", 1))
    fourth = load(journeys)
    publications = Publications([at(first, 0), at(third, 1)])
    assert publications.newest is not None
    assert publications.newest.offset == 0
    assert "next_day" in publications.refused[1]
    assert [one.offset for one, _ in publications.kept()] == [0]
    assert publications.add(at(fourth, 2)) is publications.newest
    assert publications.newest.offset == 2
    # Once nobody is in the first any more, nothing speaks against the third.
    publications.add(Definition("collected", {}, {}, 3, forgets=(0, 2)))
    assert publications.why_not(at(third, 4)) == ""
    assert second.journeys.set_id not in {third.journeys.set_id, fourth.journeys.set_id}


def test_an_aggregate_that_is_kept_again_after_a_gap_is_told_from_one_that_always_was(journeys: Path) -> None:
    first = load(journeys)
    counting = changed(journeys, "exit:\n", "exit:\n  - when: count(page_viewed) > 99\n")
    other = changed(journeys, "  - when: count(page_viewed) > 99\n", "  - when: profile.language == 'xx'\n")
    collected = Definition("collected", {}, {}, 3, forgets=(1,))
    publications, resumed = Publications(), []
    for definition in (at(first, 0), at(counting, 1), at(other, 2), collected, at(counting, 4), at(other, 5)):
        found = publications.add(definition)
        assert found is not None
        resumed.append(list(found.journeys.resumed.values()))
        assert ("@" in found.journeys.alignment) == bool(found.journeys.resumed)
    # While somebody may be inside the version that counts it goes on counting: only that it is collected ends it.
    assert resumed == [[], [], [], [], [4], [4]]
    sets = journey_sets(publications.definitions)
    assert sets[4].resumed == sets[5].resumed != {}


def test_the_newest_set_that_declares_an_audience_is_kept_for_those_who_are_in_it(journeys: Path) -> None:
    file = journeys / "audiences.yaml"
    text = file.read_text()
    file.write_text(f"{text}  old_ads: {{destination: ads, identity: email, consent: email}}\n")
    first, second = load(journeys), changed(journeys)
    file.write_text(text)
    third = changed(journeys, "wait: 2 days", "wait: 3 days")
    publications = Publications(
        [replace(at(one, offset), at_ms=offset * 100) for offset, one in enumerate((first, second, third))]
    )
    assert [d.offset for d in collectable(publications, set(), before_ms=999)] == [0]


def test_what_nobody_is_inside_of_is_collected_and_replays_still_know_it(journeys: Path) -> None:
    first = load(journeys)
    second = changed(journeys)
    third = changed(journeys, "wait: 2 days", "wait: 3 days")
    timed = [replace(at(one, offset), at_ms=offset * 100) for offset, one in enumerate((first, second, third))]
    publications = Publications(timed)
    old, middle, new = ((WELCOME, one.journeys.current[WELCOME].version) for one in (first, second, third))
    assert [d.offset for d in collectable(publications, {old, new}, before_ms=999)] == [1]
    assert [d.offset for d in collectable(publications, {new}, before_ms=999)] == [0, 1]
    assert collectable(publications, {old, middle}, before_ms=999) == []
    # The second was superseded too recently, and so a worker may still let customers into it.
    assert [d.offset for d in collectable(publications, {new}, before_ms=200)] == [0]
    before = publications.newest
    found = publications.add(Definition("collected", {}, {}, 3, "anna", "spring", forgets=(1,)))
    assert before is not None
    assert found is not None
    assert (found.journeys.set_id, found.offset) == (third.journeys.set_id, 3)
    assert versions_of(before) - versions_of(found) == {middle[1]}
    assert found.definition.sources == third.definition.sources
    assert [one.offset for one, _ in publications.kept()] == [0, 2]
    # Publishing it again brings it back.
    again = publications.add(at(second, 4))
    assert again is not None
    assert middle[1] in versions_of(again)
    sets = journey_sets([*timed, Definition("collected", {}, {}, 3, forgets=(1,)), at(second, 4)])
    assert [middle in sets[offset].versions for offset in range(1, 5)] == [True, True, False, True]


def test_a_collection_survives_encoding() -> None:
    definition = Definition("collected", {}, {}, 7, "anna", "spring", 5, (1, 2))
    assert decode_definition(b"collected/5/0a", encode_definition(definition), offset=7) == definition


def test_a_broker_that_does_not_answer_is_noticed_without_any_event_and_so_is_its_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(definitions, "LOOK_S", 0.1)
    monkeypatch.setattr(uptakes, "LOOK_EVERY_S", 0.0)
    uptake = Uptake(Brokers("127.0.0.1:1"), "journeys.definitions")
    seen = [uptake.is_broker_up]
    uptake._look()
    seen.append(uptake.is_broker_up)
    monkeypatch.setattr(uptake._reader, "is_answered", lambda: True)
    uptake._look()
    assert [*seen, uptake.is_broker_up] == [True, False, True]


@pytest.fixture
def settings(stack: Stack, topic_prefix: str) -> Settings:
    settings = Settings(
        bootstrap_servers=stack.bootstrap_servers, app_id=f"{topic_prefix}app", topic_prefix=topic_prefix
    )
    create_topics(settings, [spec for spec in topic_specs(settings, []) if spec.name.endswith(".definitions")])
    return settings


def started(settings: Settings, loaded: Loaded, *, publish: bool = False, **options: Any) -> InForce:
    uptake = Uptake(brokers_of(settings), topic_names(settings).definitions, **options)
    return uptake.start_with(lambda: loaded, publish=publish)


def published(settings: Settings) -> list[str]:
    found = read_definitions(brokers_of(settings), topic_names(settings).definitions)
    return [definition.set_id for definition in found]


def test_a_worker_publishes_its_directory_only_where_nothing_was_or_if_told_to(
    settings: Settings, journeys: Path
) -> None:
    first = load(journeys)
    second = changed(journeys)
    sets = [first.journeys.set_id, second.journeys.set_id]
    for _ in range(2):
        assert started(settings, first).journeys.set_id == sets[0]
    assert published(settings) == sets[:1]
    assert started(settings, second).journeys.set_id == sets[0]
    assert started(settings, second, publish=True).journeys.set_id == sets[1]
    assert published(settings) == sets
    assert started(settings, first, publish=True).journeys.set_id == sets[0]
    # Each publication stays, also of the set that came back.
    assert published(settings) == [*sets, sets[0]]


def test_a_set_that_a_worker_cannot_use_leaves_the_one_before_in_force(settings: Settings, journeys: Path) -> None:
    first = load(journeys)
    started(settings, first)
    second = changed(journeys)
    topic = topic_names(settings).definitions

    def check(found: InForce) -> None:
        if found.journeys.set_id == second.journeys.set_id:
            raise EnvironmentProblem("its topic is missing")

    uptake = Uptake(brokers_of(settings), topic, check_usable=check)
    uptake._look()
    assert uptake.is_broker_up
    publish_definition(brokers_of(settings), topic, second.definition)
    assert uptake.start_with(lambda: first, publish=False).journeys.set_id == first.journeys.set_id
    assert uptake.refused == 1
    third = changed(journeys, "wait: 2 days", "wait: 3 days")
    publish_definition(brokers_of(settings), topic, third.definition)
    found = uptake.catch_up()
    assert found is not None
    assert (found.journeys.set_id, uptake.refused) == (third.journeys.set_id, 0)


def test_a_reader_goes_on_after_a_strangers_record(settings: Settings) -> None:
    topic = topic_names(settings).definitions
    reader = DefinitionsReader(brokers_of(settings), topic)
    assert reader.read_to_end() == []
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    producer.produce(topic, b"not ours", b"stranger")
    producer.flush(15)
    publish_definition(brokers_of(settings), topic, Definition("abc", {}, {}))
    with pytest.raises(EnvironmentProblem, match="offset 0"):
        reader.read_to_end()
    assert [one.set_id for one in reader.read_to_end()] == ["abc"]
    reader.close()


def test_a_missing_definitions_topic_is_a_problem(stack: Stack, topic_prefix: str) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be read"):
        read_definitions(Brokers(stack.bootstrap_servers), f"{topic_prefix}none")
