"""Recorded events through journeys, offline and at full speed: who entered, which way they went, what was sent.

Where customers do not affect each other, each one's timers may wait for the customer's next event or for the end: the
decisions are the same as if every timer had fired when it was due. Where they share rates or limits, timers fire in
time order among the events, as in one partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from orchestrator.authoring.durations import DAY_MS
from orchestrator.authoring.event_files import BadLine, EventLine
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.actions import Effects, Transition
from orchestrator.model.customer import ACTIVE, PAUSED
from orchestrator.model.journey import JourneySet, Send

AFTER_LAST_EVENT_MS = 30 * DAY_MS
PROGRESS_EVERY = 2_000


@dataclass(slots=True)
class StepReport:
    """Visits of one step: how often it was come to, gone on from (by outcome), left the journey at, still waited in."""

    visits: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(outcome, next step) → how often."""
    left: int = 0
    waiting: int = 0


@dataclass(slots=True)
class ArmReport:
    """One side of the holdout comparison: passages, how many reached the goal, what it was worth."""

    passages: int = 0
    converted: int = 0
    value: Decimal = Decimal(0)

    @property
    def conversion(self) -> float | None:
        """Share of the passages that reached the goal, or None without passages."""
        return self.converted / self.passages if self.passages else None


@dataclass(slots=True)
class JourneyReport:
    """What one journey did. `entered_by` (`event`, `date`, …), `not_entered`, `exits`, `not_sent`,
    `waiting_on`: reason → count; `sent`: (channel, template) → count.
    """

    name: str
    treated: ArmReport = field(default_factory=ArmReport)
    held_out: ArmReport = field(default_factory=ArmReport)
    left_alone: ArmReport = field(default_factory=ArmReport)
    """Those of the global holdout."""
    entered_by: Counter[str] = field(default_factory=Counter)
    not_entered: Counter[str] = field(default_factory=Counter)
    steps: dict[str, StepReport] = field(default_factory=dict)
    exits: Counter[str] = field(default_factory=Counter)
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    not_sent: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    waiting_on: Counter[str] = field(default_factory=Counter)

    experiments: dict[tuple[str, str], ArmReport] = field(default_factory=dict)
    """(experiment, arm) → the passages that were exposed to it."""
    met: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    """(customer, passage) → experiment → arm, of passages that have not reached the goal."""

    @property
    def entered(self) -> int:
        """How many passages went through the steps."""
        return self.treated.passages + self.left_alone.passages


@dataclass(slots=True)
class Simulation:
    """The result. `events` were applied, `skipped` are of types that nothing asks for, `beyond` came after the end.

    `segments`: how many customers are in each at the end. `audiences`: (audience, outcome) → count; `commands`:
    (kind, target) → count, of all but messages; `emitted`: event type → count.
    """

    journeys: dict[str, JourneyReport]
    events: int = 0
    skipped: int = 0
    duplicates: int = 0
    beyond: int = 0
    customers: int = 0
    timers: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    until_ms: int | None = None
    bad: list[BadLine] = field(default_factory=list)
    audiences: Counter[tuple[str, str]] = field(default_factory=Counter)
    segments: dict[str, int] = field(default_factory=dict)
    commands: Counter[tuple[str, str]] = field(default_factory=Counter)
    emitted: Counter[str] = field(default_factory=Counter)


