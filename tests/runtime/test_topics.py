from __future__ import annotations

import os
from dataclasses import replace

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from orchestrator.cli.topics import command
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import (
    NOTHING,
    TopicSpec,
    create_topics,
    ensure_topics,
    kept_for_ever,
    kept_too_short,
    mismatches,
    topic_names,
    topic_specs,
)
from orchestrator.stack.stack import Stack
from tests.journeys.shipped import shipped_journeys

SETTINGS = Settings(app_id="shop", topic_prefix="eu.", event_topics=("events.web", "events.orders"), partitions=6)


def test_every_topic_but_the_changelog_carries_the_prefix() -> None:
    names = topic_names(SETTINGS)
    assert names.events == ("eu.events.web", "eu.events.orders")
    assert names.actions("email") == "eu.actions.email"
    assert (names.transitions, names.journal) == ("eu.journeys.transitions", "eu.journeys.journal")
    assert (names.dead_letters, names.definitions) == ("eu.journeys.dead-letters", "eu.journeys.definitions")
    assert names.changelog == "shop-customers-changelog"


def test_event_topics_get_their_time_from_the_broker_on_the_wall_clock_and_from_the_event_on_stream_time() -> None:
    def config(settings: Settings) -> dict[str, str]:
        (spec,) = (spec for spec in topic_specs(settings, []) if spec.name == "eu.events.web")
        return dict(spec.config)

    assert config(SETTINGS) == {"message.timestamp.type": "LogAppendTime"}
    # Without the second, the broker would delete historic records within minutes.
    assert config(replace(SETTINGS, time="stream")) == {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}


def test_all_topics_are_co_partitioned_but_those_that_are_about_the_whole_installation() -> None:
    partitions = {spec.name: spec.partitions for spec in topic_specs(SETTINGS, ["email"])}
    of_all = ("eu.journeys.definitions", "eu.orchestrator.audit", "eu.orchestrator.approvals")
    assert [partitions.pop(name) for name in of_all] == [1, 1, 1]
    assert set(partitions.values()) == {6}


def test_state_is_compacted() -> None:
    compacted = {spec.name for spec in topic_specs(SETTINGS, []) if spec.config.get("cleanup.policy") == "compact"}
    assert compacted == {"shop-customers-changelog", "eu.journeys.definitions", "eu.orchestrator.approvals"}


def test_the_audit_log_is_kept_for_ever_unless_it_is_said_otherwise() -> None:
    def of(settings: Settings) -> TopicSpec:
        (spec,) = (spec for spec in topic_specs(settings, []) if spec.name == "eu.orchestrator.audit")
        return spec

    assert dict(of(SETTINGS).config) == {"cleanup.policy": "delete"}
    assert dict(of(SETTINGS).initial) == {"retention.ms": "-1"}
    assert dict(of(replace(SETTINGS, audit_retention_days=1)).initial) == {"retention.ms": "86400000"}


def test_recalls_are_kept_longer_than_the_commands_that_they_are_about() -> None:
    def kept_days(days: int) -> tuple[int, int]:
        specs = {spec.name: spec for spec in topic_specs(replace(SETTINGS, action_retention_days=days), ["email"])}
        recalls, actions = specs["eu.journeys.recalls"], specs["eu.actions.email"]
        assert dict(recalls.config) == {"cleanup.policy": "compact,delete"}
        assert recalls.holds == "digests of customer ids"
        found = [int(spec.initial["retention.ms"]) for spec in (recalls, actions)]
        return found[0] // 86_400_000, found[1] // 86_400_000

    assert kept_days(7) == (15, 7)
    assert kept_days(30) == (38, 30)
    assert kept_days(-1) == (-1, -1)


def test_a_broker_that_is_not_there_is_a_problem_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.runtime.topics.TIMEOUT_S", 0.3)
    with pytest.raises(EnvironmentProblem, match=r"127\.0\.0\.1:1 does not answer") as caught:
        mismatches(replace(SETTINGS, bootstrap_servers="127.0.0.1:1"), topic_specs(SETTINGS, []))
    assert "--bootstrap-servers" in caught.value.hint


