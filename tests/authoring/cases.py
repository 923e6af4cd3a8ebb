"""The problem cases: what differs from a clean set of journeys, and what is reported about it."""

from __future__ import annotations

from pathlib import Path

from orchestrator.authoring.channel_contents import load_channel_contents
from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.earlier import earlier_sets
from orchestrator.authoring.event_schemas import EventTypes, event_types_from_texts, read_schema_texts
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.migration_proof import prove
from orchestrator.authoring.problem_text import render_text
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.model.problems import Problem

HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
PROBLEMS = HERE / "problems"
GOLDEN = HERE.parent / "golden"
BEFORE = "before/"
"""Where a case has the journeys whose customers are to be taken along."""


def fixture_events() -> EventTypes:
    return event_types_from_texts(read_schema_texts(FIXTURES / "schemas"))


def fixture_sources(changed: dict[str, str] | None = None) -> Sources:
    """The clean journeys, with some files changed (path -> text)."""
    return Sources(files={**read_sources(FIXTURES / "journeys").files, **(changed or {})})


class Case:
    """One folder of tests/authoring/problems, laid over the fixtures."""

    def __init__(self, code: str) -> None:
        folder = PROBLEMS / code
        own = read_sources(folder)
        listed = folder / "without.txt"
        without = set(listed.read_text().split()) if listed.exists() else set()
        base = read_sources(FIXTURES / "journeys").files
        unreadable = {problem.path for problem in own.problems}
        before = {path.removeprefix(BEFORE): text for path, text in own.files.items() if path.startswith(BEFORE)}
        self.older = {**base, **before} if before else {}
        files = {**base, **{path: text for path, text in own.files.items() if not path.startswith(BEFORE)}}
        kept = {path: text for path, text in files.items() if path not in without and path not in unreadable}
        self.sources = Sources(files=kept, root="journeys", problems=own.problems)
        schemas = read_schema_texts(FIXTURES / "schemas")
        if (folder / "schemas").is_dir():
            schemas |= read_schema_texts(folder / "schemas")
        self.contents = load_channel_contents(folder)
        self.schemas = {name: text for name, text in schemas.items() if f"schemas/{name}" not in without}

    def problems(self) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
        """(of the schemas, of the journeys)."""
        found = event_types_from_texts(self.schemas)
        if found.problems:
            return found.problems, ()
        compilation = compile_journeys(self.sources, found.types, self.contents)
        if compilation.journeys is None:
            return (), compilation.problems
        older = compile_journeys(Sources(files=self.older), found.types).journeys
        proved = prove(compilation.drafts, compilation.journeys, [] if older is None else [older])
        shapes = event_shapes(found.types)
        earlier = earlier_sets(self.sources, found.types)
        scenarios = load_scenarios(self.sources.files, compilation.journeys, shapes, earlier.sets)
        return (), (*compilation.problems, *proved, *earlier.problems, *scenarios.problems)

    def rendered(self) -> str:
        of_schemas, of_journeys = self.problems()
        schema_sources = Sources(files=self.schemas, root="schemas/events")
        texts = [render_text(of_schemas, schema_sources), render_text(of_journeys, self.sources)]
        return "\n".join(text for text in texts if text) + "\n"


def all_codes() -> list[str]:
    """The code of every case."""
    return sorted(folder.name for folder in PROBLEMS.iterdir())


if __name__ == "__main__":
    # Writes the golden files anew: python -m tests.authoring.cases
    for code in all_codes():
        (GOLDEN / "problems" / f"{code}.txt").write_text(Case(code).rendered())
