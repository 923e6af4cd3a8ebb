"""The table sinks on a real Kafka Connect, against a real PostgreSQL."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from orchestrator.resources import deploy_dir, schemas_dir
from orchestrator.runtime.connectors import Connector
from orchestrator.runtime.schemas import Registry
from orchestrator.stack.stack import Stack, kill_connect, start_connect
from tests.sinks.conftest import SECRETS
from tests.sinks.postgresql import PostgreSQL
from tests.sinks.traffic import WAIT_S, Commands, command, dead_letter_count, dead_letters, eventually

pytestmark = pytest.mark.broker

Apply = Callable[..., Connector]
Start = Callable[..., Connector]
HOSTILE = """'); DROP TABLE outbox; -- "q" \\ \\' $1 $$ ? :x %s {{address}} ${env:PATH}\n\t\u202eü𝄞\u0301 \ufeff"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    running = PostgreSQL(SECRETS["SINK_JDBC_PASSWORD"])
    yield running
    running.close()


class Tables:
    """A schema of the test's own, with the tables that the shipped files create."""

    def __init__(self, server: PostgreSQL, name: str) -> None:
        self.server, self.name = server, name
        server.run(f"CREATE SCHEMA {name}")

    def create(self, file: str) -> None:
        text = (deploy_dir() / "connect" / file).read_text()
        self.server.run(f"SET search_path TO {self.name}; {text}")

    def rows(self, sql: str) -> list[list[Any]]:
        return self.server.run(f"SET search_path TO {self.name}; {sql}")

    def ids(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT action_id FROM outbox ORDER BY action_id")]


@pytest.fixture
def tables(server: PostgreSQL, topic_prefix: str) -> Tables:
    return Tables(server, "t_" + topic_prefix.strip(".").replace("-", "_")[-20:])


@pytest.fixture
def start(apply: Apply, commands: Commands, server: PostgreSQL, tables: Tables) -> Start:
    """Starts a shipped template on the test's topic and tables, signed in with the secret that Connect knows."""

    def start_sink(template: str, table: str, **settings: str) -> Connector:
        quick = {"connect.timeout.ms": "1000", "read.timeout.ms": "1000"}
        return apply(
            template,
            settings={"topics": commands.topic, "jdbc.table": f"{tables.name}.{table}", **quick, **settings},
            JDBC_CHANNEL="crm",
            JDBC_URL=server.url,
            JDBC_USER=server.user,
        )

    return start_sink


def reasons(commands: Commands, connector: Connector, count: int) -> list[str]:
    found = dead_letters(commands, connector.config["errors.deadletterqueue.topic.name"], count)
    return [headers["dlq.reason"] for _, headers in found]


def refused(commands: Commands, connector: Connector) -> int:
    return dead_letter_count(commands, connector.config["errors.deadletterqueue.topic.name"])


def committed(commands: Commands, connector: Connector) -> int:
    """How far the sink has told the broker that it is."""
    admin = AdminClient({"bootstrap.servers": commands.bootstrap_servers})
    group = ConsumerGroupTopicPartitions(f"connect-{connector.name}", [TopicPartition(commands.topic, 0)])
    (future,) = admin.list_consumer_group_offsets([group]).values()
    offset: int = future.result(WAIT_S).topic_partitions[0].offset
    return max(0, offset)


def test_a_table_has_each_command_once_though_connect_is_killed_and_repeats_what_it_had_written(
    commands: Commands, start: Start, tables: Tables, connect: Stack
) -> None:
    tables.create("outbox.sql")
    connector = start("jdbc", "outbox")
    wanted = [f"act-{number:05}" for number in range(4_000)]
    commands.send(*wanted)
    eventually(lambda: len(tables.ids()) > 500)
    kill_connect(connect)
    # It tells every two seconds how far it is, and writes hundreds of rows in each: the last of them come again.
    assert committed(commands, connector) < len(tables.ids()) < len(wanted)
    start_connect(connect)
    eventually(lambda: len(tables.ids()) == len(wanted))
    assert tables.ids() == wanted
    # What came a second time found its row, and was no error either.
    eventually(lambda: committed(commands, connector) == len(wanted))
    assert refused(commands, connector) == 0


def test_a_text_is_only_a_text_and_instants_and_numbers_are_exact(
    commands: Commands, start: Start, tables: Tables, connect: Stack, topic_prefix: str
) -> None:
    tables.create("outbox.sql")
    schema = json.loads((schemas_dir() / "actions" / "action_command.avsc").read_text())
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 22, "scale": 4}
    schema["fields"].append({"name": "amount", "type": decimal})
    schema_id = Registry(connect.registry_url).register(f"{topic_prefix}amount", json.dumps(schema))
    assert schema_id is not None
    # The clocks of Lord Howe and New York go back over these, and the years are far off.
    instants = [
        datetime(2026, 4, 4, 15, 14, 59, 999_000, tzinfo=UTC),
        datetime(2026, 11, 1, 5, 30, 0, 1_000, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(9998, 12, 31, tzinfo=UTC),
    ]
    end = datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)
    for number, instant in enumerate(instants):
        fields = {
            "customer_id": HOSTILE,
            "address": HOSTILE,
            "target": HOSTILE[:150],
            "content": {HOSTILE: HOSTILE},
            "created_at": milliseconds(instant),
            "expires_at": milliseconds(end),
            "amount": Decimal("123456789012345678.1000"),
        }
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), command(f"a{number}", **fields))
        commands.send_bytes(b"\0" + schema_id.to_bytes(4, "big") + out.getvalue())
    commands.flush()
    start("jdbc", "outbox")
    eventually(lambda: len(tables.ids()) == len(instants))
    columns = "customer_id, address, target, created_at, expires_at, command::jsonb, command::jsonb ->> 'amount'"
    for instant, row in zip(instants, tables.rows(f"SELECT {columns} FROM outbox ORDER BY action_id"), strict=True):
        customer_id, address, target, created_at, expires_at, stored, amount = row
        assert (customer_id, address, target) == (HOSTILE, HOSTILE, HOSTILE[:150])
        assert (created_at, expires_at) == (instant, end)
        assert stored["content"] == {HOSTILE: HOSTILE}
        assert datetime.fromisoformat(stored["created_at"]) == instant
        assert amount == "123456789012345678.1000"


