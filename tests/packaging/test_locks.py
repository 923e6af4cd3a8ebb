"""The locks name versions and sums, and nothing of the machine or the network they were made with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = (ROOT / "requirements.lock").read_text()
TOOLS = ROOT / "tests" / "deploy" / "tools"
LOCKED = REQUIREMENTS + (TOOLS / "linters.lock").read_text() + (TOOLS / "go.lock").read_text()


def test_every_python_package_is_pinned_and_hashed() -> None:
    packages = re.split(r"^(?=[a-z0-9])", REQUIREMENTS, flags=re.MULTILINE)[1:]
    assert len(packages) > 50
    for package in packages:
        assert re.match(r"[a-z0-9._-]+==\S+ ", package), package.splitlines()[0]
        assert "--hash=sha256:" in package, package.splitlines()[0]


def test_everything_the_project_asks_for_is_locked() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    asked = re.findall(r'^    "([A-Za-z0-9-]+)[^"]*[=<>~][^"]*"', text, flags=re.MULTILINE)
    assert "faust-streaming" in asked
    assert "pytest" in asked
    for name in asked:
        assert re.search(rf"^{name.lower()}==", LOCKED, flags=re.MULTILINE), f"{name}: run make lock"


@pytest.mark.parametrize(
    "path",
    [
        "requirements.lock",
        "tests/deploy/tools/linters.lock",
        "tests/deploy/tools/go.lock",
        "orchestrator/stack/jars.lock.json",
        "Makefile",
        ".ci/run",
    ],
)
def test_no_host_and_no_place_of_a_machine_is_named(path: str) -> None:
    text = (ROOT / path).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    assert str(ROOT) not in text
