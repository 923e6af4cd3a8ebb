"""Turns settings into options: a command names the settings that it takes and gets them as one `Settings` value."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from orchestrator.runtime.settings import Settings

SETTINGS = {field.name: field for field in dataclasses.fields(Settings)}


def with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: the function gets `settings`, made of these options; the other settings have their defaults.

    A value that cannot work is a usage error that names the setting.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(**options: Any) -> Any:
            given = {name: options.pop(name) for name in names}
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
            return function(settings=settings, **options)

        decorated: Callable[..., Any] = call
        for name in reversed(names):
            decorated = _option(name)(decorated)
        return decorated

    return decorate


def _option(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    field = SETTINGS[name]
    flag = f"--{name.replace('_', '-')}"
    default, text = field.default, field.metadata["help"]
    if isinstance(default, bool):
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=default, help=text)
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
    )
