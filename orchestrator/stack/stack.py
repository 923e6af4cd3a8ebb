"""The stack as a whole: started, found again, restarted in part, stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.stack import broker, connect, processes, registry
from orchestrator.stack.artifacts import Artifacts, ensure_artifacts, maven_fetch, read_lock
from orchestrator.stack.home import cache_dir, maven_repository
from orchestrator.stack.ports import HOST, Ports, is_free
from orchestrator.stack.processes import JavaCommand, ProcessRecord
from orchestrator.stack.progress import QUIET, Progress
from orchestrator.stack.record import exclusive, note_process, open_record, read_record
from orchestrator.stack.sinks import ensure_plugins

BROKER, REGISTRY, CONNECT = "broker", "registry", "connect"
SERVICES = (CONNECT, BROKER, REGISTRY)
"""In the order in which they are stopped: Kafka Connect hangs when its broker goes first."""

READY_TIMEOUT_S = 120.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack. An `owned` one ends with this process; see `start_java`."""

    data_dir: Path
    ports: Ports
    artifacts: Artifacts
    owned: bool
    short_lived: bool
    plugins: Path | None = None
    """The sinks of Kafka Connect, where it was asked for."""
    broker_settings: str = ""
    """Lines added to the broker's settings: listeners with TLS, for example."""
    connect_settings: str = ""
    """Lines added to the settings of Kafka Connect."""
    registry_options: tuple[str, ...] = ()
    """Options added to those of the registry: a listener with TLS, for example."""

    @property
    def bootstrap_servers(self) -> str:
        """The broker, as Kafka clients take it."""
        return bootstrap_servers(self.ports)

    @property
    def registry_url(self) -> str:
        """The registry, as Confluent clients take it."""
        return registry.registry_url(self.ports)

    @property
    def connect_url(self) -> str:
        """Kafka Connect's REST interface."""
        return connect.connect_url(self.ports)


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the stack: how it is run, when it is ready, what it listens on."""

    name: str
    command: JavaCommand
    is_ready: Callable[[], bool]
    ports: tuple[int, ...]
    prepare: Callable[[], None] = lambda: None
    """Makes the files that the command needs, in the service's folder."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """How a service does. `state` is `ready`, `not answering` or `stopped`."""

    name: str
    state: str
    address: str
    log: Path
    pid: int | None
    resident_mb: int | None


def bootstrap_servers(ports: Ports) -> str:
    """The broker on these ports, as Kafka clients take it."""
    return f"{HOST}:{ports.broker}"


def start_stack(
    data_dir: Path,
    *,
    owned: bool,
    short_lived: bool = False,
    with_connect: bool = False,
    broker_settings: str = "",
    connect_settings: str = "",
    registry_options: tuple[str, ...] = (),
    progress: Progress = QUIET,
    timeout_s: float = READY_TIMEOUT_S,
) -> Stack:
    """The stack of the folder, ready to be used; what of it runs already is left alone.

    A `short_lived` stack trades speed later for a quick start. Raises: EnvironmentProblem, with everything that was
    started here stopped again.
    """
    fetch, lock = maven_fetch(repository=maven_repository()), read_lock()
    artifacts = ensure_artifacts(cache_dir(), lock=lock, fetch=fetch, progress=progress)
    plugins = (
        ensure_plugins(cache_dir(), artifacts, lock=lock, fetch=fetch, progress=progress) if with_connect else None
    )
    data_dir = data_dir.absolute()
    with exclusive(data_dir):
        ports = open_record(data_dir, connect=with_connect).ports
        stack = Stack(
            data_dir,
            ports,
            artifacts,
            owned=owned,
            short_lived=short_lived,
            plugins=plugins,
            broker_settings=broker_settings,
            connect_settings=connect_settings,
            registry_options=registry_options,
        )
        # Kafka Connect does not start without a broker.
        rounds = [_services(stack), [_connect(stack, plugins)] if plugins is not None else []]
        started: list[str] = []
        try:
            for services in rounds:
                stopped = [service for service in services if _running(data_dir, service.name) is None]
                if stopped:
                    progress.note(f"starting {' and '.join(service.name for service in stopped)}")
                for service in stopped:
                    started.append(service.name)
                    _start(stack, service)
                _await_ready(stack, services, timeout_s=timeout_s)
        except BaseException:
            _stop(data_dir, started)
            raise
    return stack


