"""Latency: from handing an event to the producer until a read_committed reader sees its action."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from benchmarks.ground import cpu_seconds, percentile, prepared, producer
from orchestrator.demo.run import worker_options
from orchestrator.demo.workers import check_alive, running_workers
from orchestrator.model.events import Event
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names
from orchestrator.stack.stack import Stack

WARM_UP_S = 15.0
"""A fresh broker compiles its hot code for about so long."""

REGISTRATION_EVERY = 5
"""Every so many events a new customer registers, which the welcome series answers with an e-mail at once."""


def measure(stack: Stack, directory: Path, *, rate: int, seconds: float, note: Callable[[str], None]) -> dict[str, Any]:
    """One worker on the wall clock, `rate` events a second; gives percentiles in milliseconds."""
    name = f"latency{rate}"
    settings = prepared(stack, name, directory, clock="wall")
    options = [*worker_options(settings, "worker-1"), f"--topic-prefix={settings.topic_prefix}"]
    with running_workers(1, lambda _name: options, log_dir=directory / f"logs-{name}") as workers:
        pid = workers[0].process.pid
        return drive(settings, pid, lambda: check_alive(workers), rate=rate, seconds=seconds, note=note)


def drive(
    settings: Settings,
    pid: int,
    check: Callable[[], None],
    *,
    rate: int,
    seconds: float,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Produces at the rate and times the answers; whoever answers runs already under `pid`."""
    sent: dict[bytes, float] = {}
    seen: list[tuple[float, float]] = []
    reader = Reader(settings, sent, seen)
    reader.start()
    out = producer(settings, linger_ms=0)
    events = stream()
    started = time.monotonic()
    cpu_begin, number = cpu_seconds(pid), 0
    note(f"{rate:,} events a second for {seconds:.0f} s")
    while (elapsed := time.monotonic() - started) < WARM_UP_S + seconds:
        while number < elapsed * rate:
            event = next(events)
            if event.type == "customer_registered":
                sent[event.customer_id.encode()] = time.monotonic()
            out.send(event, timestamp_ms=0)
            number += 1
        out.poll(0)
        check()
        time.sleep(0.001)
    out.flush()
    cpu = cpu_seconds(pid) - cpu_begin
    deadline = time.monotonic() + 30
    while len(seen) < len(sent) and time.monotonic() < deadline:
        time.sleep(0.05)
    reader.stop()
    delays = [delay for at, delay in seen if at - started > WARM_UP_S]
    return {
        "rate": rate,
        "events": number,
        "actions_awaited": len(sent),
        "actions_seen": len(seen),
        "p50_ms": round(percentile(delays, 0.5) * 1000, 1),
        "p95_ms": round(percentile(delays, 0.95) * 1000, 1),
        "p99_ms": round(percentile(delays, 0.99) * 1000, 1),
        "max_ms": round(max(delays, default=0) * 1000, 1),
        "cpu_us_per_event": round(cpu / number * 1e6, 1),
    }


def stream() -> Iterator[Event]:
    """Registrations, and views and carts of customers who registered before; without end."""
    number = 0
    while True:
        number += 1
        if number % REGISTRATION_EVERY == 0:
            yield _event("customer_registered", number, f"new-{number}", _person(number))
        else:
            customer = f"new-{max(REGISTRATION_EVERY, number - number % REGISTRATION_EVERY - 50 * REGISTRATION_EVERY)}"
            if number % REGISTRATION_EVERY == 1:
                cart = {"cart_id": f"cart-{customer}", "value": Decimal("59.90"), "items": []}
                yield _event("cart_updated", number, customer, cart)
            else:
                yield _event("page_viewed", number, customer, {"page": "home", "url": None})


def _event(event_type: str, number: int, customer: str, fields: dict[str, Any]) -> Event:
    event_id = f"e{number}"
    common = {"event_id": event_id, "customer_id": customer, "occurred_at": int(time.time() * 1000)}
    return Event(event_type, event_id, customer, {**common, **fields})


def _person(number: int) -> dict[str, Any]:
    return {
        "email": f"new-{number}@example.com",
        "phone": None,
        "push_token": None,
        "first_name": "Kim",
        "language": "en",
        "time_zone": "Europe/Berlin",
        "acquisition_channel": "organic",
        "lifecycle": "new",
        "email_consent": True,
        "sms_consent": False,
        "push_consent": False,
    }


class Reader(threading.Thread):
    """Notes when the first e-mail of each awaited customer becomes visible."""

    def __init__(self, settings: Settings, sent: dict[bytes, float], seen: list[tuple[float, float]]) -> None:
        super().__init__(daemon=True)
        self._sent, self._seen = sent, seen
        self._ended = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "group.id": f"{settings.app_id}-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 5,
                "fetch.min.bytes": 1,
            }
        )
        topic = topic_names(settings).actions("email")
        self._consumer.assign([TopicPartition(topic, number, OFFSET_END) for number in range(settings.partitions)])
        self._consumer.poll(1.0)

    def run(self) -> None:
        """Reads until `stop`."""
        known: set[bytes] = set()
        while not self._ended.is_set():
            for message in self._consumer.consume(1000, 0.005):
                key = message.key()
                if message.error() is None and isinstance(key, bytes) and key in self._sent and key not in known:
                    known.add(key)
                    now = time.monotonic()
                    self._seen.append((now, now - self._sent[key]))
        self._consumer.close()

    def stop(self) -> None:
        """Ends the thread."""
        self._ended.set()
        self.join()
