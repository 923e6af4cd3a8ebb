"""``orchestrator validate``: compiles everything and shows all that is wrong."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from orchestrator.authoring.channel_contents import load_channel_contents
from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import event_types_from_texts, read_schema_texts
from orchestrator.authoring.migration_proof import prove
from orchestrator.authoring.problem_text import count_words, render_json, render_text, summary
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.authoring.worst_case import worst_case_of_all, worst_case_table, worst_cases
from orchestrator.model.problems import EnvironmentProblem, Problem

EXAMPLES = """\b
Examples:
  orchestrator validate
  orchestrator validate journeys --format json
  orchestrator validate my_journeys --schemas my_schemas
  orchestrator validate --against ../main/journeys
"""


def event_schema_directory(schemas: Path) -> Path:
    """The directory of event schemas: `events` below the given one, or that one itself."""
    below = schemas / "events"
    return below if below.is_dir() else schemas


@click.command("validate", epilog=EXAMPLES, short_help="Check journeys, before anything runs.")
@click.argument("path", type=click.Path(path_type=Path), default="journeys")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to show problems.")
@click.option(
    "--schemas",
    type=click.Path(path_type=Path, file_okay=False),
    default="schemas",
    help="Directory of the event schemas, or the one above its folder events/.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Journeys that may be in force: check that their customers can be taken along where journeys say so.",
)
def command(*, path: Path, form: str, schemas: Path, against: Path | None) -> int:
    """Compile the journeys in the directory PATH against the event schemas and show every problem, sorted.

    Shows then how many messages a customer can get in any seven days at most, by journey. Exits with 1 if there is an
    error, with 0 if there are warnings only. The codes are explained in docs/problems.md.
    """
    schema_directory = event_schema_directory(schemas)
    schema_texts = read_schema_texts(schema_directory)
    schema_sources = Sources(files=schema_texts, root=schema_directory.as_posix())
    found = event_types_from_texts(schema_texts)
    sources = read_sources(path)
    if found.problems:
        _show(found.problems, schema_sources, form, "the journeys were not checked", {})
        return 1
    compilation = compile_journeys(sources, found.types, load_channel_contents(schemas))
    if against is not None and compilation.journeys is not None:
        older = compile_journeys(read_sources(against), found.types).journeys
        if older is None:
            raise EnvironmentProblem(f"the journeys in {against} have errors", hint=f"orchestrator validate {against}")
        proved = prove(compilation.drafts, compilation.journeys, [older])
        compilation = replace(compilation, problems=tuple(sorted({*compilation.problems, *proved})))
    counts = {"journeys": len(compilation.drafts), "steps": sum(len(draft.steps) for draft in compilation.drafts)}
    said = f"{count_words(counts['journeys'], 'journey')}, {count_words(counts['steps'], 'step')}"
    extra: dict[str, object] = dict(counts)
    if compilation.journeys is not None:
        cases = worst_cases(compilation.journeys) | {"": worst_case_of_all(compilation.journeys)}
        extra["messages_a_week"] = {name or "(all)": dataclasses.asdict(case) for name, case in cases.items()}
    _show(compilation.problems, sources, form, said, extra)
    if form == "text" and compilation.journeys is not None and (table := worst_case_table(compilation.journeys)):
        click.echo(f"\n{table}")
    return 1 if any(problem.severity == "error" for problem in compilation.problems) else 0


def _show(problems: Sequence[Problem], sources: Sources, form: str, said: str, counts: Mapping[str, object]) -> None:
    if form == "json":
        click.echo(render_json(problems, sources, **counts))
        return
    if problems:
        click.echo(render_text(problems, sources, is_coloured=sys.stdout.isatty()))
    click.echo(f"{said}: {summary(problems)}")
