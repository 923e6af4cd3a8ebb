"""Checked drafts -> what the engine executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, assert_never

from orchestrator.authoring.action_lowering import lower_action
from orchestrator.authoring.checks import CheckedFormulas
from orchestrator.authoring.drafts import (
    ActionDraft,
    BranchDraft,
    BrokenDraft,
    ChannelDraft,
    ExitDraft,
    Formula,
    JourneyDraft,
    MeetExperimentDraft,
    MonthsDraft,
    OnCommandDraft,
    OnDateDraft,
    OnEventDraft,
    OnScheduleDraft,
    OnSegmentDraft,
    ReachDraft,
    Ref,
    RuleDraft,
    SendDraft,
    SetDraft,
    SplitDraft,
    StepDraft,
    TriggerDraft,
    UntilMomentDraft,
    UntilTimeDraft,
    WaitDraft,
    WaitForDraft,
    WaitWhileDraft,
)
from orchestrator.authoring.durations import DAY_MS, Span
from orchestrator.authoring.entry_checks import bounds_of
from orchestrator.authoring.entry_needs import needs_of
from orchestrator.authoring.experiments import lower_meeting
from orchestrator.authoring.expression_closures import stored
from orchestrator.authoring.expression_horizons import horizon
from orchestrator.authoring.expression_nodes import StepField, walk
from orchestrator.authoring.expressions import Checked, compile_checked, uses
from orchestrator.authoring.flow import END, END_REASON, edges, step_after
from orchestrator.authoring.formulas import journey_formulas
from orchestrator.authoring.migrate_source import lower_migrate
from orchestrator.authoring.rendering import renderer, template_value
from orchestrator.authoring.world import World
from orchestrator.model.action_steps import Increment
from orchestrator.model.aggregates import Aggregate
from orchestrator.model.journey import (
    Arm,
    Awaited,
    Branch,
    Captured,
    Case,
    Entry,
    Exit,
    ExitOn,
    Expression,
    Goal,
    Journey,
    OnDate,
    ProfileRule,
    ReachRule,
    ReEntry,
    Render,
    Send,
    SetProfile,
    Split,
    Step,
    Trigger,
    Wait,
    WaitFor,
    WaitMonths,
    WaitUntilMoment,
    WaitUntilTime,
    WaitWhile,
)
from orchestrator.model.triggers import OnCommand, OnEvent, OnSchedule, OnSegment
from orchestrator.model.types import Kind, Type

SCALE = 1 << 64
"""Shares lie on the scale 0 to 2**64, the range of the hash that customers are drawn by."""
GOAL_WITHIN_MS_DEFAULT = 30 * DAY_MS

Store = Callable[[Any], Any]
Renders = dict[tuple[str, str], Render]
"""(template, channel) → renderer, shared by the journeys of a set."""


class Lowering:
    """Compiled pieces of one journey or of the profile rules; `captured` is each entry field's place."""

    def __init__(self, world: World, checked: CheckedFormulas, captured: Mapping[str, int], renders: Renders) -> None:
        self.world = world
        self.checked = checked
        self.captured = captured
        self.renders = renders

    def expression(self, formula: Formula) -> Expression:
        """The compiled expression."""
        return compile_checked(self.checked[formula], self.captured)

    def optional(self, formula: Formula | None) -> Expression | None:
        """The compiled expression, if there is one."""
        return None if formula is None else self.expression(formula)

    def assignments(self, pairs: tuple[tuple[Ref, Formula], ...]) -> tuple[tuple[str, Expression, Store | None], ...]:
        """Attribute, expression, and what turns its value into stored form."""
        return tuple(
            (attribute.name, self.expression(formula), stored(self.world.attributes[attribute.name]))
            for attribute, formula in pairs
        )

    def render(self, template: str, channel: str) -> Render:
        """The renderer of a template on a channel, made once."""
        key = (template, channel)
        if key not in self.renders:
            files = [file for file in self.world.templates[template] if file.channel == channel]
            self.renders[key] = renderer(files, self.world.attributes)
        return self.renders[key]


