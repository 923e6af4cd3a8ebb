"""A broker with TLS, passwords and access rules, for real: who is let in, and what is said to those who are not."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.audit import append_audit, new_record
from orchestrator.runtime.in_force import load_journeys
from orchestrator.runtime.topics import topic_names
from orchestrator.stack.connect import secrets_dir
from orchestrator.stack.stack import Stack
from tests.runtime.secured.shop import PREFIX, WHO, Shop, become, failure, settings_of_environment
from tests.runtime.secured.stack import Secured
from tests.runtime.worker_process import DAY_MS, START_MS, until

pytestmark = pytest.mark.broker

WRONG = "not-the-password"


@pytest.fixture
def signed_in(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> Secured:
    """The environment of somebody whose settings are right; each test makes one of them wrong."""
    given = {
        "BOOTSTRAP_SERVERS": secured.servers,
        "REGISTRY_URL": secured.stack.registry_url,
        "SECURITY_PROTOCOL": "sasl_ssl",
        "SASL_USERNAME": "anna",
        "SASL_PASSWORD_FILE": str(secured.password_file("anna")),
        "SSL_CA_FILE": str(secured.ca_file),
    }
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    return secured


COMMANDS = (("topics", "check"), ("tail", "events.web"), ("worker",), ("apply", "--who", "a", "--why", "b"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_wrong_password_is_told_with_the_name_and_without_the_password(
    signed_in: Secured,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("ORCHESTRATOR_SASL_PASSWORD_FILE")
    monkeypatch.setenv("ORCHESTRATOR_SASL_PASSWORD", WRONG)
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path))
    said = failure(capsys, *command)
    assert f"the broker at {signed_in.servers} does not let anna in: the name or the password is wrong" in said
    assert WRONG not in said


@pytest.mark.parametrize(
    ("listener", "reason", "hint"),
    [
        ("secured", "unable to get local issuer certificate", "--ssl-ca-file"),
        ("elsewhere", "IP address mismatch", "the address that the certificate is for"),
        ("expired", "certificate has expired", "needs to be renewed"),
    ],
)
@pytest.mark.parametrize("command", [("topics", "check"), ("worker",)], ids=lambda command: command[0])
def test_a_broker_that_cannot_be_trusted_is_told_with_the_reason(
    signed_in: Secured,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    listener: str,
    reason: str,
    hint: str,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_BOOTSTRAP_SERVERS", signed_in.addresses[listener])
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path))
    if listener == "secured":
        monkeypatch.setenv("ORCHESTRATOR_SSL_CA_FILE", str(signed_in.other_ca_file))
    said = failure(capsys, *command)
    assert f"the broker at {signed_in.addresses[listener]} cannot be trusted" in said
    assert reason in said
    assert hint in said


def test_another_mechanism_than_the_brokers_is_told(
    signed_in: Secured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SASL_MECHANISM", "PLAIN")
    said = failure(capsys, "topics", "check")
    assert f"{signed_in.servers} does not let anybody sign in with PLAIN" in said
    assert "--sasl-mechanism" in said


def test_plain_text_on_a_listener_with_tls_is_told(
    signed_in: Secured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECURITY_PROTOCOL", "plaintext")
    for name in ("USERNAME", "PASSWORD_FILE"):
        monkeypatch.delenv(f"ORCHESTRATOR_SASL_{name}")
    monkeypatch.setattr("orchestrator.runtime.topics.TIMEOUT_S", 1.0)
    assert "--security-protocol" in failure(capsys, "topics", "check")


def test_tls_on_a_plain_listener_is_told(
    signed_in: Secured, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_BOOTSTRAP_SERVERS", signed_in.stack.bootstrap_servers)
    monkeypatch.setattr("orchestrator.runtime.topics.TIMEOUT_S", 1.0)
    said = failure(capsys, "topics", "check")
    # How the client says it depends on who hangs up first.
    assert "Disconnected" in said
    assert "--security-protocol" in said


def test_a_worker_with_its_rights_only_sends_what_the_journeys_say_also_after_a_kill(shop: Shop) -> None:
    installation = shop.installation
    installation.register("anna", at_ms=START_MS)
    installation.heartbeat(at_ms=START_MS + 1)
    with installation.worker("a", *shop.options("worker")) as worker:
        worker.until_ready()
        until(lambda: len(installation.actions()) == 1, seconds=30, what="the first message")
        worker.process.kill()
        worker.process.wait()
    installation.heartbeat(at_ms=START_MS + DAY_MS + 1)
    # Another data directory: the customer's record comes from the changelog.
    with installation.worker("b", *shop.options("worker")) as worker:
        worker.until_ready()
        until(lambda: len(installation.actions()) == 2, seconds=30, what="the second message")
        assert worker.stop() == 0
    assert [action["step"] for action in installation.actions()] == ["welcome", "how_it_works"]


COUNTING = """\
journey: counting
owner: lifecycle@shop.example
status: live
entry: {on: customer_registered}
exit:
  - when: count(page_viewed) > 99
