"""The operations pages name what there is, and a channel can be added as they say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.resources import deploy_dir, schemas_dir
from orchestrator.runtime.connectors import places
from orchestrator.runtime.in_force import load_journeys
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_specs
from orchestrator.stack.sinks import sources_dir

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"
CHANNELS = (OPERATIONS / "channels.md").read_text()
TEMPLATES = sorted((deploy_dir() / "connect").glob("*.json"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_every_template_and_every_value_that_it_needs_are_documented(path: Path) -> None:
    row = next(line for line in CHANNELS.splitlines() if re.match(rf"\|[^|]*`{path.stem}`", line))
    own = set(places(path.read_text())) - {"TOPIC_PREFIX", "REGISTRY_URL", "BOOTSTRAP_SERVERS", "NAME"}
    secrets = set(re.findall(r"env:(SINK_\w+)", path.read_text()))
    assert secrets or path.stem == "file"
    for name in own | secrets:
        assert name in row, name


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_every_template_says_where_recalls_are(path: Path) -> None:
    config = json.loads(path.read_text())["config"]
    assert config["recalls.topic"] == "${TOPIC_PREFIX}journeys.recalls"
    assert config["recalls.bootstrap.servers"] == "${BOOTSTRAP_SERVERS}"
    assert config["recalls.consumer"] == "${RECALLS_CONSUMER:-}"


def test_every_setting_of_a_sink_is_documented() -> None:
    source = "".join(path.read_text() for path in sources_dir().rglob("*Connector.java"))
    settings = {name for name in re.findall(r'static final String \w+ =\s*"([a-z.]+)"', source) if "." in name}
    settings -= {"errors.deadletterqueue.topic.name"}
    assert len(settings) > 15
    table = CHANNELS.partition("## Settings of the sinks")[2].partition("##")[0]
    assert {name for name in settings if f"`{name}`" not in table} == set()


def test_every_reason_of_a_dead_letter_is_documented() -> None:
    source = "".join(path.read_text() for path in sources_dir().rglob("*.java"))
    reasons = set(re.findall(r'new Refused\(\s*"([a-z_]+)"', source)) - {"http_", "smtp_", "sql_"}
    assert {reason for reason in reasons if f"`{reason}`" not in CHANNELS} == set()


FILES = {
    "channels.yaml": "channels:\n  wallet: {address: wallet_id, consent: wallet}\n",
    "profile.yaml": (
        "profile:\n  - on: customer_registered\n    set: {wallet_id: event.phone}\n"
        "    consent:\n      - {key: \"'wallet'\", granted: event.sms_consent}\n"
    ),
    "templates/pass/wallet.liquid": "---\ntitle: Your pass\n---\nIt is ready.\n",
    "passes.yaml": (
        "journey: passes\nowner: crm\nstatus: live\n"
        "entry: {on: customer_registered}\nsteps:\n"
        "  hand_out: {send: wallet, template: pass, class: transactional, next: done}\n"
        "  done: {exit: handed_out}\n"
    ),
    "passes.scenarios.yaml": (
        "scenarios:\n  - name: who registers gets a pass\n    when:\n"
        "      - {event: customer_registered, with: {phone: w1, sms_consent: true}}\n"
        "    then:\n      - {at: start, sent: wallet, template: pass, contains: ready}\n"
    ),
}


def test_a_new_channel_is_one_line_of_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert run(["test", str(tmp_path)]) == 0, capsys.readouterr().out
    destinations = load_journeys(tmp_path, schemas_dir()).journeys.destinations
    names = {spec.name for spec in topic_specs(Settings(), destinations)}
    assert "actions.wallet" in names
    # The template that delivers it has a place for the channel.
    template = json.loads((deploy_dir() / "connect" / "http.json").read_text())
    assert template["config"]["topics"] == "${TOPIC_PREFIX}actions.${HTTP_CHANNEL}"
