"""``orchestrator json-schema``: what editors need to complete journeys while they are written."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.authoring.json_schema import SCHEMAS, editor_schema
from orchestrator.model.problems import EnvironmentProblem

EXAMPLES = """\b
Examples:
  orchestrator json-schema journey > journey.schema.json
  orchestrator json-schema --output .schemas
"""


@click.command("json-schema", epilog=EXAMPLES, short_help="Show the JSON Schemas that editors complete journeys by.")
@click.argument("kind", type=click.Choice(list(SCHEMAS)), required=False)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the schemas to this directory, as KIND.json.",
)
def command(*, kind: str | None, output: Path | None) -> int:
    """Show the JSON Schema of one KIND of file, or write those of all kinds to a directory.

    An editor with a YAML language server completes keys and marks mistakes in a file that begins with
    `# yaml-language-server: $schema=` and the schema's path.
    """
    if output is None:
        if kind is None:
            raise click.UsageError(f"name a kind of file ({', '.join(SCHEMAS)}), or a directory with --output")
        click.echo(editor_schema(kind), nl=False)
        return 0
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name in SCHEMAS if kind is None else [kind]:
            (output / f"{name}.json").write_text(editor_schema(name), "utf-8")
            click.echo(f"wrote {output / f'{name}.json'}")
    except OSError as error:
        raise EnvironmentProblem(
            f"{output} cannot be written: {error.strerror}", hint="name another directory with --output"
        ) from error
    return 0
