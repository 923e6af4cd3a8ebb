"""Drafts against the world: every name exists and every expression has the type of its place.

Gives the typed expressions that the compiler turns into closures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import PurePosixPath
from typing import assert_never

from orchestrator.authoring.action_checks import (
    check_action,
    check_audiences,
    check_channel_names,
    check_message_channel,
)
from orchestrator.authoring.contradictions import check_contradictions
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
    OnDateDraft,
    Ref,
    RuleDraft,
    SendDraft,
    SetDraft,
    SplitDraft,
    StepDraft,
    UntilMomentDraft,
    UntilTimeDraft,
    WaitDraft,
    WaitForDraft,
    WaitWhileDraft,
)
from orchestrator.authoring.entry_checks import an_entry_date, check_entry
from orchestrator.authoring.experiments import check_meeting
from orchestrator.authoring.expression_functions import NUMBER
from orchestrator.authoring.expression_nodes import Ambient, Attribute, EntryField, Names
from orchestrator.authoring.expression_types import described
from orchestrator.authoring.expressions import Checked, check_tree
from orchestrator.authoring.flow_checks import check_flow, check_forgotten
from orchestrator.authoring.pause_source import check_resume
from orchestrator.authoring.reading import Problems, expression_problem
from orchestrator.authoring.result_checks import check_results
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.world import World, entry_names, rule_names, step_names
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.model.policies import Basis
from orchestrator.model.types import Kind, Type

CheckedFormulas = dict[Formula, Checked]
KEY_KINDS = frozenset({Kind.STRING, Kind.INTEGER})

Demand = Callable[[Type], tuple[str, str, str] | None]
"""What a place demands of an expression's type: None if it fits, else (code, message, hint)."""


def a_condition(of: Type) -> tuple[str, str, str] | None:
    """Demands a condition."""
    if of.kind in {Kind.BOOLEAN, Kind.NULL}:
        return None
    return "J401", f"a condition is true or false, and this is {described(of)}", "compare it with something: == or >"


def a_key(of: Type) -> tuple[str, str, str] | None:
    """Demands something that tells instances apart."""
    if of.kind in KEY_KINDS:
        return None
    return "J412", f"a key is text or a whole number, and this is {described(of)}", "use an id: event.cart_id"


def a_number(of: Type) -> tuple[str, str, str] | None:
    """Demands a number."""
    if of.kind in NUMBER:
        return None
    return "J413", f"the goal's value is a number, and this is {described(of)}", "use a field such as event.total"


def a_consent_key(of: Type) -> tuple[str, str, str] | None:
    """Demands a consent's name."""
    if of.kind is Kind.STRING:
        return None
    return (
        "J414",
        f"a consent's key is text, and this is {described(of)}",
        "write key: \"'email'\" or key: event.channel",
    )


def an_address(of: Type) -> tuple[str, str, str] | None:
    """Demands what can be compared with an address."""
    if of.kind is Kind.STRING:
        return None
    return "J418", f"an address is text, and this is {described(of)}", "use a field such as event.address"


def a_moment(of: Type) -> tuple[str, str, str] | None:
    """Demands something that can be waited for."""
    if of.kind in {Kind.INSTANT, Kind.DATE}:
        return None
    hint = 'name an attribute that is a date or an instant, or a time of day: until: "09:00"'
    return "J511", f"a wait goes on until a date or an instant, and this is {described(of)}", hint


def granted(of: Type) -> tuple[str, str, str] | None:
    """Demands yes or no."""
    if of.kind is Kind.BOOLEAN:
        return None
    return "J414", f"a consent is granted or not, and this is {described(of)}", "use a field that is true or false"


def anything(_: Type) -> None:
    """Demands nothing."""


class Checks:
    """The problems and typed expressions of one pass over a draft."""

    def __init__(self, world: World, problems: Problems, checked: CheckedFormulas) -> None:
        self.world = world
        self.problems = problems
        self.checked = checked

    def formula(self, formula: Formula | None, names: Names, demand: Demand) -> None:
        """Types the expression and reports what does not fit."""
        if formula is None:
            return
        found, mistakes = check_tree(formula.text, formula.tree, names)
        self.problems.extend(expression_problem(formula.node, mistake) for mistake in mistakes)
        if found is None:
            return
        refused = demand(found.type)
        if refused is not None:
            code, message, hint = refused
            self.problems.append(problem_at(formula.node, code, message, hint=hint))
            return
        self.checked[formula] = found

    def event(self, ref: Ref) -> None:
        """Reports an event type that no schema describes."""
        if ref.name not in self.world.event_types:
            hint = did_you_mean(ref.name, self.world.event_types)
            self.problems.append(problem_at(ref.node, "J201", f'there is no event type "{ref.name}"', hint=hint))

    def channel(self, ref: Ref) -> None:
        """Reports a channel that channels.yaml does not name."""
        if check_message_channel(ref, self) and ref.name not in self.world.channels:
            hint = did_you_mean(ref.name, self.world.channels, otherwise="channels.yaml names the channels")
            self.problems.append(problem_at(ref.node, "J205", f'there is no channel "{ref.name}"', hint=hint))


