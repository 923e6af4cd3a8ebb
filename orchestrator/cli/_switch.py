"""The journey set in force published again with another status of one journey: what `pause` and `resume` do."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import click

from orchestrator.authoring.approvals import forbidden
from orchestrator.authoring.changes import side_of
from orchestrator.authoring.drafts import JourneyDraft
from orchestrator.authoring.event_schemas import event_types_from_texts
from orchestrator.authoring.pause_source import with_status
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.cli._plan import counting, render_plan
from orchestrator.cli.plan import plan_between
from orchestrator.model.journey import Status
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.settings import Settings

SWITCHED = frozenset({Status.LIVE, Status.PAUSED})
"""Only what is live is paused, and only what is paused is live again: in shadow nothing is sent, and of a retired
journey customers would be let in again.
"""


def switch(settings: Settings, journey: str, status: Status, *, who: str, why: str, counts: bool) -> int:
    """Publishes the set in force with this status of the journey, and shows what changes; the exit code.

    With `counts` those who are inside are counted before. Everything else stays as it is, comments and environment
    included. Nobody has to approve of it, because what was approved of stays what it is.

    Raises: EnvironmentProblem if the broker does not answer, nothing is published, or somebody publishes meanwhile.
    """
    from orchestrator.runtime.access import brokers_of  # noqa: PLC0415
    from orchestrator.runtime.definitions import Definition, read_definitions  # noqa: PLC0415  (loads the Kafka client)
    from orchestrator.runtime.in_force import Publications  # noqa: PLC0415
    from orchestrator.runtime.places import count_places  # noqa: PLC0415
    from orchestrator.runtime.publishing import publish, standing, summary  # noqa: PLC0415
    from orchestrator.runtime.topics import topic_names  # noqa: PLC0415

    brokers, topic = brokers_of(settings), topic_names(settings).definitions
    definitions = read_definitions(brokers, topic)
    newest, now = Publications(definitions).newest, standing(settings, definitions)
    if newest is None:
        raise EnvironmentProblem("no journeys are in force", hint="publish some with: orchestrator apply")
    draft = now.side.drafts.get(journey)
    if draft is None:
        hint = did_you_mean(journey, now.side.drafts)
        raise click.UsageError(f'no journey "{journey}" is in force{f"; {hint}" if hint else ""}')
    if draft.status is status or draft.status not in SWITCHED:
        return _refused(draft, status)
    texts, schemas = newest.definition.sources, newest.definition.schemas
    changed = {**texts, draft.path: with_status(draft, texts[draft.path], status)}
    after = side_of(changed, event_types_from_texts(schemas).types)
    if after.journeys is None:
        raise EnvironmentProblem(
            f"the journeys in force have problems with journey {journey} {status.value}",
            hint="change its status where the journeys are kept, and use: orchestrator apply",
        )
    # Pausing is never refused: it is what is done where something has gone wrong.
    for refusal in forbidden(after, journey, now.environment) if status is Status.LIVE else ():
        click.echo(f"{refusal}; nothing was published")
        return 1
    places = None
    if counts:
        with counting() as progress:
            places = count_places(settings, progress=progress)
    plan = plan_between(now.set_id, after.journeys.set_id, now.side, after, now.kept, places)
    click.echo(render_plan(plan, is_coloured=sys.stdout.isatty(), shows_diff=False))
    wrong = next((problem for problem in plan.problems if problem.severity == "error"), None)
    if wrong is not None:
        raise EnvironmentProblem(
            f"workers would refuse it: {wrong.path}:{wrong.line}: {wrong.message}",
            hint="mend it where the journeys are kept, and use: orchestrator apply",
        )
    made = Definition(after.journeys.set_id, changed, schemas, who=who, why=why, at_ms=time.time_ns() // 1_000_000)
    act = "pause" if status is Status.PAUSED else "resume"
    there = replace(settings, environment=now.environment or settings.environment)
    offset = publish(there, made, act=act, changes=summary(plan.changes), seen=now.offset)
    click.echo(f"journey {journey} is {status.value} (number {offset}); workers take it up now")
    warn_of_others(settings, now.offset, offset)
    return 0


def warn_of_others(settings: Settings, seen: int, offset: int) -> None:
    """Says what somebody else published between these two publications."""
    from orchestrator.runtime.access import brokers_of  # noqa: PLC0415
    from orchestrator.runtime.definitions import read_definitions  # noqa: PLC0415  (these load the Kafka client)
    from orchestrator.runtime.topics import topic_names  # noqa: PLC0415

    published = read_definitions(brokers_of(settings), topic_names(settings).definitions)
    for one in (one for one in published if seen < one.offset < offset and not one.forgets):
        said = f"number {one.offset} ({one.who}: {one.why}) was published in the same instant, and is not in force"
        click.echo(f"{click.style('warning:', fg='yellow', bold=True)} {said}; apply it again", err=True)


def _refused(draft: JourneyDraft, status: Status) -> int:
    """Says why nothing is published; the exit code."""
    name = draft.name.name
    if draft.status is status:
        click.echo(f"journey {name} is {status.value} already; nothing was published")
        return 0
    click.echo(f"journey {name} is {draft.status.value}: only what is live is paused, and only what is paused resumed")
    return 1
