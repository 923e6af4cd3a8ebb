"""``orchestrator plan``: what bringing journeys into force would change, and how many customers are where."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from orchestrator.authoring.approvals import Change, refusals
from orchestrator.authoring.changes import Side, changes_between, side_of
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.migration_proof import prove
from orchestrator.authoring.sources import read_sources
from orchestrator.cli._journeys import Compiled, compiled_journeys, show_problems
from orchestrator.cli._plan import Plan, counting, plan_values, render_plan
from orchestrator.cli._settings import with_settings
from orchestrator.cli.validate import event_schema_directory
from orchestrator.model.journey import JourneySet
from orchestrator.runtime.places import Places
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator plan
  orchestrator plan my_journeys --diff
  orchestrator plan my_journeys --against journeys --format json
"""

EXIT_CHANGES = 4


@click.command("plan", epilog=EXAMPLES, short_help="Show what new journeys would change.")
@click.argument("path", type=click.Path(path_type=Path), default="journeys")
@click.option(
    "--against",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Compare with the journeys of this directory instead of those in force; no broker is asked, nobody counted.",
)
@click.option("--diff", "shows_diff", is_flag=True, help="Show how the texts of journeys and templates differ too.")
@click.option("--detailed-exitcode", is_flag=True, help=f"Exit with {EXIT_CHANGES} if something would change.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people or programs.")
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix", "schemas", "environment")
def command(
    *, path: Path, against: Path | None, shows_diff: bool, detailed_exitcode: bool, form: str, settings: Settings
) -> int:
    """Show what bringing the journeys of the directory PATH into force would change, and how many customers are where.

    Customers inside keep the version that they entered, unless a journey takes them along (`migrate`): then it is
    proved that they can come, and shown where they come to. What the rules of the house (governance.yaml) have against
    it in the environment is named; with --against no approvals are known. Nothing is written. Exits with 1 if the
    journeys have errors, and with 0 whether something would change or not, unless --detailed-exitcode is given.
    """
    compiled = compiled_journeys(path, settings.schemas, form)
    if compiled is None:
        return 1
    plan = planned(settings, path, against)
    if is_refused(plan, compiled, form):
        return 1
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(plan_values(plan)), indent=2))
    else:
        click.echo(render_plan(plan, is_coloured=sys.stdout.isatty(), shows_diff=shows_diff))
    return EXIT_CHANGES if detailed_exitcode and plan.changes else 0


def is_refused(plan: Plan, compiled: Compiled, form: str) -> bool:
    """Whether customers of older versions cannot be taken along as declared; what speaks against it is shown."""
    refused = any(problem.severity == "error" for problem in plan.problems)
    if refused or (plan.problems and form == "text"):
        show_problems(plan.problems, compiled.sources, form)
    return refused


def planned(settings: Settings, path: Path, against: Path | None = None) -> Plan:
    """The journeys of a directory, which have no errors, against those of another one, or against those in force.

    Raises: EnvironmentProblem if a directory is missing, or the broker does not answer.
    """
    types = load_event_types(event_schema_directory(settings.schemas))
    after = side_of(read_sources(path).files, types)
    if against is not None:
        set_id = "" if after.journeys is None else after.journeys.set_id
        before = side_of(read_sources(against).files, types)
        older = () if before.journeys is None else (before.journeys,)
        known = "" if before.journeys is None else before.journeys.set_id
        found = refusals(Change(before, after, "", settings.environment), {})
        plan = plan_between(known, set_id, before, after, older, None)
        return replace(plan, refusals=tuple(found), environment=settings.environment)
    return planned_here(settings, after)


def planned_here(settings: Settings, after: Side, *, who: str = "", is_move: bool = False) -> Plan:
    """These journeys against those in force. `who` would bring them into force; with `is_move` the environment may
    become another one. Raises: EnvironmentProblem if the broker does not answer.
    """
    from orchestrator.runtime.places import count_places  # noqa: PLC0415  (these load the Kafka client)
    from orchestrator.runtime.publishing import standing, why_not  # noqa: PLC0415

    set_id = "" if after.journeys is None else after.journeys.set_id
    now = standing(settings)
    is_in_force = now.has(set_id, settings.environment)
    against_it = [] if is_in_force else why_not(settings, now, after, who=who, is_move=is_move)
    with counting() as progress:
        places = count_places(settings, progress=progress)
    plan = plan_between(now.set_id, set_id, now.side, after, now.kept, places)
    return replace(
        plan,
        refusals=tuple(against_it),
        environment=settings.environment,
        is_in_force=is_in_force,
        seen=now.offset,
    )


def plan_between(
    known: str, set_id: str, before: Side, after: Side, older: Sequence[JourneySet], places: Places | None
) -> Plan:
    """What changes from one set to another; `older` are the sets whose versions customers may be in."""
    changes = changes_between(before, after)
    if after.journeys is None:
        return Plan(known, set_id, changes, places)
    problems = prove(after.drafts.values(), after.journeys, older)
    return Plan(known, set_id, changes, places, after.journeys.migrating, problems)