def stop_stack(data_dir: Path) -> list[str]:
    """The names of the services that ran, now stopped. The folder keeps topics, schemas and ports."""
    if read_record(data_dir) is None:
        return []
    with exclusive(data_dir):
        names = [name for name in SERVICES if _running(data_dir, name) is not None]
        _stop(data_dir, names)
    return names


@contextmanager
def running_stack(
    data_dir: Path,
    *,
    keep: bool = False,
    short_lived: bool = True,
    with_connect: bool = False,
    broker_settings: str = "",
    connect_settings: str = "",
    registry_options: tuple[str, ...] = (),
    progress: Progress = QUIET,
    timeout_s: float = READY_TIMEOUT_S,
) -> Iterator[Stack]:
    """A context with a stack of its own, which ends with it: also on a failure, on Ctrl-C, and when this process is
    killed.

    With `keep` it is left running, unless the context fails. Raises: EnvironmentProblem when the folder's stack
    already runs.
    """
    if running := [name for name in SERVICES if _running(data_dir, name) is not None]:
        raise EnvironmentProblem(
            f"the {' and the '.join(running)} of {data_dir} already run", hint="stop them with: orchestrator down"
        )
    stack = start_stack(
        data_dir,
        owned=not keep,
        short_lived=short_lived,
        with_connect=with_connect,
        broker_settings=broker_settings,
        connect_settings=connect_settings,
        registry_options=registry_options,
        progress=progress,
        timeout_s=timeout_s,
    )
    try:
        yield stack
    except BaseException:
        stop_stack(data_dir)
        raise
    if not keep:
        stop_stack(data_dir)


def stack_status(data_dir: Path) -> list[ServiceStatus]:
    """How each service does; nothing where no stack was ever started."""
    record = read_record(data_dir)
    if record is None:
        return []
    ready: dict[str, Callable[[], bool]] = {
        BROKER: lambda: broker.broker_is_ready(record.ports),
        REGISTRY: lambda: registry.registry_is_ready(record.ports),
    }
    addresses = {BROKER: bootstrap_servers(record.ports), REGISTRY: registry.registry_url(record.ports)}
    if record.ports.connect:
        ready[CONNECT] = lambda: connect.connect_is_ready(record.ports)
        addresses[CONNECT] = connect.connect_url(record.ports)
    return [_status(data_dir, name, address, ready[name]) for name, address in addresses.items()]


def running_endpoints(data_dir: Path) -> tuple[str, str] | None:
    """Broker and registry of the folder's stack as clients take them, if both run."""
    record = read_record(data_dir)
    if record is None or any(_running(data_dir, name) is None for name in (BROKER, REGISTRY)):
        return None
    return bootstrap_servers(record.ports), registry.registry_url(record.ports)


def running_connect_url(data_dir: Path) -> str | None:
    """Kafka Connect's REST interface in the folder's stack, if it runs."""
    record = read_record(data_dir)
    return None if record is None or _running(data_dir, CONNECT) is None else connect.connect_url(record.ports)


def kill_broker(stack: Stack) -> None:
    """The broker is gone at once, as in a crash; its data stay."""
    _kill(stack, BROKER)


def kill_connect(stack: Stack) -> None:
    """Kafka Connect is gone at once, as in a crash."""
    _kill(stack, CONNECT)


def start_broker(stack: Stack, *, timeout_s: float = READY_TIMEOUT_S) -> None:
    """The broker runs again, on its port and with its data."""
    with exclusive(stack.data_dir):
        service = _broker(stack)
        if _running(stack.data_dir, BROKER) is None:
            _start(stack, service)
        _await_ready(stack, [service], timeout_s=timeout_s)


def restart_broker(stack: Stack, *, timeout_s: float = READY_TIMEOUT_S) -> None:
    """The broker was stopped in good order and runs again, on its port and with its data."""
    with exclusive(stack.data_dir):
        _stop(stack.data_dir, [BROKER])
    start_broker(stack, timeout_s=timeout_s)


