from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import click
import pytest
from aiokafka.partitioner import DefaultPartitioner
from click.testing import CliRunner

from orchestrator.cli.produce import command, duration
from orchestrator.cli.tail import command as tail_command
from orchestrator.demo.clickstream import convert, read_clicks, scale_log
from orchestrator.resources import schemas_dir
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.settings import DEFAULT_EVENT_TOPICS, Settings
from orchestrator.runtime.topics import create_topics, topic_specs
from orchestrator.stack.stack import Stack

PARTITIONS = 3
GOOD = '{"type": "page_viewed", "occurred_at": "2024-03-01T10:00:00Z", "customer_id": "c1", "page": "home"}'


def run(*arguments: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error)."""
    result = CliRunner().invoke(command, [*arguments, f"--schemas={schemas_dir()}"], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.return_value or 0, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("12h", 43_200_000), ("30d", 2_592_000_000), ("90 minutes", 5_400_000), ("2w", 1_209_600_000)],
)
def test_durations_are_short_or_as_journeys_have_them(text: str, milliseconds: int) -> None:
    assert duration(text) == milliseconds


def test_a_wrong_duration_says_what_to_write() -> None:
    with pytest.raises(click.BadParameter, match="whole number and a unit"):
        duration("soon")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--clickstream", "--events", "x"),
        ("--events", "x", "--copies", "2"),
        ("--clickstream", "--timestamps", "now", "--until", "+30d"),
        ("--clickstream", "--timestamps", "now", "--heartbeat-every", "1h"),
        ("--clickstream", "--until", "tomorrow"),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(arguments: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        run(*arguments)


def test_printed_events_are_what_is_read_again(tmp_path: Path) -> None:
    code, printed, _ = run("--clickstream", "--print")
    lines = printed.splitlines()
    assert code == 0
    assert len(lines) == len(convert(read_clicks()))
    file = tmp_path / "events.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(lines[:3_000]).encode()))
    assert run("--events", str(file), "--print")[1].splitlines() == lines[:3_000]


def test_copies_are_printed_with_the_rest() -> None:
    printed = run("--clickstream", "--copies", "2", "--print")[1].splitlines()
    expected = [event.event_id for event in scale_log(convert(read_clicks()), 2)]
    assert [json.loads(line)["event_id"] for line in printed] == expected


def test_bad_lines_are_named_with_their_number_and_left_out(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(
        f"{GOOD}\nnot json\n{GOOD.replace('page_viewed', 'page_seen')}\n{GOOD.replace('page', 'pages')}\n{GOOD}\n"
    )
    code, printed, complaints = run("--events", str(file), "--print")
    assert code == 1
    assert len(printed.splitlines()) == 2
    assert [line.split(":")[1] for line in complaints.splitlines()[:-1]] == ["2", "3", "4"]
    assert complaints.endswith("3 of the lines left out\n")


def test_strict_stops_at_the_first_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(f"{GOOD}\nnot json\n{GOOD}\nnot json\n")
    code, printed, complaints = run("--events", str(file), "--print", "--strict")
    assert (code, len(printed.splitlines())) == (1, 1)
    assert complaints.endswith(":2: is not JSON\nstopped at a bad line\n")


def test_with_heartbeats_a_line_that_goes_back_in_time_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(f"{GOOD}\n{GOOD.replace('10:00', '09:00')}\n{GOOD.replace('10:00', '11:00')}\n")
    assert run("--events", str(file), "--print")[0] == 0
    code, printed, complaints = run("--events", str(file), "--print", "--heartbeat-every", "1h")
    assert (code, len(printed.splitlines())) == (1, 2)
    assert ":2: is earlier than a line before it" in complaints


class Installation:
    """Topics of a test's own on the real broker, and the two commands on them."""

    def __init__(self, stack: Stack, prefix: str) -> None:
        self.options = [
            f"--bootstrap-servers={stack.bootstrap_servers}",
            f"--registry-url={stack.registry_url}",
            f"--topic-prefix={prefix}",
        ]
        settings = Settings(
            bootstrap_servers=stack.bootstrap_servers,
            topic_prefix=prefix,
            app_id=prefix.rstrip("."),
            partitions=PARTITIONS,
            time="stream",
        )
        create_topics(settings, topic_specs(settings, ["email"]))

    def produce(self, *arguments: str) -> tuple[int, str, str]:
        return run(*arguments, *self.options)

    def tail(self, *arguments: str) -> list[dict[str, Any]]:
        result = CliRunner().invoke(
            tail_command, [*arguments, *self.options, "--from-beginning", "--no-follow"], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def installation(stack: Stack, topic_prefix: str) -> Installation:
    return Installation(stack, topic_prefix)


@pytest.mark.broker
def test_what_is_produced_is_what_is_read(installation: Installation, tmp_path: Path, topic_prefix: str) -> None:
    lines = run("--clickstream", "--print")[1].splitlines()[:2_000]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines))
    code, summary, _ = installation.produce(
        "--events", str(file), "--register", "--heartbeat-every", "1d", "--until", "+30d"
    )
    assert code == 0
    assert summary.startswith("2,000 events and ")
    assert "complete until 2024-" in summary
    records = installation.tail(*DEFAULT_EVENT_TOPICS, "--show-personal-data")
    events = [record for record in records if record["type"] != "stream_heartbeat"]
    heartbeats = [record for record in records if record["type"] == "stream_heartbeat"]

    # Every event once, as it was, at its own time, in the partition where Java and Faust would look for its key.
    read = {record["value"]["event_id"]: {"type": record["type"], **record["value"]} for record in events}
    assert len(events) == 2_000
    assert read == {event["event_id"]: event for event in map(json.loads, lines)}
    everything = list(range(PARTITIONS))
    for record in events:
        assert record["at"] == record["value"]["occurred_at"]
        assert record["key"] == record["value"]["customer_id"]
        assert record["partition"] == DefaultPartitioner()(record["key"].encode(), everything, everything)

    # Every partition of every topic is told the same, and nothing comes after what it was told to be complete.
    places = {(record["topic"], record["partition"]) for record in heartbeats}
    assert places == {
        (f"{topic_prefix}{topic}", partition) for topic in DEFAULT_EVENT_TOPICS for partition in everything
    }
    assert len({tuple(r["at"] for r in heartbeats if (r["topic"], r["partition"]) == place) for place in places}) == 1
    for place in places:
        own = [record for record in records if (record["topic"], record["partition"]) == place]
        own.sort(key=lambda record: record["offset"])
        assert [record["at"] for record in own] == sorted(record["at"] for record in own)
        assert own[-1]["type"] == "stream_heartbeat"


