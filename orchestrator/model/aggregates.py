"""Aggregates and segments as compiled: what is kept of a customer's past events, and who belongs together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One thing that is kept of a customer's past events of type `on`, such as `count(order_placed, 30 days)`.

    `key` names what is kept in `Customer.aggregates`; it stands for `text`, the aggregate as all who use it write it,
    and for the type of its values. An event counts where `where` holds, with its `value` (None: it is only counted).
    `fold` takes what was kept so far (None at first), the event's value and its instant, and gives what is kept now.
    """

    key: str
    text: str
    on: str
    where: Callable[[Any], Any] | None
    value: Callable[[Any], Any] | None
    fold: Callable[[Any, Any, int], Any]


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a journey set keeps up to date for every customer: the aggregates by the event type that changes them."""

    aggregates: dict[str, tuple[Aggregate, ...]] = field(default_factory=dict)
