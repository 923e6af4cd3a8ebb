"""Journeys as written: every name and expression with its place in a file, nothing looked up yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from orchestrator.authoring.durations import Span
from orchestrator.authoring.expression_syntax import Tree
from orchestrator.authoring.yaml_source import MappingNode, Node, Scalar
from orchestrator.model.journey import ClockTime, ReEntry, Status
from orchestrator.model.pauses import Resume
from orchestrator.model.triggers import Cron


@dataclass(frozen=True, slots=True)
class Ref:
    """A name and where it was written."""

    name: str
    node: Scalar


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """A parsed expression and the scalar that it was written in; each is its own, equal only to itself."""

    node: Scalar
    tree: Tree

    @property
    def text(self) -> str:
        """The expression as written."""
        return self.node.value


@dataclass(frozen=True, slots=True)
class WaitDraft:
    """`wait: 1 hour`."""

    name: Ref
    duration_ms: int
    next: Ref | None


@dataclass(frozen=True, slots=True)
class MonthsDraft:
    """`wait: 3 months`."""

    name: Ref
    months: int
    next: Ref | None


@dataclass(frozen=True, slots=True)
class UntilTimeDraft:
    """`wait: {until: "09:00", on: [mon, tue]}`; `zone` None is the customer's."""

    name: Ref
    at: ClockTime
    weekdays: frozenset[int]
    zone: str | None
    next: Ref | None


@dataclass(frozen=True, slots=True)
class Offset:
    """A way from one moment to another: months and days of the calendar, or milliseconds."""

    text: str
    node: Scalar
    months: int = 0
    days: int = 0
    ms: int = 0


@dataclass(frozen=True, slots=True)
class UntilMomentDraft:
    """`wait: {until: profile.renewal_date, offset: -30 days, missing: STEP, past: now}`.

    `past` is None where it is `now`, which is to go on as if the wait were over.
    """

    name: Ref
    until: Formula
    offset: Offset | None
    at: ClockTime | None
    zone: str | None
    missing: Ref | None
    past: Ref | None
    next: Ref | None


@dataclass(frozen=True, slots=True)
class WaitWhileDraft:
    """`wait_while: CONDITION` with its timeout."""

    name: Ref
    condition: Formula
    timeout: Span | None
    on_timeout: Ref | None
    next: Ref | None


@dataclass(frozen=True, slots=True)
class AwaitedDraft:
    """One event of a wait_for step."""

    on: Ref
    where: Formula | None
    go: Ref | None


@dataclass(frozen=True, slots=True)
class WaitForDraft:
    """`wait_for: [...]` with its timeout."""

    name: Ref
    awaited: tuple[AwaitedDraft, ...]
    timeout: Span | None
    on_timeout: Ref | None


@dataclass(frozen=True, slots=True)
class CaseDraft:
    """One case of a branch."""

    when: Formula
    go: Ref


@dataclass(frozen=True, slots=True)
class BranchDraft:
    """`branch: [...]`."""

    name: Ref
    cases: tuple[CaseDraft, ...]
    otherwise: Ref | None


@dataclass(frozen=True, slots=True)
class SplitDraft:
    """`split: {step: 50%, ...}`: arms with their shares of one."""

    name: Ref
    arms: tuple[tuple[Ref, Fraction], ...]
    salt: str | None


@dataclass(frozen=True, slots=True)
class SendDraft:
    """`send: email` and all that goes with it."""

    name: Ref
    channels: tuple[Ref, ...]
    template: Ref
    variables: tuple[tuple[Ref, Formula], ...]
    message_class: str
    priority: int
    expires_ms: int
    next: Ref | None
    purpose: Ref | None = None


@dataclass(frozen=True, slots=True)
class SetDraft:
    """`set: {attribute: expression}`."""

    name: Ref
    assignments: tuple[tuple[Ref, Formula], ...]
    next: Ref | None


@dataclass(frozen=True, slots=True)
class IncrementDraft:
    """`increment: {attribute: expression}`."""

    name: Ref
    increments: tuple[tuple[Ref, Formula], ...]
    next: Ref | None


@dataclass(frozen=True, slots=True)
class ChangeAudienceDraft:
    """`audience: {add: vip_ads}`, or `remove`."""

    name: Ref
    audiences: tuple[Ref, ...]
    is_add: bool
    priority: int
    expires_ms: int
    next: Ref | None


@dataclass(frozen=True, slots=True)
class TaskDraft:
    """`task: sales` and all that goes with it."""

    name: Ref
    queue: Ref
    template: Ref
    variables: tuple[tuple[Ref, Formula], ...]
    due_ms: int | None
    message_class: str
    priority: int
    expires_ms: int
    next: Ref | None


