"""Timers of a customer that belong to no passage: windows that slide, dates and schedules that let someone in.

A clock's name is `kind:what`. It is taken away before it fires; whoever it is for sets it again if need be. One of a
kind that nobody knows, or for something that the journey set no longer holds, is dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.engine.turn import Turn
from orchestrator.model.customer import NEVER_MS, Customer

EXPIRY = "expiry"
"""The kind of clock that ends a passage at the latest; set in `expiry.py`, taken away where the passage ends."""


def set_clock(customer: Customer, name: str, due_ms: int) -> None:
    """The clock is due at this instant, instead of whenever it was; NEVER_MS takes it away."""
    if due_ms < NEVER_MS:
        customer.clocks[name] = due_ms
    else:
        customer.clocks.pop(name, None)


def take_due_clock(customer: Customer, due_ms: int) -> str | None:
    """Takes away the clock due at exactly this instant, the first by name; None if there is none."""
    name = min((name for name, at_ms in customer.clocks.items() if at_ms == due_ms), default=None)
    if name is not None:
        del customer.clocks[name]
    return name


def fire_clock(turn: Turn, name: str) -> None:
    """What the clock was set for."""
    kind, _, what = name.partition(":")
    fire = FIRE.get(kind)
    if fire is not None:
        fire(turn, what)


FIRE: dict[str, Callable[[Turn, str], None]] = {}
"""Kind → what happens when such a clock is due, given what it was set for."""
