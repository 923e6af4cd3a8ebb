"""Options that several commands share: each is a setting of the worker, with its name, default and documentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.runtime.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def setting(name: str, *, default: str | None = None) -> Callable[[Command], Command]:
    """A decorator that adds a setting as an option and an `ORCHESTRATOR_*` variable."""
    field = next(field for field in dataclasses.fields(Settings) if field.name == name)
    value = field.default if default is None else default
    shown = ",".join(value) if isinstance(value, tuple) else str(value)
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        envvar=f"ORCHESTRATOR_{name.upper()}",
        default=shown,
        # An empty prefix would be shown as an empty pair of brackets.
        show_default=bool(shown),
        help=field.metadata["help"],
        type=click.Path(path_type=Path) if isinstance(field.default, Path) else None,
    )


def topic_list(text: str) -> tuple[str, ...]:
    """The topic names in a list with commas.

    Raises: click.UsageError if there are none.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise click.UsageError("--event-topics must name at least one topic")
    return names