@dataclass(frozen=True, slots=True)
class WebhookDraft:
    """`webhook: crm_lead` with its variables."""

    name: Ref
    webhook: Ref
    variables: tuple[tuple[Ref, Formula], ...]
    priority: int
    next: Ref | None


@dataclass(frozen=True, slots=True)
class MeetExperimentDraft:
    """`experiment: subject_line, arms: {arm: step, ...}`."""

    name: Ref
    experiment: Ref
    arms: tuple[tuple[Ref, Ref], ...]


@dataclass(frozen=True, slots=True)
class EmitDraft:
    """`emit: became_vip` with its fields."""

    name: Ref
    event: Ref
    variables: tuple[tuple[Ref, Formula], ...]
    next: Ref | None


@dataclass(frozen=True, slots=True)
class StartDraft:
    """`start: win_back`."""

    name: Ref
    journey: Ref
    next: Ref | None


@dataclass(frozen=True, slots=True)
class StopDraft:
    """`stop: win_back`."""

    name: Ref
    journey: Ref
    next: Ref | None


@dataclass(frozen=True, slots=True)
class ExitDraft:
    """`exit: reason`."""

    name: Ref
    reason: str


@dataclass(frozen=True, slots=True)
class BrokenDraft:
    """A step with mistakes of its own; it is there so that the rest of the journey can be checked."""

    name: Ref


ActionDraft = IncrementDraft | ChangeAudienceDraft | TaskDraft | WebhookDraft | EmitDraft | StartDraft | StopDraft

StepDraft = (
    BrokenDraft
    | WaitDraft
    | MonthsDraft
    | UntilTimeDraft
    | UntilMomentDraft
    | WaitWhileDraft
    | WaitForDraft
    | BranchDraft
    | SplitDraft
    | MeetExperimentDraft
    | SendDraft
    | SetDraft
    | ActionDraft
    | ExitDraft
)

STEP_KINDS: dict[type, str] = {
    BrokenDraft: "broken",
    WaitDraft: "wait",
    MonthsDraft: "wait",
    UntilTimeDraft: "wait",
    UntilMomentDraft: "wait",
    WaitWhileDraft: "wait_while",
    WaitForDraft: "wait_for",
    BranchDraft: "branch",
    SplitDraft: "split",
    MeetExperimentDraft: "experiment",
    SendDraft: "send",
    SetDraft: "set",
    IncrementDraft: "increment",
    ChangeAudienceDraft: "audience",
    TaskDraft: "task",
    WebhookDraft: "webhook",
    EmitDraft: "emit",
    StartDraft: "start",
    StopDraft: "stop",
    ExitDraft: "exit",
}


@dataclass(frozen=True, slots=True)
class OnEventDraft:
    """`on: cart_updated`."""

    event: Ref


@dataclass(frozen=True, slots=True)
class OnSegmentDraft:
    """`segment: vip, when: enters`."""

    segment: Ref
    enters: bool


@dataclass(frozen=True, slots=True)
class OnCommandDraft:
    """`command: true`."""


@dataclass(frozen=True, slots=True)
class OnScheduleDraft:
    """`schedule: "0 9 * * mon", zone: Europe/Berlin, segment: lapsing`; `zone` None is the customer's."""

    schedule: Ref
    cron: Cron
    zone: str | None
    segment: Ref | None


@dataclass(frozen=True, slots=True)
class OnDateDraft:
    """`date: profile.birthday, offset: -7 days, at: "09:00", every: year`; `zone` None is the customer's."""

    date: Formula
    offset: Offset | None
    at: ClockTime | None
    zone: str | None
    is_yearly: bool


TriggerDraft = OnEventDraft | OnSegmentDraft | OnScheduleDraft | OnDateDraft | OnCommandDraft


@dataclass(frozen=True, slots=True)
class LocalMoment:
    """A day and time of day in a zone; `zone` None is the journeys' default one."""

    day: date
    at: ClockTime
    zone: str | None
    node: Scalar


@dataclass(frozen=True, slots=True)
class EntryLimitDraft:
    """`limit: {max: 3, per: 365 days, of: customer}`; `per_ms` None is ever."""

    max: int
    per_ms: int | None
    is_of_all: bool
    node: Node


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """Who enters, and at what. `reentry` is None if the journey does not say."""

    node: MappingNode

    trigger: TriggerDraft
    where: Formula | None
    key: Formula | None
    reentry: ReEntry | None
    opens: LocalMoment | None = None
    closes: LocalMoment | None = None
    limits: tuple[EntryLimitDraft, ...] = ()
    backfill: Scalar | None = None
    """Where it says that those enter too who match already."""

    @property
    def event(self) -> Ref | None:
        """The type of event that is entered on; None if something else lets customers in."""
        return self.trigger.event if isinstance(self.trigger, OnEventDraft) else None


