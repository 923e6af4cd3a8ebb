"""A Prometheus histogram that takes a whole batch of values at once.

The client library's own takes one value a call, with a lock and a search: for the records of a batch that would cost
more than deciding about some of them. Here the values come sorted, so each bucket is one binary search.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class BatchHistogram(Collector):
    """How many values lay at or below each of `buckets` (in seconds), and their sum."""

    def __init__(self, name: str, documentation: str, *, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._buckets = tuple(buckets)
        self._at_or_below = [0] * len(self._buckets)
        self._count = 0
        self._sum_ms = 0
        self._lock = threading.Lock()
        registry.register(self)

    def observe_sorted_ms(self, values_ms: Sequence[int]) -> None:
        """Takes in milliseconds in ascending order. Out of order they may be counted in a neighbouring bucket."""
        self._add([bisect_right(values_ms, bound * 1000) for bound in self._buckets], len(values_ms), sum(values_ms))

    def observe_ages_ms(self, times_ms: Sequence[int], now_ms: int) -> None:
        """Takes in how long ago each of these ascending instants was. One in the future is no time ago."""
        count = len(times_ms)
        # A bound is not exceeded by all that came after it; so nothing has to be done for each instant but to add it.
        counts = [count - bisect_left(times_ms, now_ms - bound * 1000) for bound in self._buckets]
        self._add(counts, count, max(0, count * now_ms - sum(times_ms)))

    def _add(self, counts: Sequence[int], count: int, sum_ms: int) -> None:
        with self._lock:
            for place, more in enumerate(counts):
                self._at_or_below[place] += more
            self._count += count
            self._sum_ms += sum_ms

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The histogram as it stands; what the registry calls at each scrape."""
        with self._lock:
            counts = [*self._at_or_below, self._count]
            total_ms = self._sum_ms
        bounds = [*(str(float(bound)) for bound in self._buckets), "+Inf"]
        yield HistogramMetricFamily(
            self._name, self._documentation, buckets=list(zip(bounds, counts, strict=True)), sum_value=total_ms / 1000
        )

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """The name without values, so that registering does not collect."""
        yield HistogramMetricFamily(self._name, self._documentation)
