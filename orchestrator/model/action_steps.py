"""Compiled steps that ask for something other than a message, or change what is known about the customer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.model.journey import Expression


@dataclass(frozen=True, slots=True)
class Increment:
    """`sums`: attribute → expression of the attribute's new value (null: no change); `store` gives its stored form."""

    name: str
    sums: tuple[tuple[str, Expression, Callable[[Any], Any] | None], ...]
    next: str


@dataclass(frozen=True, slots=True)
class ChangeAudience:
    """Adds the customer to audiences, or removes the customer from them."""

    name: str
    audiences: tuple[str, ...]
    is_add: bool
    priority: int
    expires_after_ms: int
    next: str


ActionStep = Increment | ChangeAudience
