"""The embedded Kafka broker: one node that is broker and controller at once."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.stack.java import java
from orchestrator.stack.ports import HOST, Ports
from orchestrator.stack.processes import KEPT_ENVIRONMENT, JavaCommand

LOG_SETTINGS = f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}"
CHECKPOINT = "bootstrap.checkpoint"
METADATA_REQUEST, METADATA_VERSION = 3, 1

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{ports.controller}
listeners=PLAINTEXT://{host}:{ports.broker},CONTROLLER://{host}:{ports.controller}
advertised.listeners=PLAINTEXT://{host}:{ports.broker}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_dir}

# A misspelt topic is an error, not a new topic.
auto.create.topics.enable=false
# A replayed log has old timestamps; retention by time would delete it at once.
log.retention.ms=-1

# One node.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1

# A broker that comes back after a crash waits until its old session is over.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# Workers that come, go and crash are noticed in seconds.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000

# A small machine.
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
"""


def write_settings(folder: Path, ports: Ports, *, more: str = "") -> Path:
    """The path of the broker's settings, written for these ports and for data below `folder`.

    Lines of `more` count where a setting is there twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "server.properties"
    path.touch(mode=0o600)
    path.write_text(SETTINGS.format(host=HOST, ports=ports, log_dir=_log_dir(folder)) + more)
    return path


def format_storage(folder: Path, *, jars: Sequence[Path], templates: Path) -> None:
    """The data folder is a Kafka log directory; one that already is stays as it is.

    Kafka's own formatter takes a virtual machine of its own and half as long as a broker start. What it writes for one
    node differs between data folders in two ids only, so its result is kept in `templates` and copied.
    """
    log_dir = _log_dir(folder)
    if (log_dir / "meta.properties").exists():
        return
    template = templates / f"{_kafka_version(jars)}.{CHECKPOINT}"
    if not template.exists():
        _make_template(template, jars=jars)
    log_dir.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(template, log_dir / CHECKPOINT)
    # Written last: it is what marks the folder as formatted.
    (log_dir / "meta.properties").write_text(
        f"version=1\ncluster.id={_kafka_uuid()}\nnode.id=1\ndirectory.id={_kafka_uuid()}\n"
    )


def broker_command(folder: Path, *, jars: Sequence[Path], short_lived: bool) -> JavaCommand:
    """How the broker is run. A `short_lived` one starts in half the time, and never becomes quite as fast."""
    compiler = ("-XX:TieredStopAtLevel=1",) if short_lived else ()
    return JavaCommand(
        options=("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", *compiler, LOG_SETTINGS),
        arguments=("kafka.Kafka", str(folder / "server.properties")),
        class_path=tuple(jars),
    )


def broker_is_ready(ports: Ports, *, timeout_s: float = 1.0) -> bool:
    """Whether the broker answers a metadata request and counts itself as part of the cluster.

    Source: the Kafka protocol guide, Metadata request and response, version 1.
    """
    client = b"orchestrator"
    header = struct.pack(f">hhih{len(client)}s", METADATA_REQUEST, METADATA_VERSION, 1, len(client), client)
    no_topics = struct.pack(">i", 0)
    request = header + no_topics
    try:
        with socket.create_connection((HOST, ports.broker), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.makefile("rb").read(12)
    except OSError:
        return False
    if len(answer) < 12:
        return False
    _size, _correlation, brokers = struct.unpack(">iii", answer)
    return bool(brokers > 0)


def _make_template(template: Path, *, jars: Sequence[Path]) -> None:
    template.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=template.parent) as scratch:
        folder = Path(scratch)
        settings = write_settings(folder, Ports(broker=1, controller=2, registry=3, registry_management=4))
        options = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", LOG_SETTINGS)
        arguments = ("kafka.tools.StorageTool", "format", "-t", _kafka_uuid(), "-c", str(settings))
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        result = subprocess.run(
            [java(), *options, *arguments],
            env={**environment, "CLASSPATH": os.pathsep.join(map(str, jars))},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise EnvironmentProblem(f"the Kafka storage formatter failed:\n{result.stdout}{result.stderr}")
        (_log_dir(folder) / CHECKPOINT).replace(template)


def _kafka_version(jars: Sequence[Path]) -> str:
    return next(jar.stem for jar in jars if jar.stem.startswith("kafka_2.13-"))


def _kafka_uuid() -> str:
    """A random id in Kafka's notation. One that begins with a dash would be taken for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def _log_dir(folder: Path) -> Path:
    return folder / "log"
