"""Rates and limits over all customers: each partition has an even share, and never gives out more than that.

What one partition leaves unused is not given to others: partitions decide without asking each other, so that a
decision can be repeated from the partition's own log.

Rates are kept by virtual scheduling (GCRA without bursts): consecutive slots of a rate lie at least an interval apart,
so no window of its length holds more slots than the share. Limits count parts of their window.

Source: ITU-T I.371, annex A (generic cell rate algorithm).
"""

from __future__ import annotations

from orchestrator.model.journey import Rate
from orchestrator.model.shared import Shared

WINDOW_PARTS = 16
"""A limit's window is counted in so many parts. A part counts as long as any of it may lie in the window, so a window
never holds more than the limit; as much as one part of it may be left unused."""


def share_of(shared: Shared, most: int) -> int:
    """The partition's part of `most`; the parts of all partitions add up to it.

    >>> [share_of(Shared(partition, 4), 10) for partition in range(4)]
    [3, 3, 2, 2]
    """
    return most // shared.partitions + (shared.partition < most % shared.partitions)


def interval_us(shared: Shared, rate: Rate) -> int:
    """How far apart the partition's slots lie at least.

    A rate of less than one for each partition cannot be divided into whole numbers: each partition then sends one
    message in every so many windows, and the rate holds on average.

    >>> interval_us(Shared(0, 1), Rate("r", None, 60, 60_000)), interval_us(Shared(0, 4), Rate("r", None, 2, 60_000))
    (1000000, 120000000)
    """
    share = share_of(shared, rate.max)
    if rate.max < shared.partitions:
        return -(-rate.per_ms * 1000 * shared.partitions // rate.max)
    return -(-rate.per_ms * 1000 // share)


def next_slot_us(shared: Shared, rates: tuple[Rate, ...], now_ms: int) -> int:
    """The first instant, now or later, at which all of these rates have room, in microseconds."""
    return max(now_ms * 1000, *(shared.slots.get(rate.name, 0) for rate in rates))


def reserve_slot(shared: Shared, rates: tuple[Rate, ...], slot_us: int) -> None:
    """Gives the slot away."""
    for rate in rates:
        shared.slots[rate.name] = slot_us + interval_us(shared, rate)


def return_slot(shared: Shared, rates: tuple[Rate, ...], slot_ms: int) -> None:
    """Takes the slot of this instant back, of each rate whose last one it is; of others it stays unused.

    >>> shared, rate = Shared(), Rate("r", None, 60, 60_000)
    >>> reserve_slot(shared, (rate,), 5_000_000)
    >>> return_slot(shared, (rate,), 4_000), return_slot(shared, (rate,), 5_000)
    (None, None)
    >>> shared.slots
    {'r': 5000000}
    """
    for rate in rates:
        slot_us = shared.slots.get(rate.name, 0) - interval_us(shared, rate)
        if -(-slot_us // 1000) == slot_ms:
            shared.slots[rate.name] = slot_us


def take(shared: Shared, name: str, most: int, per_ms: int | None, now_ms: int) -> bool:
    """Takes one of the partition's share of `most` in any window of `per_ms` (None: in all), if there is one left.

    >>> shared = Shared()
    >>> [take(shared, "entries", 2, 1600, now_ms) for now_ms in (0, 10, 20, 1700)]
    [True, True, False, True]
    """
    share = share_of(shared, most)
    length_ms = max(1, per_ms // WINDOW_PARTS) if per_ms is not None else 0
    part = now_ms // length_ms if length_ms else 0
    first = (now_ms - per_ms) // length_ms if per_ms is not None else 0
    stored = shared.counts.get(name, ())
    # Decisions about different customers are not in time order: what is later counts as well, and what is older is kept
    # for one more window. Of what lies before that nothing is known any more, so nothing is given out there.
    if per_ms is not None and stored and first < stored[-1][0] - per_ms // length_ms - WINDOW_PARTS:
        return False
    parts = {number: count for number, count in stored if number >= first - WINDOW_PARTS}
    if sum(count for number, count in parts.items() if number >= first) >= share:
        return False
    parts[part] = parts.get(part, 0) + 1
    shared.counts[name] = sorted(parts.items())
    return True


def thin_rates(rates: tuple[Rate, ...], partitions: int) -> list[Rate]:
    """Those that cannot be divided into at least one message for each partition, and hold only on average.

    >>> [rate.name for rate in thin_rates((Rate("a", None, 3, 1), Rate("b", None, 4, 1)), 4)]
    ['a']
    """
    return [rate for rate in rates if rate.max < partitions]
