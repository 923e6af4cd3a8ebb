"""How much each sender may send: token buckets, as many as are remembered and no more."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class _Level:
    left: float
    at_s: float


class Buckets:
    """One bucket for each sender, refilled at `rate` a second up to `burst`.

    At most `senders_max` are remembered: the one unseen for longest is forgotten first, and has a full bucket when it
    comes again. Time is an argument.
    """

    __slots__ = ("_burst", "_levels", "_rate", "_senders_max")

    def __init__(self, *, rate: float, burst: float, senders_max: int = 10_000) -> None:
        self._rate = rate
        self._burst = burst
        self._senders_max = senders_max
        self._levels: OrderedDict[str, _Level] = OrderedDict()

    def __len__(self) -> int:
        """How many senders are remembered."""
        return len(self._levels)

    def take(self, sender: str, count: float, now_s: float) -> float:
        """Takes `count` from the sender's bucket and gives 0; or takes nothing, and gives the seconds until there are
        as many.

        >>> buckets = Buckets(rate=2, burst=4)
        >>> [buckets.take("a", 3, 0.0), buckets.take("a", 3, 0.0), buckets.take("a", 3, 1.0), buckets.take("b", 4, 1.0)]
        [0.0, 1.0, 0.0, 0.0]
        """
        level = self._levels.get(sender)
        if level is None:
            level = self._levels[sender] = _Level(self._burst, now_s)
            if len(self._levels) > self._senders_max:
                self._levels.popitem(last=False)
        else:
            self._levels.move_to_end(sender)
            level.left = min(self._burst, level.left + max(0.0, now_s - level.at_s) * self._rate)
            level.at_s = now_s
        if level.left >= count:
            level.left -= count
            return 0.0
        return (count - level.left) / self._rate

    def give_back(self, sender: str, count: float) -> None:
        """Undoes a `take`."""
        level = self._levels.get(sender)
        if level is not None:
            level.left = min(self._burst, level.left + count)
