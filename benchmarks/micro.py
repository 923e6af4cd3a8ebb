"""What the pieces of an event's cost are, each alone: microseconds of processor time."""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro

from benchmarks.ground import measured_journeys
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.demo.clickstream import convert, read_clicks
from orchestrator.engine.aggregates import fold_of, update_aggregates
from orchestrator.engine.decide import apply_event
from orchestrator.engine.distinct import fold_distinct, merge_distinct
from orchestrator.engine.turn import Turn
from orchestrator.model.actions import Effects
from orchestrator.model.aggregates import Aggregate
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.types import Kind
from orchestrator.resources import schemas_dir
from orchestrator.runtime.codec import RecordEncoder, decode_event, event_reader
from orchestrator.runtime.schemas import read_schema_files
from orchestrator.runtime.store import RocksCustomerStore

ROUNDS = 5


def measure() -> dict[str, float]:
    """Piece → microseconds per item, the least of several rounds."""
    files = {file.name: file.text for file in read_schema_files(schemas_dir())}
    wanted = measured_journeys().wanted
    events = [event for event in convert(read_clicks()) if event.type in wanted]
    return {**_avro(files, events), **_decisions(events), **_aggregates(), **_records(files, events)}


def _best(work: Callable[[], Any], items: int) -> float:
    """Microseconds of this process's processor time per item."""
    least = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        least = min(least, time.process_time() - started)
    return round(least / items * 1e6, 2)


def _avro(files: dict[str, str], events: list[Event]) -> dict[str, float]:
    schemas = {name: fastavro.parse_schema(json.loads(text)) for name, text in files.items()}
    framed = []
    for event in events:
        out = io.BytesIO()
        out.write(b"\0\0\0\0\1")
        fastavro.schemaless_writer(out, schemas[event.type], event.fields)
        framed.append((event.type, event.customer_id.encode(), out.getvalue()))
    readers = {name: event_reader(files[name], files[name]) for name in {event.type for event in events}}
    return {
        "decode an event": _best(lambda: [decode_event(t, readers[t], k, v) for t, k, v in framed], len(framed)),
        "decode an event with fastavro": _best(
            lambda: [fastavro.schemaless_reader(io.BytesIO(v[5:]), schemas[t], None) for t, _, v in framed], len(framed)
        ),
    }


def _decisions(events: list[Event]) -> dict[str, float]:
    journeys = measured_journeys()

    def replay() -> OfflineEngine:
        engine = OfflineEngine(journeys)
        for event in events:
            engine.apply(event.fields["occurred_at"], event)
        return engine

    engine = replay()
    customers = list(engine.customers.values())
    encoded = [encode_customer(customer) for customer in customers]

    def look() -> None:
        for event in idle:
            apply_event(journeys, resting, event, at_ms, Effects())

    idle = [Event("nothing", f"n{number}", "c", {}) for number in range(2000)]
    resting = decode_customer(encoded[0])
    at_ms = resting.last_at_ms
    return {
        "decide about an event, timers included": _best(replay, len(events)),
        "decide about an event that concerns no step": _best(look, len(idle)),
        "encode a customer": _best(lambda: [encode_customer(one) for one in customers], len(customers)),
        "decode a customer": _best(lambda: [decode_customer(one) for one in encoded], len(encoded)),
        "bytes of a customer": round(sum(map(len, encoded)) / len(encoded), 1),
    }


def _aggregates() -> dict[str, float]:
    """Each takes in an event a minute, so that a window holds a little fewer than it keeps one by one."""
    kinds = {
        "count": fold_of("count", Kind.INTEGER, 60 * 60_000),
        "sum of decimals": fold_of("sum", Kind.DECIMAL, 60 * 60_000),
        "distinct": fold_distinct(60 * 60_000),
    }
    journeys, figures = measured_journeys(), {}
    for name, fold in kinds.items():
        aggregate = (Aggregate("k", name, "seen", None, lambda scope: scope.event["x"], fold, merge_distinct(None)),)
        turns = [
            Turn(journeys, Customer(), "c", {"x": Decimal(number % 50)}, None, number * 60_000, Effects())
            for number in range(2_000)
        ]

        def update(turns: list[Turn] = turns, aggregate: tuple[Aggregate, ...] = aggregate) -> None:
            customer = Customer()
            for turn in turns:
                turn.customer = customer
                update_aggregates(turn, aggregate)

        figures[f"take an event into a windowed {name}"] = _best(update, len(turns))
    return figures


def _records(files: dict[str, str], events: list[Event]) -> dict[str, float]:
    ids = {name: number for number, name in enumerate(files, 1)}
    encoder = RecordEncoder(schemas=files, ids=ids)
    engine = OfflineEngine(measured_journeys())
    effects = [engine.apply(event.fields["occurred_at"], event) for event in events]
    actions = [action for one in effects for action in one.actions]
    transitions = [made for one in effects for made in one.transitions]
    changes = [(name.encode(), None, encode_customer(one)) for name, one in engine.customers.items()]
    keys = [key for key, _, _ in changes]
    with tempfile.TemporaryDirectory() as folder:
        store = RocksCustomerStore(Path(folder) / "store")
        figures = {
            "encode an action": _best(lambda: [encoder.action(one) for one in actions], len(actions)),
            "encode a transition": _best(lambda: [encoder.transition(one) for one in transitions], len(transitions)),
            "write a customer to RocksDB": _best(lambda: store.write(changes, position=1), len(changes)),
            "read a customer from RocksDB": _best(lambda: store.read(keys), len(keys)),
            "actions per event": round(len(actions) / len(events), 3),
            "transitions per event": round(len(transitions) / len(events), 3),
        }
        store.close()
    return figures
