"""``orchestrator``: finds the command, loads it, and turns what happens into an exit code.

0 clean, 1 problems found, 2 usage, 3 the environment is not as needed, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import logging
import select
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from orchestrator import __version__
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.stack.home import RECORD_FILE, stack_dir

COMMANDS = (
    "new",
    "validate",
    "test",
    "graph",
    "simulate",
    "json-schema",
    "demo",
    "up",
    "down",
    "status",
    "topics",
    "schemas",
    "acls",
    "worker",
    "plan",
    "apply",
    "approve",
    "audit",
    "versions",
    "rebuild",
    "pause",
    "resume",
    "produce",
    "ingest",
    "tail",
    "explain",
    "export",
    "erase",
    "replay",
    "connect",
    "dead-letters",
)
"""In the order in which a person meets them. Each is a file in this folder whose `command` is loaded when asked for;
a dash in the name is an underscore in the file's.
"""

EXIT_PROBLEMS, EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_INTERRUPTED = 1, 2, 3, 130
EXIT_CODES = (
    "Exit codes: 0 done; 1 problems found, or not done; 2 wrong options or arguments; 3 something outside (broker,"
    " registry, files) is not as it must be, and it is said what; 130 stopped by Ctrl-C."
)
ENVIRONMENT_PREFIX = "ORCHESTRATOR"
ENDPOINTS = ("bootstrap_servers", "registry_url")
LEVELS = ("debug", "info", "warning", "error")


class LazyGroup(click.Group):
    """Commands that are imported when they are called: the runtime takes a second to load, and most need none of it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (the name is click's)
        """The names of the commands that are there."""
        return [name for name in COMMANDS if importlib.util.find_spec(_module(name)) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, with its options open to the environment as `ORCHESTRATOR_<OPTION>`."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = load(cmd_name)
        _share_settings(command)
        _tell_exit_codes(command)
        return command


def load(name: str) -> click.Command:
    """The command in the file of that name."""
    command: click.Command = importlib.import_module(_module(name)).command
    return command


def _module(name: str) -> str:
    return f"{__package__}.{name.replace('-', '_')}"


@click.group(
    cls=LazyGroup,
    context_settings={
        "auto_envvar_prefix": ENVIRONMENT_PREFIX,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
    epilog="Every option can also be set in the environment: --registry-url as ORCHESTRATOR_REGISTRY_URL."
    f" Example: orchestrator demo\n\n{EXIT_CODES}",
)
@click.version_option(__version__, prog_name="orchestrator")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="info",
    show_default=True,
    help="Least severe log messages to show, on standard error.",
)
@click.pass_context
def cli(ctx: click.Context, log_level: str) -> None:
    """Customer journeys as YAML, run exactly once over Kafka events."""
    # Enough for short commands; what runs for long sets up its own, with structured fields.
    logging.basicConfig(level=log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    ctx.default_map = dict.fromkeys(COMMANDS, _own_endpoints())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Never returns: runs the command and exits with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command, after anything a person must know went to standard error."""
    try:
        result = cli.main(args=arguments, prog_name="orchestrator", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE if isinstance(error, click.UsageError) else EXIT_PROBLEMS
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return EXIT_INTERRUPTED
    except EnvironmentProblem as problem:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {problem}", err=True)
        if problem.hint:
            click.echo(f"hint: {problem.hint}", err=True)
        return EXIT_ENVIRONMENT
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        click.echo(f"error: what was to be written found no room: {error.strerror}", err=True)
        return EXIT_ENVIRONMENT
    except SystemExit as end:
        # Click ends the program without a word when a pipe is broken. It may be any pipe; only the reader of our own
        # output may have seen enough (`orchestrator tail | head`).
        if isinstance(end.__context__, BrokenPipeError):
            if _is_reader_gone():
                return 0
            raise end.__context__ from None
        raise
    return result if isinstance(result, int) else 0


def _is_reader_gone() -> bool:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _share_settings(command: click.Command) -> None:
    # One name for one setting in every command, so no command's own name is in it.
    command.context_settings.setdefault("auto_envvar_prefix", ENVIRONMENT_PREFIX)
    command.context_settings.setdefault("show_default", True)
    for child in command.commands.values() if isinstance(command, click.Group) else ():
        _share_settings(child)


def _tell_exit_codes(command: click.Command) -> None:
    """Every command's help ends with what its exit codes mean."""
    if not (command.epilog or "").endswith(EXIT_CODES):
        command.epilog = f"{command.epilog or ''}\n\n{EXIT_CODES}"
    for child in command.commands.values() if isinstance(command, click.Group) else ():
        _tell_exit_codes(child)


def _own_endpoints() -> dict[str, str]:
    """Where commands find the broker and the registry if nobody says so: the stack that runs in this folder."""
    data_dir = stack_dir()
    if not (data_dir / RECORD_FILE).exists():
        return {}
    from orchestrator.stack.stack import running_connect_url, running_endpoints  # noqa: PLC0415  (most have no stack)

    endpoints = running_endpoints(data_dir)
    found = {} if endpoints is None else dict(zip(ENDPOINTS, endpoints, strict=True))
    if connect_url := running_connect_url(data_dir):
        found["connect_url"] = connect_url
    return found