def lower_rules(world: World, checked: CheckedFormulas) -> dict[str, tuple[ProfileRule, ...]]:
    """Event type → profile rules."""
    lowering = Lowering(world, checked, {}, {})
    rules: dict[str, tuple[ProfileRule, ...]] = {}
    for draft in world.rules:
        rule = ProfileRule(
            on=draft.on.name,
            attributes=lowering.assignments(draft.attributes),
            consent=tuple((lowering.expression(c.key), lowering.expression(c.granted)) for c in draft.consents),
            nulls_clear=draft.nulls_clear,
        )
        rules[rule.on] = (*rules.get(rule.on, ()), rule)
    for channel in world.channels.values():
        for reach in channel.reach:
            # After what the event says about the profile: it is about the address as it is then.
            of_address = ProfileRule(reach.on.name, (), (), reach=(_reach(channel, reach, lowering),))
            rules[of_address.on] = (*rules.get(of_address.on, ()), of_address)
    return rules


def _reach(channel: ChannelDraft, draft: ReachDraft, lowering: Lowering) -> ReachRule:
    where, address = lowering.optional(draft.where), lowering.optional(draft.address)
    return ReachRule(channel.name.name, draft.is_reachable, where, address)


def entry_fields(draft: JourneyDraft, checked: CheckedFormulas) -> list[str]:
    """The fields of the entry event that the journey refers to, in the order in which a passage keeps them."""
    formulas = (formula for formula in journey_formulas(draft) if formula in checked)
    return sorted({field for formula in formulas for field in uses(checked[formula].node).entry})


def lower_journey(
    draft: JourneyDraft, world: World, checked: CheckedFormulas, *, version: str, renders: Renders
) -> Journey:
    """The journey as the engine executes it; renderers are taken from `renders` or added to it."""
    on = draft.entry.event
    known = {} if on is None else world.event_types[on.name].fields
    fields = entry_fields(draft, checked)
    captured = {field: Captured(field, known[field], stored(known[field])) for field in fields}
    lowering = Lowering(world, checked, {field: index for index, field in enumerate(fields)}, renders)
    steps = {
        step.name.name: _step(step, step_after(draft, index), draft, lowering) for index, step in enumerate(draft.steps)
    }
    if any(edge.target == END for i, step in enumerate(draft.steps) for edge in edges(step, step_after(draft, i))):
        steps[END] = Exit(END, END_REASON)
    for name in _asked_about(draft, checked):
        steps[name] = _keeping_result(steps[name])
    goal = draft.goal
    return Journey(
        name=draft.name.name,
        title=draft.title,
        owner=draft.owner,
        status=draft.status,
        version=version,
        entry=Entry(
            _trigger(draft.entry.trigger, lowering),
            lowering.optional(draft.entry.where),
            lowering.optional(draft.entry.key),
            draft.entry.reentry or ReEntry("never"),
            bounds_of(draft.entry, world.default_zone),
            draft.entry.backfill is not None,
            needs=() if draft.entry.where is None else needs_of(checked[draft.entry.where].node),
        ),
        exits_on=tuple(
            ExitOn(rule.on.name, lowering.optional(rule.where)) for rule in draft.exits if rule.on is not None
        ),
        exits_when=tuple(lowering.expression(rule.when) for rule in draft.exits if rule.when is not None),
        goal=None
        if goal is None
        else Goal(
            goal.on.name,
            lowering.optional(goal.where),
            GOAL_WITHIN_MS_DEFAULT if goal.within is None else goal.within.ms,
            lowering.optional(goal.value),
            0 if goal.within is None else goal.within.months,
        ),
        holdout=int(draft.holdout * SCALE),
        captured=tuple(captured.values()),
        steps=steps,
        first=draft.steps[0].name.name,
        listens=_listens(draft, world, checked),
        exits_change=tuple(
            change
            for rule in draft.exits
            if rule.when is not None and (change := horizon(checked[rule.when].node)) is not None
        ),
        waits_while=any(isinstance(step, WaitWhileDraft) for step in draft.steps),
        aggregates=_aggregates(draft, checked),
        segments=_segments(draft, checked),
        max_duration_ms=0 if draft.max_duration is None else draft.max_duration.ms,
        max_duration_months=0 if draft.max_duration is None else draft.max_duration.months,
        resume=draft.resume,
        migration=lower_migrate(draft.migrate, captured),
    )


