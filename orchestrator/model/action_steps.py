"""Compiled steps that ask for something other than a message, or change what is known about the customer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.model.journey import Expression, Render


@dataclass(frozen=True, slots=True)
class Increment:
    """`sums`: attribute → expression of the attribute's new value (null: no change); `store` gives its stored form."""

    name: str
    sums: tuple[tuple[str, Expression, Callable[[Any], Any] | None], ...]
    next: str
    keeps_result: bool = False


@dataclass(frozen=True, slots=True)
class ChangeAudience:
    """Adds the customer to audiences, or removes the customer from them."""

    name: str
    audiences: tuple[str, ...]
    is_add: bool
    priority: int
    expires_after_ms: int
    next: str


@dataclass(frozen=True, slots=True)
class Task:
    """Asks a person to do something. What the person says comes back as an event with the task's action id.

    `variables` are plain values: `print_as` turns those that need it into what templates print, `context` gives
    them with (the journey's title, the instant of entry) as JSON.
    """

    name: str
    queue: str
    template: str
    render: Render
    variables: tuple[tuple[str, Expression], ...]
    print_as: dict[str, Callable[[Any], Any]]
    context: Callable[[str, int, dict[str, Any]], str]
    due_after_ms: int | None
    message_class: str
    priority: int
    expires_after_ms: int
    next: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """Asks for a request to an endpoint that the sink knows by name; `body` gives the variables as JSON."""

    name: str
    webhook: str
    endpoint: str
    method: str
    variables: tuple[tuple[str, Expression], ...]
    body: Callable[[dict[str, Any]], str]
    message_class: str
    priority: int
    expires_after_ms: int
    next: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Publishes an event about the customer to `topic`; it comes back as any other.

    `build` gives the event's fields, the head's included, as they are read from the topic, or None if the values do
    not fit the schema.
    """

    name: str
    event_type: str
    topic: str
    variables: tuple[tuple[str, Expression], ...]
    build: Callable[[dict[str, Any]], dict[str, Any] | None]
    next: str


@dataclass(frozen=True, slots=True)
class StartJourney:
    """Lets the customer into another journey, by its own entry rules."""

    name: str
    journey: str
    next: str


@dataclass(frozen=True, slots=True)
class StopJourney:
    """Ends the customer's passages through another journey."""

    name: str
    journey: str
    next: str


ActionStep = Increment | ChangeAudience | Task | Webhook | Emit | StartJourney | StopJourney

HUMAN = "human"
"""The channel of tasks for people."""
WEBHOOK = "webhook"
"""The channel of requests to other systems."""
