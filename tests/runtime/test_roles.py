"""The list of rights follows the topics, the settings and the journeys; each topic has somebody who needs it."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner

from orchestrator.cli.acls import command
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.grants import Right, grant_command, is_denied
from orchestrator.runtime.ports import TransactionFailed
from orchestrator.runtime.roles import ROLES, TOPICS, kind_of, rights_of
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names, topic_specs

SETTINGS = Settings(topic_prefix="shop.", app_id="shop")


def named(role: str, settings: Settings = SETTINGS, *, emits: tuple[str, ...] = ()) -> set[str]:
    return {str(right) for right in rights_of(role, settings, channels=["email"], emits=emits)}


def test_every_topic_says_who_reads_and_writes_it() -> None:
    names = topic_names(SETTINGS)
    for spec in topic_specs(SETTINGS, ["email"]):
        kind = kind_of(spec.name, names)
        assert TOPICS.get(kind), f"say in orchestrator/runtime/roles.py who reads and who writes {spec.name}"
        operations = " ".join(TOPICS[kind].values()).split()
        assert {"Read", "Write"} == set(operations), f"nobody reads, or nobody writes, {spec.name}"
    assert {role for roles in TOPICS.values() for role in roles} == set(ROLES)


def test_a_worker_reads_events_writes_commands_and_no_more() -> None:
    rights = named("worker")
    assert {"Read topic shop.events.web", "Write topic shop.actions.email", "Read group shop"} <= rights
    assert "Write transactional-id shop-*" in rights
    assert not {right for right in rights if right.startswith(("Create", "Write topic shop.events", "Alter", "All"))}
    assert "Write topic shop.journeys.definitions" not in rights


@pytest.mark.parametrize(
    ("changed", "more"),
    [
        ({"publish": True}, {"Write topic shop.journeys.definitions", "Write topic shop.orchestrator.audit"}),
        ({"event_topics": ("events.x",)}, {"Read topic shop.events.x", "DescribeConfigs topic shop.events.x"}),
    ],
)
def test_settings_that_ask_for_more_need_more_rights(changed: dict[str, object], more: set[str]) -> None:
    settings = dataclasses.replace(SETTINGS, **changed)  # type: ignore[arg-type]
    assert more <= named("worker", settings) - named("worker")


def test_a_worker_that_makes_topics_may_make_these_and_no_others() -> None:
    more = named("worker", dataclasses.replace(SETTINGS, create_topics=True)) - named("worker")
    assert more == {f"Create topic {spec.name}" for spec in topic_specs(SETTINGS, ["email"])}


def test_journeys_that_emit_need_the_right_to() -> None:
    assert named("worker", emits=("events.web",)) - named("worker") == {"Write topic shop.events.web"}


def test_readers_write_nothing_and_no_role_may_do_everything() -> None:
    for role in ("author", "support"):
        # Whoever takes personal data out leaves a record of it.
        written = {right for right in named(role) if right.startswith(("Write", "Create"))}
        assert written <= {"Write topic shop.orchestrator.audit"}
    for role in ROLES:
        assert not any("topic *" in right or right.startswith("All") for right in named(role))


def test_an_operator_may_do_what_a_rebuild_does_and_the_author_who_plans_it_may_not() -> None:
    reads = {f"Read topic shop.{name}" for name in (*SETTINGS.event_topics, "journeys.journal", "journeys.definitions")}
    writes = {"Write topic shop.events.profile", "Write topic shop.orchestrator.audit"}
    assert reads | writes <= named("operator")
    assert not (named("author") & (reads - {"Read topic shop.journeys.definitions"} | writes))


def test_nobody_writes_approvals_but_the_approver_and_whoever_brings_into_force_reads_them() -> None:
    for settings in (SETTINGS, dataclasses.replace(SETTINGS, publish=True, create_topics=True)):
        writers = {role for role in ROLES if "Write topic shop.orchestrator.approvals" in named(role, settings)}
        assert writers == {"approver"}
    assert "Read topic shop.orchestrator.approvals" in named("operator") & named("author")
    publishing = named("worker", dataclasses.replace(SETTINGS, publish=True))
    assert "Read topic shop.orchestrator.approvals" in publishing - named("worker")


def test_a_right_is_granted_with_kafkas_own_tool() -> None:
    right = Right("transactional-id", "shop-", is_prefix=True, operation="Write")
    assert grant_command(right, "User:anna", "kafka:9092") == (
        "kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal 'User:anna' --operation Write "
        "--transactional-id 'shop-' --resource-pattern-type prefixed"
    )


def test_the_command_prints_each_role_for_people_tools_and_programs() -> None:
    places = ["--journeys", str(journeys_dir()), "--schemas", str(schemas_dir()), "--topic-prefix", "shop."]
    text = CliRunner().invoke(command, [*places, "--role", "worker"], catch_exceptions=False).output
    assert text.startswith("worker (User:orchestrator-worker): ")
    assert "shop.actions.email" in text
    assert "producer" not in text
    listed = json.loads(CliRunner().invoke(command, [*places, "--format", "json"], catch_exceptions=False).output)
    assert {entry["role"] for entry in listed} == set(ROLES)
    tool = ["--format", "kafka-acls", "--principal", "User:anna", "--role", "producer"]
    lines = CliRunner().invoke(command, [*places, *tool], catch_exceptions=False).output.splitlines()
    assert lines[0] == "# producer"
    assert all(line.startswith("kafka-acls.sh ") and "'User:anna'" in line for line in lines[1:])
    unknown = CliRunner().invoke(command, [*places, "--role", "king"])
    assert unknown.exit_code == 2
    assert "worker, producer" in unknown.output


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TransactionFailed("commit_transaction: TOPIC_AUTHORIZATION_FAILED: Broker: Topic authorization failed"), True),
        (TransactionFailed("commit_transaction: _INCONSISTENT: 2 message(s) failed delivery"), True),
        (TransactionFailed("commit_transaction: _TIMED_OUT"), False),
        (type("GroupAuthorizationFailedError", (Exception,), {})(), True),
        (ValueError("x"), False),
    ],
)
def test_refusals_are_told_from_other_failures(error: Exception, *, expected: bool) -> None:
    assert is_denied(error) is expected
