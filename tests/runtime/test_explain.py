"""What a customer's decisions and record say, read from a real broker that workers wrote to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from orchestrator.authoring.explanation import explain
from orchestrator.cli.main import run
from orchestrator.model.customer import Customer, encode_customer
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.explain import read_records, read_versions
from orchestrator.stack.stack import Stack
from tests.runtime.worker_process import DAY_MS, START_MS, Installation, until

pytestmark = pytest.mark.broker


@pytest.fixture
def installation(stack: Stack, topic_prefix: str, tmp_path: Path, home: Path) -> Installation:
    assert not home.exists(), "the command must go where the options say"
    return Installation(stack, topic_prefix, tmp_path)


def options(installation: Installation) -> list[str]:
    settings = installation.settings
    return [
        *("--bootstrap-servers", settings.bootstrap_servers),
        *("--registry-url", settings.registry_url),
        *("--app-id", settings.app_id),
        *("--topic-prefix", settings.topic_prefix),
    ]


def test_a_customers_story_is_told_from_what_a_worker_committed(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    for customer in ("anna", "berta"):
        installation.register(customer, at_ms=START_MS)
    installation.heartbeat(at_ms=START_MS + DAY_MS + 1)
    with installation.worker("a") as worker:
        worker.until_ready()
        until(lambda: len(installation.actions()) == 4, seconds=30, what="two messages to each")
        assert worker.stop() == 0
    records = read_records(installation.settings, "anna")
    assert {decision.customer_id for decision in records.decisions} == {"anna"}
    assert records.decisions[0].kind == "entered"
    assert records.customer is not None
    assert [instance.step for instance in records.customer.instances] == ["first_purchase"]
    versions = read_versions(installation.settings, {(d.journey, d.version) for d in records.decisions})
    (place,) = explain("anna", records.decisions, records.customer, versions).places
    assert "waits for order_placed" in place.sentence

    assert run(["explain", "anna", *options(installation)]) == 0
    text = capsys.readouterr().out
    assert '"welcome" sent a message by email' in text
    assert 'in step "first_purchase"' in text
    assert "berta" not in text
    assert "Anna" not in text
    assert run(["explain", "anna", *options(installation), "--show-personal-data"]) == 0
    assert "first_name Anna" in capsys.readouterr().out

    assert run(["explain", "anna", *options(installation), "--format", "json", "--since", "2023-11-15T22:00Z"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [decision["step"] for decision in values["decisions"]] == ["next_day", "how_it_works", "bought_already"]
    assert [place["step"] for place in values["places"]] == ["first_purchase"]
    assert values["next_timer_at"] == values["places"][0]["timer_at"]

    assert run(["explain", "nobody", *options(installation)]) == 1
    assert capsys.readouterr().out == "nothing is known of customer nobody\n"


def test_what_was_not_committed_and_what_was_erased_is_not_told(installation: Installation) -> None:
    settings = installation.settings
    producer = Producer(
        {"bootstrap.servers": settings.bootstrap_servers, "transactional.id": f"{settings.app_id}-test"}
    )
    producer.init_transactions()
    transition = {
        "customer_id": "anna", "journey": "j", "version": "v", "instance": 1, "kind": "entered", "step": "", "to": "s",
        "reason": "", "at": START_MS, "event_id": "e1", "action_id": None, "value": None,
    }  # fmt: skip
    for is_committed, kind in ((True, "entered"), (False, "exited")):
        producer.begin_transaction()
        framed = installation.framed("journey_transition", transition | {"kind": kind})
        producer.produce(installation.names.transitions, framed, b"anna")
        value = encode_customer(Customer(profile={"kind": kind}))
        producer.produce(installation.names.changelog, value, b"anna")
        if is_committed:
            producer.commit_transaction()
        else:
            producer.flush()
            producer.abort_transaction()
    records = read_records(settings, "anna")
    assert [decision.kind for decision in records.decisions] == ["entered"]
    assert records.customer is not None
    assert records.customer.profile == {"kind": "entered"}
    assert read_versions(settings, {("j", "v")}) == {}
    producer.begin_transaction()
    producer.produce(installation.names.changelog, None, b"anna")
    producer.commit_transaction()
    assert read_records(settings, "anna").customer is None


def test_a_topic_that_is_not_there_is_named(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = options(installation)
    arguments[-1] = "nowhere."
    assert run(["explain", "anna", *arguments]) == 3
    err = capsys.readouterr().err
    assert "topic nowhere.journeys.transitions does not exist" in err
    assert "--topic-prefix" in err
    with pytest.raises(EnvironmentProblem, match=r"changelog does not exist"):
        read_records(
            type(installation.settings)(
                bootstrap_servers=installation.settings.bootstrap_servers,
                topic_prefix=installation.settings.topic_prefix,
                app_id="other",
            ),
            "anna",
        )


def test_a_time_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "anna", "--since", "yesterday"]) == 2
    assert '"yesterday" is neither a time' in capsys.readouterr().err
