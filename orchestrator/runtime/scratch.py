"""The pasts of a partition's customers while they are put together: RocksDB with a cache, thrown away afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from rocksdict import Options, Rdict, WriteBatch

from orchestrator.runtime.rebuild import Past

CACHED_MAX = 20_000
"""How many customers are in memory at a time. One takes a few hundred bytes for each aggregate, 6 kB at most."""

_CUSTOMER, _MARK = b"c", b"m"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Past).decode


class RocksScratch:
    """A `Scratch` in the directory `path`, which must not exist yet."""

    def __init__(self, path: Path, *, cached_max: int = CACHED_MAX) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003 - RocksDB's setters take positions only
        self._path = path
        self._db = Rdict(str(path), options=options)
        self._cached: dict[str, Past] = {}
        self._cached_max = cached_max

    def past(self, customer_id: str) -> Past:
        """The customer's past, to be changed in place before the next one is asked for."""
        past = self._cached.get(customer_id)
        if past is None:
            if len(self._cached) >= self._cached_max:
                self._flush()
            record: bytes | None = self._db.get(_CUSTOMER + customer_id.encode())
            past = self._cached[customer_id] = Past() if record is None else _decode(record)
        return past

    def forget(self, customer_id: str) -> None:
        """The customer has no past."""
        self._cached[customer_id] = Past()

    def mark(self, name: str) -> None:
        """Keeps the name."""
        self._db.put(_MARK + name.encode(), b"")

    def is_marked(self, name: str) -> bool:
        """Whether the name was kept."""
        return self._db.get(_MARK + name.encode()) is not None

    def pasts(self) -> Iterator[tuple[str, Past]]:
        """All customers, in the order of their ids."""
        self._flush()
        iterator = self._db.iter()
        iterator.seek(_CUSTOMER)
        while iterator.valid() and iterator.key().startswith(_CUSTOMER):
            yield iterator.key()[len(_CUSTOMER) :].decode(), _decode(iterator.value())
            iterator.next()
        # A live iterator would keep the files, and on closing the lock.
        del iterator

    def close(self) -> None:
        """Ends it, and deletes what was written."""
        self._cached.clear()
        self._db.close()
        Rdict.destroy(str(self._path))

    def _flush(self) -> None:
        batch = WriteBatch(raw_mode=True)
        for customer_id, past in self._cached.items():
            batch.put(_CUSTOMER + customer_id.encode(), _encode(past))
        self._db.write(batch)
        self._cached.clear()
