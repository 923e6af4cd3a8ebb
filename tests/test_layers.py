"""Imports point downward, and the layers below `runtime` have no clock, chance, environment or I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "orchestrator"

ORDER = ("model", "engine", "authoring", "stack", "runtime", "demo", "cli")
"""From the bottom to the top: a layer imports from itself and from those before it."""

STREAM_LIBRARIES = {"faust", "mode", "aiokafka", "confluent_kafka", "rocksdict"}

PURE_IMPORTS = {
    "model": {"__future__", "collections", "dataclasses", "decimal", "enum", "typing", "msgspec"},
    "engine": {
        *("__future__", "collections", "dataclasses", "decimal", "typing", "xxhash"),
        # Local times of day: arithmetic on the pinned tzdata package, whose tables are read once and never change.
        *("datetime", "functools", "importlib", "zoneinfo"),
        # The next tick among those of a day.
        "bisect",
        # Sketches of sets: no clock and no chance, the same bytes everywhere.
        "datasketches",
    },
}
"""All that the pure layers may import beside `orchestrator` itself."""

CLOCKS = {"now", "utcnow", "today", "time_ns", "monotonic", "perf_counter"}
"""Methods of datetime and time that read a clock."""

IMPURE_NAMES = {"open", "print", "input", "eval", "exec", "compile", "__import__", "breakpoint"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "_shipped" not in path.parts)


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path: Path) -> None:
    layer = layer_of(path)
    for name in imported_names(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] in STREAM_LIBRARIES:
            assert layer == "runtime", f"{name} is imported outside runtime"
        if layer in ORDER and parts[0] == "orchestrator" and len(parts) > 1 and parts[1] in ORDER:
            assert ORDER.index(parts[1]) <= ORDER.index(layer), f"{layer} imports {name} from a layer above it"


@pytest.mark.parametrize("layer", sorted(PURE_IMPORTS))
def test_pure_layers_have_no_outside_world(layer: str) -> None:
    for path in sorted((PACKAGE / layer).rglob("*.py")):
        tree = ast.parse(path.read_text())
        for name in imported_names(tree):
            top = name.split(".")[0]
            assert top == "orchestrator" or top in PURE_IMPORTS[layer], f"{path.name} imports {name}"
        for node in ast.walk(tree):
            assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path.name} is asynchronous"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in IMPURE_NAMES, f"{path.name} calls {node.func.id}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in CLOCKS, f"{path.name} reads a clock: {node.func.attr}"


def test_every_source_file_belongs_to_a_known_layer() -> None:
    top = {layer_of(path) for path in modules() if len(path.relative_to(PACKAGE).parts) > 1}
    assert top <= set(ORDER)
