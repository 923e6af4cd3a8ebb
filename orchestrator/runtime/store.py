"""Customer records of one partition with their timer index: RocksDB, and a twin in memory.

Place in the data flow: `Cycle` reads records and due timers here and writes once per committed batch; `restore`
fills it from the changelog. The changelog is the truth: a store can always be deleted and rebuilt.

A store is written after its transaction committed. An error while writing (full disk, damaged file) ends the process
with the store behind the changelog, never ahead: the records and the changelog position are one atomic write, so the
next start restores the difference.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    WriteBatch,
    WriteOptions,
)

from orchestrator.model.customer import HEADER_BYTES, NEVER_MS
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.model.shared import SHARED_KEY
from orchestrator.runtime.ports import Aligned, Change

log = logging.getLogger(__name__)

_TIMERS = "timers"
_META = "meta"
_POSITION = b"changelog_position"
_ALIGNED = b"aligned"
_NEVER = NEVER_MS.to_bytes(8, "big")
_LAST = b"\xff" * 9
"""Greater than every index entry: instants are below 2**63."""

BLOCK_CACHE_BYTES = 256 * 1024 * 1024
WRITE_BUFFER_BYTES = 32 * 1024 * 1024

_block_cache: list[Cache] = []


def _shared_block_cache() -> Cache:
    """One block cache for all partitions of the process, so that memory does not grow with their number."""
    if not _block_cache:
        _block_cache.append(Cache(BLOCK_CACHE_BYTES))
    return _block_cache[0]


def _options() -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(_shared_block_cache())
    table.set_bloom_filter(10, block_based=False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - RocksDB's setters take positions only
    options.create_missing_column_families(True)  # noqa: FBT003 - as above
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    return options


class RocksCustomerStore:
    """The store of one partition in the directory `path`.

    Every call raises EnvironmentProblem if the files cannot be used (locked by another process, damaged, no room).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._low = b""
        self._open()

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Options are passed for every column family: those of an existing one would otherwise come from disk,
            # each with a block cache of its own.
            families = {"default": _options(), _TIMERS: _options(), _META: _options()}
            self._db = Rdict(str(self._path), options=_options(), column_families=families)
            self._timers = self._db.get_column_family(_TIMERS)
            self._meta = self._db.get_column_family(_META)
        except Exception as error:
            raise _unusable(self._path, error) from error
        self._timers_handle = self._db.get_column_family_handle(_TIMERS)
        self._meta_handle = self._db.get_column_family_handle(_META)
        # The changelog is the truth, so nothing is lost by not waiting for the disk.
        self._write_options = WriteOptions()
        self._write_options.sync = False
        self._low = b""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records of these customers, in order."""
        try:
            return cast("list[bytes | None]", self._db.get(list(keys))) if keys else []
        except Exception as error:
            raise _unusable(self._path, error) from error

    def due(self, until_ms: int, limit: int, *, after: tuple[int, bytes] | None = None) -> list[tuple[int, bytes]]:
        """Up to `limit` index entries (wake_ms, customer key) with wake_ms <= until_ms, in order."""
        entries: list[tuple[int, bytes]] = []
        start = self._low if after is None else after[0].to_bytes(8, "big") + after[1] + b"\0"
        iterator = self._timers.iter()
        iterator.seek(start)
        if after is None:
            # Everything below the first live entry is deleted: the next look starts above those tombstones.
            self._low = iterator.key() if iterator.valid() else _LAST
        while len(entries) < limit and iterator.valid():
            entry: bytes = iterator.key()
            wake_ms = int.from_bytes(entry[:8], "big")
            if wake_ms > until_ms:
                break
            entries.append((wake_ms, entry[8:]))
            iterator.next()
        self._check_end(iterator)
        # A live iterator would keep the files, and on closing the lock.
        del iterator
        return entries

    def keys(self, after: bytes, limit: int) -> list[bytes]:
        """Up to `limit` keys greater than `after`, in order."""
        found: list[bytes] = []
        iterator = self._db.iter()
        iterator.seek(after + b"\0" if after else b"")
        while len(found) < limit and iterator.valid():
            found.append(iterator.key())
            iterator.next()
        self._check_end(iterator)
        # As in `due`.
        del iterator
        return found

    def _check_end(self, iterator: RdictIter) -> None:
        """An iterator that comes upon a damaged block only stops, as if nothing followed: it must be asked why."""
        if not iterator.valid():
            try:
                iterator.status()
            except Exception as error:
                raise _unusable(self._path, error) from error

    def write(self, changes: Sequence[Change], *, position: int | None, aligned: Aligned | None = None) -> None:
        """Writes records, timer index, changelog position and how far customers are in line, in one atomic batch."""
        batch = WriteBatch(raw_mode=True)
        put, delete, timers = batch.put, batch.delete, self._timers_handle
        low = self._low
        for key, old, new in changes:
            if new is None:
                delete(key)
                wake = _NEVER
            else:
                put(key, new)
                wake = new[1:HEADER_BYTES]
            old_wake = _NEVER if old is None else old[1:HEADER_BYTES]
            if wake == old_wake:
                continue
            if old_wake != _NEVER:
                delete(old_wake + key, timers)
            if wake != _NEVER:
                entry = wake + key
                put(entry, b"", timers)
                if entry < low:
                    low = entry
        if position is not None:
            put(_POSITION, position.to_bytes(8, "big"), self._meta_handle)
        if aligned is not None:
            put(_ALIGNED, _encode_aligned(aligned), self._meta_handle)
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise _unusable(self._path, error) from error
        self._low = low

    def position(self) -> int | None:
        """The next changelog offset that is not yet in this store; None for an empty store."""
        raw: bytes | None = self._meta.get(_POSITION)
        return None if raw is None else int.from_bytes(raw, "big")

    def aligned(self) -> Aligned | None:
        """How far customers are in line with which journey set; None if it was never said."""
        raw: bytes | None = self._meta.get(_ALIGNED)
        return None if raw is None else _decode_aligned(raw)

    def wipe(self) -> None:
        """Empties the store: the directory goes and comes back."""
        self.close()
        Rdict.destroy(str(self._path))
        self._open()

    def timers_pending(self) -> int:
        """About how many customers have a timer pending (RocksDB's estimate)."""
        return int(self._timers.property_int_value("rocksdb.estimate-num-keys") or 0)

    def size_bytes(self) -> int:
        """Size of the table files. What was written last is still in memory and in the write-ahead log."""
        families = (self._db, self._timers)
        return sum(int(family.property_int_value("rocksdb.total-sst-files-size") or 0) for family in families)

    def close(self) -> None:
        """Closes the files and gives up the lock. Only says it if what is in memory cannot be written meanwhile."""
        # A column family's handle keeps the whole database open, and with it the lock.
        del self._timers_handle, self._meta_handle
        for family in (self._timers, self._meta, self._db):
            try:
                family.close()
            except Exception as error:  # noqa: BLE001 - the changelog has everything, and others wait for the partition
                log.warning("%s", _unusable(self._path, error))


def aligned_again(aligned: Aligned | None, latest: Mapping[bytes, bytes | None]) -> Aligned | None:
    """What the store is to say about how far its customers are in line with a journey set; None to leave it as it is.

    Another owner may have brought some in line with another set since the store was written: then all are looked at.
    """
    if aligned is None:
        return None
    # An alignment is a hash, so that a record which holds it anywhere is in line; decoding all would cost far more.
    alignment = aligned[0].encode()
    others = (value for key, value in latest.items() if value is not None and key != SHARED_KEY)
    return None if all(alignment in value for value in others) else ("", None)


def _encode_aligned(aligned: Aligned) -> bytes:
    alignment, until = aligned
    return alignment.encode() + (b"\0" if until is None else b"\0\1" + until)


def _decode_aligned(raw: bytes) -> Aligned:
    alignment, _, until = raw.partition(b"\0")
    return alignment.decode(), until[1:] if until else None


def _unusable(path: Path, error: Exception) -> EnvironmentProblem:
    text = str(error)
    if "/LOCK:" in text:
        return EnvironmentProblem(
            f"customer store {path} is in use by another process",
            hint="each worker on a machine needs a data directory of its own (--data-dir)",
        )
    if "No space left" in text or "Disk quota exceeded" in text:
        return EnvironmentProblem(
            f"customer store {path} cannot be written: {text}",
            hint="make room on the disk and start the worker again: what was committed is in the changelog",
        )
    is_damaged = "Corruption" in text
    return EnvironmentProblem(
        f"customer store {path} {'is damaged' if is_damaged else 'cannot be used'}: {text}",
        hint=f"stop the worker and delete the directory {path}: it is rebuilt from the changelog",
    )


class MemoryCustomerStore:
    """The twin of `RocksCustomerStore` in memory.

    `before_write` is called at each write with the number of changes; a test makes it raise to play a full disk.
    """

    def __init__(self, *, before_write: Callable[[int], None] | None = None) -> None:
        self.records: dict[bytes, bytes] = {}
        self.index: list[tuple[int, bytes]] = []
        self.before_write = before_write
        self._position: int | None = None
        self._aligned: Aligned | None = None
        self.is_closed = False

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records of these customers, in order."""
        return [self.records.get(key) for key in keys]

    def due(self, until_ms: int, limit: int, *, after: tuple[int, bytes] | None = None) -> list[tuple[int, bytes]]:
        """Up to `limit` index entries (wake_ms, customer key) with wake_ms <= until_ms, in order."""
        start = 0 if after is None else bisect_right(self.index, after)
        end = bisect_left(self.index, (until_ms + 1, b""))
        return self.index[start : min(end, start + limit)]

    def keys(self, after: bytes, limit: int) -> list[bytes]:
        """Up to `limit` keys greater than `after`, in order."""
        return sorted(key for key in self.records if key > after)[:limit]

    def write(self, changes: Sequence[Change], *, position: int | None, aligned: Aligned | None = None) -> None:
        """Writes all that `RocksCustomerStore.write` does, or nothing if `before_write` raises."""
        if self.before_write is not None:
            self.before_write(len(changes))
        for key, old, new in changes:
            if old is not None and (wake := int.from_bytes(old[1:HEADER_BYTES], "big")) != NEVER_MS:
                at = bisect_left(self.index, (wake, key))
                if at < len(self.index) and self.index[at] == (wake, key):
                    del self.index[at]
            if new is None:
                self.records.pop(key, None)
                continue
            self.records[key] = new
            if (wake := int.from_bytes(new[1:HEADER_BYTES], "big")) != NEVER_MS:
                insort(self.index, (wake, key))
        if position is not None:
            self._position = position
        if aligned is not None:
            self._aligned = aligned

    def position(self) -> int | None:
        """The next changelog offset that is not yet in this store; None for an empty store."""
        return self._position

    def aligned(self) -> Aligned | None:
        """How far customers are in line with which journey set; None if it was never said."""
        return self._aligned

    def wipe(self) -> None:
        """Empties the store."""
        self.records.clear()
        self.index.clear()
        self._position = self._aligned = None

    def timers_pending(self) -> int:
        """How many customers have a timer pending."""
        return len(self.index)

    def size_bytes(self) -> int:
        """Size of the records and their keys."""
        return sum(len(key) + len(record) for key, record in self.records.items())

    def close(self) -> None:
        """Marks the store closed."""
        self.is_closed = True
