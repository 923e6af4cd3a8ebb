"""A shop's traffic on the wall clock, with everything that goes wrong at a producer: repeats, garbage, strangers."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from decimal import Decimal
from typing import Any

from confluent_kafka import Producer

from orchestrator.model.events import Event
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.produce import EventProducer, event_routes, produced_schemas
from orchestrator.runtime.schemas import Registry, read_schema_files, register_schemas
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names

CUSTOMERS = 300
POISON_EVERY = 97
REPEAT_EVERY = 41


class Traffic(threading.Thread):
    """Sends about `rate` events a second until `stop`; `sent` counts by what was sent."""

    def __init__(self, settings: Settings, *, rate: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.sent: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self._rate = rate
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self._topics = topic_names(settings).events
        files = read_schema_files(settings.schemas)
        self._ids = register_schemas(Registry(settings.registry_url), files)
        routes = event_routes(
            produced_schemas(files), self._ids, topic_prefix=settings.topic_prefix, event_topics=settings.event_topics
        )
        self._out = EventProducer(brokers_of(settings), routes, event_topics=topic_names(settings).events, linger_ms=2)
        self._raw = Producer({"bootstrap.servers": settings.bootstrap_servers, "partitioner": "murmur2_random"})

    def run(self) -> None:
        """Sends; a failure is kept for `stop` to raise."""
        try:
            self._send_all()
        except BaseException as error:  # noqa: BLE001 - the test's own thread shall see it
            self.failure = error

    def stop(self) -> None:
        """Ends the traffic when all of it is delivered."""
        self._ended.set()
        self.join()
        if self.failure is not None:
            raise self.failure
        self._out.flush()
        self._raw.flush()
        assert not self._out.failed, self._out.failure

    def _send_all(self) -> None:
        started = time.monotonic()
        for number in range(CUSTOMERS):
            self._send(self._registration(number), "registration")
        number, last = 0, self._registration(0)
        while not self._ended.is_set():
            while number < (time.monotonic() - started) * self._rate:
                number += 1
                if number % POISON_EVERY == 0:
                    self._poison(number)
                elif number % REPEAT_EVERY == 0:
                    self._send(last, "repeat")
                else:
                    last = self._event(number)
                    self._send(last, "event")
            self._out.poll(0)
            self._raw.poll(0)
            time.sleep(0.002)

    def _send(self, event: Event, kind: str) -> None:
        self.sent[kind] += 1
        self._out.send(event, timestamp_ms=0)

    def _event(self, number: int) -> Event:
        customer = self._random.randrange(CUSTOMERS)
        cart = f"cart-{customer}-{self._random.randrange(2)}"
        kind = self._random.choices(["cart_updated", "order_placed", "page_viewed", "consent_changed"], [10, 3, 20, 1])[
            0
        ]
        money = Decimal(self._random.randrange(100, 9_900)) / 100
        fields: dict[str, dict[str, Any]] = {
            "cart_updated": {"cart_id": cart, "value": money, "items": []},
            "order_placed": {"order_id": f"o{number}", "cart_id": cart, "total": money, "currency": "EUR"},
            "page_viewed": {"page": "home", "url": None},
            "consent_changed": {
                "channel": self._random.choice(["email", "sms"]),
                "granted": self._random.random() < 0.8,
            },
        }
        return _event(kind, f"e{number}", f"c{customer}", fields[kind])

    def _registration(self, number: int) -> Event:
        person = {
            "email": f"c{number}@example.com",
            "phone": f"+1555{number:07}" if number % 3 else None,
            "push_token": None,
            "first_name": f"Kim {number}",
            "language": "en",
            "time_zone": "UTC",
            "acquisition_channel": "organic",
            "lifecycle": "new",
            "email_consent": number % 7 != 0,
            "sms_consent": number % 5 != 0,
            "push_consent": False,
        }
        return _event("customer_registered", f"r{number}", f"c{number}", person)

    def _poison(self, number: int) -> None:
        """Bytes that are not Avro, a schema nobody registered, a body cut short, an event of nobody."""
        key: bytes | None = f"c{number % CUSTOMERS}".encode()
        cart = b"\0" + self._ids["cart_updated"].to_bytes(4, "big")
        kinds: list[tuple[str, bytes | None, bytes]] = [
            ("not_avro", key, b"not Avro at all"),
            ("unknown_schema", key, b"\0" + (999_999).to_bytes(4, "big") + b"xyz"),
            ("undecodable", key, cart + b"\x7f"),
            ("missing_customer", None, cart + b"\x00\x00\x00"),
        ]
        reason, key, value = kinds[number // POISON_EVERY % len(kinds)]
        self.sent[reason] += 1
        topic = self._topics[number % 2]
        self._raw.produce(topic, value, key, number % 4 if key is None else -1)


def _event(kind: str, event_id: str, customer: str, fields: dict[str, Any]) -> Event:
    common = {"event_id": event_id, "customer_id": customer, "occurred_at": int(time.time() * 1000)}
    return Event(kind, event_id, customer, {**common, **fields})