def _aggregates(draft: JourneyDraft, checked: CheckedFormulas) -> tuple[Aggregate, ...]:
    """The aggregates that the journey's expressions read, each once."""
    found = {
        aggregate.key: aggregate
        for formula in journey_formulas(draft)
        for aggregate in uses(checked[formula].node).aggregates
    }
    return tuple(found.values())


def _asked_about(draft: JourneyDraft, checked: CheckedFormulas) -> frozenset[str]:
    """The steps whose results some expression of the journey reads."""
    return frozenset(
        node.step
        for formula in journey_formulas(draft)
        for node in walk(checked[formula].node)
        if isinstance(node, StepField)
    )


def _keeping_result(step: Step) -> Step:
    """The step, which keeps how it ended; most kinds always do, because what they do can end in several ways."""
    if isinstance(step, Wait | WaitUntilTime | WaitMonths | SetProfile | Increment):
        return replace(step, keeps_result=True)
    return step


def _segments(draft: JourneyDraft, checked: CheckedFormulas) -> frozenset[str]:
    """The segments that the journey names, in expressions or to enter by."""
    found = frozenset[str]().union(*(uses(checked[formula].node).segments for formula in journey_formulas(draft)))
    trigger = draft.entry.trigger
    segment = trigger.segment if isinstance(trigger, OnSegmentDraft | OnScheduleDraft) else None
    return found if segment is None else found | {segment.name}


def _trigger(draft: TriggerDraft, lowering: Lowering) -> Trigger:
    match draft:
        case OnEventDraft(event=event):
            return OnEvent(event.name)
        case OnSegmentDraft(segment=segment, enters=enters):
            return OnSegment(segment.name, enters)
        case OnScheduleDraft(cron=cron, zone=zone, segment=ticked):
            return OnSchedule(cron, zone, None if ticked is None else ticked.name)
        case OnDateDraft():
            value = lowering.expression(draft.date)
            offset = draft.offset
            return OnDate(
                value=value,
                is_date=value.type.kind is Kind.DATE,
                months=0 if offset is None else offset.months,
                days=0 if offset is None else offset.days,
                offset_ms=0 if offset is None else offset.ms,
                at=draft.at,
                zone=draft.zone,
                is_yearly=draft.is_yearly,
                attribute="".join(uses(lowering.checked[draft.date].node).attributes),
            )
        case OnCommandDraft():
            return OnCommand()
        case _:
            assert_never(draft)


def _listens(draft: JourneyDraft, world: World, checked: CheckedFormulas) -> frozenset[str]:
    """The event types that can matter to someone inside: awaited, exit and goal events, and those that change what an
    exit condition or a wait looks at.
    """
    types = {rule.on.name for rule in draft.exits if rule.on is not None}
    if draft.goal is not None:
        types.add(draft.goal.on.name)
    for step in draft.steps:
        if isinstance(step, WaitForDraft):
            types |= {awaited.on.name for awaited in step.awaited}
        elif isinstance(step, UntilMomentDraft | WaitWhileDraft):
            looked_at = step.until if isinstance(step, UntilMomentDraft) else step.condition
            types |= {rule.on.name for rule in rules_behind(checked[looked_at], world)}
    for exit_rule in draft.exits:
        if exit_rule.when is not None:
            types |= {rule.on.name for rule in rules_behind(checked[exit_rule.when], world)}
    return frozenset(types)


def rules_behind(checked: Checked, world: World) -> list[RuleDraft]:
    """The profile rules that set what the expression reads."""
    used = uses(checked.node)
    # Who takes a consent back is removed from audiences.
    is_about_consent = bool(used.consents or used.audiences)
    return [
        rule
        for rule in world.rules
        if (is_about_consent and rule.consents)
        or used.attributes & {attribute.name for attribute, _ in rule.attributes}
    ]


