"""``orchestrator test``: the scenarios that stand beside the journeys, in simulated time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from orchestrator.authoring.earlier import earlier_sets
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.scenario_coverage import Coverage, coverage
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenario_report import as_values, render_coverage, render_results
from orchestrator.authoring.scenarios import ScenarioResult, all_live, run_scenarios
from orchestrator.authoring.sources import is_scenario_file
from orchestrator.cli._journeys import compiled_journeys, show_problems
from orchestrator.model.journey import JourneySet

EXAMPLES = """\b
Examples:
  orchestrator test
  orchestrator test journeys/cart_abandonment.scenarios.yaml --filter discount
  orchestrator test --coverage --format json
"""


@click.command("test", epilog=EXAMPLES, short_help="Run the journeys' scenarios.")
@click.argument("path", type=click.Path(path_type=Path), default="journeys")
@click.option(
    "--filter",
    "only",
    metavar="TEXT",
    default="",
    show_default=False,
    help="Only scenarios with this in their journey or name.",
)
@click.option(
    "--coverage", "with_coverage", is_flag=True, help="Say which steps, arms and ways out no scenario reached."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to show the results.")
@click.option(
    "--schemas",
    type=click.Path(path_type=Path),
    default="schemas",
    help="Directory of the event schemas, or the one above its folder events/.",
)
def command(*, path: Path, only: str, with_coverage: bool, form: str, schemas: Path) -> int:
    """Run given/when/then scenarios in simulated time: PATH is a directory of journeys, or one scenario file in it.

    A failure shows where the expectation stands, what happened instead, and every decision with its time. Exits with
    1 if a scenario fails or a file has problems.
    """
    if path.suffix in {".yaml", ".yml"} and not path.is_dir() and not is_scenario_file(path.name):
        raise click.UsageError(f"{path} holds no scenarios; name {path.with_suffix('.scenarios.yaml')}, or a directory")
    is_file = is_scenario_file(path.name) and not path.is_dir()
    compiled = compiled_journeys(path.parent if is_file else path, schemas, form)
    if compiled is None:
        return 1
    files = compiled.sources.files
    if is_file and path.name not in files:
        raise click.UsageError(f"there is no scenario file {path}")
    chosen = {path.name: files[path.name]} if is_file else files
    journeys = all_live(compiled.journeys)
    earlier = earlier_sets(compiled.sources, compiled.event_types)
    loaded = load_scenarios(chosen, journeys, event_shapes(compiled.event_types), earlier.sets)
    if earlier.problems or loaded.problems:
        show_problems(earlier.problems or loaded.problems, compiled.sources, form)
        return 1
    results = run_scenarios(compiled.journeys, loaded.scenarios, only=only)
    if only and not results:
        raise click.UsageError(f'no scenario has "{only}" in its journey or name')
    coverages = _coverages(journeys, results) if with_coverage else []
    root = compiled.sources.root
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(as_values(results, coverages, root=root)), indent=2))
    else:
        click.echo(render_results(results, root=root))
        if coverages:
            click.echo(f"\n{render_coverage(coverages)}")
    return 1 if any(result.missed for result in results) else 0


def _coverages(journeys: JourneySet, results: Sequence[ScenarioResult]) -> list[Coverage]:
    transitions = [transition for result in results for transition in result.transitions]
    return [coverage(journey, transitions) for _, journey in sorted(journeys.current.items())]
