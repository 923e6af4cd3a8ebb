"""``orchestrator graph``: a journey as a picture."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.graph import mermaid
from orchestrator.authoring.problem_text import render_text
from orchestrator.authoring.sources import read_sources
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.cli.validate import event_schema_directory

EXAMPLES = """\b
Examples:
  orchestrator graph cart_abandonment
  orchestrator graph cart_abandonment my_journeys > cart.mmd
"""


@click.command("graph", epilog=EXAMPLES, short_help="Draw a journey.")
@click.argument("journey")
@click.argument("path", type=click.Path(path_type=Path, file_okay=False), default="journeys")
@click.option("--format", "form", type=click.Choice(["mermaid"]), default="mermaid", help="The drawing's language.")
@click.option(
    "--schemas",
    type=click.Path(path_type=Path, file_okay=False),
    default="schemas",
    help="Directory of the event schemas, or the one above its folder events/.",
)
def command(*, journey: str, path: Path, form: str, schemas: Path) -> int:
    """Draw JOURNEY of the directory PATH: entry, waits, branches with their conditions, ways out, goal.

    Mermaid is drawn by most wikis and code hosts, and by https://mermaid.live.
    """
    del form
    event_types = load_event_types(event_schema_directory(schemas))
    sources = read_sources(path)
    compilation = compile_journeys(sources, event_types)
    if compilation.journeys is None:
        errors = [problem for problem in compilation.problems if problem.severity == "error"]
        click.echo(render_text(errors, sources, is_coloured=sys.stderr.isatty()), err=True)
        return 1
    drafts = {draft.name.name: draft for draft in compilation.drafts}
    if journey not in drafts:
        hint = did_you_mean(journey, drafts)
        raise click.BadParameter(f'there is no journey "{journey}" in {path}; {hint}', param_hint="JOURNEY")
    click.echo(mermaid(drafts[journey]), nl=False)
    return 0
