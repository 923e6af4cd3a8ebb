"""The due entries of a store's timer index, as a batch sees them: in order, its own customers left out."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.runtime.ports import CustomerStore

TIMER_PAGE = 1_000
"""How many entries are read at once, and with them their customers."""


class DueIndex:
    """The store's due entries in order, page by page, without customers about whom the batch knows better."""

    def __init__(
        self,
        store: CustomerStore,
        until_ms: int,
        limit: int,
        records: Mapping[bytes, object],
        uncommitted: Mapping[bytes, bytes],
    ) -> None:
        self._store = store
        self._until_ms = until_ms
        self._page_size = max(1, min(limit, TIMER_PAGE))
        self._batch = records
        self._uncommitted = uncommitted
        self._page: list[tuple[int, bytes]] = []
        self._at = 0
        self._last: tuple[int, bytes] | None = None
        self._is_over = False
        self._loaded: set[bytes] = set()

    def head(self) -> tuple[int, bytes] | None:
        """The next entry; it stays."""
        while True:
            while self._at < len(self._page):
                entry = self._page[self._at]
                if entry[1] in self._loaded:
                    return entry
                if entry[1] not in self._batch and entry[1] not in self._uncommitted:
                    return entry
                self._at += 1
            if self._is_over:
                return None
            self._page = self._store.due(self._until_ms, self._page_size, after=self._last)
            self._at = 0
            self._is_over = len(self._page) < self._page_size
            if self._page:
                self._last = self._page[-1]

    def take(self) -> list[bytes]:
        """Removes the head; gives the customers to read: at the start of a page all of it at once."""
        entry = self._page[self._at]
        self._at += 1
        if entry[1] in self._loaded:
            self._loaded.discard(entry[1])
            return []
        rest = [key for _, key in self._page[self._at - 1 :] if key not in self._batch and key not in self._uncommitted]
        self._loaded = set(rest[1:])
        return rest
