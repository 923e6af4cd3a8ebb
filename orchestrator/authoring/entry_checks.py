"""Checks of what lets customers in."""

from __future__ import annotations

from orchestrator.authoring.drafts import OnSegmentDraft, Ref, TriggerDraft
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.world import World
from orchestrator.authoring.yaml_source import problem_at


def check_trigger(trigger: TriggerDraft, world: World, problems: Problems) -> None:
    """Appends what is wrong with a trigger other than an event."""
    if isinstance(trigger, OnSegmentDraft):
        _check_segment(trigger.segment, world, problems)


def _check_segment(ref: Ref, world: World, problems: Problems) -> None:
    if ref.name not in world.segments:
        hint = did_you_mean(ref.name, world.segments, otherwise="segments.yaml names the segments")
        problems.append(problem_at(ref.node, "J250", f'there is no segment "{ref.name}"', hint=hint))