def _step(step: StepDraft, following: str, draft: JourneyDraft, lowering: Lowering) -> Step:
    name = step.name.name

    def target(ref: Ref | None) -> str:
        return following if ref is None else ref.name

    if isinstance(step, ActionDraft):
        return lower_action(step, target(step.next), lowering)
    match step:
        case WaitDraft() | MonthsDraft() | UntilTimeDraft() | UntilMomentDraft():
            return _wait(step, target(step.next), lowering)
        case WaitWhileDraft():
            condition = lowering.expression(step.condition)
            timeout_ms, months = _timeout(step.timeout)
            change = horizon(lowering.checked[step.condition].node)
            return WaitWhile(name, condition, timeout_ms, target(step.on_timeout), target(step.next), months, change)
        case WaitForDraft():
            awaited = tuple(
                Awaited(item.on.name, lowering.optional(item.where), target(item.go)) for item in step.awaited
            )
            timeout_ms, months = _timeout(step.timeout)
            return WaitFor(name, awaited, timeout_ms, target(step.on_timeout), months)
        case BranchDraft():
            cases = tuple(Case(lowering.expression(case.when), case.go.name) for case in step.cases)
            return Branch(name, cases, target(step.otherwise))
        case SplitDraft():
            return Split(name, step.salt or f"{draft.name.name}/{name}", _arms(step))
        case MeetExperimentDraft():
            return lower_meeting(step, lowering.world.experiments[step.experiment.name])
        case SendDraft():
            return _send(step, target(step.next), draft, lowering)
        case SetDraft():
            return SetProfile(name, lowering.assignments(step.assignments), target(step.next))
        case ExitDraft():
            return Exit(name, step.reason)
        case BrokenDraft():
            raise AssertionError(f"step {name} has mistakes, so nothing is compiled")
        case _:
            assert_never(step)


def _wait(
    step: WaitDraft | MonthsDraft | UntilTimeDraft | UntilMomentDraft, following: str, lowering: Lowering
) -> Wait | WaitMonths | WaitUntilTime | WaitUntilMoment:
    name = step.name.name
    match step:
        case WaitDraft():
            return Wait(name, step.duration_ms, following)
        case MonthsDraft():
            return WaitMonths(name, step.months, following)
        case UntilTimeDraft():
            return WaitUntilTime(name, step.at, step.weekdays, step.zone, following)
        case UntilMomentDraft():
            return _until_moment(step, following, lowering)
        case _:
            assert_never(step)


def _until_moment(step: UntilMomentDraft, following: str, lowering: Lowering) -> WaitUntilMoment:
    until = lowering.expression(step.until)
    offset = step.offset
    return WaitUntilMoment(
        name=step.name.name,
        until=until,
        is_date=until.type.kind is Kind.DATE,
        months=0 if offset is None else offset.months,
        days=0 if offset is None else offset.days,
        offset_ms=0 if offset is None else offset.ms,
        at=step.at,
        zone=step.zone,
        missing=following if step.missing is None else step.missing.name,
        past=following if step.past is None else step.past.name,
        next=following,
    )


def _timeout(timeout: Span | None) -> tuple[int | None, int]:
    return (None, 0) if timeout is None else (timeout.ms, timeout.months)


def _arms(step: SplitDraft) -> tuple[Arm, ...]:
    arms: list[Arm] = []
    total = Fraction(0)
    for ref, share in step.arms:
        total += share
        arms.append(Arm(ref.name, int(total * SCALE)))
    return tuple(arms)


def _send(step: SendDraft, following: str, draft: JourneyDraft, lowering: Lowering) -> Send:
    purpose = step.purpose or draft.purpose
    channels = tuple(channel.name for channel in step.channels)
    return Send(
        name=step.name.name,
        channels=channels,
        template=step.template.name,
        renders={channel: lowering.render(step.template.name, channel) for channel in channels},
        variables=tuple((name.name, _printable(lowering.expression(formula))) for name, formula in step.variables),
        message_class=step.message_class,
        priority=step.priority,
        expires_after_ms=step.expires_ms,
        next=following,
        purpose="" if purpose is None else purpose.name,
    )


def _printable(expression: Expression) -> Expression:
    convert = template_value(expression.type)
    if convert is None:
        return expression
    evaluate, print_as = expression.evaluate, convert
    return replace(expression, evaluate=lambda scope: print_as(evaluate(scope)))


def attribute_types(world: World) -> dict[str, Type]:
    """The types of the profile attributes, in name order."""
    return dict(sorted(world.attributes.items()))