class OutOfOrder(Exception):
    """A line is earlier than the one before it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"line {number} is earlier than a line before it")
        self.number = number


def in_order(lines: Iterable[EventLine | BadLine], *, sort: bool) -> Iterator[EventLine | BadLine]:
    """The lines in time order: sorted in memory, or as they come.

    Raises: OutOfOrder if they are not to be sorted and are not in order.
    """
    if sort:
        read = list(lines)
        yield from (line for line in read if isinstance(line, BadLine))
        yield from sorted((line for line in read if isinstance(line, EventLine)), key=lambda line: line.at_ms)
        return
    last_ms = -1
    for line in lines:
        if isinstance(line, EventLine):
            if line.at_ms < last_ms:
                raise OutOfOrder(line.number)
            last_ms = line.at_ms
        yield line


def simulate(
    journeys: JourneySet,
    lines: Iterable[EventLine | BadLine],
    *,
    until_ms: int | None = None,
    strict: bool = False,
    on_progress: Callable[[Simulation], None] = lambda _so_far: None,
) -> Simulation:
    """Runs the events, then the timers up to `until_ms` (default: 30 days after the last event).

    A bad line is kept in the result; with `strict` the run ends there.
    """
    result = Simulation({name: _empty_report(journeys, name) for name in sorted(journeys.current)})
    engine = OfflineEngine(journeys)
    reading = iter(lines)
    for line in reading:
        if isinstance(line, BadLine):
            result.bad.append(line)
            if strict:
                break
            continue
        if until_ms is not None and line.at_ms > until_ms:
            result.beyond += 1
            continue
        result.first_ms = line.at_ms if result.first_ms is None else result.first_ms
        result.last_ms = line.at_ms
        if line.event.type not in journeys.wanted:
            result.skipped += 1
            continue
        result.events += 1
        if journeys.uses_shared:
            _count(result, engine.advance(line.at_ms), journeys)
        _count(result, engine.apply(line.at_ms, line.event), journeys)
        if result.events % PROGRESS_EVERY == 0:
            on_progress(result)
    if result.last_ms is not None:
        _run_out(engine, result, journeys, until_ms)
    on_progress(result)
    return result


def _run_out(engine: OfflineEngine, result: Simulation, journeys: JourneySet, until_ms: int | None) -> None:
    end_ms = (result.last_ms or 0) + AFTER_LAST_EVENT_MS if until_ms is None else until_ms
    result.until_ms = end_ms
    # A day at a time, so that the effects of a long time are not all in memory at once.
    while (wake := engine.next_wake()) is not None and wake[0] <= end_ms:
        _count(result, engine.advance(min(end_ms, wake[0] + DAY_MS)), journeys)
    result.customers = len(engine.customers)
    tracked = journeys.tracked
    result.segments = {} if tracked is None else {segment.name: 0 for segment in tracked.segments}
    for customer in engine.customers.values():
        for name in customer.segments:
            result.segments[name] += 1
        for instance in customer.instances:
            if instance.state in {ACTIVE, PAUSED} and instance.journey in result.journeys:
                _step(result.journeys[instance.journey], instance.step).waiting += 1


def _count(result: Simulation, effects: Effects, journeys: JourneySet) -> None:
    result.duplicates += effects.duplicates
    result.timers += effects.timers_fired
    for action in effects.actions:
        if action.kind == "send":
            result.journeys[action.journey].sent[action.channel, action.template] += 1
        else:
            result.commands[action.kind, action.target] += 1
    for made in effects.events:
        result.emitted[made.event.type] += 1
    for transition in effects.transitions:
        if transition.kind == "audience":
            # What a withdrawn consent leads to belongs to no journey.
            result.audiences[transition.value or "", transition.reason] += 1
            continue
        _count_transition(result.journeys[transition.journey], transition, journeys)


def _count_transition(report: JourneyReport, transition: Transition, journeys: JourneySet) -> None:
    match transition.kind:
        case "entered":
            (report.left_alone if transition.value == "global_holdout" else report.treated).passages += 1
            report.entered_by[transition.reason or "event"] += 1
            _step(report, transition.to).visits += 1
        case "held_out":
            report.held_out.passages += 1
            report.entered_by[transition.reason or "event"] += 1
        case "not_entered":
            report.not_entered[transition.reason] += 1
        case "goal":
            others = {"held_out": report.held_out, "global_holdout": report.left_alone}
            arm = others.get(transition.reason, report.treated)
            arm.converted += 1
            arm.value += Decimal(transition.value or 0)
            for met in report.met.pop((transition.customer_id, transition.instance), {}).items():
                report.experiments[met].converted += 1
                report.experiments[met].value += Decimal(transition.value or 0)
        case "exposed":
            report.met.setdefault((transition.customer_id, transition.instance), {})[transition.reason] = (
                transition.value or ""
            )
            report.experiments.setdefault((transition.reason, transition.value or ""), ArmReport()).passages += 1
        case "exited":
            report.exits[transition.reason] += 1
            _step(report, transition.step).left += 1
        case "failed":
            report.failures[transition.step] += 1
        case "waiting":
            report.waiting_on[transition.reason] += 1
        case "paused" | "resumed" | "dropped":
            report.waiting_on[transition.kind] += 1
        case _:
            _step(report, transition.step).outcomes[transition.reason, transition.to] += 1
            _step(report, transition.to).visits += 1
            step = journeys.current[transition.journey].steps.get(transition.step)
            if isinstance(step, Send) and transition.action_id is None:
                report.not_sent[transition.reason] += 1


def _empty_report(journeys: JourneySet, name: str) -> JourneyReport:
    return JourneyReport(name, steps={step: StepReport() for step in journeys.current[name].steps})


def _step(report: JourneyReport, name: str) -> StepReport:
    return report.steps.setdefault(name, StepReport())