def milliseconds(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_while_there_is_no_server_table_or_right_commands_are_held_and_then_written(
    commands: Commands, start: Start, tables: Tables, server: PostgreSQL, connect_log: Callable[[], str]
) -> None:
    connector = start("jdbc", "outbox")
    commands.send("before")
    time.sleep(0.5)
    tables.create("outbox.sql")
    eventually(lambda: tables.ids() == ["before"])
    tables.rows("ALTER TABLE outbox RENAME TO gone")
    commands.send("gone")
    time.sleep(0.5)
    tables.rows("ALTER TABLE gone RENAME TO outbox")
    eventually(lambda: tables.ids() == ["before", "gone"])
    server.stop()
    commands.send("stopped")
    time.sleep(0.5)
    server.start()
    eventually(lambda: tables.ids() == ["before", "gone", "stopped"])
    # It does not even say that it is away: the task gives the connection up, and goes on answering Connect.
    said = len(connect_log())
    server.freeze()
    try:
        commands.send("then-silent")
        eventually(lambda: "SQL state 08006" in connect_log()[said:], timeout_s=15)
    finally:
        server.thaw()
    eventually(lambda: tables.ids() == ["before", "gone", "stopped", "then-silent"])
    assert refused(commands, connector) == 0


def test_a_row_that_does_not_fit_is_a_dead_letter_and_a_refused_sign_in_holds(
    commands: Commands, start: Start, tables: Tables, server: PostgreSQL, connect_log: Callable[[], str]
) -> None:
    tables.create("outbox.sql")
    tables.rows("ALTER TABLE outbox ADD CHECK (target <> 'closed')")
    connector = start("jdbc", "outbox")
    commands.send("long", address="x" * 1_001)
    commands.send("nul", address="a\0b")
    commands.send("rule", target="closed")
    commands.send("fits")
    assert reasons(commands, connector, 3) == ["sql_22001", "sql_22021", "sql_23514"]
    eventually(lambda: tables.ids() == ["fits"])
    server.change_password("another")
    commands.send("later")
    time.sleep(0.5)
    assert tables.ids() == ["fits"]
    server.change_password(SECRETS["SINK_JDBC_PASSWORD"])
    eventually(lambda: tables.ids() == ["fits", "later"])
    assert refused(commands, connector) == 3
    assert SECRETS["SINK_JDBC_PASSWORD"] not in connect_log()


def test_an_audience_has_a_row_for_each_member_until_it_is_removed(
    commands: Commands, start: Start, tables: Tables
) -> None:
    tables.create("audience_members.sql")
    connector = start("audience-table", "audience_members")
    commands.send("in-1", "in-1", kind="audience_add", target="vip", address="anna@example.test")
    commands.send("in-2", kind="audience_add", target="vip", address="bob@example.test")
    commands.send("message")
    # Added again by another journey: she is in it, and since when does not change.
    commands.send("in-3", kind="audience_add", target="vip", address="anna@example.test")
    commands.send("out-1", "out-1", kind="audience_remove", target="vip", address="bob@example.test")
    commands.send("out-2", kind="audience_remove", target="never", address="bob@example.test")
    commands.send("in-4", kind="audience_add", target="lapsed", address="bob@example.test")
    eventually(lambda: committed(commands, connector) == 9)
    found = tables.rows("SELECT audience, member, customer_id, action_id FROM audience_members ORDER BY 1, 2")
    assert found == [
        ["lapsed", "bob@example.test", "user_1", "in-4"],
        ["vip", "anna@example.test", "user_1", "in-1"],
    ]
    assert refused(commands, connector) == 0
