"""Workers as processes of their own, and the events and records around them."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition

from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.in_force import load_journeys
from orchestrator.runtime.schemas import Registry, read_schema_files, register_schemas
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import create_topics, topic_names, topic_specs
from orchestrator.stack.stack import Stack

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
PARTITIONS = 2


def until(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class Installation:
    """Topics and schemas of one test, ready for workers on stream time."""

    def __init__(self, stack: Stack, topic_prefix: str, directory: Path, *, time: str = "stream") -> None:
        self.directory = directory
        self.registry_url = stack.registry_url
        self.settings = Settings(
            bootstrap_servers=stack.bootstrap_servers,
            registry_url=stack.registry_url,
            app_id=f"{topic_prefix}app",
            topic_prefix=topic_prefix,
            partitions=PARTITIONS,
            time=time,
        )
        self.names = topic_names(self.settings)
        # The topics of whatever the shipped journeys can send to.
        destinations = load_journeys(journeys_dir(), schemas_dir()).journeys.destinations
        self.destinations = [topic_prefix + topic for topic in destinations.values()]
        create_topics(self.settings, topic_specs(self.settings, destinations))
        files = read_schema_files(schemas_dir())
        self.ids = register_schemas(Registry(stack.registry_url), files)
        self.schemas = {file.name: fastavro.parse_schema(json.loads(file.text)) for file in files}
        self.topic_of = {file.name: json.loads(file.text).get("topic") for file in files}
        self.producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "partitioner": "murmur2_random"})

    def arguments(self, name: str, *, journeys: Path | None = None) -> list[str]:
        settings = self.settings
        return [
            *("--bootstrap-servers", settings.bootstrap_servers),
            *("--registry-url", settings.registry_url),
            *("--app-id", settings.app_id),
            *("--topic-prefix", settings.topic_prefix),
            *("--partitions", str(settings.partitions)),
            *("--time", settings.time),
            *("--data-dir", str(self.directory / name)),
            *("--journeys", str(journeys or journeys_dir())),
            *("--schemas", str(schemas_dir())),
            *("--log-format", "json"),
        ]

    @contextmanager
    def worker(self, name: str, *more: str, journeys: Path | None = None) -> Iterator[WorkerProcess]:
        """A started worker; it is killed at the end if it still runs."""
        log = self.directory / f"{name}-{time.monotonic_ns()}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", "worker", *self.arguments(name, journeys=journeys), *more],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")},
            )
        try:
            yield WorkerProcess(process, log)
        finally:
            process.kill()
            process.wait()

    def command(self, name: str, *arguments: str, has_prefix: bool = True) -> subprocess.CompletedProcess[str]:
        """Another command of this installation, run to its end."""
        settings = self.settings
        connection = ["--bootstrap-servers", settings.bootstrap_servers, "--app-id", settings.app_id]
        connection += ["--topic-prefix", settings.topic_prefix] * has_prefix
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", name, *connection, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            # Not all commands have the option.
            env={**os.environ, "ORCHESTRATOR_REGISTRY_URL": self.registry_url},
        )

    def send(self, event_type: str, customer: str, *, at_ms: int, **fields: Any) -> None:
        """Queues an event with its own time as the record's."""
        self.put(event_type, customer, fields, at_ms=at_ms)

    def put(self, event_type: str, customer: str, fields: dict[str, Any], *, at_ms: int, partition: int = -1) -> None:
        """As `send`, to this partition; -1 is that of the customer's key."""
        event = {
            "event_id": f"{event_type}-{customer}-{at_ms}",
            "customer_id": customer,
            "occurred_at": at_ms,
            **fields,
        }
        topic = self.settings.topic_prefix + self.topic_of[event_type]
        self.producer.produce(topic, self.framed(event_type, event), customer.encode(), partition, timestamp=at_ms)

    def register(self, customer: str, *, at_ms: int, partition: int = -1) -> None:
        """Queues the event that starts the welcome series."""
        fields = {
            "email": f"{customer}@example.com",
            "phone": None,
            "push_token": None,
            "first_name": "Anna",
            "language": "en",
            "time_zone": "UTC",
            "acquisition_channel": "web",
            "lifecycle": "new",
            "email_consent": True,
            "sms_consent": False,
            "push_consent": False,
        }
        self.put("customer_registered", customer, fields, at_ms=at_ms, partition=partition)

    def heartbeat(self, *, at_ms: int) -> None:
        """Says that everything is complete up to this instant, and sends all that is queued."""
        for topic in self.names.events:
            for partition in range(PARTITIONS):
                value = self.framed("stream_heartbeat", {"at": at_ms})
                self.producer.produce(topic, value, None, partition, timestamp=at_ms)
        assert self.producer.flush(30) == 0

    def framed(self, name: str, fields: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        out.write(b"\0" + self.ids[name].to_bytes(4, "big"))
        fastavro.schemaless_writer(out, self.schemas[name], fields)
        return out.getvalue()

    def committed(self, *topics: str) -> list[Any]:
        """All committed values of these topics, decoded."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.bootstrap_servers,
                "group.id": f"{self.settings.app_id}-look",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        partitions = [TopicPartition(topic, number, 0) for topic in topics for number in range(PARTITIONS)]
        consumer.assign(partitions)
        values, ended = [], 0
        by_id = {schema_id: name for name, schema_id in self.ids.items()}
        while ended < len(partitions):
            message = consumer.poll(5)
            assert message is not None
            if message.error() is not None:
                ended += 1
                continue
            value = message.value() or b""
            schema = self.schemas[by_id[int.from_bytes(value[1:5], "big")]]
            values.append(fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None))
        consumer.close()
        return values

    def actions(self) -> list[Any]:
        return self.committed(*self.destinations)

    def transitions(self) -> list[Any]:
        return self.committed(self.names.transitions)


class WorkerProcess:
    """A worker and what it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def output(self) -> str:
        return self._log.read_text()

    def until_ready(self, *, seconds: float = 60) -> str:
        """The address of the metrics, as the ready line says it."""

        def ready() -> str | None:
            assert self.process.poll() is None, self.output()
            found = re.search(r"^ready: .* metrics at (\S+)$", self.output(), re.MULTILINE)
            return found[1] if found else None

        found: str = until(ready, seconds=seconds, what=f"ready; {self.output()}")
        return found

    def owned(self) -> list[set[int]]:
        """The partitions after each rebalance."""
        lines = (line for line in self.output().splitlines() if line.startswith("{"))
        events: Iterable[dict[str, Any]] = (json.loads(line) for line in lines)
        return [set(event["partitions"]) for event in events if event["event"] == "partitions assigned"]

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """The exit code after being told to stop."""
        self.process.send_signal(with_signal)
        return self.process.wait(20)
