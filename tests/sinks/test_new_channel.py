"""A channel that nobody knew is an entry in `channels.yaml` and a schema: from an event to its receiver."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.connectors import Connector
from orchestrator.stack.stack import Stack
from tests.runtime.worker_process import START_MS, Installation, until
from tests.sinks.receiver import Receiver

pytestmark = pytest.mark.broker

LETTER = {
    "type": "record",
    "name": "letter_content",
    "namespace": "orchestrator.actions",
    "fields": [
        {"name": "body", "type": "string", "pii": True},
        {"name": "enclosure", "type": ["null", "string"], "default": None},
    ],
}
GREETING = """journey: greeting
owner: lifecycle@shop.example
status: live
entry: {on: customer_registered}
steps:
  write: {send: letter, template: greeting}
"""


def with_letters(directory: Path) -> tuple[Path, Path]:
    """The shipped journeys and schemas, with the channel `letter`."""
    journeys = Path(shutil.copytree(journeys_dir(), directory / "journeys"))
    schemas = Path(shutil.copytree(schemas_dir(), directory / "schemas"))
    with (journeys / "channels.yaml").open("a") as channels:
        channels.write("  letter: {address: visitor, consent: web}\n")
    (schemas / "actions" / "letter_content.avsc").write_text(json.dumps(LETTER))
    (journeys / "greeting.yaml").write_text(GREETING)
    template = journeys / "templates" / "greeting" / "letter.liquid"
    template.parent.mkdir()
    template.write_text("---\nenclosure: voucher\n---\nDear {{ profile.first_name }}\n")
    return journeys, schemas


def test_an_entry_and_a_schema_are_a_channel(
    connect: Stack, apply: Callable[..., Connector], receiver: Receiver, topic_prefix: str, tmp_path: Path
) -> None:
    journeys, schemas = with_letters(tmp_path)
    installation = Installation(connect, topic_prefix, tmp_path, time="wall")
    with installation.worker("a", "--schemas", str(schemas), "--create-topics", journeys=journeys) as worker:
        worker.until_ready()
        apply("http", HTTP_CHANNEL="letter", HTTP_URL=receiver.url)
        installation.register("anna", at_ms=START_MS)
        assert installation.producer.flush(30) == 0
        until(lambda: receiver.requests, seconds=60, what="the letter")
        assert worker.stop() == 0
    (request,) = receiver.requests
    command = json.loads(request.body)
    assert (command["channel"], command["customer_id"], command["address"]) == ("letter", "anna", "anna")
    assert command["content"] == {"body": "Dear Anna", "enclosure": "voucher"}


def test_a_template_that_the_channel_does_not_know_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journeys, schemas = with_letters(tmp_path)
    assert run(["validate", str(journeys), "--schemas", str(schemas)]) == 0
    (journeys / "templates" / "greeting" / "letter.liquid").write_text("---\nenclosed: voucher\n---\nDear\n")
    capsys.readouterr()
    assert run(["validate", str(journeys), "--schemas", str(schemas)]) == 1
    assert 'error[J610]: a message on channel "letter" has no part "enclosed"' in capsys.readouterr().out
