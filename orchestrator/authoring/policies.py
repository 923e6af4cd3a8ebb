"""What policies.yaml says -> what the engine executes, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orchestrator.authoring.checks import Checks
from orchestrator.authoring.drafts import JourneyDraft, QuietHoursDraft, Ref, SendDraft
from orchestrator.authoring.lowering import SCALE
from orchestrator.authoring.policy_drafts import PurposeDraft
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.world import World
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.engine.limits import PROMOTIONAL
from orchestrator.model.journey import Cap, JourneySet, QuietHours, Rate
from orchestrator.model.policies import Basis, GlobalHoldout, Purpose

DEFAULT_ZONE = "UTC"
DAY_MINUTES = 24 * 60


def check_policies(checks: Checks, journeys: Iterable[JourneyDraft]) -> None:
    """Checks that everything that the policies name exists, and that journeys name purposes that exist."""
    drafts = tuple(journeys)
    policies = checks.world.policies
    listed = [rule.channels for rules in (policies.caps, policies.quiet_hours, policies.rates) for rule in rules]
    for channels in listed:
        for ref in channels or ():
            checks.channel(ref)
    _check_quiet_hours(checks)
    for purpose in policies.purposes:
        for channel, _ in purpose.consents:
            if channel is not None:
                checks.channel(channel)
    names = {draft.name.name for draft in drafts}
    for cap in policies.caps:
        for ref in cap.purposes or ():
            _purpose(ref, checks)
        for ref in cap.journeys or ():
            if ref.name not in names:
                hint = did_you_mean(ref.name, names)
                checks.problems.append(problem_at(ref.node, "J261", f'there is no journey "{ref.name}"', hint=hint))
    if policies.default_purpose is not None:
        _promotional(_purpose(policies.default_purpose, checks), policies.default_purpose, checks)
    if policies.global_holdout is not None:
        for ref in policies.global_holdout.excepted:
            _purpose(ref, checks)
    for draft in drafts:
        _check_journey(draft, checks)


def _check_quiet_hours(checks: Checks) -> None:
    """Reports channels on which it is always quiet, by one rule or by several in the same zone.

    Rules in different zones may do so too, for some customers at some time of the year: that is not for us to say.
    """
    reported: set[tuple[int, ...]] = set()
    rules = checks.world.policies.quiet_hours
    for channel in checks.world.channels:
        by_zone: dict[str, list[QuietHoursDraft]] = {}
        for rule in rules:
            if rule.channels is None or channel in {ref.name for ref in rule.channels}:
                by_zone.setdefault(rule.zone or "", []).append(rule)
        for together in by_zone.values():
            numbers = tuple(rules.index(rule) for rule in together)
            if numbers not in reported and _covers_the_day(together):
                reported.add(numbers)
                message = f'on channel "{channel}" it is quiet all day, so no promotional message is ever sent'
                hint = "leave some time free, or leave the channel out"
                checks.problems.append(problem_at(together[-1].node, "J714", message, hint=hint))


def _covers_the_day(rules: Iterable[QuietHoursDraft]) -> bool:
    """Whether the hours of these rules leave no minute of the day free.

    Hours that end when they begin have been reported.
    """
    free = set(range(DAY_MINUTES))
    for rule in rules:
        start, end = rule.start.hour * 60 + rule.start.minute, rule.end.hour * 60 + rule.end.minute
        quiet = range(start, end) if start < end else (*range(start, DAY_MINUTES), *range(end))
        if start != end:
            free.difference_update(quiet)
    return not free


def _check_journey(draft: JourneyDraft, checks: Checks) -> None:
    of_journey = None if draft.purpose is None else _purpose(draft.purpose, checks)
    sends = [step for step in draft.steps if isinstance(step, SendDraft)]
    for step in sends:
        own = None if step.purpose is None else _purpose(step.purpose, checks)
        if step.message_class == PROMOTIONAL:
            place = step.purpose or draft.purpose
            if place is not None:
                _promotional(own if step.purpose is not None else of_journey, place, checks)


def _purpose(ref: Ref, checks: Checks) -> PurposeDraft | None:
    """The purpose; reports one that policies.yaml does not name."""
    known = {purpose.name.name: purpose for purpose in checks.world.policies.purposes}
    if ref.name not in known:
        hint = did_you_mean(ref.name, known, otherwise="policies.yaml names the purposes")
        checks.problems.append(problem_at(ref.node, "J260", f'there is no purpose "{ref.name}"', hint=hint))
    return known.get(ref.name)


def _promotional(purpose: PurposeDraft | None, place: Ref, checks: Checks) -> None:
    """Reports promotional messages that nobody would be asked about."""
    if purpose is not None and purpose.basis is Basis.CONTRACT:
        message = f'a contract is no basis for promotional messages, and purpose "{purpose.name.name}" has no other'
        hint = "write class: transactional, or use a purpose with the basis consent or legitimate_interest"
        checks.problems.append(problem_at(place.node, "J710", message, hint=hint))


def with_policies(journeys: JourneySet, world: World) -> JourneySet:
    """The set with its rules for all journeys."""
    policies = world.policies
    holdout = policies.global_holdout
    return replace(
        journeys,
        caps=tuple(
            Cap(cap.name.name, _names(cap.channels), cap.max, cap.per_ms, _names(cap.purposes), _names(cap.journeys))
            for cap in policies.caps
        ),
        default_zone=policies.default_zone or DEFAULT_ZONE,
        quiet_hours=tuple(
            QuietHours(
                _names(quiet.channels),
                quiet.start,
                quiet.end,
                quiet.zone,
                quiet.holds,
                quiet.late_after_ms,
            )
            for quiet in policies.quiet_hours
        ),
        rates=tuple(
            Rate(rate.name, _names(rate.channels), rate.max, rate.per_ms, rate.late_after_ms) for rate in policies.rates
        ),
        uses_shared=journeys.uses_shared or bool(policies.rates),
        purposes={purpose.name.name: _lowered(purpose) for purpose in policies.purposes},
        default_purpose="" if policies.default_purpose is None else policies.default_purpose.name,
        global_holdout=None
        if holdout is None
        else GlobalHoldout(int(holdout.share * SCALE), holdout.salt, frozenset(ref.name for ref in holdout.excepted)),
    )


def _lowered(purpose: PurposeDraft) -> Purpose:
    for_all = next((key.name for channel, key in purpose.consents if channel is None), purpose.name.name)
    by_channel = {channel.name: key.name for channel, key in purpose.consents if channel is not None}
    return Purpose(purpose.name.name, purpose.basis, for_all, by_channel)


def _names(refs: tuple[Ref, ...] | None) -> frozenset[str] | None:
    return None if refs is None else frozenset(ref.name for ref in refs)
