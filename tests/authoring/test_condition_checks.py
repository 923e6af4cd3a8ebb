"""What is said never or always to hold does so for all values, null and NaN among them; and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.expression_nodes import Aggregated, Apply, Names, Typed, walk
from orchestrator.authoring.expression_text import text_of
from orchestrator.authoring.expressions import check_expression, compile_checked
from orchestrator.authoring.satisfiable import always_holds, never_holds, none_of, together, ways
from orchestrator.model.journey import Scope
from orchestrator.model.types import BOOLEAN, DATE, DECIMAL, FLOAT, INTEGER, STRING, EventType
from tests.authoring.cases import fixture_events, fixture_sources

VALUES: dict[str, list[Any]] = {
    "whole": [None, -1, 0, 1, 2, 3],
    "piece": [0, 1, 2, 3],
    "weight": [0.0, 1.0, 1.5, 2.0, 9.0, float("nan")],
    "total": [Decimal("0.00"), Decimal("1.00"), Decimal("1.50"), Decimal("2.00")],
    "flag": [None, True, False],
    "size": ["S", "L"],
    "word": ["", "a", "b", "c"],
    "day": [0, 40, 19_782],
}
TYPES = {
    "whole": replace(INTEGER, nullable=True),
    "piece": INTEGER,
    "weight": FLOAT,
    "total": DECIMAL,
    "flag": replace(BOOLEAN, nullable=True),
    "size": replace(STRING, symbols=("S", "L")),
    "word": STRING,
    "day": DATE,
}
NAMES = Names(event=EventType("e", TYPES, ""), event_types={"e": EventType("e", TYPES, "")})
OPERATORS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
NUMBERS = st.sampled_from(["whole", "piece", "weight", "total"]).map("event.{}".format)
ATOMS = st.one_of(
    st.builds("{} {} {}".format, NUMBERS, OPERATORS, st.sampled_from(["0", "1", "1.5", "2", "3", "1 + 1", "-1"])),
    st.builds("{} {} {}".format, NUMBERS, OPERATORS, NUMBERS),
    st.builds("{} {} (event.whole ?? 2)".format, st.sampled_from(["1", "2", "event.piece"]), OPERATORS),
    st.builds(
        "{} {} {}".format, st.sampled_from(["length(event.word)", "month(event.day)"]), OPERATORS, st.integers(0, 2)
    ),
    st.sampled_from(
        [
            "event.flag",
            "event.flag == false",
            "event.whole == null",
            "event.whole != null",
            "event.whole in [1, 2]",
            "event.whole not in [1, null]",
            "event.size == 'S'",
            "event.size in ['S', 'L']",
            "event.word < 'b'",
            "event.word == 'a'",
            "event.whole / event.piece > 1",
            "event.whole % event.piece == 0",
        ]
    ),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=5,
)


def typed(condition: str) -> Typed:
    checked, problems = check_expression(condition, NAMES)
    assert checked is not None, problems
    return checked.node


def outcomes(*conditions: str) -> list[tuple[bool | None, ...]]:
    """What the conditions say of every event; None for one that fails."""
    compiled = []
    for condition in conditions:
        checked, _ = check_expression(condition, NAMES)
        assert checked is not None
        compiled.append(compile_checked(checked, {}).evaluate)
    named = [field for field in VALUES if any(f"event.{field}" in condition for condition in conditions)]
    found = []
    scope = Scope()
    for chosen in product(*(VALUES[field] for field in named)):
        scope.event = dict(zip(named, chosen, strict=True))
        said: list[bool | None] = []
        for evaluate in compiled:
            try:
                said.append(bool(evaluate(scope)))
            except ArithmeticError:
                said.append(None)
        found.append(tuple(said))
    return found


@given(condition=CONDITIONS)
@settings(max_examples=400, deadline=None)
def test_what_never_or_always_holds_does_so_for_all_values(condition: str) -> None:
    node = typed(condition)
    if never_holds(node):
        assert (True,) not in outcomes(condition)
    if always_holds(node):
        assert set(outcomes(condition)) == {(True,)}


@given(earlier=CONDITIONS, other=CONDITIONS, later=CONDITIONS)
@settings(max_examples=200, deadline=None)
def test_what_earlier_cases_take_is_not_left_for_a_later_one(earlier: str, other: str, later: str) -> None:
    before = none_of([typed(earlier), typed(other)])
    if before == [] or together(before, ways(typed(later))) == []:
        for first, second, third in outcomes(earlier, other, later):
            assert first or second or (before != [] and not third), (earlier, other, later)


@given(condition=CONDITIONS)
@settings(max_examples=200, deadline=None)
def test_a_condition_is_written_as_it_is_read(condition: str) -> None:
    node = typed(condition)
    assert text_of(typed(text_of(node))) == text_of(node)
    assert outcomes(condition) == outcomes(text_of(node))


NEVER = [
    "event.piece > 3 and event.piece < 4",
    "event.whole > 2.1 and not (event.whole >= 3)",
    "event.flag and not event.flag",
    "(event.piece < 1 or event.piece > 5) and event.piece in [2, 3]",
    "not (event.piece > 1 or event.piece <= 1)",
    "event.whole == event.piece and event.whole < 1 and event.piece > 1",
    "event.whole < event.piece and event.whole >= event.piece",
    "(event.whole ?? 0) > 3 and event.whole == null",
    "event.size != 'S' and event.size != 'L'",
    "event.whole / event.piece > 2 and event.whole / event.piece < 1",
    "count(e) > 2 and count(e) < 3",
]
ALWAYS = [
    "event.piece > 3 or event.piece < 5",
    "event.whole > 1 or event.whole <= 1 or event.whole == null",
    "event.flag or not event.flag",
    "event.size == 'S' or event.size == 'L'",
    "event.total == 1 or event.total != 1",
]
SOMETIMES = [
    "event.total > 3 and event.total < 4",
    "event.whole > 1 or event.whole <= 1",
    "event.weight > 1 or event.weight <= 1",
    "event.whole / event.piece > 1 or event.whole / event.piece <= 1",
    "event.whole == event.piece and event.whole < 1 and event.total > 1",
    "event.whole != event.piece and event.whole == null",
    "days_since(e) > 3 or days_since(e) <= 3",
]


@pytest.mark.parametrize("condition", NEVER)
def test_never(condition: str) -> None:
    assert never_holds(typed(condition))
    assert not always_holds(typed(condition))


@pytest.mark.parametrize("condition", ALWAYS)
def test_always(condition: str) -> None:
    assert always_holds(typed(condition))
    assert not never_holds(typed(condition))


@pytest.mark.parametrize("condition", SOMETIMES)
def test_sometimes(condition: str) -> None:
    assert not always_holds(typed(condition))
    assert not never_holds(typed(condition))


def test_a_condition_with_too_many_ways_is_let_be() -> None:
    many = " and ".join(f"(event.piece > {n} or event.total > {n})" for n in range(20))
    assert ways(typed(many)) is None
    assert not never_holds(typed(f"({many}) and event.flag and not event.flag"))


OF_WAYS = {"J346", "J347"}


def codes(journey: str, segments: str = "") -> list[str]:
    files = {"j.yaml": journey} | ({"segments.yaml": segments} if segments else {})
    found = compile_journeys(fixture_sources(files), fixture_events().types)
    # Where the ways lead is not what these are about.
    return [problem.code for problem in found.problems if problem.path in files and problem.code not in OF_WAYS]


def journey(steps: str, *, where: str = "event.value > 0", extra: str = "") -> str:
    return f"""\
