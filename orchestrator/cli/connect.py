"""``orchestrator connect``: sinks on Kafka Connect, from templates."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.cli._settings import with_settings
from orchestrator.resources import deploy_dir
from orchestrator.runtime.access import secret
from orchestrator.runtime.connectors import (
    Connector,
    ConnectorState,
    ConnectWorker,
    places,
    read_connector,
    read_values,
)
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tls import Tls
from orchestrator.runtime.web import web_service
from orchestrator.stack.connect import secrets_dir
from orchestrator.stack.home import stack_dir

EXAMPLES = """\b
Examples:
  orchestrator connect validate sms --set SMS_URL=https://sms.example.com/messages --set SMS_SENDER=Shop
  orchestrator connect apply email sms --values production.env
  orchestrator connect status
"""
KNOWN = frozenset({"NAME", "TOPIC_PREFIX", "REGISTRY_URL", "BOOTSTRAP_SERVERS", "SECRETS_DIR"})
"""Places of templates whose values this program knows."""

DEAD_LETTERS = "errors.deadletterqueue.topic.name"
COMMANDS = ("templates", "validate", "apply", "status", "restart", "remove")

PASSWORD = "ORCHESTRATOR_CONNECT_PASSWORD"  # noqa: S105  (the name of a variable, not a secret)
KEY_PASSWORD = "ORCHESTRATOR_CONNECT_KEY_PASSWORD"  # noqa: S105


def connect_worker(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the function gets `worker`, Kafka Connect behind the address that was given."""

    @functools.wraps(function)
    def call(
        *,
        connect_url: str,
        connect_username: str,
        connect_password_file: str,
        connect_ca_file: str,
        connect_certificate_file: str,
        connect_key_file: str,
        connect_key_password_file: str,
        **options: Any,
    ) -> Any:
        key_password = secret(os.environ.get(KEY_PASSWORD, ""), connect_key_password_file, "connect-key-password")
        service = web_service(
            connect_url,
            what="Kafka Connect",
            option="--connect-url",
            username=connect_username,
            password=secret(os.environ.get(PASSWORD, ""), connect_password_file, "connect-password"),
            tls=Tls(connect_ca_file, connect_certificate_file, connect_key_file, key_password, "--connect"),
        )
        return function(worker=ConnectWorker(service), **options)

    decorated: Callable[..., Any] = call
    for name, text in (
        ("connect-key-password-file", f"File with the password of that key; or {KEY_PASSWORD}."),
        ("connect-key-file", "PEM file with the key of that certificate, if it is not in the same file."),
        ("connect-certificate-file", "PEM file with the certificate to show to Kafka Connect."),
        ("connect-ca-file", "PEM file with the authorities trusted for Kafka Connect's certificate."),
        ("connect-password-file", f"File with the password to sign in to Kafka Connect with; or {PASSWORD}."),
        ("connect-username", "Name to sign in to Kafka Connect with."),
    ):
        decorated = click.option(f"--{name}", default="", help=text)(decorated)
    return click.option(
        "--connect-url",
        default="http://127.0.0.1:8083",
        show_default=True,
        help="Address of Kafka Connect's REST interface.",
    )(decorated)