@pytest.fixture
def settings(stack: Stack, topic_prefix: str) -> Settings:
    return Settings(
        bootstrap_servers=stack.bootstrap_servers,
        app_id=topic_prefix + "app",
        topic_prefix=topic_prefix,
        event_topics=("events.web",),
        partitions=2,
    )


def test_a_dead_letter_larger_than_a_broker_takes_elsewhere_is_taken(settings: Settings) -> None:
    create_topics(settings, topic_specs(settings, []))
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "message.max.bytes": 10_000_000})
    producer.produce(
        topic_names(settings).dead_letters, os.urandom(2_000_000), on_delivery=lambda error, _: failures.append(error)
    )
    assert producer.flush(30) == 0
    assert failures == [None]


def test_created_topics_are_as_they_must_be_and_creating_again_changes_nothing(settings: Settings) -> None:
    specs = topic_specs(settings, ["email"])
    assert create_topics(settings, specs) == [spec.name for spec in specs]
    assert mismatches(settings, specs) == []
    assert ensure_topics(settings, specs, create=True) == []


def test_missing_topics_are_named_with_what_to_do(settings: Settings) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        ensure_topics(settings, topic_specs(settings, []), create=False)
    assert f"{settings.topic_prefix}events.web" in str(caught.value)
    assert "topics do not exist" in str(caught.value)
    assert "orchestrator topics create" in caught.value.hint


def test_every_difference_names_topic_setting_found_and_wanted(settings: Settings) -> None:
    create_topics(settings, topic_specs(settings, []))
    other = replace(settings, time="stream", partitions=3)
    found = {str(problem) for problem in mismatches(other, topic_specs(other, []))}
    web = f"{settings.topic_prefix}events.web"
    assert f"topic {web} has message.timestamp.type LogAppendTime, needed is CreateTime" in found
    assert f"topic {web} has partitions 2, needed is 3" in found
    assert f"topic {settings.app_id}-customers-changelog has partitions 2, needed is 3" in found
    with pytest.raises(EnvironmentProblem) as caught:
        ensure_topics(other, topic_specs(other, []), create=True)
    assert "--partitions" in caught.value.hint


def test_the_command_creates_and_checks(settings: Settings) -> None:
    arguments = ["--bootstrap-servers", settings.bootstrap_servers, "--topic-prefix", settings.topic_prefix]
    arguments += ["--app-id", settings.app_id]
    missing = CliRunner().invoke(command, ["check", *arguments], standalone_mode=False)
    assert missing.return_value == 1
    created = CliRunner().invoke(command, ["create", *arguments], standalone_mode=False)
    # The command was not told which event topics there are.
    number = len(topic_specs(Settings(), shipped_journeys().destinations))
    new = f"{number} topics are as they must be, {number} of them new"
    assert (created.return_value, new in created.output) == (0, True)
    checked = CliRunner().invoke(command, ["check", *arguments], standalone_mode=False)
    assert (checked.return_value, checked.output) == (0, f"{number} topics are as they must be\n")


def test_topics_that_keep_data_about_customers_for_ever_are_named(settings: Settings) -> None:
    create_topics(settings, topic_specs(replace(settings, decision_retention_days=-1), []))
    # The audit log is kept for ever, and so is what is compacted: nothing is said of them.
    assert kept_for_ever(settings, topic_specs(settings, [])) == [topic_names(settings).transitions]


def test_recalls_that_go_too_early_are_told(settings: Settings) -> None:
    specs, names, day_ms = topic_specs(settings, ["email", "sms"]), topic_names(settings), 86_400_000
    create_topics(settings, [spec for spec in specs if spec.name != names.actions("email")])
    assert kept_too_short(settings, specs) == []
    # Somebody wants to have them longer, on the broker or by the setting, and does not think of recalls.
    create_topics(settings, topic_specs(replace(settings, action_retention_days=30), ["email"]))
    assert [str(short) for short in kept_too_short(settings, specs)] == [
        f"topic {names.recalls} has retention.ms {15 * day_ms}, needed is {38 * day_ms}"
    ]


def test_every_topic_with_data_about_customers_has_an_end_to_it() -> None:
    for spec in topic_specs(SETTINGS, ["email"]):
        bound = spec.initial.get("retention.ms", spec.initial.get("max.compaction.lag.ms", "-1"))
        assert (int(bound) > 0) is (spec.holds != NOTHING), spec.name
