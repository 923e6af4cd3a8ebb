"""What is called a contradiction holds for no value at all: tried with every value around the constants."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.contradictions import contradictions
from orchestrator.authoring.expression_nodes import Names
from orchestrator.authoring.expressions import check_expression, compile_checked
from orchestrator.model.journey import Scope
from orchestrator.model.types import INTEGER, STRING, EventType

NAMES = Names(event=EventType("e", {"n": INTEGER, "m": INTEGER, "word": STRING}, ""))
COMPARISONS = st.builds(
    lambda name, operator, number, is_turned: (
        f"{number} {operator} event.{name}" if is_turned else f"event.{name} {operator} {number}"
    ),
    st.sampled_from("nm"),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.integers(0, 3),
    st.booleans(),
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.builds(lambda a, joint, b: f"({a}) {joint} ({b})", inner, st.sampled_from(["and", "or"]), inner),
    max_leaves=5,
)


def found_in(condition: str) -> list[str]:
    checked, problems = check_expression(condition, NAMES)
    assert checked is not None, problems
    return list(contradictions(checked.node))


@given(parts=st.lists(COMPARISONS | CONDITIONS, min_size=2, max_size=3))
@settings(max_examples=300, deadline=None)
def test_no_value_passes_what_is_called_a_contradiction(parts: list[str]) -> None:
    condition = " and ".join(f"({part})" for part in parts)
    checked, problems = check_expression(condition, NAMES)
    assert checked is not None, problems
    if any(contradictions(checked.node)) and not any(found_in(part) for part in parts):
        evaluate = compile_checked(checked, {}).evaluate
        scope = Scope()
        for n in (None, *range(-1, 5)):
            for m in (None, *range(-1, 5)):
                scope.event = {"n": n, "m": m}
                assert not evaluate(scope), (condition, n, m)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("event.n > 5 and event.n < 3", ["event.n > 5 and event.n < 3"]),
        ("3 > event.n and event.m == 1 and event.n >= 3", ["event.n < 3 and event.n >= 3"]),
        ("event.word == 'a' and event.word == 'b'", ["event.word == 'a' and event.word == 'b'"]),
        ("event.m == 1 or event.n > 5 and event.n == 5", ["event.n > 5 and event.n == 5"]),
        ("event.n >= 3 and event.n <= 3", []),
        ("event.n > 3 or event.n < 3", []),
        ("event.n > 5 and event.m < 3", []),
        ("not (event.n > 5) and event.n < 3", []),
    ],
)
def test_contradictions(condition: str, expected: list[str]) -> None:
    assert found_in(condition) == expected
