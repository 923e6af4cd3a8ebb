"""Rules of the house, approvals and the audit log on the real broker."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from orchestrator.cli.main import run
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.approved import has_approvals
from orchestrator.runtime.audit import AuditRecord, read_audit
from orchestrator.runtime.definitions import read_definitions
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import create_topics, topic_names, topic_specs
from orchestrator.stack.stack import Stack
from tests.runtime.worker_process import PARTITIONS, Installation, until

pytestmark = pytest.mark.broker

GOVERNANCE = """
groups:
  leads: [ben, cora]
environments:
  production:
    approvals:
      - {for: live, by: leads, journeys: [welcome_series]}
  staging: {}
"""
KILLED = """
import os, signal, sys
import orchestrator.runtime.audit as audit
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Dying(audit.Producer):
    def commit_transaction(self, *_):
        self.flush(10)
        die()

audit.Producer = Dying
broker, registry, app_id, prefix, what = sys.argv[1:]
settings = Settings(bootstrap_servers=broker, registry_url=registry, app_id=app_id, topic_prefix=prefix)
if what == "publish":
    record = audit.new_record(settings, act="apply", about="journeys", who="killed", why="publish")
    audit.publish_with_audit(settings, topic_names(settings).definitions, b"killed", b"{}", record)
else:
    with audit.audited(settings, act="erase", about="customer/-", who="killed", why="in between"):
        die()
"""


@pytest.fixture
def installation(stack: Stack, topic_prefix: str, tmp_path: Path) -> Installation:
    return Installation(stack, topic_prefix, tmp_path)


@pytest.fixture
def journeys(tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(journeys_dir(), tmp_path / "journeys"))
    (copy / "governance.yaml").write_text(GOVERNANCE)
    return copy


def options(settings: Settings) -> list[str]:
    return [
        *("--bootstrap-servers", settings.bootstrap_servers, "--registry-url", settings.registry_url),
        *("--app-id", settings.app_id, "--topic-prefix", settings.topic_prefix),
    ]


def audit(settings: Settings) -> list[AuditRecord]:
    return list(read_audit(settings))


def acts(settings: Settings) -> list[tuple[str, str, str]]:
    return [(record.act, record.outcome, record.who) for record in audit(settings)]


def break_off_approval(settings: Settings) -> None:
    """As it is where the audit log cannot be written."""
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "transactional.id": f"{settings.app_id}-x"})
    producer.init_transactions(15)
    producer.begin_transaction()
    producer.produce(topic_names(settings).approvals, b"value", b"key")
    assert producer.flush(15) == 0
    producer.abort_transaction(15)
    consumer = Consumer(
        {"bootstrap.servers": settings.bootstrap_servers, "group.id": "look", "isolation.level": "read_committed"}
    )
    place = TopicPartition(topic_names(settings).approvals, 0)
    until(lambda: consumer.get_watermark_offsets(place, 15)[1] > 1, seconds=30, what="the end of the transaction")
    consumer.close()


def test_journeys_come_into_force_when_approved_and_everything_is_on_record(
    installation: Installation, journeys: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not home.exists(), "the command must go where the options say"
    settings = installation.settings
    connection, schemas = options(settings), ["--schemas", str(schemas_dir())]
    stream = ["--time", "stream", "--partitions", str(PARTITIONS)]

    def apply(who: str, *more: str) -> tuple[int, str]:
        code = run(["apply", str(journeys), "--who", who, "--why", "spring", *connection, *schemas, *stream, *more])
        return code, capsys.readouterr().out

    def approve(who: str) -> int:
        named = ["approve", "welcome_series", "--who", who, "--why", "texts are checked", "--journeys", str(journeys)]
        return run([*named, *connection, *schemas])

    code, out = apply("anna", "--dry-run")
    assert (code, "welcome_series: version" in out, acts(settings)) == (1, True, [])
    break_off_approval(settings)
    assert not has_approvals(settings)
    assert approve("anna") == 0, "anybody may say so, but anna is not of the group"
    assert has_approvals(settings)
    code, out = apply("anna")
    assert (code, "ben or cora: orchestrator approve welcome_series" in out) == (1, True)
    with installation.worker("a", journeys=journeys) as worker:
        assert worker.process.wait(60) == 3, "a worker publishes by the same rules"
        assert "welcome_series: version" in worker.output()
    assert read_definitions(brokers_of(settings), installation.names.definitions) == []

    assert approve("ben") == 0
    code, out = apply("ben")
    assert (code, "or" in out) == (1, True), "who applies cannot approve"
    assert apply("anna")[0] == 0
    text = (journeys / "welcome_series.yaml").read_text()
    (journeys / "welcome_series.yaml").write_text(text.replace("wait: 1 day", "wait: 2 days"))
    code, out = apply("anna", "--environment", "staging")
    assert (code, "it has changed since it was approved" in out) == (1, True), "it is no staging because one says so"

    assert acts(settings) == [
        ("approve", "done", "anna"),
        ("apply", "refused", "anna"),
        ("publish", "refused", "worker"),
        ("approve", "done", "ben"),
        ("apply", "refused", "ben"),
        ("apply", "done", "anna"),
        ("apply", "refused", "anna"),
    ]
    (done,) = [record for record in audit(settings) if (record.act, record.outcome) == ("apply", "done")]
    assert (done.why, done.environment, done.about) == ("spring", "production", "journeys")
    assert any(change.startswith("journey welcome_series added (live), version ") for change in done.changes)
    (definition,) = read_definitions(brokers_of(settings), installation.names.definitions)
    assert (definition.set_id, definition.environment) == (done.set_id, "production")
    capsys.readouterr()
    assert run(["audit", "--about", "journey/", "--format", "json", *connection]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["who"] for line in lines] == ["anna", "ben"]


def test_what_was_killed_in_between_is_intended_and_a_publication_is_there_with_its_record_or_not_at_all(
    installation: Installation,
) -> None:
    settings = installation.settings
    place = [settings.bootstrap_servers, settings.registry_url, settings.app_id, settings.topic_prefix]
    for what in ("publish", "erase"):
        killed = subprocess.run([sys.executable, "-c", KILLED, *place, what], check=False, timeout=60)
        assert killed.returncode == -9
    # Nobody sees past the open transaction until the broker ends it.
    until(lambda: acts(settings), seconds=60, what="the transaction has ended")
    assert acts(settings) == [("erase", "intended", "killed")]
    assert read_definitions(brokers_of(settings), installation.names.definitions) == []


def test_nothing_is_done_where_it_cannot_go_on_record(
    stack: Stack, topic_prefix: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(
        bootstrap_servers=stack.bootstrap_servers,
        registry_url=stack.registry_url,
        app_id=f"{topic_prefix}app",
        topic_prefix=topic_prefix,
    )
    create_topics(
        settings, [spec for spec in topic_specs(settings, ()) if not spec.name.endswith("orchestrator.audit")]
    )
    erase = ["erase", "anna", "--requested-by", "team", "--why", "x", "--yes", "--timeout", "0"]
    assert run([*erase, "--schemas", str(schemas_dir()), *options(settings)]) == 3
    assert "nothing was done" in capsys.readouterr().err
    assert (
        run(
            [
                "tail",
                "events.profile",
                "--from-beginning",
                "--no-follow",
                *options(settings)[:4],
                "--topic-prefix",
                topic_prefix,
            ]
        )
        == 0
    )
    assert capsys.readouterr().out == ""
