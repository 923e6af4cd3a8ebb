"""Problems for people (source line, mark and hint, as compilers show them) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

import click

from orchestrator.authoring.sources import Sources
from orchestrator.model.problems import Problem

LINE_WIDTH_MAX = 160
"""Longer source lines are cut around the mark."""


def render_text(problems: Iterable[Problem], sources: Sources, *, is_coloured: bool = False) -> str:
    """The problems, sorted, each with its source line; no text at all if there are none."""
    lines = {path: text.split("\n") for path, text in sources.files.items()}
    return "\n".join(_one(problem, sources.root, lines, is_coloured=is_coloured) for problem in sorted(problems))


def render_json(problems: Iterable[Problem], sources: Sources, **more: object) -> str:
    """A JSON object with the problems, sorted; `more` goes before them."""
    listed = [asdict(problem) | {"path": place(problem, sources.root)} for problem in sorted(problems)]
    return json.dumps({**more, "problems": listed}, indent=2, ensure_ascii=False)


def place(problem: Problem, root: str) -> str:
    """The file's path as the user can open it."""
    if not problem.path:
        return root or "."
    return f"{root.rstrip('/')}/{problem.path}" if root else problem.path


def count_words(number: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary(problems: Iterable[Problem]) -> str:
    """`no problems`, or how many errors and warnings there are."""
    severities = [problem.severity for problem in problems]
    counts = [(severities.count("error"), "error"), (severities.count("warning"), "warning")]
    return ", ".join(count_words(number, noun) for number, noun in counts if number) or "no problems"


def _one(problem: Problem, root: str, lines: Mapping[str, list[str]], *, is_coloured: bool) -> str:
    def style(text: str, **styles: object) -> str:
        return click.style(text, **styles) if is_coloured else text  # type: ignore[arg-type]  # click types each style

    colour = "red" if problem.severity == "error" else "yellow"
    label = style(f"{problem.severity}[{problem.code}]", fg=colour, bold=True)
    where = style(f"{place(problem, root)}:{problem.line}:{problem.column}", bold=True)
    shown = [f"{where}: {label}: {printable(problem.message)}"]
    source = lines.get(problem.path, [])
    if problem.line <= len(source) and source[problem.line - 1].strip():
        text, column = _window(source[problem.line - 1], problem.column)
        mark = "^" * max(1, min(problem.length, len(text) - column + 1))
        gutter = str(problem.line)
        shown.append(f"  {style(f'{gutter} |', fg='blue')} {text}")
        shown.append(
            f"  {style(' ' * len(gutter) + ' |', fg='blue')} {' ' * (column - 1)}{style(mark, fg=colour, bold=True)}"
        )
    if problem.hint:
        shown.append(f"  {style('hint:', fg='cyan')} {printable(problem.hint)}")
    return "\n".join(shown)


def printable(text: str) -> str:
    """The text with everything that could move a terminal's cursor made a space."""
    return "".join(character if character.isprintable() else " " for character in text)


def _window(line: str, column: int) -> tuple[str, int]:
    text = printable(line.rstrip())
    if len(text) <= LINE_WIDTH_MAX:
        return text, column
    start = max(0, min(column - 1 - LINE_WIDTH_MAX // 2, len(text) - LINE_WIDTH_MAX))
    return text[start : start + LINE_WIDTH_MAX], column - start
