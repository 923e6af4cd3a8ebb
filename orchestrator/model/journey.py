"""Compiled journeys: what authoring produces and the engine executes. Values only; evaluation is in `engine`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from orchestrator.model.action_steps import ActionStep
from orchestrator.model.aggregates import Aggregate, Segment, Tracked
from orchestrator.model.customer import Customer, Instance
from orchestrator.model.experiments import Experiment, MeetExperiment
from orchestrator.model.migrations import Migration
from orchestrator.model.pauses import Resume
from orchestrator.model.policies import GlobalHoldout, Purpose
from orchestrator.model.triggers import Bounds, FieldIndex, Need, OnCommand, OnEvent, OnSchedule, OnSegment
from orchestrator.model.types import Type


class Scope:
    """What an expression can see while it is evaluated. One object is reused for many evaluations.

    `event` is the fields of the current event ({} for a timer). `instance` is None while entry conditions and
    profile rules are evaluated.
    """

    __slots__ = ("customer", "customer_id", "event", "instance", "now_ms")

    def __init__(self) -> None:
        self.customer_id: str = ""
        self.customer: Customer = Customer()
        self.event: Mapping[str, Any] = {}
        self.instance: Instance | None = None
        self.now_ms: int = 0


Evaluate = Callable[[Scope], Any]
"""A compiled expression. Null-safe: a missing value is None, an ordering with None is False, arithmetic with None is
None. Raises ArithmeticError (division by zero, overflow) and nothing else."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled, typed expression with its source text (for messages and traces)."""

    text: str
    type: Type
    evaluate: Evaluate


class Status(Enum):
    """Draft is only checked, shadow decides and records but sends nothing, paused lets customers in and nobody go on,
    retired lets nobody in.
    """

    DRAFT = "draft"
    SHADOW = "shadow"
    LIVE = "live"
    PAUSED = "paused"
    RETIRED = "retired"


class RenderProblem(Exception):
    """A template could not be rendered; the message carries no customer data."""


