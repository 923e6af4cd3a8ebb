"""One Kafka Connect for all tests of the sinks, on the broker and registry that all tests share."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from orchestrator.resources import deploy_dir, schemas_dir
from orchestrator.runtime.connectors import Connector, ConnectWorker, read_connector
from orchestrator.runtime.ingest.links import LinkKey
from orchestrator.runtime.schemas import Registry, read_schema_files, register_schemas
from orchestrator.stack.connect import drivers_dir
from orchestrator.stack.stack import Stack, start_stack
from tests.sinks.postgresql import driver_jar
from tests.sinks.receiver import Receiver
from tests.sinks.traffic import WAIT_S, Commands, eventually

TEMPLATES = sorted((deploy_dir() / "connect").glob("*.json"))
SECRETS = {
    name: f"s3cret-{name.lower()}" for path in TEMPLATES for name in re.findall(r"env:(SINK_\w+)", path.read_text())
}
LINK_KEY = LinkKey("k1", bytes(range(32)))
SECRETS["SINK_LINK_KEY"] = f"{LINK_KEY.name} {LINK_KEY.secret.hex()}"
TOKEN, MAIL_PASSWORD = SECRETS["SINK_HTTP_TOKEN"], SECRETS["SINK_SMTP_PASSWORD"]


def h2_jar(stack: Stack) -> Path:
    return next(stack.artifacts.registry_dir.rglob("com.h2database.h2-*.jar"))


@pytest.fixture(scope="session")
def connect(stack: Stack) -> Iterator[Stack]:
    """The stack with Kafka Connect, which knows the secrets of all templates. It ends with the stack."""
    drivers = drivers_dir(stack.data_dir)
    drivers.mkdir(exist_ok=True)
    # The registry keeps its schemas in a database whose driver suits the tests.
    shutil.copyfile(h2_jar(stack), drivers / "h2.jar")
    shutil.copyfile(driver_jar(), drivers / "postgresql.jar")
    # Kept while the tests run: one of them starts Connect a second time.
    with pytest.MonkeyPatch.context() as environment:
        for name, value in SECRETS.items():
            environment.setenv(name, value)
        yield start_stack(stack.data_dir, owned=True, short_lived=True, with_connect=True)


@pytest.fixture(scope="session")
def schema_id(stack: Stack) -> int:
    files = read_schema_files(schemas_dir() / "actions")
    return register_schemas(Registry(stack.registry_url), files)["action_command"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def commands(connect: Stack, schema_id: int, topic_prefix: str) -> Commands:
    """A topic of the test's own for a channel's commands, and one for recalls."""
    topic = f"{topic_prefix}actions.webhook"
    admin = AdminClient({"bootstrap.servers": connect.bootstrap_servers})
    recalls = NewTopic(f"{topic_prefix}journeys.recalls", 2, 1, config={"cleanup.policy": "compact,delete"})
    for future in admin.create_topics([NewTopic(topic, 1, 1), recalls]).values():
        future.result(WAIT_S)
    return Commands(connect.bootstrap_servers, topic, schema_id)


@pytest.fixture
def apply(connect: Stack, topic_prefix: str) -> Iterator[Callable[..., Connector]]:
    """Starts the connector of a shipped template, with quick retries; it is removed when the test ends."""
    worker = ConnectWorker(connect.connect_url)
    applied: list[str] = []

    def start(template: str, *, settings: dict[str, str] | None = None, **values: str) -> Connector:
        path = deploy_dir() / "connect" / f"{template}.json"
        given = {
            "TOPIC_PREFIX": topic_prefix,
            "HTTP_CHANNEL": "webhook",
            "REGISTRY_URL": connect.registry_url,
            "BOOTSTRAP_SERVERS": connect.bootstrap_servers,
            **values,
        }
        described = read_connector(path, given, name=f"{topic_prefix}{template}")
        quick = {"retry.backoff.ms": "100", "retry.backoff.max.ms": "400", "offset.flush.interval.ms": "500"}
        connector = Connector(described.name, {**described.config, **quick, **(settings or {})})
        assert worker.faults(connector) == []
        worker.apply(connector)
        applied.append(connector.name)
        eventually(lambda: any(state.name == connector.name and state.is_running for state in worker.states()))
        return connector

    yield start
    for name in applied:
        worker.remove(name)


@pytest.fixture
def connect_log(connect: Stack) -> Callable[[], str]:
    path: Path = connect.data_dir / "logs" / "connect.log"
    return lambda: path.read_text(errors="replace")