@dataclass(frozen=True, slots=True)
class ExitRuleDraft:
    """An exit criterion: an event (`on`, `where`) or a condition (`when`)."""

    on: Ref | None
    where: Formula | None
    when: Formula | None


@dataclass(frozen=True, slots=True)
class GoalDraft:
    """What the journey is for; `within` None if it was not given."""

    on: Ref
    where: Formula | None
    within: Span | None
    value: Formula | None


@dataclass(frozen=True, slots=True)
class MigrateDraft:
    """`migrate: {from: any, steps: {old: new}, timers: keep, entry: {field: constant}}`; `versions` None is any.

    `place` is where `from` stands, for what is wrong with versions as a whole.
    """

    node: MappingNode
    place: Scalar
    versions: tuple[Ref, ...] | None
    steps: tuple[tuple[Ref, Ref], ...]
    restarts: bool
    entry: tuple[tuple[Ref, Formula], ...]


@dataclass(frozen=True, slots=True)
class JourneyDraft:
    """One journey file."""

    path: str
    node: MappingNode
    name: Ref
    title: str
    owner: str
    status: Status
    entry: EntryDraft
    exits: tuple[ExitRuleDraft, ...]
    goal: GoalDraft | None
    holdout: Fraction
    steps: tuple[StepDraft, ...]
    purpose: Ref | None = None
    max_duration: Span | None = None
    resume: Resume | None = None
    approvers: tuple[Ref, ...] = ()
    """Who has to approve of it where approvals are demanded: people, or groups of governance.yaml."""
    migrate: MigrateDraft | None = None


@dataclass(frozen=True, slots=True)
class ConsentDraft:
    """A consent that a profile rule sets."""

    key: Formula
    granted: Formula


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """A profile rule."""

    on: Ref
    attributes: tuple[tuple[Ref, Formula], ...]
    consents: tuple[ConsentDraft, ...]
    nulls_clear: bool = False


@dataclass(frozen=True, slots=True)
class ReachDraft:
    """`unreachable_on: {on: message_bounced, where: event.hard, address: event.address}`, or `reachable_on`."""

    on: Ref
    where: Formula | None
    address: Formula | None
    is_reachable: bool


@dataclass(frozen=True, slots=True)
class ChannelDraft:
    """A channel: the attribute that holds its address, and the consent that it needs."""

    name: Ref
    address: Ref
    consent: Ref
    reach: tuple[ReachDraft, ...] = ()


@dataclass(frozen=True, slots=True)
class AudienceDraft:
    """An audience: where it is kept, who the customer is there, and the consent that it needs."""

    name: Ref
    destination: Ref
    identity: Ref
    consent: Ref


@dataclass(frozen=True, slots=True)
class EndpointDraft:
    """A webhook of webhooks.yaml: a request to an endpoint that the sink knows by name."""

    name: Ref
    endpoint: Ref
    method: str
    message_class: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class QuietHoursDraft:
    """Quiet hours of channels (None for all)."""

    channels: tuple[Ref, ...] | None
    start: ClockTime
    end: ClockTime
    zone: str | None
    holds: bool
    late_after_ms: int | None
    node: Node


@dataclass(frozen=True, slots=True)
class CapDraft:
    """A frequency cap; `channels`, `purposes` and `journeys` None for all."""

    name: Ref
    channels: tuple[Ref, ...] | None
    max: int
    per_ms: int
    purposes: tuple[Ref, ...] | None = None
    journeys: tuple[Ref, ...] | None = None


@dataclass(frozen=True, slots=True)
class RateDraft:
    """A channel's rate; `channels` None for all."""

    node: Node
    channels: tuple[Ref, ...] | None
    max: int
    per_ms: int
    late_after_ms: int | None

    @property
    def name(self) -> str:
        """What the rate's slots are kept under: another `max` goes on from where the former one was."""
        channels = "all" if self.channels is None else ",".join(sorted({ref.name for ref in self.channels}))
        return f"rate:{channels}:{self.per_ms}"


@dataclass(frozen=True, slots=True)
class ExperimentDraft:
    """An experiment: arms with their shares of one, and from when until when it runs."""

    name: Ref
    arms: tuple[tuple[Ref, Fraction], ...]
    salt: str
    starts: LocalMoment | None
    ends: LocalMoment | None
