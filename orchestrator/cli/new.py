"""``orchestrator new``: a journey to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from orchestrator.authoring.compiler import Compilation, compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.examples import copy_of, example_names, is_journey_name
from orchestrator.authoring.rules_source import RULE_FILES
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenario_report import render_results
from orchestrator.authoring.scenarios import all_live, run_scenarios
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.cli._journeys import show_problems
from orchestrator.cli.validate import event_schema_directory
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.model.types import EventType
from orchestrator.resources import journeys_dir

EXAMPLES = """\b
Examples:
  orchestrator new journey spring_greeting
  orchestrator new journey forgotten_basket --from cart_abandonment --journeys my_journeys
"""


@click.group("new", epilog=EXAMPLES, short_help="Begin a journey from an example.")
def command() -> None:
    """Begin something new from an example."""


@command.command("journey", epilog=EXAMPLES)
@click.argument("name")
@click.option(
    "--from",
    "example",
    metavar="JOURNEY",
    default="welcome_series",
    help="The journey to copy: a shipped or an own one.",
)
@click.option(
    "--journeys",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default="journeys",
    help="Directory of the journeys.",
)
@click.option(
    "--schemas",
    type=click.Path(path_type=Path, file_okay=False),
    default="schemas",
    help="Directory of the event schemas, or the one above its folder events/.",
)
def journey(*, name: str, example: str, directory: Path, schemas: Path) -> int:
    """Write a draft of the journey NAME with templates and scenarios of its own, copied from an example.

    It is checked and its scenarios are run before anything is written; no file is ever overwritten. Into a directory
    without rules come profile.yaml, channels.yaml and policies.yaml of the example too.
    """
    if not is_journey_name(name):
        raise click.BadParameter(
            f'"{name}" cannot be the name of a journey; use small letters, digits and _', param_hint="NAME"
        )
    own = read_sources(directory) if directory.is_dir() else Sources({}, directory.as_posix())
    shipped = read_sources(journeys_dir())
    origin = own if example in example_names(own.files) else shipped
    if example not in example_names(origin.files):
        known = {*example_names(own.files), *example_names(shipped.files)}
        raise click.BadParameter(
            f'there is no journey "{example}"; {did_you_mean(example, known)}', param_hint="--from"
        )
    rules = {path: shipped.files[path] for path in RULE_FILES if path in shipped.files and path not in own.files}
    added = {**copy_of(example, name, origin.files), **rules}
    taken = [path for path in added if (directory / path).exists()]
    if taken:
        raise click.UsageError(f"{directory / taken[0]} exists already and is not overwritten; choose another name")
    if not _is_right(own, added, load_event_types(event_schema_directory(schemas)), name):
        click.echo("nothing was written")
        return 1
    _write(directory, added)
    click.echo(_next_steps(directory, name))
    return 0


def _is_right(own: Sources, added: Mapping[str, str], event_types: Mapping[str, EventType], name: str) -> bool:
    """Whether the new files have no problems and their scenarios pass; what is wrong is shown."""
    sources = Sources({**own.files, **added}, own.root, own.problems)
    compilation = compile_journeys(sources, event_types)
    errors = [problem for problem in compilation.problems if problem.severity == "error"]
    new_errors = [problem for problem in errors if problem.path in added]
    if new_errors:
        show_problems(new_errors, sources, "text")
        return False
    if errors:
        # Mistakes that were there before say nothing about the new journey, which `validate` shows with them.
        return True
    return _passes(compilation, sources, event_types, name)


def _passes(compilation: Compilation, sources: Sources, event_types: Mapping[str, EventType], name: str) -> bool:
    journeys, path = compilation.journeys, f"{name}.scenarios.yaml"
    if journeys is None or path not in sources.files:
        return True
    loaded = load_scenarios({path: sources.files[path]}, all_live(journeys), event_shapes(event_types))
    results = run_scenarios(journeys, loaded.scenarios)
    if loaded.problems:
        show_problems(loaded.problems, sources, "text")
    elif any(result.missed for result in results):
        click.echo(render_results(results, root=sources.root))
    return not loaded.problems and not any(result.missed for result in results)


def _write(directory: Path, added: Mapping[str, str]) -> None:
    for path, text in sorted(added.items()):
        target = directory / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise EnvironmentProblem(
                f"{target} cannot be written: {error.strerror}", hint="choose another directory with --journeys"
            ) from error
        click.echo(f"wrote {target}")


def _next_steps(directory: Path, name: str) -> str:
    file = directory / f"{name}.yaml"
    return "\n".join(
        [
            "",
            f"{name} is a draft. Next:",
            f"  edit {file}, its templates and its scenarios",
            f"  orchestrator validate {directory}",
            f"  orchestrator test {directory / f'{name}.scenarios.yaml'}",
            f"  orchestrator graph {name} {directory}",
            f"  then set its status in {file} to shadow (it decides, and sends nothing), and at last to live",
        ]
    )
