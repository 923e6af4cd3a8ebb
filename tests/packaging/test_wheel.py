"""The wheel holds all that the commands need."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("schemas", "journeys", "deploy")


def tracked(*folders: str) -> set[str]:
    """The files of the checkout below the folders, without what running the code leaves there."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_every_file_of_the_package_and_every_shipped_folder(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    shipped = {f"orchestrator/_shipped/{name}" for name in tracked(*SHIPPED)}
    assert names == tracked("orchestrator") | shipped


def test_the_wheel_has_what_the_stack_and_the_demo_start_from(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "orchestrator/py.typed",
        "orchestrator/stack/jars.lock.json",
        "orchestrator/stack/log4j2.properties",
        "orchestrator/demo/data/ecom.csv.gz",
        "orchestrator/demo/data/README.md",
        "orchestrator/_shipped/deploy/connect/webhook.json",
        "orchestrator/_shipped/deploy/connect/sinks/src/orchestrator/connect/HttpSinkTask.java",
        "orchestrator/_shipped/schemas/actions/action_command.avsc",
        "orchestrator/_shipped/journeys/cart_abandonment.yaml",
        "orchestrator/_shipped/journeys/welcome_series.yaml",
    } <= names


def test_the_wheel_is_licensed(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    licence = next(name for name in archive.namelist() if name.endswith("licenses/LICENSE"))
    assert "Apache License" in archive.read(licence).decode()
    metadata = next(name for name in archive.namelist() if name.endswith("/METADATA"))
    assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()


@pytest.mark.parametrize("place", ["checkout", "wheel"])
def test_shipped_files_are_found_in_a_checkout_and_in_an_installed_wheel(
    place: str, wheel: Path, tmp_path: Path
) -> None:
    root = ROOT
    if place == "wheel":
        root = tmp_path
        zipfile.ZipFile(wheel).extractall(root)
    program = (
        "from orchestrator.resources import demo_data_path, journeys_dir, schemas_dir\n"
        "print(demo_data_path(), *journeys_dir().glob('cart_abandonment.yaml'))\n"
        "print(*schemas_dir().glob('*/order_placed.avsc'))\n"
    )
    # Isolated from the checkout, which an editable install puts on the path.
    bare = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{program}"]
    result = subprocess.run(bare, capture_output=True, text=True, check=True, cwd=tmp_path)
    found = [Path(path) for path in result.stdout.split()]
    assert len(found) == 3
    assert all(path.is_file() and path.is_relative_to(root) for path in found)


def test_the_wheel_names_no_place_of_this_machine(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    text = b"".join(archive.read(name) for name in archive.namelist() if not name.endswith(".gz"))
    assert str(ROOT).encode() not in text
