"""Older forms of a journey, kept beside it for its scenarios: `<journey>.<anything>.earlier.yaml`.

Each is compiled in the place of the journey, with the rules and templates of today. It is never in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.migration_proof import prove
from orchestrator.authoring.sources import Sources, is_earlier_file
from orchestrator.model.journey import JourneySet
from orchestrator.model.problems import Problem
from orchestrator.model.types import EventType


@dataclass(frozen=True, slots=True)
class Earlier:
    """Path → the journeys with the older form in place of the newer one; and what is wrong with the files, or with how
    their customers are taken along.
    """

    sets: Mapping[str, JourneySet]
    problems: tuple[Problem, ...]


def earlier_sets(sources: Sources, event_types: Mapping[str, EventType]) -> Earlier:
    """The older forms among the sources, which compile without errors."""
    sets: dict[str, JourneySet] = {}
    problems: list[Problem] = []
    paths = [path for path in sorted(sources.files) if is_earlier_file(path)]
    current = compile_journeys(sources, event_types) if paths else None
    for path in paths:
        of = f"{journey_of(path)}.yaml"
        if of not in sources.files:
            hint = f"it is called like its journey: NAME.2026.earlier.yaml beside NAME.yaml, and there is no {of}"
            problems.append(Problem(path, 1, 1, "J184", "this is the older form of no journey", hint=hint))
            continue
        compilation = compile_journeys(Sources({**sources.files, of: sources.files[path]}), event_types)
        errors = [problem for problem in compilation.problems if problem.severity == "error"]
        problems += [replace(problem, path=path) if problem.path == of else problem for problem in errors]
        if compilation.journeys is None or current is None or current.journeys is None:
            continue
        sets[path] = compilation.journeys
        proved = prove(current.drafts, current.journeys, [compilation.journeys])
        problems += [problem for problem in proved if problem.severity == "error"]
    return Earlier(sets, tuple(sorted(set(problems))))


def journey_of(path: str) -> str:
    """The journey that the file is an older form of."""
    return PurePosixPath(path).name.partition(".")[0]
