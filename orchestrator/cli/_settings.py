"""Turns settings into options: a command names the settings that it takes and gets them as one `Settings` value."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.ingest.settings import FIELDS as INGEST_SETTINGS
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.settings import Settings

SETTINGS = {field.name: field for field in dataclasses.fields(Settings)}
BELONGING = {
    "bootstrap_servers": (
        "security_protocol",
        "sasl_mechanism",
        "sasl_username",
        "sasl_password",
        "sasl_password_file",
        "ssl_ca_file",
        "ssl_certificate_file",
        "ssl_key_file",
        "ssl_key_password",
        "ssl_key_password_file",
    ),
    "registry_url": (
        "registry_username",
        "registry_password",
        "registry_password_file",
        "registry_ca_file",
        "registry_certificate_file",
        "registry_key_file",
        "registry_key_password",
        "registry_key_password_file",
    ),
}
"""Whoever takes the address takes what is needed to be let in there."""
ENVIRONMENT = "ORCHESTRATOR_"


def with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: the function gets `settings`, made of these options; the other settings have their defaults.

    With an address come the settings that let one in there. Secrets are read from the environment alone, since
    everybody on a machine can read command lines. A value that cannot work is a usage error that names the setting.
    """
    taken = [one for name in names for one in (name, *BELONGING.get(name, ()))]
    if "registry_url" in taken and "bootstrap_servers" not in taken:
        # What counts for brokers counts for the registry too, unless it is said otherwise.
        taken += [name for name in BELONGING["bootstrap_servers"] if name.startswith("ssl_")]
    options = [name for name in taken if not SETTINGS[name].metadata.get("secret")]
    secrets = [name for name in taken if SETTINGS[name].metadata.get("secret")]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(**found: Any) -> Any:
            given = {name: found.pop(name) for name in options}
            given |= {name: os.environ.get(ENVIRONMENT + name.upper(), "") for name in secrets}
            _refuse_shown_password()
            if given.get("ssl_certificate_file") and "security_protocol" not in given:
                # The command asks no brokers; how they are spoken to does not concern it.
                given["security_protocol"] = "ssl"
            if "event_topics" in given:
                topics = (topic.strip() for topic in given["event_topics"].split(","))
                given["event_topics"] = tuple(topic for topic in topics if topic)
            if given.get("log_level", "") is None:
                # Not said for this command: as it was said for all of them.
                given["log_level"] = click.get_current_context().find_root().params.get("log_level") or "info"
            try:
                settings = Settings(**given)
            except ValueError as error:
                raise click.UsageError(str(error)) from error
            try:
                return function(settings=settings, **found)
            except EnvironmentProblem as problem:
                if "bootstrap_servers" in taken:
                    raise _explained(problem, settings) from problem
                raise

        decorated: Callable[..., Any] = call
        for name in reversed(options):
            # They are many and the same everywhere: only the worker, which has every setting, shows them.
            is_hidden = name not in names and "data_dir" not in names
            decorated = _option(SETTINGS[name], is_hidden=is_hidden)(decorated)
        return decorated

    return decorate


def _explained(problem: EnvironmentProblem, settings: Settings) -> EnvironmentProblem:
    """The problem, or the right that is missing where that is what it is about."""
    from orchestrator.runtime.command_rights import explained_problem  # noqa: PLC0415  (loads the Kafka client)

    # `orchestrator dead-letters list` is about dead letters.
    path = click.get_current_context().command_path.split()
    return explained_problem(problem, path[1] if len(path) > 1 else "", settings)


def with_ingest_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the function gets `ingest`, made of the endpoint's own options."""

    @functools.wraps(function)
    def call(**options: Any) -> Any:
        given = {name: options.pop(name) for name in INGEST_SETTINGS}
        try:
            ingest = IngestSettings(**given)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        return function(ingest=ingest, **options)

    decorated: Callable[..., Any] = call
    for field in reversed(INGEST_SETTINGS.values()):
        decorated = _option(field, is_hidden=False)(decorated)
    return decorated


def _refuse_shown_password() -> None:
    """Raises: UsageError if an address on the command line has a password in it."""
    context = click.get_current_context()
    address = context.params.get("registry_url") or ""
    if "@" in address and context.get_parameter_source("registry_url") is ParameterSource.COMMANDLINE:
        raise click.UsageError(
            "everybody on this machine can read the password in --registry-url; set --registry-username, and "
            "ORCHESTRATOR_REGISTRY_PASSWORD or --registry-password-file"
        )


def _option(field: dataclasses.Field[Any], *, is_hidden: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    name = field.name
    flag = f"--{name.replace('_', '-')}"
    default, text = field.default, field.metadata["help"]
    if isinstance(default, bool):
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=default, help=text, hidden=is_hidden)
    kind: Any = None
    if field.metadata["choices"]:
        kind = click.Choice(field.metadata["choices"])
    elif isinstance(default, Path):
        kind = click.Path(path_type=Path)
    elif isinstance(default, int):
        kind = int
    shown = ",".join(default) if isinstance(default, tuple) else default
    return click.option(
        flag,
        name,
        type=kind,
        # Without a value of its own the command follows the one given to `orchestrator` itself.
        default=None if name == "log_level" else shown,
        # An empty default would be shown as an empty pair of brackets.
        show_default=shown != "",
        help=text,
        hidden=is_hidden,
    )