class Render(Protocol):
    """Renders a template's parts; raises RenderProblem."""

    def __call__(self, language: str, variables: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """(language used, part name → text) for the customer's language, falling back to the default one."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Go on to `next` after `duration_ms`."""

    name: str
    duration_ms: int
    next: str
    keeps_result: bool = False
    """Whether something in the journey asks how this step ended: only then it is kept, in every passage."""


@dataclass(frozen=True, slots=True)
class ClockTime:
    """A local time of day."""

    hour: int
    minute: int

    def __str__(self) -> str:
        return f"{self.hour:02}:{self.minute:02}"


@dataclass(frozen=True, slots=True)
class WaitUntilTime:
    """Go on to `next` when it is next `at` o'clock on one of `weekdays` (1 is Monday; empty: any day).

    `zone` None is the customer's.
    """

    name: str
    at: ClockTime
    weekdays: frozenset[int]
    zone: str | None
    next: str
    keeps_result: bool = False


@dataclass(frozen=True, slots=True)
class WaitMonths:
    """Go on to `next` at the same local time of day, `months` later by the customer's calendar."""

    name: str
    months: int
    next: str
    keeps_result: bool = False


@dataclass(frozen=True, slots=True)
class WaitUntilMoment:
    """Go on to `next` at a date or instant that the profile or the entry event says, moved by an offset.

    `until` gives days (`is_date`) or milliseconds since the epoch. The offset is `months` and `days` of the local
    calendar, or `offset_ms`. `at` is the local time of day; None keeps that of an instant, and is midnight for a date.
    No value: on to `missing` at once. A moment that has come or gone by: on to `past` at once.
    """

    name: str
    until: Expression
    is_date: bool
    months: int
    days: int
    offset_ms: int
    at: ClockTime | None
    zone: str | None
    missing: str
    past: str
    next: str


@dataclass(frozen=True, slots=True)
class WaitWhile:
    """Go on to `next` as soon as the condition does not hold; after `timeout_ms` (None: no limit) to `timeout_go`.

    With `timeout_months` it is so many months of the customer's calendar, of which `timeout_ms` is a lower bound.
    `next_change` gives the earliest instant at which time alone may change the condition (None: it never does).
    """

    name: str
    condition: Expression
    timeout_ms: int | None
    timeout_go: str
    next: str
    timeout_months: int = 0
    next_change: Callable[[Any], int] | None = None


@dataclass(frozen=True, slots=True)
class Awaited:
    """One of the events that a wait_for step waits for."""

    on: str
    where: Expression | None
    go: str


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Wait for the first matching event; after `timeout_ms` (None: no limit) go on to `timeout_go`.

    With `timeout_months` it is so many months of the customer's calendar, of which `timeout_ms` is a lower bound.
    """

    name: str
    awaited: tuple[Awaited, ...]
    timeout_ms: int | None
    timeout_go: str
    timeout_months: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a branch."""

    when: Expression
    go: str


@dataclass(frozen=True, slots=True)
class Branch:
    """The first case that holds; else `otherwise`."""

    name: str
    cases: tuple[Case, ...]
    otherwise: str


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of a split: `until` is its upper bound on the scale 0 to 2**64 (exclusive)."""

    go: str
    until: int


@dataclass(frozen=True, slots=True)
class Split:
    """A sticky random choice: the same customer gets the same arm at every visit of this salt."""

    name: str
    salt: str
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Send on the first of `channels` on which this customer can be reached."""

    name: str
    channels: tuple[str, ...]
    template: str
    renders: dict[str, Render]
    variables: tuple[tuple[str, Expression], ...]
    message_class: str
    priority: int
    expires_after_ms: int
    next: str
    purpose: str = ""
    """What the message is for; "" for the default of promotional messages."""


@dataclass(frozen=True, slots=True)
class SetProfile:
    """`assignments`: attribute → expression; `store` turns each value into stored form."""

    name: str
    assignments: tuple[tuple[str, Expression, Callable[[Any], Any] | None], ...]
    next: str
    keeps_result: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """Leave the journey with this reason."""

    name: str
    reason: str


Step = (
    Wait
    | WaitFor
    | Branch
    | Split
    | MeetExperiment
    | Send
    | SetProfile
    | Exit
    | WaitUntilTime
    | WaitMonths
    | WaitUntilMoment
    | WaitWhile
    | ActionStep
)


@dataclass(frozen=True, slots=True)
class ReEntry:
    """`never`, `always`, or once `after_ms` has gone by since the last entry with the same key.

    With `after_months` it is so many months of the customer's calendar, of which `after_ms` is a lower bound.
    """

    mode: str
    after_ms: int = 0
    after_months: int = 0


@dataclass(frozen=True, slots=True)
class OnDate:
    """At a date or instant that an attribute of the profile says, moved by an offset as in `WaitUntilMoment`.

    `is_yearly`: it comes round each year, from its own on; 29 February is 28 February in a year without one.
    """

    value: Expression
    is_date: bool
    months: int
    days: int
    offset_ms: int
    at: ClockTime | None
    zone: str | None
    is_yearly: bool
    attribute: str = ""
    """The attribute that `value` is, so that the moment is looked at again when it changes."""


Trigger = OnEvent | OnSegment | OnSchedule | OnDate | OnCommand


@dataclass(frozen=True, slots=True)
class Entry:
    """Who enters: at the trigger, where the condition holds; `key` tells parallel instances apart.

    `is_backfilled`: as the journey comes into force, those enter too who match already.
    `needs` is what the condition needs of the event, each by itself; fields that it does not need are not in it.
    """

    trigger: Trigger
    where: Expression | None
    key: Expression | None
    reentry: ReEntry
    bounds: Bounds | None = None
    is_backfilled: bool = False
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, slots=True)
class ExitOn:
    """Leave the journey when this event comes and the condition holds."""

    on: str
    where: Expression | None


