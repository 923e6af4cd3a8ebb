"""What all customers of a partition share: rates of channels, and limits of entries of all."""

from __future__ import annotations

from collections import defaultdict

from orchestrator.model.journey import Rate
from tests.properties.playing import Played
from tests.properties.random_logs import CUSTOMERS


def check_rates(played: Played) -> None:
    """No window of a rate's length holds more messages than the partition's share."""
    for rate in played.journeys.rates:
        sent: dict[int, list[int]] = defaultdict(list)
        for customer_id in CUSTOMERS:
            for action in played.actions(customer_id):
                if action.kind == "send" and (rate.channels is None or action.channel in rate.channels):
                    sent[_partition(played, customer_id)].append(action.created_at_ms)
        for partition, times in sent.items():
            share, window_ms = _share(played, rate, partition)
            assert _most_within(sorted(times), window_ms) <= share, (rate, sorted(times))


def _share(played: Played, rate: Rate, partition: int) -> tuple[int, int]:
    """(messages, window): where there is less than one message for each partition, one in every so many windows."""
    if rate.max < played.partitions:
        return 1, rate.per_ms * played.partitions // rate.max
    return _part(rate.max, played.partitions, partition), rate.per_ms


def check_waiting_for_rates(played: Played) -> None:
    """Nobody waits for a slot, or is refused one, before a slot was given to somebody."""
    given: set[int] = set()
    for one in played.happenings:
        partition = _partition(played, one.customer_id)
        for made in one.effects.transitions:
            assert made.reason not in {"rate", "rate_limited"} or partition in given, made
            # A message that fails after it has got its slot leaves it empty.
            if made.reason in {"rate", "sent", "template_failed"}:
                given.add(partition)


def check_limits(played: Played) -> None:
    """Never do more customers enter than the limit of all lets in."""
    for journey in played.journeys.current.values():
        limits = journey.entry.bounds.limits if journey.entry.bounds is not None else ()
        for limit in limits:
            if not limit.is_of_all:
                continue
            entered: dict[int, list[int]] = defaultdict(list)
            for customer_id in CUSTOMERS:
                for made in played.transitions(customer_id):
                    if made.journey == journey.name and made.kind in {"entered", "held_out"}:
                        entered[_partition(played, customer_id)].append(made.at_ms)
            for partition, times in entered.items():
                most = _part(limit.max, played.partitions, partition)
                window_ms = limit.per_ms if limit.per_ms is not None else max(times) + 1
                assert _most_within(sorted(times), window_ms) <= most, (journey.name, limit, times)


def _partition(played: Played, customer_id: str) -> int:
    return CUSTOMERS.index(customer_id) % played.partitions


def _part(most: int, partitions: int, partition: int) -> int:
    return most // partitions + (1 if partition < most % partitions else 0)


def _most_within(times: list[int], window_ms: int) -> int:
    """The most of these instants, in order, that lie in any window of this length, its end left out."""
    return max((sum(1 for at in times if first <= at < first + window_ms) for first in times), default=0)


CHECKS = (check_rates, check_waiting_for_rates, check_limits)