journey: j
owner: o@shop.example
status: live
entry: {{on: cart_updated, where: "{where}"}}
{extra}
steps:
  first: {steps}
  a: {{wait: 1 day}}
"""


def branch(*cases: str, otherwise: str = "a") -> str:
    listed = "".join(f'{{when: "{case}", go: a}}, ' for case in cases)
    return f"{{branch: [{listed}{{otherwise: {otherwise}}}]}}"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (branch("entry.pieces >= 100", "entry.pieces >= 200"), ["J332"]),
        (branch("entry.pieces > 1", "entry.pieces < 1", "entry.pieces == 1"), ["J333"]),
        (branch("entry.pieces > 1", "entry.pieces < 1"), []),
        (branch("entry.pieces > 1", "entry.pieces < 1", "entry.pieces in [1, 1]", "entry.is_gift"), ["J332"]),
        (branch("entry.note == 'a'", "entry.note != 'a'"), ["J333"]),
        (branch("entry.note < 'a'", "entry.note >= 'a'"), []),
        (branch("entry.weight < 1", "entry.weight >= 1"), []),
        (branch("entry.source == 'web'", "entry.source != 'web'"), []),
        (branch("10 / entry.pieces > 2 or entry.is_gift", "entry.is_gift"), []),
        (branch("entry.value < 0"), ["J335"]),
        (branch("entry.value < 0 or entry.is_gift"), []),
        (branch("steps.first.visits >= 0"), ["J462"]),
        (branch("month(entry.deliver_on) == 13"), ["J461"]),
        (branch("1 + 1 > 3"), ["J461"]),
        (branch("true"), ["J333"]),
    ],
)
def test_what_is_said_of_cases(steps: str, expected: list[str]) -> None:
    assert codes(journey(steps)) == expected


@pytest.mark.parametrize(
    ("where", "rule", "expected"),
    [
        ("not consent.email", "when: not consent.email", ["J334"]),
        ("consent.email", "when: not consent.email", []),
        ("event.value > 100", "when: entry.value > 50", ["J334"]),
        ("event.value > 50", "when: entry.value > 100", []),
        ("event.value > 0", "when: steps.first.visits == 0", ["J334"]),
        ("event.value > 100", "{on: order_placed, where: event.total < 50 and event.total == entry.value}", ["J335"]),
        ("event.value > 100", "{on: order_placed, where: event.total < 50 and event.cart_id == entry.cart_id}", []),
        ("event.pieces > 0 or profile.email == null", "when: entry.pieces == 0", []),
    ],
)
def test_what_is_said_of_exits(where: str, rule: str, expected: list[str]) -> None:
    assert codes(journey("{wait: 1 hour}", where=where, extra=f"exit: [{{{rule.strip('{}')}}}]")) == expected


def test_awaited_events_that_earlier_lines_take() -> None:
    lines = "{on: order_placed, where: event.total < 50}, {on: order_placed, where: event.total >= 50}"
    third = "{on: order_placed, where: event.total > 70}"
    assert codes(journey(f"{{wait_for: [{lines}], timeout: 1 day}}")) == []
    assert codes(journey(f"{{wait_for: [{lines}, {third}], timeout: 1 day}}")) == ["J336"]


def test_segments_and_aggregates_are_looked_at() -> None:
    one = "segments: {often: {when: 'count(order_placed, 30 days) < 0'}}\n"
    assert codes(journey("{wait: 1 hour}"), one) == ["J461"]
    inner = "segments: {often: {when: 'count(order_placed where event.total > 3 and not (event.total > 2)) > 1'}}\n"
    assert codes(journey("{wait: 1 hour}"), inner) == ["J463"]


def test_attributes_of_unknown_type_are_let_be() -> None:
    steps = "{set: {odd: 1}}\n  second: {set: {odd: \"'a'\"}}"
    extra = "exit: [{when: \"profile.odd == 1 and not (profile.odd == 'a')\"}]"
    assert codes(journey(steps, extra=extra)) == ["J410"]


def test_a_walk_does_not_see_what_an_aggregate_counts() -> None:
    node = typed("count(e where event.piece > 3) > 1")
    assert [type(part) for part in walk(node)][:2] == [Apply, Aggregated]