def check_rules(world: World, problems: Problems, checked: CheckedFormulas) -> None:
    """Checks profile rules, channels, audiences and caps."""
    checks = Checks(world, problems, checked)
    for rule in world.rules:
        _check_rule(rule, checks)
    is_dynamic = any(
        consent.key in checked and consent.key.text.strip()[:1] not in "'\""
        for rule in world.rules
        for consent in rule.consents
    )
    constant = {consent.key.text.strip().strip("'\"") for rule in world.rules for consent in rule.consents}
    for audience in world.audiences.values():
        if not is_dynamic and audience.consent.name not in constant:
            message = f'no profile rule ever grants consent "{audience.consent.name}", so nobody is added'
            hint = "add a consent rule to profile.yaml"
            problems.append(problem_at(audience.consent.node, "J218", message, hint=hint, severity="warning"))
    for channel in world.channels.values():
        of = world.attributes.get(channel.address.name)
        if of is None:
            hint = did_you_mean(channel.address.name, world.attributes, otherwise="set it in profile.yaml")
            problems.append(
                problem_at(
                    channel.address.node, "J207", f'the profile has no attribute "{channel.address.name}"', hint=hint
                )
            )
        elif of.kind not in {Kind.STRING, Kind.NULL}:
            problems.append(
                problem_at(
                    channel.address.node,
                    "J418",
                    f"an address is text, and this is {described(of)}",
                    hint="name another attribute",
                )
            )
        check_reach(channel, checks)
        if not is_dynamic and channel.consent.name not in constant:
            problems.append(
                problem_at(
                    channel.consent.node,
                    "J218",
                    f'no profile rule ever grants consent "{channel.consent.name}", so nothing is sent on this channel',
                    hint="add a consent rule to profile.yaml",
                    severity="warning",
                )
            )
    for purpose in world.policies.purposes:
        for ref in purpose.keys if purpose.basis is Basis.CONSENT and not is_dynamic else ():
            if ref.name not in constant:
                message = f'no profile rule ever grants consent "{ref.name}", so nothing is sent for this purpose'
                hint = "add a consent rule to profile.yaml"
                problems.append(problem_at(ref.node, "J218", message, hint=hint, severity="warning"))
    check_channel_names(checks)
    check_audiences(checks)


def _check_rule(rule: RuleDraft, checks: Checks) -> None:
    checks.event(rule.on)
    world = checks.world
    names = rule_names(world.event_types.get(rule.on.name), world.attributes, world.consents)
    for _, formula in rule.attributes:
        checks.formula(formula, names, anything)
    for consent in rule.consents:
        checks.formula(consent.key, names, a_consent_key)
        checks.formula(consent.granted, names, granted)


def check_reach(channel: ChannelDraft, checks: Checks) -> None:
    """Checks from which events it is known whether the channel's address is of use."""
    world = checks.world
    for rule in channel.reach:
        checks.event(rule.on)
        event = world.event_types.get(rule.on.name)
        names = rule_names(event, world.attributes, world.consents)
        checks.formula(rule.where, names, a_condition)
        checks.formula(rule.address, names, an_address)
        is_asked = rule.where is not None and "event.channel" in rule.where.text
        if event is not None and "channel" in event.fields and not is_asked:
            message = f'"{event.name}" tells its channel, and this counts it for "{channel.name.name}" whichever it is'
            hint = f"add where: event.channel == '{channel.name.name}'"
            checks.problems.append(problem_at(rule.on.node, "J812", message, hint=hint, severity="warning"))


def check_names(journeys: Iterable[JourneyDraft], problems: Problems) -> None:
    """Checks that journeys have names of their own, those of their files."""
    seen: dict[str, str] = {}
    for draft in journeys:
        name = draft.name
        if name.name in seen:
            hint = f"the other one is {seen[name.name]}"
            problems.append(problem_at(name.node, "J213", f'two journeys are called "{name.name}"', hint=hint))
        elif PurePosixPath(draft.path).stem != name.name:
            hint = f"call the file {name.name}.yaml"
            problems.append(
                problem_at(name.node, "J214", f'the file of journey "{name.name}" has another name', hint=hint)
            )
        seen.setdefault(name.name, draft.path)


