"""``orchestrator schemas``: register the Avro schemas, or see whether they may be."""

from __future__ import annotations

import click

from orchestrator.cli._settings import with_settings
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator schemas register
  orchestrator schemas check --schemas path/to/schemas --registry-url http://registry:8081
"""


@click.group("schemas", epilog=EXAMPLES, short_help="Register and check the Avro schemas.")
@click.pass_context
def command(context: click.Context) -> None:
    """Register the Avro schemas of events, actions and records, or check whether they may be registered."""
    # Defaults for the group (where the own stack runs) are those of its commands.
    context.default_map = dict.fromkeys(("register", "check"), context.default_map or {})


@command.command("register", epilog="Example: orchestrator schemas register")
@with_settings("registry_url", "schemas")
def register(*, settings: Settings) -> int:
    """Register every schema; an incompatible change is refused, and then nothing is registered."""
    from orchestrator.runtime.access import registry_of  # noqa: PLC0415
    from orchestrator.runtime.schemas import read_schema_files, register_schemas  # noqa: PLC0415

    ids = register_schemas(registry_of(settings), read_schema_files(settings.schemas))
    for name, schema_id in sorted(ids.items()):
        click.echo(f"{schema_id:>6}  {name}")
    return 0


@command.command("check", epilog="Example: orchestrator schemas check")
@with_settings("registry_url", "schemas")
def check(*, settings: Settings) -> int:
    """Say which schemas are new or changed, and which changes would be refused; 1 if any would."""
    from orchestrator.runtime.access import registry_of  # noqa: PLC0415
    from orchestrator.runtime.schemas import check_schemas, read_schema_files  # noqa: PLC0415

    files = read_schema_files(settings.schemas)
    changed, refused = check_schemas(registry_of(settings), files)
    for path in changed:
        click.echo(f"{path}: not registered as it is")
    for sentence in refused:
        click.echo(f"{sentence}")
    if not changed and not refused:
        click.echo(f"{len(files)} schemas are registered as they are")
    return 1 if refused else 0
