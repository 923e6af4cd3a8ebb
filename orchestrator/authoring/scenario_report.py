"""What running scenarios found, as text for people and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.authoring.problem_text import count_words, printable
from orchestrator.authoring.scenario_checks import offset
from orchestrator.authoring.scenario_coverage import Coverage
from orchestrator.authoring.scenarios import Missed, ScenarioResult
from orchestrator.authoring.yaml_source import problem_at


def render_results(results: Sequence[ScenarioResult], *, root: str = "") -> str:
    """One line for each scenario; below, each missed expectation with its place and the decision trace."""
    lines: list[str] = []
    for path in dict.fromkeys(result.scenario.node.document.path for result in results):
        lines.append(_shown(path, root))
        in_file = [result for result in results if result.scenario.node.document.path == path]
        lines += [
            f"  {'FAILED' if result.missed else 'ok    '}  {printable(result.scenario.name)}" for result in in_file
        ]
    for result in results:
        if result.missed:
            lines += ["", *_failure(result, root)]
    return "\n".join([*lines, "", summary(results)])


def summary(results: Sequence[ScenarioResult]) -> str:
    """The closing line: how many scenarios and expectations, and how many failed."""
    expectations = sum(len(result.scenario.then) for result in results)
    failed = sum(1 for result in results if result.missed)
    verdict = f"{failed} failed" if failed else "all hold"
    return f"{count_words(len(results), 'scenario')}, {count_words(expectations, 'expectation')}: {verdict}"


def render_coverage(coverages: Sequence[Coverage]) -> str:
    """For each journey the share of steps, arms and ways out that scenarios came to, and those they did not."""
    lines = []
    for cover in coverages:
        reached = len(cover.places) - len(cover.missed)
        lines.append(f"{cover.journey}: {reached} of {len(cover.places)} steps, arms and ways out")
        lines += [f"  not reached: {place}" for place in cover.missed]
    return "\n".join(lines)


def as_values(results: Sequence[ScenarioResult], coverages: Sequence[Coverage], *, root: str = "") -> dict[str, Any]:
    """The same for JSON."""
    return {
        "scenarios": [
            {
                "journey": result.scenario.journey,
                "name": result.scenario.name,
                "ok": not result.missed,
                "missed": [_missed_values(missed, root) for missed in result.missed],
                "trace": [{"at_ms": line.after_ms, "text": line.text} for line in result.trace],
            }
            for result in results
        ],
        "coverage": [
            {"journey": cover.journey, "places": list(cover.places), "missed": list(cover.missed)}
            for cover in coverages
        ],
        "failed": sum(1 for result in results if result.missed),
    }


def _failure(result: ScenarioResult, root: str) -> list[str]:
    lines = []
    for missed in result.missed:
        place = problem_at(missed.node, "", "")
        source = missed.node.document.text.splitlines()[place.line - 1]
        number = str(place.line)
        lines += [
            f"{_shown(place.path, root)}:{place.line}:{place.column}: failed: {printable(result.scenario.name)}",
            f"  {number} | {printable(source)}",
            f"  {' ' * len(number)} | {' ' * (place.column - 1)}{'^' * place.length}",
            f"  expected: {printable(missed.expected)}",
            f"  happened: {printable(missed.happened)}",
        ]
    lines.append("  trace:")
    width = max((len(offset(line.after_ms)) for line in result.trace), default=0)
    lines += [f"    {offset(line.after_ms):{width}}  {printable(line.text)}" for line in result.trace]
    if not result.trace:
        lines.append("    nothing happened")
    return lines


def _missed_values(missed: Missed, root: str) -> dict[str, Any]:
    place = problem_at(missed.node, "", "")
    return {
        "path": _shown(place.path, root),
        "line": place.line,
        "column": place.column,
        "expected": missed.expected,
        "happened": missed.happened,
    }


def _shown(path: str, root: str) -> str:
    return f"{root}/{path}" if root and root != "." else path