def check_journey(draft: JourneyDraft, world: World, problems: Problems, checked: CheckedFormulas) -> None:
    """Checks one journey: references, types, ways between steps, conditions that contradict themselves."""
    checks = Checks(world, problems, checked)
    of_others = len(checked)
    entry = draft.entry
    before = entry_names(draft, world)
    if entry.event is not None:
        checks.event(entry.event)
    if isinstance(entry.trigger, OnDateDraft):
        checks.formula(entry.trigger.date, before, an_entry_date)
    check_entry(entry, world, problems, checked)
    checks.formula(entry.where, before, a_condition)
    checks.formula(entry.key, before, a_key)
    inside = step_names(draft, world)
    for rule in draft.exits:
        if rule.on is not None:
            checks.event(rule.on)
            checks.formula(rule.where, step_names(draft, world, on=rule.on), a_condition)
        checks.formula(rule.when, inside, a_condition)
    if draft.goal is not None:
        checks.event(draft.goal.on)
        at_goal = step_names(draft, world, on=draft.goal.on)
        checks.formula(draft.goal.where, at_goal, a_condition)
        checks.formula(draft.goal.value, at_goal, a_number)
    for step in draft.steps:
        _check_step(step, draft, inside, checks)
    check_flow(draft, problems)
    check_forgotten(draft, problems)
    check_results(draft, checked, problems)
    check_resume(draft, problems)
    # From the end, because the formulas of a thousand other journeys may come before.
    own = list(islice(reversed(checked.items()), len(checked) - of_others))
    check_contradictions(draft, own[::-1], problems)


def _check_step(step: StepDraft, draft: JourneyDraft, names: Names, checks: Checks) -> None:
    if isinstance(step, ActionDraft):
        check_action(step, names, checks)
        return
    match step:
        case WaitForDraft():
            for awaited in step.awaited:
                checks.event(awaited.on)
                checks.formula(awaited.where, step_names(draft, checks.world, on=awaited.on), a_condition)
        case BranchDraft():
            for case in step.cases:
                checks.formula(case.when, names, a_condition)
        case MeetExperimentDraft():
            check_meeting(step, checks.world.experiments, checks.problems)
        case SendDraft():
            _check_send(step, names, checks)
        case SetDraft():
            for _, formula in step.assignments:
                checks.formula(formula, names, anything)
        case UntilMomentDraft():
            _check_until(step, names, checks)
        case WaitWhileDraft():
            checks.formula(step.condition, names, a_condition)
        case WaitDraft() | MonthsDraft() | UntilTimeDraft() | SplitDraft() | ExitDraft() | BrokenDraft():
            pass
        case _:
            assert_never(step)


def _check_until(step: UntilMomentDraft, names: Names, checks: Checks) -> None:
    checks.formula(step.until, names, a_moment)
    found = checks.checked.get(step.until)
    if found is None:
        return
    place = step.until.node
    is_entry_at = isinstance(found.node, Ambient) and found.node.name == "entry.at"
    if not isinstance(found.node, Attribute | EntryField) and not is_entry_at:
        # What is computed, from `now` say, would be another moment each time that it is looked at.
        message = "a wait goes on until an attribute or a field of the entry event as it is"
        checks.problems.append(problem_at(place, "J511", message, hint="use profile.renewal_date, with offset: 3 days"))
    elif found.type.nullable and step.missing is None:
        message = f'step "{step.name.name}" does not say what happens without {found.text}'
        checks.problems.append(problem_at(place, "J512", message, hint="add missing: STEP"))
    elif not found.type.nullable and step.missing is not None:
        message = f"{found.text} is never missing"
        checks.problems.append(problem_at(step.missing.node, "J513", message, hint="leave missing out"))
    is_day = found.type.kind is Kind.DATE or step.at is not None
    if step.offset is not None and step.offset.ms and is_day:
        message = f'an offset of "{step.offset.text}" does not go with a day'
        hint = "count in days, weeks, months or years, and give the time of day: at"
        checks.problems.append(problem_at(step.offset.node, "J514", message, hint=hint))


def _check_send(step: SendDraft, names: Names, checks: Checks) -> None:
    for channel in step.channels:
        checks.channel(channel)
    for _, formula in step.variables:
        checks.formula(formula, names, anything)
    files = checks.world.templates.get(step.template.name)
    if files is None:
        hint = did_you_mean(step.template.name, checks.world.templates, otherwise="templates lie in templates/<name>/")
        checks.problems.append(
            problem_at(step.template.node, "J204", f'there is no template "{step.template.name}"', hint=hint)
        )
        return
    written = {file.channel for file in files}
    for channel in step.channels:
        if channel.name in checks.world.channels and channel.name not in written:
            checks.problems.append(
                problem_at(
                    channel.node,
                    "J216",
                    f'template "{step.template.name}" has no text for channel "{channel.name}"',
                    hint=f"add templates/{step.template.name}/{channel.name}.liquid",
                )
            )