@dataclass(frozen=True, slots=True)
class Goal:
    """`value` is what reaching the goal is worth (None: just counted); `within_ms` counts from entry.

    With `within_months` it is so many months of the customer's calendar, of which `within_ms` is a lower bound.
    """

    on: str
    where: Expression | None
    within_ms: int
    value: Expression | None
    within_months: int = 0


@dataclass(frozen=True, slots=True)
class Captured:
    """A field of the entry event that the journey refers to, and how it is turned into stored form."""

    field: str
    type: Type
    store: Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class Journey:
    """One version of one journey. `listens` is every event type that can matter to someone inside it."""

    name: str
    title: str
    owner: str
    status: Status
    version: str
    entry: Entry
    exits_on: tuple[ExitOn, ...]
    exits_when: tuple[Expression, ...]
    goal: Goal | None
    holdout: int
    """Share of the control group on the scale 0 to 2**64."""
    captured: tuple[Captured, ...]
    steps: dict[str, Step]
    first: str
    listens: frozenset[str]
    waits_while: bool = False
    """Whether a step waits while a condition holds, so that every event is looked at."""
    exits_change: tuple[Callable[[Any], int], ...] = ()
    """When time alone may next change one of `exits_when`, for each of those that it can change."""
    aggregates: tuple[Aggregate, ...] = ()
    """What its expressions read of past events."""
    segments: frozenset[str] = frozenset()
    """The segments that its expressions and its entry name."""
    max_duration_ms: int = 0
    """How long a passage may last at most, or at least how long if it is in months; 0: as long as it takes."""
    max_duration_months: int = 0
    resume: Resume | None = None
    """How those go on who stood still while the journey was paused; None for at once."""
    migration: Migration | None = None
    """How those inside older versions come into this one; None: they keep the version that they entered."""


