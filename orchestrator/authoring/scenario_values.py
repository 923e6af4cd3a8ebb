"""The nouns of a scenario: one customer, what is given, what happens when, what is expected then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.authoring.event_values import EventShape, event_from
from orchestrator.authoring.yaml_source import MappingNode
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet

DEFAULT_START_MS = 1_772_442_000_000
"""Monday, 2 March 2026, 09:00 UTC: when a scenario begins that does not say when."""

EXPECTATIONS: dict[str, frozenset[str]] = {
    "sent": frozenset({"template", "language", "contains", "step", "address"}),
    "not_sent": frozenset({"template", "step", "because"}),
    "messages": frozenset(),
    "in_step": frozenset({"key"}),
    "inside": frozenset({"key"}),
    "entered": frozenset(),
    "held_out": frozenset(),
    "exited": frozenset(),
    "goal": frozenset(),
    "transition": frozenset({"step", "to", "because"}),
    "profile": frozenset(),
    "consent": frozenset(),
    "reachable": frozenset(),
    "audience": frozenset(),
    "segment": frozenset(),
    "command": frozenset({"target", "step", "contains", "address"}),
    "emitted": frozenset({"step", "with"}),
}
"""What a `then` line can expect → the keys that say more about it."""

TRANSITIONS = (
    "entered",
    "held_out",
    "not_entered",
    "step",
    "waiting",
    "paused",
    "resumed",
    "dropped",
    "audience",
    "exposed",
    "migrated",
    "goal",
    "exited",
    "failed",
)
COMMANDS = ("audience_add", "audience_remove", "task", "webhook")
YES_OR_NO = frozenset({"inside", "entered", "held_out"})
STATES = frozenset({"in_step", "inside", "profile", "consent", "reachable", "audience", "segment"})
"""Expectations about how things stand at an instant; all others are about what happened then."""


SentBefore = tuple[int, str, str, str]
"""(milliseconds before the start, channel, journey, purpose)."""


@dataclass(frozen=True, slots=True)
class Given:
    """How things are at the start. `sends` are earlier messages.

    `arms` (step → arm), `experiments` (experiment → arm), `is_held_out` and `is_left_alone` (by the global holdout)
    choose a customer whom chance treats so. `is_backfilled`: the journeys come into force at the start, so that those
    with `backfill` let the customer in who matches already.
    """

    at_ms: int = DEFAULT_START_MS
    customer: str | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    consent: dict[str, bool] = field(default_factory=dict)
    sends: tuple[SentBefore, ...] = ()
    arms: dict[str, str] = field(default_factory=dict)
    is_held_out: bool = False
    audiences: dict[str, str] = field(default_factory=dict)
    """Audience → who the customer is there."""
    is_left_alone: bool = False
    experiments: dict[str, str] = field(default_factory=dict)
    is_backfilled: bool = False
    under: JourneySet | None = None
    """The journeys in force at the start, if they are not those of today."""
    unreachable: dict[str, bytes] = field(default_factory=dict)
    """Channel → digest of the address that is of no use, as in the customer's record."""


@dataclass(frozen=True, slots=True)
class When:
    """One event, `after_ms` from the start. `actions_of`: field → the step whose last message's id it carries."""

    after_ms: int
    shape: EventShape
    written: dict[str, Any]
    actions_of: dict[str, str]
    node: MappingNode


@dataclass(frozen=True, slots=True)
class ChangeOver:
    """The journeys of today come into force, `after_ms` from the start, after so many of the scenario's events."""

    after_ms: int
    events_before: int


@dataclass(frozen=True, slots=True)
class Switch:
    """The journey is paused, or runs again, `after_ms` from the start."""

    after_ms: int
    journey: str
    is_pause: bool


@dataclass(frozen=True, slots=True)
class Expectation:
    """One line of `then`: `kind` is one of EXPECTATIONS, `value` what it says, `more` the keys beside it.

    `after_ms` from the start; None: at any time.
    """

    kind: str
    value: Any
    more: dict[str, Any]
    journey: str
    after_ms: int | None
    node: MappingNode


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story about one customer. Times are milliseconds from its start.

    It goes on past `mentioned_ms`, the last time that it mentions, until `until_ms`, or if that is None until nothing
    more is due.
    """

    name: str
    journey: str
    given: Given
    when: tuple[When | Switch, ...]
    then: tuple[Expectation, ...]
    mentioned_ms: int
    until_ms: int | None
    node: MappingNode
    change_over: ChangeOver | None = None


def event_of(when: When, given: Given, customer_id: str, number: int, action_ids: Mapping[str, str]) -> Event:
    """The event that happens; `number` names it where the scenario does not. Raises BadValue."""
    written = {
        "event_id": f"event-{number}",
        **when.written,
        **{name: action_ids[name] for name in when.actions_of},
        "customer_id": customer_id,
        "occurred_at": given.at_ms + when.after_ms,
    }
    return event_from(when.shape, written, fill=True)
