"""What the demo knows about the journeys under way, from the records that the workers commit.

Every transition, action command and journal entry is taken in; what comes out is where the customers are, how far
time has come, and a funnel for each journey. No clock, no broker: records in, numbers out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from orchestrator.model.actions import Transition
from orchestrator.model.journey import Journey
from orchestrator.runtime.command_schemas import is_command

ARMS = ("treated", "held_out")
NOT_SENT = frozenset({"capped", "no_consent", "unreachable", "template_failed", "shadow"})
"""Outcomes of a step that sends, other than `sent`."""

_LINES_MAX = 30


@dataclass(slots=True)
class Passages:
    """One journey's passages. `here` is how many are at each step now, `reached` how many ever were.

    `goals` and `values` are by arm: `treated` and `held_out`.
    """

    entered: int = 0
    held_out: int = 0
    here: Counter[str] = field(default_factory=Counter)
    reached: dict[str, set[tuple[str, int]]] = field(default_factory=lambda: defaultdict(set))
    exits: Counter[str] = field(default_factory=Counter)
    not_entered: Counter[str] = field(default_factory=Counter)
    goals: Counter[str] = field(default_factory=Counter)
    values: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """How many passages came to a step."""

    step: str
    passages: int


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of the comparison: passages, how many reached the goal, and what that was worth."""

    passages: int
    converted: int
    value: Decimal

    @property
    def conversion(self) -> float | None:
        """The share that reached the goal; None without passages."""
        return self.converted / self.passages if self.passages else None


@dataclass(frozen=True, slots=True)
class Funnel:
    """One journey's outcome, steps in the journey's order."""

    journey: str
    title: str
    steps: tuple[FunnelStep, ...]
    exits: dict[str, int]
    treated: Arm
    held_out: Arm


class Picture:
    """Everything seen so far. Instants are milliseconds since the epoch, UTC."""

    __slots__ = (
        "_at",
        "_times",
        "actions",
        "applied",
        "dead_letters",
        "not_sent",
        "passages",
        "samples",
        "transitions",
    )

    def __init__(self) -> None:
        self.passages: dict[str, Passages] = defaultdict(Passages)
        self.actions: Counter[str] = Counter()
        self.not_sent: Counter[str] = Counter()
        self.applied = 0
        self.dead_letters = 0
        self.samples: dict[str, dict[str, Any]] = {}
        self.transitions: list[Transition] = []
        self._at: dict[tuple[str, int], str] = {}
        self._times: dict[int, int] = {}

    def take(self, record_type: str | None, value: Mapping[str, Any]) -> None:
        """Takes in one record's fields; types that say nothing about journeys are left aside."""
        match record_type:
            case "journey_transition":
                self.take_transition(transition_of(value))
            case _ if is_command(record_type):
                self.actions[value["channel"]] += 1
                self.samples.setdefault(value["channel"], dict(value))
            case "journal_entry":
                self.take_journal(value)
            case _:
                pass

    def take_transition(self, transition: Transition) -> None:
        """Moves the customer on."""
        self.transitions.append(transition)
        passages = self.passages[transition.journey]
        passage = (transition.customer_id, transition.instance)
        match transition.kind:
            case "entered":
                passages.entered += 1
                self._move(passages, passage, transition.to)
            case "held_out":
                passages.held_out += 1
            case "not_entered":
                passages.not_entered[transition.reason] += 1
            case "migrated" if transition.to:
                self._move(passages, passage, transition.to)
            case "step":
                self._move(passages, passage, transition.to)
                # Only a step that sends says a channel, or why there was none that could be used.
                if transition.action_id is None and transition.reason in NOT_SENT:
                    self.not_sent[transition.reason] += 1
            case "goal":
                passages.goals[transition.reason] += 1
                passages.values[transition.reason] += Decimal(transition.value or 0)
            case "exited":
                passages.exits[transition.reason] += 1
                self._move(passages, passage, None)
            case _:
                pass

    def take_journal(self, entry: Mapping[str, Any]) -> None:
        """Counts what a transaction applied, and notes how far its partition's time has come."""
        self.applied += sum(part["last"] - part["first"] + 1 for part in entry["slices"])
        partition, until_ms = entry["partition"], milliseconds(entry["timers_until"])
        # With a customer named, timers of the same time are still to fire.
        if entry["timers_until_customer"] is None:
            self._times[partition] = max(until_ms, self._times.get(partition, 0))

    def time_ms(self, partitions: int) -> int | None:
        """Up to when every partition is done, timers included; None while one has not begun."""
        return min(self._times.values()) if len(self._times) == partitions else None

    def is_done(self, until_ms: int, partitions: int) -> bool:
        """Whether every partition has applied everything and fired every timer up to `until_ms`."""
        reached = self.time_ms(partitions)
        return reached is not None and reached >= until_ms

    def _move(self, passages: Passages, passage: tuple[str, int], step: str | None) -> None:
        before = self._at.pop(passage, None)
        if before is not None:
            passages.here[before] -= 1
        if step is not None:
            self._at[passage] = step
            passages.here[step] += 1
            passages.reached[step].add(passage)


def transition_of(value: Mapping[str, Any]) -> Transition:
    """The transition in a record's fields, as they are decoded for people."""
    return Transition(
        customer_id=value["customer_id"],
        journey=value["journey"],
        version=value["version"],
        instance=value["instance"],
        kind=value["kind"],
        step=value["step"],
        to=value["to"],
        reason=value["reason"],
        at_ms=milliseconds(value["at"]),
        event_id=value["event_id"],
        action_id=value["action_id"],
        value=value["value"],
    )


def milliseconds(instant: str | int) -> int:
    """An instant in milliseconds, from ISO 8601 or as it is."""
    return instant if isinstance(instant, int) else round(datetime.fromisoformat(instant).timestamp() * 1000)


def funnel(journey: Journey, transitions: Iterable[Transition]) -> Funnel:
    """The journey's outcome after these transitions (those of other journeys are left aside)."""
    picture = Picture()
    for transition in transitions:
        if transition.journey == journey.name:
            picture.take_transition(transition)
    passages = picture.passages[journey.name]
    # A step that is jumped to may stand anywhere; the journey's own order is what its author wrote.
    counted = {step: len(passages.reached.get(step, ())) for step in journey.steps}
    treated, held_out = (
        Arm(count, passages.goals[arm], passages.values[arm])
        for arm, count in zip(ARMS, (passages.entered, passages.held_out), strict=True)
    )
    return Funnel(
        journey=journey.name,
        title=journey.title,
        steps=tuple(FunnelStep(step, count) for step, count in counted.items()),
        exits=dict(passages.exits.most_common()),
        treated=treated,
        held_out=held_out,
    )


def telling_customer(transitions: Sequence[Transition]) -> str | None:
    """The customer whose transitions show most: many different steps in several journeys, and not too many in all."""
    lines: dict[str, list[Transition]] = defaultdict(list)
    for transition in transitions:
        lines[transition.customer_id].append(transition)
    fitting = {customer: told for customer, told in lines.items() if len(told) <= _LINES_MAX} or lines
    if not fitting:
        return None

    def shown(customer: str) -> tuple[int, int, str]:
        told = fitting[customer]
        goals = sum(transition.kind == "goal" for transition in told)
        return min(goals, 1), len({(t.journey, t.kind, t.step, t.reason) for t in told}), customer

    return max(fitting, key=shown)
