"""All that is held about a customer is given out, and forgotten, on a real broker with a real worker."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.runtime.audit import about_customer, read_audit
from orchestrator.runtime.explain import read_records
from orchestrator.stack.stack import Stack
from tests.runtime.worker_process import PARTITIONS, START_MS, Installation, until

pytestmark = pytest.mark.broker


def test_a_customer_is_exported_and_then_forgotten_and_the_other_is_not(
    stack: Stack, topic_prefix: str, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not home.exists(), "the command must go where the options say"
    installation = Installation(stack, topic_prefix, tmp_path)
    settings = installation.settings
    key = tmp_path / "audit-key"
    key.write_text("a secret of this test")
    options = [
        *("--bootstrap-servers", settings.bootstrap_servers, "--registry-url", settings.registry_url),
        *("--app-id", settings.app_id, "--topic-prefix", settings.topic_prefix, "--audit-key-file", str(key)),
        *("--who", "the privacy team"),
    ]
    installation.register("berta", at_ms=START_MS)
    # A producer with another partitioner than the others: there are two records of anna.
    for partition in range(PARTITIONS):
        installation.register("anna", at_ms=START_MS + partition, partition=partition)
    installation.heartbeat(at_ms=START_MS + 2)
    with installation.worker("a") as worker:
        metrics = worker.until_ready()
        until(lambda: len(installation.actions()) == 3, seconds=30, what="a message of each record")
        assert run(["export", "anna", *options]) == 0
        text = capsys.readouterr().out
        found = json.loads(text)
        assert found["record"]["profile"]["first_name"] == "Anna"
        assert [record["profile"]["first_name"] for record in found["records_elsewhere"]] == ["Anna"]
        kinds = {record["type"] for records in found["topics"].values() for record in records}
        assert {"customer_registered", "journey_transition", "email_command"} <= kinds
        assert "berta" not in text
        latest = read_records(settings, "anna").customer
        assert latest is not None
        assert latest.last_at_ms == START_MS + PARTITIONS - 1

        # On stream time an event is taken when all other topics have shown that they are past it.
        erased = ["erase", "anna", "--requested-by", "privacy-team", "--why", "request 7", "--yes", *options]
        assert run([*erased, "--timeout", "0"]) == 1
        assert "the request stands" in capsys.readouterr().err
        installation.heartbeat(at_ms=int(time.time() * 1000) + 1_000)

        def is_forgotten() -> bool:
            assert run(["export", "anna", *options]) == 0
            held = json.loads(capsys.readouterr().out)
            return held["record"] is None and "records_elsewhere" not in held

        until(is_forgotten, seconds=30, what="anna is forgotten")
        with urllib.request.urlopen(metrics, timeout=5) as answer:
            told = answer.read().decode()
        assert worker.stop() == 0
    assert all(word not in told + worker.output() for word in ("anna", "Anna", "berta", "example.com"))
    assert run(["export", "berta", *options]) == 0
    assert json.loads(capsys.readouterr().out)["record"] is not None
    assert run(["export", "nobody", *options]) == 1
    records = [record for record in read_audit(settings) if record.about != "journeys"]
    about = about_customer(replace(settings, audit_key_file=str(key)), "anna")
    ends = [(record.outcome, record.detail.get("forgotten")) for record in records if record.act == "erase"]
    assert ends == [("intended", None), ("done", "requested")]
    assert {record.about for record in records if record.act == "erase"} == {about}
    assert {record.act for record in records} == {"erase", "export"}
    assert all(name not in str(record) for record in records for name in ("anna", "berta", "nobody"))
