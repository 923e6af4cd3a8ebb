"""Journeys for the commands that run them offline: read, compiled, or their problems shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from orchestrator.authoring.channel_contents import load_channel_contents
from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.problem_text import render_json, render_text, summary
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.cli.validate import event_schema_directory
from orchestrator.model.journey import JourneySet
from orchestrator.model.problems import Problem
from orchestrator.model.types import EventType


@dataclass(frozen=True, slots=True)
class Compiled:
    """Journeys without errors, and what they were made from."""

    journeys: JourneySet
    sources: Sources
    event_types: Mapping[str, EventType]


def compiled_journeys(directory: Path, schemas: Path, form: str) -> Compiled | None:
    """The journeys of a directory; None if they have errors, which are shown.

    Raises: EnvironmentProblem if a directory is missing.
    """
    event_types = load_event_types(event_schema_directory(schemas))
    sources = read_sources(directory)
    compilation = compile_journeys(sources, event_types, load_channel_contents(schemas))
    if compilation.journeys is None:
        show_problems([p for p in compilation.problems if p.severity == "error"], sources, form)
        return None
    return Compiled(compilation.journeys, sources, event_types)


def show_problems(problems: Sequence[Problem], sources: Sources, form: str) -> None:
    """The problems on the standard output, as `orchestrator validate` shows them."""
    if form == "json":
        click.echo(render_json(problems, sources))
        return
    click.echo(render_text(problems, sources, is_coloured=sys.stdout.isatty()))
    click.echo(summary(problems))
