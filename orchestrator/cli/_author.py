"""Who does something to the installation, and why: the options of all commands that go on record."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any

import click

from orchestrator.runtime.settings import Settings


def with_author(*, needs_why: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: the function gets `who` and `why`, which the audit log keeps."""
    why = "Why it is done; kept in the audit log."

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        named = click.option(
            "--who",
            default=_user,
            show_default="the user's name",
            metavar="NAME",
            callback=_said,
            help="Who answers for it; kept in the audit log.",
        )
        if needs_why:
            reasoned = click.option("--why", required=True, metavar="TEXT", callback=_said, help=why)
        else:
            reasoned = click.option("--why", default="", metavar="TEXT", help=why)
        return named(reasoned(function))

    return decorate


def look(settings: Settings, about: str, *, who: str, why: str, **detail: str) -> None:
    """Puts on record that somebody looks at personal data, before anything is shown.

    Raises: EnvironmentProblem if it cannot be written: then nothing is shown.
    """
    from orchestrator.runtime.audit import append_audit, new_record  # noqa: PLC0415  (loads the Kafka client)

    append_audit(settings, new_record(settings, act="look", about=about, who=who, why=why, detail=detail))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container's user may have no name.
        return ""


def _said(_: click.Context, parameter: click.Parameter, text: str) -> str:
    if not text.strip():
        raise click.UsageError(f"say --{parameter.name}: it is kept in the audit log")
    return text.strip()