def _with_values(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in reversed(
        (
            click.argument("templates", nargs=-1, required=True, metavar="TEMPLATE..."),
            click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A value for the templates."),
            click.option(
                "--values",
                "files",
                multiple=True,
                type=click.Path(path_type=Path, dir_okay=False),
                help="A file of values, one NAME=VALUE a line.",
            ),
            click.option("--name", default="", help="Name of the connector, if not the template's own."),
            connect_worker,
        )
    ):
        function = decorate(function)
    return function


@click.group("connect", epilog=EXAMPLES, short_help="Run the sinks that deliver commands, on Kafka Connect.")
@click.pass_context
def command(context: click.Context) -> None:
    """Run the sinks that deliver commands, on Kafka Connect.

    A TEMPLATE is a JSON file, or the name of one that comes with this program. Places in it such as ${WEBHOOK_URL} are
    filled in from --set, from the files of --values, and from the environment, in this order. Secrets are not: a
    template names them (${env:SINK_WEBHOOK_TOKEN}), and Kafka Connect looks them up where it runs.
    """
    # Defaults for the group (where the own stack runs) are those of its commands.
    context.default_map = dict.fromkeys(COMMANDS, context.default_map or {})


@command.command("templates", epilog="Example: orchestrator connect templates")
def templates_command() -> None:
    """List the templates that come with this program, with the values that each needs."""
    for path in _shipped():
        needed = sorted(set(places(path.read_text("utf-8"))) - KNOWN)
        click.echo(f"{path.stem:16} {', '.join(needed)}".rstrip())


@command.command("validate", epilog="Example: orchestrator connect validate webhook --values production.env")
@_with_values
@with_settings("bootstrap_servers", "registry_url", "topic_prefix")
def validate(
    *,
    templates: Sequence[str],
    pairs: Sequence[str],
    files: Sequence[Path],
    name: str,
    worker: ConnectWorker,
    settings: Settings,
) -> int:
    """Let Kafka Connect check what it would be given; nothing is changed. Exits with 1 if something is wrong."""
    connectors = _connectors(templates, pairs, files, name, settings)
    found = _faults(worker, connectors)
    for connector in connectors:
        if connector.name not in found:
            click.echo(f"{connector.name}: Kafka Connect finds nothing wrong")
    return 1 if found else 0


@command.command("apply", epilog="Example: orchestrator connect apply webhook --values production.env")
@_with_values
@with_settings("registry_url", "topic_prefix", "bootstrap_servers", "replication_factor", "dead_letter_retention_days")
def apply(
    *,
    templates: Sequence[str],
    pairs: Sequence[str],
    files: Sequence[Path],
    name: str,
    worker: ConnectWorker,
    settings: Settings,
) -> int:
    """Start connectors, or give running ones a new configuration. All are checked before the first is changed.

    The topics of their dead letters are created where they are missing: Kafka Connect would give them the brokers'
    retention, though they hold customers' data.
    """
    from orchestrator.runtime.topics import create_topics, sink_spec  # noqa: PLC0415  (loads the Kafka client)

    connectors = _connectors(templates, pairs, files, name, settings)
    if _faults(worker, connectors):
        return 1
    topics = {connector.config[DEAD_LETTERS] for connector in connectors if connector.config.get(DEAD_LETTERS)}
    for topic in create_topics(settings, [sink_spec(settings, topic) for topic in sorted(topics)]):
        click.echo(f"created {topic}")
    for connector in connectors:
        click.echo(f"{connector.name}: {'started' if worker.apply(connector) else 'changed'}")
    return 0


@command.command("status", epilog="Example: orchestrator connect status --format json")
@connect_worker
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people or programs.")
def status(*, worker: ConnectWorker, form: str) -> int:
    """Show how the connectors do. Exits with 1 if one of them, or one of its tasks, does not run."""
    states = worker.states()
    for state in states:
        if form == "json":
            click.echo(json.dumps(_as_json(state)))
        else:
            running = sum(task.state == "RUNNING" for task in state.tasks)
            click.echo(f"{state.name:24} {state.state:10} {running} of {len(state.tasks)} tasks run  {state.topics}")
            for task in state.tasks:
                if task.trace:
                    click.echo(f"  task {task.number} {task.state}: {task.trace}")
    if not states and form == "text":
        click.echo("no connectors; orchestrator connect apply starts some")
    return 0 if all(state.is_running for state in states) else 1


@command.command("restart", epilog="Example: orchestrator connect restart webhook")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@connect_worker
def restart(*, names: Sequence[str], worker: ConnectWorker) -> None:
    """Start again what failed of connectors. They go on where they stopped."""
    for name in names:
        worker.restart_failed(name)
        click.echo(f"{name}: what had failed is started again")


@command.command("remove", epilog="Example: orchestrator connect remove webhook")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@connect_worker
def remove(*, names: Sequence[str], worker: ConnectWorker) -> int:
    """End connectors. Commands wait in their topics; under the same name a connector goes on where this one stopped."""
    found = True
    for name in names:
        is_removed = worker.remove(name)
        found = found and is_removed
        click.echo(f"{name}: {'removed' if is_removed else 'there is no such connector'}")
    return 0 if found else 1


def _shipped() -> list[Path]:
    return sorted((deploy_dir() / "connect").glob("*.json"))


def _connectors(
    templates: Sequence[str], pairs: Sequence[str], files: Sequence[Path], name: str, settings: Settings
) -> list[Connector]:
    if name and len(templates) > 1:
        raise click.UsageError("--name is for one template")
    values = {
        "TOPIC_PREFIX": settings.topic_prefix,
        "REGISTRY_URL": settings.registry_url,
        "BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SECRETS_DIR": str(secrets_dir(stack_dir())),
        **os.environ,
    }
    for file in files:
        values |= read_values(file)
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise click.UsageError(f"--set {pair}: write NAME=VALUE")
        values[key] = value
    return [read_connector(_path(template), values, name=name) for template in templates]


def _path(template: str) -> Path:
    shipped = {path.stem: path for path in _shipped()}
    if template in shipped:
        return shipped[template]
    if Path(template).is_file():
        return Path(template)
    raise click.UsageError(f"there is no template {template}; there are: {', '.join(shipped)}, and files")


def _faults(worker: ConnectWorker, connectors: Sequence[Connector]) -> set[str]:
    """The names of connectors with something wrong, after all of it was printed."""
    found = set()
    for connector in connectors:
        for fault in worker.faults(connector):
            found.add(connector.name)
            click.echo(f"{connector.name}: {fault.setting}: {fault.text}")
    return found


def _as_json(state: ConnectorState) -> dict[str, Any]:
    tasks = [{"task": task.number, "state": task.state, "trace": task.trace} for task in state.tasks]
    return {"name": state.name, "state": state.state, "topics": state.topics, "tasks": tasks}