@pytest.mark.broker
def test_personal_data_is_masked_and_one_customer_can_be_picked(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(run("--clickstream", "--print")[1].splitlines()[:300]))
    installation.produce("--events", str(file), "--register")
    profiles = installation.tail("events.profile")
    assert profiles
    assert {record["value"]["email"] for record in profiles if record["type"] == "customer_registered"} == {"***"}
    customer = profiles[0]["key"]
    own = installation.tail(*DEFAULT_EVENT_TOPICS, "--customer", customer)
    assert {record["key"] for record in own} == {customer}
    assert len(own) > 1
    assert len(installation.tail("events.web", "--max", "3")) == 3


@pytest.mark.broker
def test_unregistered_schemas_and_missing_topics_are_said_clearly(stack: Stack, topic_prefix: str) -> None:
    from orchestrator.model.problems import EnvironmentProblem

    options = [f"--bootstrap-servers={stack.bootstrap_servers}", f"--registry-url={stack.registry_url}"]
    with pytest.raises(EnvironmentProblem, match=r"topic .*events\.web does not exist") as missing:
        run("--clickstream", "--register", *options, f"--topic-prefix={topic_prefix}")
    assert "orchestrator topics create" in missing.value.hint


def test_a_broker_that_is_not_there_is_said_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.model.problems import EnvironmentProblem
    from orchestrator.runtime import produce, tail

    monkeypatch.setattr(produce, "CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(tail, "CONNECT_TIMEOUT_S", 0.3)
    with pytest.raises(EnvironmentProblem, match="does not answer"):
        produce.EventProducer(Brokers("127.0.0.1:1"), {}, event_topics=["events.web"])
    with pytest.raises(EnvironmentProblem, match="does not answer"):
        tail.existing_topics(Brokers("127.0.0.1:1"))
