"""Passages that another set takes along into its version of their journey."""

from __future__ import annotations

from collections import defaultdict

from orchestrator.model.customer import ACTIVE, PAUSED
from tests.properties.playing import Played
from tests.properties.recount.passages import all_lives


def check_versions(played: Played) -> None:
    """Nobody is left in a version that the set in force takes customers along from; each is in a step of its version,
    and everything that happens to a passage is of the version that it is in.
    """
    for life in all_lives(played):
        version: dict[int, str] = {}
        for one in life:
            for made in one.effects.transitions:
                if made.kind in {"entered", "held_out", "migrated"}:
                    version[made.instance] = made.version
                elif made.journey and made.kind not in {"not_entered", "failed"}:
                    assert version[made.instance] == made.version, made
            for instance in one.then.instances:
                journey = one.journeys.versions[instance.journey, instance.version]
                assert instance.state not in {ACTIVE, PAUSED} or instance.step in journey.steps
                if instance.journey in one.journeys.migrating and one.then.aligned == one.journeys.alignment:
                    assert instance.version == one.journeys.current[instance.journey].version, instance


def check_repeats(played: Played) -> None:
    """Nothing that a passage asked for before is asked for again by the very decision that takes it along."""
    for life in all_lives(played):
        asked: dict[int, set[str]] = defaultdict(set)
        for one in life:
            taken: set[int] = set()
            for made in one.effects.transitions:
                if made.kind == "migrated":
                    taken.add(made.instance)
                    migration = one.journeys.migrating[made.journey].migration
                    assert migration is not None
                    known = asked[made.instance]
                    known |= {migration.steps[name] for name in known if name in migration.steps}
                elif made.kind == "step" and made.action_id is not None:
                    assert one.event is not None or made.instance not in taken or made.step not in asked[made.instance]
                    asked[made.instance].add(made.step)


def check_targets(played: Played) -> None:
    """Who is taken along goes on in the step that is declared for the one before; who has not begun begins there."""
    for life in all_lives(played):
        waits_to_begin: set[int] = set()
        for one in life:
            for made in one.effects.transitions:
                if made.kind == "entered" and made.journey in one.journeys.paused:
                    waits_to_begin.add(made.instance)
                elif made.kind == "resumed":
                    waits_to_begin.discard(made.instance)
                elif made.kind == "migrated" and made.to:
                    journey = one.journeys.migrating[made.journey]
                    assert journey.migration is not None
                    declared = journey.migration.steps.get(made.step, made.step)
                    assert made.to == (journey.first if made.instance in waits_to_begin else declared), made


CHECKS = (check_versions, check_repeats, check_targets)
