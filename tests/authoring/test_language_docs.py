"""docs/language.md is right: its journey compiles, its expressions have the values that it says."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.durations import HOUR_MS
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.expression_functions import FUNCTIONS
from orchestrator.authoring.expressions import Names, check_expression, compile_checked
from orchestrator.authoring.liquid_sandbox import FORBIDDEN_FILTERS, FORBIDDEN_TAGS
from orchestrator.authoring.sources import Sources
from orchestrator.authoring.step_source import KEYS
from orchestrator.model.customer import Customer
from orchestrator.model.journey import Scope
from orchestrator.model.types import STRING
from tests.authoring.cases import HERE

ROOT = HERE.parent.parent
TEXT = (ROOT / "docs" / "language.md").read_text()
EVENTS = load_event_types(ROOT / "schemas" / "events")
NOON_MS = 1_709_208_000_000
"""2024-02-29T12:00:00Z."""


def examples() -> dict[str, str]:
    """File name → content: an example's first line is its file's name."""
    return dict(re.findall(r"```(?:yaml|liquid)\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))


def rows() -> list[tuple[str, str]]:
    table = TEXT.split("| expression | value |")[1].split("\n\n")[0]
    return re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", table, re.MULTILINE)


def test_the_examples_compile_without_a_problem() -> None:
    compilation = compile_journeys(Sources(files=examples(), root="docs/language.md"), EVENTS)
    assert compilation.problems == ()
    assert compilation.journeys is not None
    assert len(re.findall(r"```(?:yaml|liquid)\n", TEXT)) == len(examples())


@pytest.mark.parametrize(("text", "expected"), rows())
def test_an_expression_has_the_value_that_the_docs_say(text: str, expected: str) -> None:
    names = Names(event=EVENTS["cart_updated"], attributes={"first_name": STRING, "phone": STRING})
    checked, problems = check_expression(text, names)
    assert checked is not None, problems
    scope = Scope()
    scope.now_ms = NOON_MS
    scope.event = {"value": Decimal("12.50"), "cart_id": "c1", "items": [{}, {}], "occurred_at": NOON_MS - HOUR_MS}
    scope.customer = Customer(profile={"first_name": "Ada"})
    value = compile_checked(checked, {}).evaluate(scope)
    assert as_written(value) == expected


def as_written(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"'{value}'" if isinstance(value, str) else str(value)


def test_every_function_step_and_forbidden_word_is_in_the_docs() -> None:
    assert {name for name in FUNCTIONS if f"`{name}(" not in TEXT} == set()
    table = TEXT.split("| step | keys |")[1].split("\n\n")[0]
    for kind, keys in KEYS.items():
        row = next(line for line in table.splitlines() if line.startswith(f"| `{kind}:"))
        assert {key for key in keys if f"`{key}" not in row} == set()
    assert {word for word in FORBIDDEN_FILTERS | FORBIDDEN_TAGS if f"`{word}`" not in TEXT} == set()