steps:
  pause: {wait: 300 days}
"""


def test_an_operator_gives_a_new_aggregate_the_past_with_its_rights_only(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    installation = shop.installation
    journeys = Path(shutil.copytree(journeys_dir(), tmp_path / "journeys"))
    (journeys / "counting.yaml").write_text(COUNTING)
    at_ms = START_MS + DAY_MS + 2
    sent = len(installation.actions())
    installation.register("paula", at_ms=at_ms)
    installation.send("page_viewed", "paula", at_ms=at_ms, page="home", url="/")
    installation.heartbeat(at_ms=at_ms + 1)
    with installation.worker("r", *shop.options("worker")) as worker:
        worker.until_ready()
        until(lambda: len(installation.actions()) > sent, seconds=30, what="a message, so what came before was decided")
        become(shop, "operator", monkeypatch)
        assert run(["apply", str(journeys), *WHO]) == 0
        until(lambda: "journeys taken up" in worker.output(), seconds=30, what="taken up")
        for customer in ("paul", "paulina", "pavel", "petra"):
            installation.register(customer, at_ms=at_ms + 2)
        installation.heartbeat(at_ms=at_ms + 3)
        until(lambda: run(["rebuild", "--look"]) == 0, seconds=30, what="decisions in each partition since")
        reading = next(right for right in shop.rights("operator") if str(right) == f"Read topic {PREFIX}events.web")
        shop.secured.revoke("operator", reading)
        said = failure(capsys, "rebuild", "count(page_viewed)", *WHO)
        assert f"User:operator has not the right to {reading}" in said
        shop.secured.grant("operator", [reading])
        capsys.readouterr()
        assert run(["rebuild", "count(page_viewed)", *WHO]) == 0
        assert "1 event counted; the past of 1 customer is" in capsys.readouterr().out
        assert run(["audit", "--act", "rebuild"]) == 0
        assert "olga" in capsys.readouterr().out
        assert worker.stop() == 0


GOVERNANCE = """\
groups:
  leads: [cora]
environments:
  production:
    approvals:
      - {for: live, by: leads, journeys: [guarded]}
