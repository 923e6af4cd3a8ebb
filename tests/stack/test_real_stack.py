"""What only the real broker and the real registry can show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from orchestrator.stack.record import read_record
from orchestrator.stack.stack import Stack, kill_broker, restart_broker, stack_status, start_broker

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
WAIT_S = 60


def call(url: str, body: object | None = None) -> object:
    content = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    request = urllib.request.Request(url, content, headers)
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return json.loads(answer.read())


def make_topic(stack: Stack, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for future in admin.create_topics([NewTopic(name, 1, 1)]).values():
        future.result(WAIT_S)


def send(stack: Stack, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(WAIT_S) == 0


def read(stack: Stack, topic: str, count: int) -> list[bytes | str | None]:
    consumer = Consumer(
        {"bootstrap.servers": stack.bootstrap_servers, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        return [message.value() for message in consumer.consume(count, timeout=WAIT_S)]
    finally:
        consumer.close()


def test_both_services_are_ready(stack: Stack) -> None:
    states = {status.name: status.state for status in stack_status(stack.data_dir)}
    # Tests of sinks may have had Connect started on the same stack.
    assert {"broker": "ready", "registry": "ready"}.items() <= states.items()


def test_the_broker_keeps_its_records_and_its_port_over_a_restart_and_a_crash(stack: Stack, topic_prefix: str) -> None:
    topic = f"{topic_prefix}kept"
    make_topic(stack, topic)
    send(stack, topic, b"before")
    restart_broker(stack)
    send(stack, topic, b"after the restart")
    kill_broker(stack)
    start_broker(stack)
    send(stack, topic, b"after the crash")
    assert read(stack, topic, 3) == [b"before", b"after the restart", b"after the crash"]


def test_a_topic_that_nobody_made_is_not_made_by_writing_to_it(stack: Stack, topic_prefix: str) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "message.timeout.ms": 3000})
    failures: list[object] = []
    producer.produce(f"{topic_prefix}misspelt", b"x", on_delivery=lambda error, _: failures.append(error))
    producer.flush(WAIT_S)
    assert failures[0] is not None


def test_the_registry_refuses_an_incompatible_schema(stack: Stack, topic_prefix: str) -> None:
    url = f"{stack.registry_url}/subjects/{topic_prefix}order/versions"

    def register(*fields: dict[str, object]) -> object:
        return call(url, {"schema": json.dumps({"type": "record", "name": "order", "fields": fields})})

    total: dict[str, object] = {"name": "total", "type": "double"}
    optional: dict[str, object] = {"name": "note", "type": ["null", "string"], "default": None}
    required: dict[str, object] = {"name": "reason", "type": "string"}
    register(total)
    register(total, optional)
    with pytest.raises(urllib.error.HTTPError) as caught:
        register(total, required)
    assert caught.value.code == 409


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    record = read_record(stack.data_dir)
    assert record is not None
    for process in record.processes.values():
        connections = psutil.Process(process.pid).net_connections(kind="inet")
        hosts = {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}
        # On a machine with IPv6 a Java socket for 127.0.0.1 is shown in its mapped form.
        assert {host.removeprefix("::ffff:") for host in hosts} == {"127.0.0.1"}


OWNER = """
import sys, time
from pathlib import Path
from orchestrator.stack.stack import running_stack

with running_stack(Path(sys.argv[1]), with_connect=True):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_kill_9_of_the_process_that_has_the_stack_ends_all_of_it(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "up\n"
    record = read_record(tmp_path)
    assert record is not None
    services = [psutil.Process(process.pid) for process in record.processes.values()]
    assert len(services) == 3
    owner.kill()
    owner.wait(WAIT_S)
    assert psutil.wait_procs(services, timeout=WAIT_S)[1] == []


@pytest.mark.slow
def test_up_outlives_its_command_and_down_ends_it(tmp_path: Path) -> None:
    environment = {**os.environ, "ORCHESTRATOR_HOME": str(tmp_path)}

    def orchestrator(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "orchestrator", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)

    try:
        up = orchestrator("up", "--connect")
        assert up.returncode == 0, up.stderr
        exported = dict(line.removeprefix("export ").split("=", 1) for line in up.stdout.splitlines())
        assert call(f"{exported['ORCHESTRATOR_REGISTRY_URL']}/config") == {"compatibilityLevel": "BACKWARD"}
        plugins = call(f"{exported['ORCHESTRATOR_CONNECT_URL']}/connector-plugins")
        assert "orchestrator.connect.HttpSinkConnector" in str(plugins)
        assert orchestrator("status").returncode == 0
        assert orchestrator("connect", "status").stdout == "no connectors; orchestrator connect apply starts some\n"
    finally:
        down = orchestrator("down")
    assert down.stdout == "stopped connect, broker and registry\n"
    assert orchestrator("status").returncode == 1
