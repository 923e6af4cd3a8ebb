"""``orchestrator validate``: compiles everything and shows all that is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import event_types_from_texts, read_schema_texts
from orchestrator.authoring.problem_text import count_words, place, render_json, render_text, summary
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.model.problems import Problem

EXAMPLES = """\b
Examples:
  orchestrator validate
  orchestrator validate journeys --format json
  orchestrator validate my_journeys --schemas my_schemas
"""


def event_schema_directory(schemas: Path) -> Path:
    """The directory of event schemas: `events` below the given one, or that one itself."""
    below = schemas / "events"
    return below if below.is_dir() else schemas


@click.command("validate", epilog=EXAMPLES, short_help="Check journeys, before anything runs.")
@click.argument("path", type=click.Path(path_type=Path, file_okay=False), default="journeys")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to show problems.")
@click.option(
    "--schemas",
    type=click.Path(path_type=Path, file_okay=False),
    default="schemas",
    help="Directory of the event schemas, or the one above its folder events/.",
)
def command(*, path: Path, form: str, schemas: Path) -> int:
    """Compile the journeys in the directory PATH against the event schemas and show every problem, sorted.

    Exits with 1 if there is an error; warnings alone are no reason to stop.
    """
    schema_directory = event_schema_directory(schemas)
    schema_texts = read_schema_texts(schema_directory)
    schema_sources = Sources(files=schema_texts, root=schema_directory.as_posix())
    found = event_types_from_texts(schema_texts)
    sources = read_sources(path)
    compilation = compile_journeys(sources, found.types)
    shown = [(found.problems, schema_sources), (compilation.problems, sources)]
    everything = (*found.problems, *compilation.problems)
    journeys, steps = len(compilation.drafts), sum(len(draft.steps) for draft in compilation.drafts)
    if form == "json":
        both = Sources(files={})
        placed = [_placed(problem, where) for problems, where in shown for problem in problems]
        click.echo(render_json(placed, both, journeys=journeys, steps=steps))
    else:
        is_coloured = sys.stdout.isatty()
        for problems, where in shown:
            if problems:
                click.echo(render_text(problems, where, is_coloured=is_coloured))
        counted = f"{count_words(journeys, 'journey')}, {count_words(steps, 'step')}"
        click.echo(f"{counted}: {summary(everything)}")
    return 1 if any(problem.severity == "error" for problem in everything) else 0


def _placed(problem: Problem, sources: Sources) -> Problem:
    return Problem(
        path=place(problem, sources.root),
        line=problem.line,
        column=problem.column,
        code=problem.code,
        message=problem.message,
        hint=problem.hint,
        length=problem.length,
        severity=problem.severity,
    )
