"""Every mistake that the checker knows: reported as its golden file says, and gone when written as the docs say."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.authoring.sources import Sources
from tests.authoring.cases import GOLDEN, HERE, Case, all_codes

ROOT = HERE.parent.parent
REPORTED_BESIDES = {"J904": {"J905"}}
"""Two files cannot both be called like the one record that they describe."""
NOT_A_SNIPPET = {
    "J101",
    "J112",
    "J118",
    "J121",
    "J125",
    "J184",
    "J195",
    "J196",
    "J262",
    "J712",
    "J213",
    "J217",
    "J606",
    "J607",
    "J611",
    "J808",
    "J904",
    "J906",
}
"""These are about several files or too long to print; their entries say it in words."""


@dataclass(frozen=True)
class Entry:
    code: str
    title: str
    wrong: str
    right: str


def docs_entries() -> list[Entry]:
    text = (ROOT / "docs" / "problems.md").read_text()
    entries: list[Entry] = []
    for match in re.finditer(r"^### (J\d{3}): (.+?)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL):
        blocks = re.findall(r"```\w+\n(.*?)\n```", match[3], re.DOTALL)
        wrong, right = blocks if len(blocks) == 2 else ("", "")
        if not blocks:
            assert "Wrong: " in match[3], match[1]
            assert "Right: " in match[3], match[1]
        entries.append(Entry(match[1], match[2], wrong, right))
    return entries


def codes_in_the_code() -> set[str]:
    package = ROOT / "orchestrator"
    return {code for file in package.rglob("*.py") for code in re.findall(r'"(J\d{3})"', file.read_text())}


@pytest.mark.parametrize("code", all_codes())
def test_a_mistake_is_reported_as_its_golden_file_says(code: str) -> None:
    case = Case(code)
    assert case.rendered() == (GOLDEN / "problems" / f"{code}.txt").read_text()
    of_schemas, of_journeys = case.problems()
    codes = {problem.code for problem in (*of_schemas, *of_journeys)}
    assert codes == {code} | REPORTED_BESIDES.get(code, set())


def test_every_code_has_a_case_a_golden_file_and_an_entry_in_the_docs() -> None:
    used = codes_in_the_code()
    assert used == set(all_codes())
    assert used == {file.stem for file in (GOLDEN / "problems").glob("*.txt")}
    assert used == {entry.code for entry in docs_entries()}


def test_no_two_meanings_share_a_code_and_no_two_codes_a_meaning() -> None:
    entries = docs_entries()
    assert len({entry.code for entry in entries}) == len(entries)
    assert len({entry.title for entry in entries}) == len(entries)


def replaced(text: str, wrong: str, right: str) -> str | None:
    """The text with the wrong lines written right, indented as they are there; None if they are not there."""
    for indent in range(10):
        margin = " " * indent
        lines = f"\n{textwrap.indent(wrong, margin)}\n"
        if lines in text:
            return text.replace(lines, f"\n{textwrap.indent(right, margin)}\n", 1)
    return text.replace(wrong, right, 1) if wrong and wrong in text else None


@pytest.mark.parametrize("entry", [e for e in docs_entries() if e.code not in NOT_A_SNIPPET], ids=lambda e: e.code)
def test_the_right_form_of_the_docs_is_accepted(entry: Entry) -> None:
    case = Case(entry.code)
    wrong = "" if entry.wrong == "# (nothing)" else entry.wrong
    is_schema = entry.code.startswith("J9")
    files = case.schemas if is_schema else dict(case.sources.files)
    if wrong:
        changed = {path: new for path, text in files.items() if (new := replaced(text, wrong, entry.right)) is not None}
    else:
        added = {path: f"{text}{entry.right}\n" for path, text in files.items()}
        changed = {path: text for path, text in added.items() if path == own_file(entry.code)}
        if is_schema:
            changed = {path: files[path].replace('"fields": [\n', f'"fields": [\n{entry.right}\n') for path in changed}
    assert changed, "the docs' wrong form is not in the case"
    if is_schema:
        case.schemas.update(changed)
    else:
        case.sources = Sources(files={**files, **changed}, root="journeys")
    of_schemas, of_journeys = case.problems()
    assert [problem for problem in (*of_schemas, *of_journeys) if problem.severity == "error"] == []
    assert entry.code not in {problem.code for problem in of_journeys}


def own_file(code: str) -> str:
    """The one file of the case's own, as the sources name it."""
    folder: Path = HERE / "problems" / code
    return next(f.relative_to(folder).as_posix().removeprefix("schemas/") for f in folder.rglob("*.*") if f.is_file())
