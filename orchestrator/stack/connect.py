"""The embedded Kafka Connect: one distributed worker, which runs the sinks of `deploy/connect`."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from pathlib import Path

from orchestrator.stack.broker import LOG_SETTINGS
from orchestrator.stack.ports import HOST, Ports
from orchestrator.stack.processes import JavaCommand

SECRET_PREFIX = "SINK_"  # noqa: S105  (the name of variables, not a secret)
"""Environment variables of this name are what a connector's configuration may refer to, and no others."""

BYTES = "org.apache.kafka.connect.converters.ByteArrayConverter"

SETTINGS = """\
bootstrap.servers={bootstrap_servers}
group.id=connect
listeners=http://{host}:{ports.connect}
rest.advertised.host.name={host}
rest.advertised.port={ports.connect}

plugin.path={plugin_path}
# Plugins name themselves in a manifest. Looking into every class of every jar takes ten seconds longer.
plugin.discovery=service_load
# GET /metrics, for Prometheus.
rest.extension.classes=orchestrator.connect.MetricsExtension

# The sinks decode commands themselves; see deploy/connect.
key.converter={bytes}
value.converter={bytes}
header.converter={bytes}

# Secrets of connectors are named in their configuration and looked up where they are needed.
config.providers=env,file,dir
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
config.providers.env.param.allowlist.pattern={secret_prefix}.*
config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider
config.providers.file.param.allowed.paths={secrets}
config.providers.dir.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider
config.providers.dir.param.allowed.paths={secrets}

# A command of a transaction that was aborted never happened.
consumer.isolation.level=read_committed
# What a killed worker may deliver a second time is at most what it took since its last commit.
consumer.max.poll.records=100
offset.flush.interval.ms=2000
# A killed worker's partitions are taken over in seconds.
consumer.session.timeout.ms=6000
consumer.heartbeat.interval.ms=2000
session.timeout.ms=6000
heartbeat.interval.ms=2000
scheduled.rebalance.max.delay.ms=0

# One node.
config.storage.topic=connect.configs
offset.storage.topic=connect.offsets
status.storage.topic=connect.status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=1
status.storage.partitions=1
"""


def secrets_dir(data_dir: Path) -> Path:
    """The only folder of files that a connector's configuration may refer to: beside the stack, so that it is kept when
    the stack is deleted.
    """
    return data_dir.parent / "secrets"


def drivers_dir(data_dir: Path) -> Path:
    """Where JDBC drivers are put that sinks shall find: beside the stack, as secrets are."""
    return data_dir.parent / "drivers"


def write_connect_settings(
    folder: Path, *, bootstrap_servers: str, ports: Ports, plugins: Path, secrets: Path, more: str = ""
) -> Path:
    """The path of the worker's settings, written for these ports. Lines of `more` count where one is there twice."""
    secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    (secrets / ".gitignore").write_text("*\n")
    path = folder / "connect.properties"
    path.write_text(
        SETTINGS.format(
            host=HOST,
            ports=ports,
            bootstrap_servers=bootstrap_servers,
            plugin_path=plugins,
            bytes=BYTES,
            secret_prefix=SECRET_PREFIX,
            secrets=secrets,
        )
        + more
    )
    return path


def connect_command(folder: Path, *, jars: Sequence[Path]) -> JavaCommand:
    """How the worker is run."""
    return JavaCommand(
        options=("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", LOG_SETTINGS),
        arguments=("org.apache.kafka.connect.cli.ConnectDistributed", str(folder / "connect.properties")),
        class_path=tuple(jars),
        environment_prefix=SECRET_PREFIX,
    )


def connect_url(ports: Ports) -> str:
    """The address of the worker's REST interface."""
    return f"http://{HOST}:{ports.connect}"


def connect_is_ready(ports: Ports, *, timeout_s: float = 2.0) -> bool:
    """Whether the worker takes requests and has read its topics."""
    connection = http.client.HTTPConnection(HOST, ports.connect, timeout=timeout_s)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
