"""What earlier releases left behind is read, and means the same: `tests/fixtures/release-*`."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from rocksdict import Options, Rdict

from orchestrator.model.actions import ActionCommand, Transition
from orchestrator.model.customer import NEVER_MS, decode_customer, encode_customer, encoded_wake_at_ms, wake_at_ms
from orchestrator.model.shared import SHARED_KEY, decode_shared, encode_shared
from orchestrator.resources import schemas_dir
from orchestrator.runtime.audit import audit_record
from orchestrator.runtime.codec import FRAME_BYTES, JournalEntry, event_reader
from orchestrator.runtime.definitions import decode_definition
from orchestrator.runtime.replay_kafka import integer_instants
from orchestrator.runtime.schemas import incompatibilities
from orchestrator.runtime.store import RocksCustomerStore
from orchestrator.runtime.tail import Decoder
from orchestrator.runtime.transaction import parse_offset_note
from orchestrator.stack.stack import Stack
from tests.fixtures.write_release import START_MS, plain
from tests.runtime.worker_process import DAY_MS, PARTITIONS, Installation, until

FIXTURES = Path(__file__).parents[1] / "fixtures"
RELEASES = sorted(FIXTURES.glob("release-*"))
RENAMED = {"at": "at_ms", "created_at": "created_at_ms", "expires_at": "expires_at_ms", "due_at": "due_at_ms"}


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def release(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def left_by(release: Path) -> Any:
    return json.loads((release / "bytes.json").read_text())


def differences(then: Any, now: Any, where: str = "") -> list[str]:
    """Where what was written then is read as something else now; fields that came later are not looked at."""
    if isinstance(then, Mapping) and set(then) == {"struct"}:
        if not isinstance(now, Mapping) or set(now) != {"struct"}:
            return [f"{where} is {now!r}"]
        fields = now["struct"]
        missing = [f"{where}.{name} is gone" for name in then["struct"] if name not in fields]
        return missing + [
            found
            for name, value in then["struct"].items()
            if name in fields
            for found in differences(value, fields[name], f"{where}.{name}")
        ]
    if isinstance(then, Mapping) and isinstance(now, Mapping) and then.keys() == now.keys():
        return [found for name in then for found in differences(then[name], now[name], f"{where}[{name}]")]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [
            found
            for index, (a, b) in enumerate(zip(then, now, strict=True))
            for found in differences(a, b, f"{where}[{index}]")
        ]
    return [] if then == now else [f"{where} was {then!r} and is {now!r}"]


def test_there_is_a_fixture_at_all() -> None:
    assert RELEASES


@pytest.mark.parametrize("name", ["waiting", "everything"])
def test_customer_records_are_read_with_all_that_they_held(release: Path, name: str) -> None:
    old = left_by(release)["customers"][name]
    record = bytes.fromhex(old["bytes"])
    customer = decode_customer(record)
    assert differences(old["value"], json.loads(json.dumps(plain(customer))), name) == []
    assert encoded_wake_at_ms(record) == wake_at_ms(customer)
    assert decode_customer(encode_customer(customer)) == customer


def test_what_the_customers_of_a_partition_share_is_read(release: Path) -> None:
    old = left_by(release)["shared"]
    fields = old["value"]["struct"]
    record = bytes.fromhex(old["bytes"])
    shared = decode_shared(record, partition=fields["partition"], partitions=fields["partitions"])
    assert differences(old["value"], json.loads(json.dumps(plain(shared)))) == []
    assert encoded_wake_at_ms(encode_shared(shared)) == NEVER_MS


@pytest.mark.parametrize(
    ("name", "of"),
    [("journal_entry", JournalEntry), ("journey_transition", Transition), ("action_command", ActionCommand)],
)
def test_records_on_topics_are_read_by_their_own_schema_and_by_ours(
    release: Path, name: str, of: type[msgspec.Struct]
) -> None:
    old = left_by(release)["avro"][name]
    value = bytes.fromhex(old["bytes"])
    (written,) = (release / "schemas").rglob(f"{name}.avsc")
    (ours,) = schemas_dir().rglob(f"{name}.avsc")
    by_theirs = event_reader(written.read_text(), None)(value, FRAME_BYTES)
    body = io.BytesIO(value[FRAME_BYTES:])
    by_ours = fastavro.schemaless_reader(
        body, integer_instants(written.read_text()), integer_instants(ours.read_text())
    )
    for fields in (by_theirs, by_ours):
        assert isinstance(fields, dict)
        known = {RENAMED.get(field, field): part for field, part in fields.items()}
        record = msgspec.convert({name: part for name, part in known.items() if name in of.__struct_fields__}, of)
        assert differences(old["value"], json.loads(json.dumps(plain(record))), name) == []


def test_the_audit_log_is_read(release: Path) -> None:
    old = left_by(release)["avro"]["audit_record"]
    schema = (release / "schemas" / "records" / "audit_record.avsc").read_text()
    _, fields, note = Decoder(lambda _: schema).decode(bytes.fromhex(old["bytes"]))
    record = audit_record(fields)
    assert (note, record is None) == ("", False)
    assert differences(old["value"], json.loads(json.dumps(plain(record)))) == []


def test_publications_are_read(release: Path) -> None:
    for old in left_by(release)["definitions"]:
        found = decode_definition(bytes.fromhex(old["key"]), bytes.fromhex(old["bytes"]), offset=7)
        assert {name: plain(getattr(found, name)) for name in old["value"]} == old["value"]


def test_who_committed_an_offset_and_at_which_stream_time_is_read(release: Path) -> None:
    old = left_by(release)["offset_note"]
    assert list(parse_offset_note(old["text"])) == old["value"]


def test_our_schemas_read_what_was_written_with_theirs(release: Path) -> None:
    ours = {path.relative_to(schemas_dir()).as_posix(): path.read_text() for path in schemas_dir().rglob("*.avsc")}
    for path in (release / "schemas").rglob("*.avsc"):
        name = path.relative_to(release / "schemas").as_posix()
        assert name in ours, f"{name} is gone, and with it what was written with it"
        assert incompatibilities(ours[name], path.read_text()) == [], name


def test_a_store_of_theirs_is_opened_and_found_as_they_left_it(release: Path, tmp_path: Path) -> None:
    old = left_by(release)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    families = {family: Options(raw_mode=True) for family in old["store"]}
    db = Rdict(str(tmp_path / "store"), options=options, column_families=families)
    for family, pairs in old["store"].items():
        chosen = db.get_column_family(family)
        for key, value in pairs.items():
            chosen[bytes.fromhex(key)] = bytes.fromhex(value)
        chosen.close()
    db.close()
    store = RocksCustomerStore(tmp_path / "store")
    try:
        assert (store.position(), store.aligned()) == (3, ("alignment", b"waiting"))
        keys = [name.encode() for name in sorted(old["customers"])]
        assert store.keys(b"", 10) == [*keys, SHARED_KEY]
        records = [bytes.fromhex(old["customers"][key.decode()]["bytes"]) for key in keys]
        assert store.read(keys) == records
        wakes = sorted((encoded_wake_at_ms(record), key) for record, key in zip(records, keys, strict=True))
        assert store.due(NEVER_MS - 1, 10) == wakes
    finally:
        store.close()


def test_a_worker_goes_on_from_a_changelog_of_theirs(
    release: Path, stack: Stack, topic_prefix: str, tmp_path: Path
) -> None:
    old = left_by(release)
    installation = Installation(stack, topic_prefix, tmp_path)
    names, producer = installation.names, installation.producer
    published = old["definitions"][0]
    producer.produce(names.definitions, bytes.fromhex(published["bytes"]), bytes.fromhex(published["key"]))
    producer.produce(names.changelog, bytes.fromhex(old["customers"]["waiting"]["bytes"]), b"waiting", 0)
    for partition in range(PARTITIONS):
        producer.produce(names.changelog, bytes.fromhex(old["shared"]["bytes"]), SHARED_KEY, partition)
    assert producer.flush(30) == 0
    with installation.worker("a") as worker:
        worker.until_ready()
        installation.heartbeat(at_ms=START_MS + DAY_MS + 1)
        until(installation.actions, seconds=30, what="the message of a passage that began under the release before")
        assert worker.stop() == 0, worker.output()
    (action,) = installation.actions()
    assert (action["customer_id"], action["step"], action["address"]) == ("waiting", "greet", "waiting@example.com")
    assert action["version"] == old["customers"]["waiting"]["value"]["struct"]["instances"][0]["struct"]["version"]