@dataclass(frozen=True, slots=True)
class EntryIndex:
    """The journeys that one event type lets customers into, in name order, told apart by what each needs most.

    `others` are those whose condition has to be asked with every event, and `other_places` where they are in `entered`.
    """

    entered: tuple[Journey, ...]
    by_field: tuple[FieldIndex, ...]
    others: tuple[Journey, ...]
    other_places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    """`address` is the profile attribute that a customer needs to be reached; `consent` the consent key."""

    name: str
    address: str
    consent: str
    topic: str


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `max` promotional messages on `channels` for `purposes` from `journeys` (None: all) in any sliding window
    of `per_ms`.
    """

    name: str
    channels: frozenset[str] | None
    max: int
    per_ms: int
    purposes: frozenset[str] | None = None
    journeys: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` to `end`, local time in `zone` (None: the customer's), no promotional message on these channels
    (None: all) goes out. It is held until the end; skipped if `holds` is False, or if it would be held longer than
    `late_after_ms`.
    """

    channels: frozenset[str] | None
    start: ClockTime
    end: ClockTime
    zone: str | None
    holds: bool
    late_after_ms: int | None


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `max` messages on `channels` (None: all) in any window of `per_ms`, over all customers.

    A message waits for its slot; it is not sent where it would wait longer than `late_after_ms` (None: it waits).
    """

    name: str
    channels: frozenset[str] | None
    max: int
    per_ms: int
    late_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Audience:
    """A list of people elsewhere: `identity` is the attribute that says who the customer is there, `consent` what the
    customer must have agreed to; commands go to `topic`, which belongs to `channel`.
    """

    name: str
    channel: str
    topic: str
    identity: str
    consent: str


@dataclass(frozen=True, slots=True)
class ReachRule:
    """An event that says, where the condition holds, whether the customer can be reached on `channel`.

    `address` is the address that the event is about (None, or a null value: that of the profile).
    """

    channel: str
    is_reachable: bool
    where: Expression | None
    address: Expression | None


@dataclass(frozen=True, slots=True)
class ProfileRule:
    """Event type → attributes, consent, and whether addresses are of use.

    A null value leaves the attribute as it is, or with `nulls_clear` takes it away.
    """

    on: str
    attributes: tuple[tuple[str, Expression, Callable[[Any], Any] | None], ...]
    consent: tuple[tuple[Expression, Expression], ...]
    """(consent key, granted)."""
    nulls_clear: bool = False
    reach: tuple[ReachRule, ...] = ()


@dataclass(frozen=True, slots=True)
class JourneySet:
    """Everything the engine needs to decide: current journeys, pinned versions, rules for all journeys.

    `set_id` is the hash of all sources. `versions` holds current and pinned versions by (name, version);
    `entries` the current journeys (live or shadow) by the event type that they are entered on, in name order;
    `entries_by_segment` those by (segment, whether entering it), in name order; `wanted` every event type that
    anything refers to: all others are skipped undecoded.
    """

    set_id: str
    versions: dict[tuple[str, str], Journey]
    current: dict[str, Journey]
    entries: dict[str, tuple[Journey, ...]]
    profile_rules: dict[str, tuple[ProfileRule, ...]]
    channels: dict[str, Channel]
    caps: tuple[Cap, ...]
    wanted: frozenset[str]
    attributes: dict[str, Type] = field(default_factory=dict)
    default_zone: str = "UTC"
    """The zone of customers whose own is not known."""
    quiet_hours: tuple[QuietHours, ...] = ()
    purposes: dict[str, Purpose] = field(default_factory=dict)
    default_purpose: str = ""
    """That of promotional messages which name none; "" for none."""
    global_holdout: GlobalHoldout | None = None
    experiments: dict[str, Experiment] = field(default_factory=dict)
    rates: tuple[Rate, ...] = ()
    uses_shared: bool = False
    """Whether decisions look at what the customers of a partition share (`Effects.shared`)."""
    alignment: str = ""
    """A hash of the rules that every customer record has to be in line with (`engine/align.py`); "" for none."""
    tracked: Tracked | None = None
    """What is kept up to date for every customer because a journey asks for it; None for nothing."""
    resumed: dict[str, int] = field(default_factory=dict)
    """Key of an aggregate that is kept again after it was not, → the publication from which it is; most never are."""
    entry_indexes: dict[str, EntryIndex] = field(default_factory=dict)
    """Event type → `entries`, told apart; only for types where something can be told apart."""
    segments: dict[str, Segment] = field(default_factory=dict)
    """All segments, used or not."""
    entries_by_segment: dict[tuple[str, bool], tuple[Journey, ...]] = field(default_factory=dict)
    entries_by_clock: dict[str, Journey] = field(default_factory=dict)
    """The journeys, by name and in name order, that a schedule or a date lets customers into."""
    entries_by_profile: dict[str, tuple[Journey, ...]] = field(default_factory=dict)
    """Attribute → those of them whose next instant depends on it: a date, or the customer's zone."""
    entries_by_backfill: dict[str, Journey] = field(default_factory=dict)
    """The journeys, by name and in name order, that those enter who match as they come into force."""
    audiences: dict[str, Audience] = field(default_factory=dict)
    entries_by_command: dict[str, Journey] = field(default_factory=dict)
    """The journeys that somebody can ask for, by name."""
    has_slides: bool = False
    """Whether time alone can change what passages of some version wait or exit for (`engine/slides.py`)."""
    emits: dict[str, str] = field(default_factory=dict)
    """Event type → topic, of the events that journeys emit."""
    services: frozenset[str] = frozenset()
    """Of the channels of tasks and of webhooks, those that some journey uses."""
    paused: frozenset[str] = frozenset()
    """The journeys, by name, in any version of which nobody goes on."""
    migrating: dict[str, Journey] = field(default_factory=dict)
    """The current journeys, by name, that passages of older versions come into."""

    @property
    def destinations(self) -> dict[str, str]:
        """Channel → topic, of everything that commands can go to, messages or others."""
        topics = {channel.name: channel.topic for channel in self.channels.values()}
        topics |= {audience.channel: audience.topic for audience in self.audiences.values()}
        return topics | {service: f"actions.{service}" for service in sorted(self.services)}