"""


def test_only_the_approver_approves_and_nothing_comes_into_force_without(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    journeys = Path(shutil.copytree(journeys_dir(), tmp_path / "journeys"))
    guarded = COUNTING.replace("journey: counting", "journey: guarded").replace("> 99", "> 88")
    (journeys / "guarded.yaml").write_text(guarded)
    (journeys / "governance.yaml").write_text(GOVERNANCE)
    apply = ["apply", str(journeys), *WHO]
    approve = ["approve", "guarded", "--journeys", str(journeys), "--who", "cora", "--why", "checked"]

    become(shop, "operator", monkeypatch)
    assert run(apply) == 1
    assert "cora: orchestrator approve guarded" in capsys.readouterr().out
    for role in ("operator", "privacy", "support"):
        become(shop, role, monkeypatch)
        said = failure(capsys, *approve)
        assert f"User:{role} has not the right to " in said
        assert f"Write topic {PREFIX}orchestrator.approvals" in said
    # Who may write to the audit log can say so there, and it counts for nothing.
    become(shop, "privacy", monkeypatch)
    forger = settings_of_environment()
    of = load_journeys(journeys, schemas_dir()).journeys.current["guarded"].version
    forged = {"act": "approve", "about": "journey/guarded", "who": "cora", "why": "", "journey": "guarded"}
    append_audit(forger, new_record(forger, **forged, version=of))
    become(shop, "operator", monkeypatch)
    assert run(apply) == 1
    become(shop, "approver", monkeypatch)
    assert run(approve) == 0, capsys.readouterr()
    become(shop, "operator", monkeypatch)
    assert run(apply) == 0, capsys.readouterr()
    capsys.readouterr()
    assert run(["audit", "--about", "journey/guarded", "--format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["who"], line["why"]) for line in lines] == [("cora", ""), ("cora", "checked")]
    assert run(["apply", *WHO]) == 0, "the others find what they know"


def test_a_worker_without_one_of_its_rights_names_it_and_how_to_grant_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def started(_prepared: object) -> int:
        return 99

    become(shop, "worker", monkeypatch)
    # A worker that gets as far as this has not noticed.
    monkeypatch.setattr("orchestrator.runtime.worker._run", started)
    monkeypatch.setattr("orchestrator.runtime.worker.os._exit", sys.exit)
    unnoticed = []
    for number, right in enumerate(shop.rights("worker")):
        # A worker keeps its directory to itself until its process ends, which is this one.
        monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path / str(number)))
        shop.secured.revoke("worker", right)
        capsys.readouterr()
        try:
            code = run(["worker"])
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr().err
        shop.secured.grant("worker", [right])
        pattern = " --resource-pattern-type prefixed" * right.is_prefix
        grant = f"--operation {right.operation} --{right.resource} '{right.name}'{pattern}"
        is_named = f"User:worker has not the right to {right}" in said and f"'User:worker' {grant}" in said
        if code != 3 or not is_named or "Traceback" in said:
            unnoticed.append((code, str(right), said))
    assert unnoticed == []
    assert len(shop.rights("worker")) > 20


def test_each_role_does_its_work_with_its_rights_only(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    event = {
        "type": "page_viewed",
        "event_id": "e1",
        "customer_id": "berta",
        "occurred_at": "2023-11-14T22:13:20Z",
        "page": "/",
    }
    events.write_text(json.dumps(event))
    work = {
        "producer": [["produce", "--events", str(events)]],
        "operator": [["topics", "check"], ["dead-letters", "list"], ["versions"], ["audit"], ["apply", *WHO]],
        "author": [["plan"], ["versions"], ["graph", "welcome_series", "--live"]],
        "approver": [["approve", "welcome_series", *WHO]],
        "support": [["explain", "anna"], ["export", "anna"], ["tail", "--from-beginning", "--no-follow"], ["replay"]],
    }
    failed = {}
    for role, commands in work.items():
        become(shop, role, monkeypatch)
        for command in commands:
            capsys.readouterr()
            # 1: nobody of that name is known, which is an answer too.
            code = run(command)
            if code not in ({0, 1} if command[0] in {"explain", "export"} else {0}):
                failed[role, command[0]] = code, capsys.readouterr()
    assert failed == {}


def test_an_operator_makes_topics_with_the_rights_for_these_topics(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataclasses.replace(shop.settings, topic_prefix="made.", app_id="made.app")
    rights = shop.rights("operator", other)
    shop.secured.grant("maker", rights)
    become(shop, "maker", monkeypatch)
    monkeypatch.setenv("ORCHESTRATOR_TOPIC_PREFIX", "made.")
    monkeypatch.setenv("ORCHESTRATOR_APP_ID", "made.app")
    creating = next(right for right in rights if (right.operation, right.name) == ("Create", "made.journeys.journal"))
    shop.secured.revoke("maker", creating)
    said = failure(capsys, "topics", "create")
    assert "User:maker has not the right to Create topic made.journeys.journal" in said
    shop.secured.grant("maker", [creating])
    assert run(["topics", "create"]) == 0


def test_a_worker_that_loses_a_right_while_it_runs_ends_and_names_it(shop: Shop) -> None:
    installation = shop.installation
    names = topic_names(shop.settings)
    right = next(
        right for right in shop.rights("worker") if (right.operation, right.name) == ("Write", names.transitions)
    )
    with installation.worker("c", *shop.options("worker")) as worker:
        worker.until_ready()
        shop.secured.revoke("worker", right)
        try:
            installation.register("carla", at_ms=START_MS + 2 * DAY_MS)
            installation.heartbeat(at_ms=START_MS + 2 * DAY_MS + 1)
            code = worker.process.wait(30)
        finally:
            shop.secured.grant("worker", [right])
        assert f"User:worker has not the right to {right}" in worker.output(), worker.output()
        assert code == 3
        assert "Traceback" not in worker.output()


def test_sinks_deliver_and_refuse_with_their_rights_only(
    shop: Shop, connected: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    become(shop, "operator", monkeypatch)
    monkeypatch.setenv("ORCHESTRATOR_CONNECT_URL", connected.connect_url)
    file = tmp_path / "commands.jsonl"
    consumer = f"${{dir:{secrets_dir(connected.data_dir)}:recalls.properties}}"
    places = ["--set", "FILE_CHANNEL=email", "--set", f"FILE_PATH={file}", "--set", f"RECALLS_CONSUMER={consumer}"]
    assert run(["connect", "apply", "file", *places]) == 0, capsys.readouterr()
    installation = shop.installation
    installation.producer.produce(f"{PREFIX}actions.email", b"not a command", b"dora")
    # Today, since sinks do not deliver what has expired. What comes after it on stream time is of today too.
    now_ms = int(time.time() * 1000)
    installation.register("dora", at_ms=now_ms)
    installation.heartbeat(at_ms=now_ms + 1)
    with installation.worker("d", *shop.options("worker")) as worker:
        worker.until_ready()
        until(lambda: file.exists() and "dora" in file.read_text(), seconds=60, what="the command in the file")
        assert worker.stop() == 0
    topic = f"{PREFIX}sinks.file.dead-letters"
    until(lambda: run(["dead-letters", "list", "--topic", topic]) in {0, 1}, seconds=30, what="the refused record")
    assert "not_avro" in capsys.readouterr().out

    for name in ("actions.email", "journeys.recalls"):
        reading = next(right for right in shop.rights("sinks") if str(right) == f"Read topic {PREFIX}{name}")
        shop.secured.revoke("sinks", reading)
        try:
            assert run(["connect", "restart", "file"]) in {0, None}
            # Recalls are looked at when there is a command.
            installation.producer.produce(f"{PREFIX}actions.email", b"not a command either", b"dora")
            assert installation.producer.flush(30) == 0
            until(lambda: run(["connect", "status"]) == 1, seconds=60, what="the task fails")
            assert f"Not authorized to access topics: [{PREFIX}{name}]" in capsys.readouterr().out
        finally:
            shop.secured.grant("sinks", [reading])
        run(["connect", "restart", "file"])
        until(lambda: run(["connect", "status"]) == 0, seconds=60, what="the task runs again")


def test_somebody_who_asks_for_erasure_needs_no_more_than_that(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    become(shop, "privacy", monkeypatch)
    erase = ["erase", "zoe", "--requested-by", "p", "--why", "asked", "--yes", "--timeout", "1"]
    assert run(erase) in {0, 1}, capsys.readouterr()
    assert "right" not in capsys.readouterr().err
    for command in (("apply", *WHO), ("explain", "anna")):
        assert "User:privacy has not the right to" in failure(capsys, *command)
