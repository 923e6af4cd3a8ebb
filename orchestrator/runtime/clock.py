"""The wall clock, for production; tests and simulations pass a clock of their own through the same port."""

from __future__ import annotations

import time


class WallClock:
    """Milliseconds since the epoch as the operating system has them."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000
