"""The same journeys on Faust the ordinary way: an agent that takes one event after the other, and a Table.

It decodes with fastavro, keeps the same customer record in a RocksDB table, calls the same engine and sends the same
actions. It fires no timers, writes no transitions and guarantees at least once only. `benchmarks.plain` starts it.
"""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import fastavro
import faust

from benchmarks.ground import measured_journeys
from orchestrator.engine.decide import apply_event
from orchestrator.model.actions import ActionCommand, Effects
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.runtime.access import registry_of
from orchestrator.runtime.replay_kafka import integer_instants
from orchestrator.runtime.schemas import read_schema_files, register_schemas
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names

given = json.loads(os.environ["PLAIN_FAUST"])
settings = Settings(
    bootstrap_servers=given["bootstrap_servers"],
    registry_url=given["registry_url"],
    topic_prefix=given["topic_prefix"],
    schemas=Path(given["schemas"]),
)
names = topic_names(settings)
journeys = measured_journeys()


files = read_schema_files(settings.schemas)
ids = register_schemas(registry_of(settings), files)
schemas = {ids[file.name]: (file.name, integer_instants(file.text)) for file in files}
action_head = b"\0" + ids["action_command"].to_bytes(4, "big")
action_schema = schemas[ids["action_command"]][1]

app = faust.App(
    given["app_id"],
    broker=f"kafka://{settings.bootstrap_servers}",
    store="rocksdb://",
    datadir=given["data_dir"],
    topic_partitions=given["partitions"],
    topic_replication_factor=1,
    key_serializer="raw",
    value_serializer="raw",
    web_enabled=False,
    broker_session_timeout=10,
    broker_heartbeat_interval=2,
    consumer_auto_offset_reset="earliest",
)
events = app.topic(*names.events, key_type=bytes, value_type=bytes, value_serializer="raw")
actions = {name: app.topic(names.actions(name), key_type=bytes, value_type=bytes) for name in journeys.channels}
customers = app.Table("customers", key_type=bytes, value_type=bytes, partitions=given["partitions"])


def encode(action: ActionCommand) -> bytes:
    """The action's record in wire format."""
    out = io.BytesIO()
    out.write(action_head)
    fields = {name: getattr(action, name, None) for name in action.__struct_fields__}
    fastavro.schemaless_writer(
        out, action_schema, {**fields, "created_at": action.created_at_ms, "expires_at": action.expires_at_ms}
    )
    return out.getvalue()


def tell(result: dict[str, float]) -> None:
    """Leaves the figures for whoever started this."""
    Path(given["result"]).write_text(json.dumps(result))


@app.agent(events)
async def decide(stream: Any) -> None:
    """One event after the other; prints a line of JSON when `count` events are done."""
    done, started, cpu = 0, 0.0, 0.0
    async for record in stream.events():
        if not done:
            started, cpu = time.monotonic(), time.process_time()
        done += 1
        name, schema = schemas[int.from_bytes(record.value[1:5], "big")]
        if name in journeys.wanted and record.key:
            fields: Any = fastavro.schemaless_reader(io.BytesIO(record.value[5:]), schema, None)
            stored = customers.get(record.key)
            customer = Customer() if stored is None else decode_customer(stored)
            effects = Effects()
            event = Event(name, fields["event_id"], fields["customer_id"], fields)
            apply_event(journeys, customer, event, int(record.message.timestamp * 1000), effects)
            customers[record.key] = encode_customer(customer)
            for action in effects.actions:
                await actions[action.channel].send(key=record.key, value=encode(action))
        if done == given["count"]:
            seconds = time.monotonic() - started
            result = {"records": done, "seconds": seconds, "cpu_seconds": time.process_time() - cpu}
            tell(result)
