"""The list of rights follows the topics, the settings and the journeys; each topic has somebody who needs it."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner

from orchestrator.cli.acls import command
from orchestrator.cli.main import cli
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime import command_rights
from orchestrator.runtime.command_rights import COMMANDS, explained_problem, require_right
from orchestrator.runtime.grants import Right, grant_command, is_denied
from orchestrator.runtime.ports import TransactionFailed
from orchestrator.runtime.roles import ROLES, TOPICS, kind_of, rights_of
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import sink_spec, topic_names, topic_specs

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


COMMANDS_OF = {
    "producer": ("produce", "ingest"),
    "author": ("plan", "graph"),
    "approver": ("approve",),
    "operator": ("topics", "apply", "pause", "resume", "rebuild", "versions", "dead-letters", "audit"),
    "support": ("tail", "explain", "export", "replay"),
    "privacy": ("erase",),
}


@pytest.mark.parametrize("role", COMMANDS_OF)
def test_a_role_may_do_what_its_commands_do_and_no_more(role: str) -> None:
    done: dict[str, set[str]] = {}
    for name in COMMANDS_OF[role]:
        assert name in ROLES[role]
        for kind, operations in COMMANDS[name].items():
            done.setdefault(kind, set()).update(operations.split())
    assert done == {kind: set(roles[role].split()) for kind, roles in TOPICS.items() if role in roles}


def test_every_command_that_asks_brokers_says_what_it_does_there() -> None:
    context = cli.make_context("orchestrator", [], resilient_parsing=True)
    asking = set()
    for name in cli.list_commands(context):
        main = cli.get_command(context, name)
        assert main is not None
        for one in (main, *getattr(main, "commands", {}).values()):
            if any(option.name == "bootstrap_servers" for option in one.params):
                asking.add(name)
    # Of these: two say by themselves what they may not, one prints, one has brokers of its own.
    assert asking - {"worker", "connect", "acls", "demo"} == set(COMMANDS)


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


SIGNED_IN = dataclasses.replace(
    SETTINGS, security_protocol="sasl_ssl", sasl_username="anna", sasl_password="not-in-any-text"
)


@pytest.mark.parametrize(
    ("said", "lacking", "expected"),
    [
        ("topic shop.journeys.journal does not exist", ["shop.journeys.journal"], ["shop.journeys.journal"]),
        ("topic shop.journeys.journal does not exist", [], None),
        ("topic shop.journeys.other does not exist", ["shop.journeys.journal"], None),
        ("Broker: Topic authorization failed", ["shop.journeys.journal"], ["shop.journeys.journal"]),
        (
            "events.web: Broker: Topic authorization failed",
            ["shop.events.web", "shop.journeys.journal"],
            ["shop.events.web"],
        ),
        ("the registry does not answer", ["shop.journeys.journal"], None),
        ("Broker: Transactional Id authorization failed", [], ["shop-audit-"]),
    ],
)
def test_a_right_is_named_where_the_problem_is_about_it_and_only_there(
    monkeypatch: pytest.MonkeyPatch, said: str, lacking: list[str], expected: list[str] | None
) -> None:
    monkeypatch.setattr(
        command_rights,
        "missing_rights",
        lambda *_, **__: [Right("topic", name, is_prefix=False, operation="Read") for name in lacking],
    )
    problem = EnvironmentProblem("it cannot be read", hint="look")
    problem.__cause__ = ValueError(said)
    found = explained_problem(problem, "rebuild", SIGNED_IN)
    if expected is None:
        assert found is problem
        return
    assert "User:anna has not the right to" in str(found)
    assert all(name in str(found) and name in found.hint for name in expected)
    assert not any(name in str(found) for name in set(lacking) - set(expected))
    assert explained_problem(problem, "rebuild", SETTINGS) is problem, "nobody has signed in, nobody is refused"
    assert explained_problem(problem, "worker", SIGNED_IN) is problem, "it says so by itself"


def test_sinks_make_no_topics_since_an_operator_makes_those_of_their_dead_letters() -> None:
    assert "Create topic shop.sinks.*" not in named("sinks")
    assert "Write topic shop.sinks.*" in named("sinks")
    assert {"Create topic shop.sinks.*", "DescribeConfigs topic shop.sinks.*"} <= named("operator")
    spec = sink_spec(SETTINGS, "shop.sinks.email.dead-letters")
    assert (spec.partitions, spec.retention, spec.holds) == (1, "dead_letter_retention_days", "personal data")
    assert spec.initial["retention.ms"] == str(14 * 86_400_000)
    assert sink_spec(dataclasses.replace(SETTINGS, dead_letter_retention_days=-1), "x").initial["retention.ms"] == "-1"


def test_who_takes_approvals_over_from_the_audit_log_is_told_to_be_let_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_rights, "missing_rights", lambda _, rights: list(rights))
    with pytest.raises(EnvironmentProblem, match=r"has not the right to Read topic shop\.orchestrator\.audit"):
        require_right(SIGNED_IN, ["shop.orchestrator.audit"], "Read")
    require_right(SETTINGS, ["shop.orchestrator.audit"], "Read")
    assert "Read topic shop.orchestrator.audit" not in named("approver")
