"""`orchestrator connect` against a real Kafka Connect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.resources import deploy_dir
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.connectors import Connector
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import DAY_MS, _admin, _configs, kept_for_ever, sink_specs
from orchestrator.stack.stack import Stack
from tests.sinks.conftest import TEMPLATES
from tests.sinks.receiver import Receiver
from tests.sinks.traffic import Commands, eventually

pytestmark = pytest.mark.broker

TEMPLATE_NAMES = [path.stem for path in TEMPLATES]

VALUES = Path(__file__).with_name("values.env")
"""A value for every place of every template, as an operator would have them."""


@pytest.fixture
def orchestrator(
    connect: Stack, topic_prefix: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("ORCHESTRATOR_CONNECT_URL", connect.connect_url)
    monkeypatch.setenv("ORCHESTRATOR_REGISTRY_URL", connect.registry_url)
    monkeypatch.setenv("ORCHESTRATOR_BOOTSTRAP_SERVERS", connect.bootstrap_servers)
    monkeypatch.setenv("ORCHESTRATOR_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(connect.data_dir.parent))

    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(arguments)
        printed = capsys.readouterr()
        assert code != 3, printed.err
        return code, printed.out

    return call


@pytest.mark.parametrize("template", TEMPLATE_NAMES)
def test_connect_finds_nothing_wrong_with_a_shipped_template(
    template: str, orchestrator: Callable[..., tuple[int, str]]
) -> None:
    code, printed = orchestrator("connect", "validate", template, "--values", str(VALUES))
    assert (code, printed) == (0, f"{template}: Kafka Connect finds nothing wrong\n")


@pytest.mark.parametrize("template", TEMPLATE_NAMES)
def test_a_shipped_template_reads_committed_commands_and_keeps_what_is_refused(template: str) -> None:
    config = json.loads((deploy_dir() / "connect" / f"{template}.json").read_text())["config"]
    assert config["consumer.override.isolation.level"] == "read_committed"
    assert config["errors.deadletterqueue.topic.name"] == "${TOPIC_PREFIX}sinks.${NAME}.dead-letters"


def test_a_wrong_value_is_named_and_nothing_is_started(orchestrator: Callable[..., tuple[int, str]]) -> None:
    wrong = ("--set", "HTTP_CHANNEL=webhook", "--set", "HTTP_URL=ftp://example.test", "--name", "wrong")
    for command in ("validate", "apply"):
        code, printed = orchestrator("connect", command, "http", *wrong)
        assert code == 1
        assert "wrong: http.url: " in printed
    assert "wrong" not in orchestrator("connect", "status")[1]


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"errors.tolerance": "none"}, "errors.tolerance"),
        ({"errors.deadletterqueue.topic.name": ""}, "errors.deadletterqueue.topic.name"),
        ({"value.converter": "org.apache.kafka.connect.storage.StringConverter"}, "value.converter"),
        ({"http.url": "https://user:hunter2@example.test/"}, "http.url"),
        ({"http.body": '{"to": {{address}}}'}, "http.body"),
        ({"http.body": "{}", "http.content.type": "text/plain"}, "http.content.type"),
    ],
)
def test_a_configuration_with_which_commands_could_be_lost_or_spoilt_is_refused(
    change: dict[str, str], setting: str, tmp_path: Path, orchestrator: Callable[..., tuple[int, str]]
) -> None:
    content = json.loads((deploy_dir() / "connect" / "http.json").read_text())
    content["config"] |= change
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content))
    code, printed = orchestrator("connect", "validate", str(path), "--values", str(VALUES))
    assert code == 1, printed
    assert [line.split(": ")[1] for line in printed.splitlines()] == [setting]
    assert "hunter2" not in printed


def test_a_connector_from_its_start_to_its_end(
    orchestrator: Callable[..., tuple[int, str]],
    commands: Commands,
    receiver: Receiver,
    topic_prefix: str,
    connect: Stack,
) -> None:
    name = f"{topic_prefix}life"
    settings = Settings(bootstrap_servers=connect.bootstrap_servers, topic_prefix=topic_prefix)
    start = (
        "connect",
        "apply",
        "http",
        "--set",
        "HTTP_CHANNEL=webhook",
        "--set",
        f"HTTP_URL={receiver.url}",
        "--name",
        name,
    )
    refused = f"{topic_prefix}sinks.{name}.dead-letters"
    assert orchestrator(*start) == (0, f"created {refused}\n{name}: started\n")
    # Made by Kafka Connect it would be kept as the broker keeps all topics: here for ever.
    found = _configs(_admin(brokers_of(settings)), brokers_of(settings), [refused])[refused]
    assert int(found["retention.ms"]) == settings.dead_letter_retention_days * DAY_MS
    assert kept_for_ever(settings, sink_specs(settings)) == []
    commands.send("a")
    eventually(lambda: receiver.accepted == ["a"])
    assert orchestrator(*start) == (0, f"{name}: changed\n")

    def state() -> dict[str, object]:
        lines = orchestrator("connect", "status", "--format", "json")[1].splitlines()
        return next(entry for entry in map(json.loads, lines) if entry["name"] == name)

    eventually(lambda: state()["tasks"] == [{"task": 0, "state": "RUNNING", "trace": ""}])
    assert state()["topics"] == commands.topic
    assert orchestrator("connect", "restart", name)[0] == 0
    assert orchestrator("connect", "remove", name) == (0, f"{name}: removed\n")
    assert orchestrator("connect", "remove", name)[0] == 1


def test_a_task_that_failed_says_why_without_its_secret(
    orchestrator: Callable[..., tuple[int, str]],
    apply: Callable[..., Connector],
    commands: Commands,
    receiver: Receiver,
    connect: Stack,
) -> None:
    connector = apply("http", HTTP_URL=receiver.url, settings={"transforms": "hoist", **HOIST})
    commands.send("a")
    eventually(lambda: orchestrator("connect", "status")[0] == 1)
    _, printed = orchestrator("connect", "status")
    assert connector.name in printed
    assert "no transform may change values" in printed


HOIST = {
    "transforms.hoist.type": "org.apache.kafka.connect.transforms.HoistField$Value",
    "transforms.hoist.field": "x",
}
