"""Customer records and their timer index, against a model, in RocksDB and in the twin."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model.customer import NEVER_MS
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.ports import CustomerStore
from orchestrator.runtime.store import MemoryCustomerStore, RocksCustomerStore


def encoded(wake_ms: int, body: bytes = b"x") -> bytes:
    return b"\x01" + wake_ms.to_bytes(8, "big") + body


@pytest.fixture(params=["rocks", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CustomerStore]:
    made: CustomerStore = RocksCustomerStore(tmp_path / "0") if request.param == "rocks" else MemoryCustomerStore()
    yield made
    made.close()


def test_records_come_back_in_the_order_asked_for(store: CustomerStore) -> None:
    store.write([(b"a", None, encoded(1)), (b"b", None, encoded(2))], position=3)
    assert store.read([b"b", b"nobody", b"a"]) == [encoded(2), None, encoded(1)]
    assert store.read([]) == []
    assert store.position() == 3


def test_due_timers_come_in_order_up_to_the_bound_and_page_by_page(store: CustomerStore) -> None:
    store.write([(b"b", None, encoded(5)), (b"a", None, encoded(5)), (b"c", None, encoded(9))], position=1)
    store.write([(b"d", None, encoded(NEVER_MS))], position=2)
    assert store.due(5, 10) == [(5, b"a"), (5, b"b")]
    assert store.due(9, 1) == [(5, b"a")]
    assert store.due(9, 10, after=(5, b"a")) == [(5, b"b"), (9, b"c")]
    assert store.due(4, 10) == []


def test_a_timer_earlier_than_all_others_is_found_after_the_cursor_has_moved_on(store: CustomerStore) -> None:
    store.write([(b"a", None, encoded(100))], position=1)
    assert store.due(1_000, 10) == [(100, b"a")]
    store.write([(b"a", encoded(100), encoded(NEVER_MS))], position=2)
    assert store.due(1_000, 10) == []
    store.write([(b"b", None, encoded(7))], position=3)
    assert store.due(1_000, 10) == [(7, b"b")]


def test_a_deleted_customer_has_no_timer(store: CustomerStore) -> None:
    store.write([(b"a", None, encoded(5))], position=1)
    store.write([(b"a", encoded(5), None)], position=2)
    assert store.read([b"a"]) == [None]
    assert store.due(NEVER_MS - 1, 10) == []


def test_keys_come_in_order_page_by_page(store: CustomerStore) -> None:
    store.write([(key, None, encoded(5)) for key in (b"b", b"a", b"ab", b"c")], position=1)
    assert store.keys(b"", 10) == [b"a", b"ab", b"b", b"c"]
    assert store.keys(b"a", 2) == [b"ab", b"b"]
    store.write([(b"c", encoded(5), None)], position=2)
    assert store.keys(b"b", 2) == []


def test_how_far_customers_are_in_line_is_kept_until_the_store_is_wiped(store: CustomerStore) -> None:
    assert store.aligned() is None
    for aligned in (("abc", b"customer-7"), ("abc", b"\0\1"), ("abc", b""), ("abc", None), ("", None)):
        store.write([], position=None, aligned=aligned)
        assert store.aligned() == aligned
    store.write([(b"a", None, encoded(5))], position=1)
    assert store.aligned() == ("", None)
    store.wipe()
    assert store.aligned() is None


def test_a_wiped_store_is_empty_and_usable(store: CustomerStore) -> None:
    store.write([(b"a", None, encoded(5))], position=1)
    store.wipe()
    assert (store.position(), store.read([b"a"]), store.due(10, 10)) == (None, [None], [])
    store.write([(b"a", None, encoded(6))], position=2)
    assert store.due(10, 10) == [(6, b"a")]


Steps = list[tuple[str, int, int | None]]
steps = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "reopen", "due"]),
        st.integers(0, 5),
        st.one_of(st.none(), st.just(NEVER_MS), st.integers(0, 1 << 40)),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_the_index_follows_the_records_also_over_reopening(drawn: Steps) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "0"
        store = RocksCustomerStore(path)
        model: dict[bytes, bytes] = {}
        position = 0
        for verb, customer, wake in drawn:
            key = b"c%d" % customer
            if verb == "reopen":
                store.close()
                store = RocksCustomerStore(path)
            elif verb == "due":
                store.due(wake or 0, 2)
            else:
                new = None if wake is None else encoded(wake, b"%d" % position)
                position += 1
                store.write([(key, model.get(key), new)], position=position)
                model.pop(key, None)
                if new is not None:
                    model[key] = new
            wakes = sorted(
                (int.from_bytes(r[1:9], "big"), k) for k, r in model.items() if r[1:9] != encoded(NEVER_MS)[1:9]
            )
            assert store.due(NEVER_MS - 1, 100) == wakes
            assert store.read(sorted(model)) == [model[key] for key in sorted(model)]
            assert store.position() == (position or None)
        store.close()


def test_a_second_process_is_told_that_the_store_is_in_use(tmp_path: Path) -> None:
    store = RocksCustomerStore(tmp_path / "0")
    with pytest.raises(EnvironmentProblem, match="in use") as problem:
        RocksCustomerStore(tmp_path / "0")
    assert "--data-dir" in problem.value.hint
    store.close()


def test_a_damaged_store_says_which_directory_to_delete(tmp_path: Path) -> None:
    store = RocksCustomerStore(tmp_path / "0")
    store.write([(b"a", None, encoded(5))], position=1)
    store.close()
    for manifest in (tmp_path / "0").glob("MANIFEST-*"):
        manifest.write_bytes(b"damaged")
    with pytest.raises(EnvironmentProblem, match=r"is damaged|cannot be used") as problem:
        RocksCustomerStore(tmp_path / "0")
    assert str(tmp_path / "0") in problem.value.hint


@pytest.mark.parametrize("damaged", ["timers", "records"])
def test_a_file_that_is_damaged_in_the_middle_is_noticed_by_whoever_comes_upon_it(tmp_path: Path, damaged: str) -> None:
    path, noise = tmp_path / "0", random.Random(1).randbytes
    customers = {b"customer-%05d" % number: encoded(1_000 + number, noise(60)) for number in range(8_000)}
    store = RocksCustomerStore(path)
    store.write([(key, None, record) for key, record in customers.items()], position=1)
    store.close()
    by_size = sorted(path.glob("*.sst"), key=lambda file: file.stat().st_size)
    file = by_size[-1] if damaged == "records" else by_size[-2]
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    file.write_bytes(content)
    store = RocksCustomerStore(path)
    looks: dict[str, list[Callable[[], object]]] = {
        "timers": [lambda: store.due(NEVER_MS - 1, len(customers))],
        "records": [lambda: store.keys(b"", len(customers)), lambda: store.read(list(customers))],
    }
    for look in looks[damaged]:
        with pytest.raises(EnvironmentProblem, match=r"customer store .*/0 is damaged: Corruption") as problem:
            look()
        assert f"delete the directory {path}" in problem.value.hint
    # What lies before the damage can be used.
    assert store.due(1_010, 5) == [(1_000 + number, b"customer-%05d" % number) for number in range(5)]
    store.close()


def test_a_full_disk_is_told_from_damage_and_does_not_keep_the_store_from_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = RocksCustomerStore(tmp_path / "0")

    class Full:
        def write(self, *_: object) -> None:
            raise OSError("IO error: No space left on device: While appending to file: x.sst")

        def close(self) -> None:
            self.write()

    database = store._db
    monkeypatch.setattr(store, "_db", Full())
    with pytest.raises(EnvironmentProblem, match="cannot be written: IO error: No space left") as problem:
        store.write([(b"a", None, encoded(5))], position=1)
    assert problem.value.hint.startswith("make room")
    store.close()
    assert "No space left" in caplog.text
    database.close()


def test_a_write_that_fails_leaves_the_twin_as_it_was() -> None:
    def full(_changes: int) -> None:
        raise OSError("no space left on device")

    store = MemoryCustomerStore(before_write=full)
    with pytest.raises(OSError, match="no space"):
        store.write([(b"a", None, encoded(5))], position=1)
    assert (store.records, store.index, store.position()) == ({}, [], None)
