"""The loopback ports of one stack."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass

HOST = "127.0.0.1"

FIRST_PORT = 20_000
LAST_PORT = 32_000
"""Below the ports that Linux and macOS hand out to outgoing connections: a client that keeps trying to reach a stopped
broker could otherwise be given the broker's own port as its local one, and connect to itself."""


@dataclass(frozen=True, slots=True)
class Ports:
    """One port for each listener. `connect` is 0 where Kafka Connect was never asked for."""

    broker: int
    controller: int
    registry: int
    registry_management: int
    connect: int = 0


def free_ports() -> Ports:
    """Four ports that nothing listens on."""
    candidates = _candidates()
    return Ports(*(next(candidates) for _ in range(4)))


def free_port() -> int:
    """A port that nothing listens on."""
    return next(_candidates())


def is_free(port: int) -> bool:
    """Whether a listener could be opened on the port now."""
    with socket.socket() as probe:
        # As servers do: a connection that is still closing does not keep a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _candidates() -> Iterator[int]:
    # Random, so that two stacks that start at the same moment do not reach for the same ones.
    ports = random.SystemRandom().sample(range(FIRST_PORT, LAST_PORT), LAST_PORT - FIRST_PORT)
    return filter(is_free, ports)
