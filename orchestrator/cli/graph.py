"""``orchestrator graph``: a journey as a picture."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.drafts import JourneyDraft
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.graph import mermaid, picture
from orchestrator.authoring.graph_dot import dot
from orchestrator.authoring.graph_svg import svg
from orchestrator.authoring.problem_text import render_text
from orchestrator.authoring.sources import read_sources
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.cli._plan import counting
from orchestrator.cli._settings import with_settings
from orchestrator.cli.validate import event_schema_directory
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator graph cart_abandonment
  orchestrator graph cart_abandonment my_journeys > cart.mmd
  orchestrator graph cart_abandonment --format svg --output cart.svg
  orchestrator graph cart_abandonment --live
"""

FORMATS: dict[str, Callable[[JourneyDraft, Mapping[str, int] | None], str]] = {
    "mermaid": mermaid,
    "dot": lambda draft, inside: dot(picture(draft, inside)),
    "svg": lambda draft, inside: svg(picture(draft, inside)),
}


@click.command("graph", epilog=EXAMPLES, short_help="Draw a journey.")
@click.argument("journey")
@click.argument("path", type=click.Path(path_type=Path), default="journeys")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="mermaid", help="The drawing's language.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the drawing to this file, instead of showing it.",
)
@click.option("--live", "is_live", is_flag=True, help="Count the customers in each step, in what workers recorded.")
@with_settings("bootstrap_servers", "app_id", "schemas")
def command(*, journey: str, path: Path, form: str, output: Path | None, is_live: bool, settings: Settings) -> int:
    """Draw JOURNEY of the directory PATH: entry, waits, branches with their conditions, ways out, goal.

    Mermaid is drawn by most wikis and code hosts, and by https://mermaid.live; DOT by Graphviz. SVG is a finished
    picture that every browser shows.
    """
    event_types = load_event_types(event_schema_directory(settings.schemas))
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
    text = FORMATS[form](drafts[journey], _inside(settings, drafts[journey]) if is_live else None)
    if output is None:
        click.echo(text, nl=False)
        return 0
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise EnvironmentProblem(
            f"{output} cannot be written: {error.strerror}", hint="name another file with --output"
        ) from error
    return 0


def _inside(settings: Settings, draft: JourneyDraft) -> dict[str, int]:
    """Step → how many customers are there, in any version of the journey; those in steps that are gone are told."""
    from orchestrator.runtime.places import count_places  # noqa: PLC0415  (loads the Kafka client)

    with counting() as progress:
        inside = count_places(settings, progress=progress).steps(draft.name.name)
    steps = {step.name.name for step in draft.steps}
    gone = {step: count for step, count in sorted(inside.items()) if step not in steps}
    if gone:
        said = ", ".join(f"{step} {count:,}" for step, count in gone.items())
        click.echo(f"in steps of older versions that are not in the drawing: {said}", err=True)
    return dict.fromkeys(sorted(steps), 0) | {step: count for step, count in inside.items() if step in steps}