def start_connect(stack: Stack, *, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Kafka Connect runs again, on its port. The stack was started with it."""
    assert stack.plugins is not None
    with exclusive(stack.data_dir):
        service = _connect(stack, stack.plugins)
        if _running(stack.data_dir, CONNECT) is None:
            _start(stack, service)
        _await_ready(stack, [service], timeout_s=timeout_s)


def log_path(data_dir: Path, name: str) -> Path:
    """Where a service writes what it has to say."""
    return data_dir / "logs" / f"{name}.log"


def _services(stack: Stack) -> list[Service]:
    # The registry takes longest to start, so it goes first.
    return [_registry(stack), _broker(stack)]


def _broker(stack: Stack) -> Service:
    folder, jars = stack.data_dir / BROKER, stack.artifacts.kafka_jars

    def prepare() -> None:
        broker.write_settings(folder, stack.ports, more=stack.broker_settings)
        broker.format_storage(folder, jars=jars, templates=cache_dir() / "formatted")

    return Service(
        name=BROKER,
        command=broker.broker_command(folder, jars=jars, short_lived=stack.short_lived),
        is_ready=lambda: broker.broker_is_ready(stack.ports),
        ports=(stack.ports.broker, stack.ports.controller),
        prepare=prepare,
    )


def _registry(stack: Stack) -> Service:
    folder, ports = stack.data_dir / REGISTRY, stack.ports
    return Service(
        name=REGISTRY,
        command=registry.registry_command(
            folder, unpacked=stack.artifacts.registry_dir, ports=ports, more=stack.registry_options
        ),
        is_ready=lambda: registry.registry_is_ready(ports),
        ports=(ports.registry, ports.registry_management),
    )


def _connect(stack: Stack, plugins: Path) -> Service:
    folder, ports, data_dir = stack.data_dir / CONNECT, stack.ports, stack.data_dir
    drivers = sorted(connect.drivers_dir(data_dir).glob("*.jar"))

    def prepare() -> None:
        connect.write_connect_settings(
            folder,
            bootstrap_servers=stack.bootstrap_servers,
            ports=ports,
            plugins=plugins,
            secrets=connect.secrets_dir(data_dir),
            more=stack.connect_settings,
        )

    return Service(
        name=CONNECT,
        command=connect.connect_command(folder, jars=[*stack.artifacts.kafka_jars, *drivers]),
        is_ready=lambda: connect.connect_is_ready(ports),
        ports=(ports.connect,),
        prepare=prepare,
    )


def _start(stack: Stack, service: Service) -> None:
    for port in service.ports:
        if not is_free(port):
            raise EnvironmentProblem(
                f"port {port}, which the {service.name} of {stack.data_dir} has, is taken by another program",
                hint="stop that program, or delete the folder to begin with new ports and no data",
            )
    folder = stack.data_dir / service.name
    folder.mkdir(parents=True, exist_ok=True)
    service.prepare()
    process = processes.start_java(
        service.command, log=log_path(stack.data_dir, service.name), cwd=folder, owned=stack.owned
    )
    note_process(stack.data_dir, service.name, process)


def _await_ready(stack: Stack, services: Sequence[Service], *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    waiting = list(services)
    while waiting:
        for service in list(waiting):
            if service.is_ready():
                waiting.remove(service)
            elif _running(stack.data_dir, service.name) is None:
                raise _not_started(stack, service, "ended while it started")
            elif time.monotonic() > deadline:
                raise _not_started(stack, service, f"is not ready after {timeout_s:.0f} seconds")
        time.sleep(POLL_S if waiting else 0)


def _not_started(stack: Stack, service: Service, what: str) -> EnvironmentProblem:
    log = log_path(stack.data_dir, service.name)
    return EnvironmentProblem(
        f"the {service.name} {what}; the end of its log:\n{processes.log_tail(log)}", hint=f"the whole log is {log}"
    )


def _running(data_dir: Path, name: str) -> ProcessRecord | None:
    record = read_record(data_dir)
    process = record.processes.get(name) if record else None
    return process if process is not None and processes.find(process) is not None else None


def _kill(stack: Stack, name: str) -> None:
    if (process := _running(stack.data_dir, name)) is not None:
        processes.kill(process)
    note_process(stack.data_dir, name, None)


def _stop(data_dir: Path, names: Sequence[str]) -> None:
    running = {name: process for name in names if (process := _running(data_dir, name)) is not None}
    for group in ((CONNECT,), (BROKER, REGISTRY)):
        processes.stop(running[name] for name in group if name in running)
    for name in names:
        note_process(data_dir, name, None)


def _status(data_dir: Path, name: str, address: str, is_ready: Callable[[], bool]) -> ServiceStatus:
    log = log_path(data_dir, name)
    record = _running(data_dir, name)
    process = processes.find(record) if record is not None else None
    if process is None:
        return ServiceStatus(name, "stopped", address, log, None, None)
    state = "ready" if is_ready() else "not answering"
    return ServiceStatus(name, state, address, log, process.pid, process.memory_info().rss // 1_000_000)
