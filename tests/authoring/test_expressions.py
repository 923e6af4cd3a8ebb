"""What expressions mean, and that nothing but arithmetic can fail in them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.expressions import Names, check_expression, compile_checked, uses
from orchestrator.model.customer import Customer, Instance, StepResult
from orchestrator.model.journey import Scope
from orchestrator.model.types import BOOLEAN, DATE, DECIMAL, FLOAT, INSTANT, INTEGER, STRING, Kind, Type
from tests.authoring.cases import fixture_events

EVENTS = fixture_events().types
CART = EVENTS["cart_updated"]
ENTRY_FIELDS = sorted(CART.fields)
CAPTURED = {name: index for index, name in enumerate(ENTRY_FIELDS)}
ATTRIBUTES = {
    "name": STRING,
    "orders": INTEGER,
    "score": FLOAT,
    "spent": DECIMAL,
    "vip": BOOLEAN,
    "seen_at": INSTANT,
    "birthday": DATE,
    "tags": Type(Kind.LIST, item=STRING),
}
NAMES = Names(
    event=CART,
    entry=CART,
    attributes=ATTRIBUTES,
    consents=frozenset({"email", "sms"}),
    steps={"remind": "send", "pause": "wait"},
)
DAY_MS = 86_400_000
NOW_MS = 1_709_164_800_000
"""2024-02-29T00:00:00Z, a Thursday."""

EVENT: dict[str, Any] = {
    "event_id": "e1",
    "customer_id": "ada",
    "occurred_at": NOW_MS - DAY_MS,
    "cart_id": "c1",
    "value": Decimal("12.50"),
    "weight": 0.5,
    "pieces": 3,
    "note": None,
    "source": "app",
    "deliver_on": 19_782,
    "items": [{"sku": "mug", "quantity": 2, "price": Decimal("6.25")}],
    "tags": ["new", "gift"],
    "labels": {"aisle": "7"},
    "top": {"sku": "mug", "price": Decimal("6.25")},
    "is_gift": True,
}
ENTRY = EVENT | {"value": "12.50", "top": {"sku": "mug", "price": "6.25"}, "cart_id": "c1", "pieces": 2}


def scope(**changed: Any) -> Scope:
    made = Scope()
    made.event = EVENT | changed
    made.customer_id = "ada"
    made.customer = Customer(
        profile={"name": "Ada", "orders": 4, "spent": "99.90", "tags": ["a"], "seen_at": NOW_MS, "birthday": 0},
        consent={"email": True},
    )
    results = {"remind": StepResult(2, NOW_MS, "sent", "a1", "email")}
    entry = [ENTRY[name] for name in ENTRY_FIELDS]
    made.instance = Instance(1, "cart", "v", "", NOW_MS, 0, "pause", 0, 0, entry, results)
    made.now_ms = NOW_MS
    return made


def value_of(text: str, **changed: Any) -> Any:
    checked, problems = check_expression(text, NAMES)
    assert checked is not None, problems
    return compile_checked(checked, CAPTURED).evaluate(scope(**changed))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.value > 0", True),
        ("event.value == 12.5", True),
        ("event.value == 12.50 and event.value < 12.51", True),
        ("event.value == entry.value", True),
        ("event.top.price == entry.top.price", True),
        ("event.weight == 0.5", True),
        ("event.weight + event.value", Decimal("13.0")),
        ("event.cart_id == entry.cart_id", True),
        ("event.pieces > entry.pieces", True),
        ("event.note == null", True),
        ("event.note != 'x'", True),
        ("event.note < 'x'", False),
        ("not (event.note < 'x')", True),
        ("event.note ?? 'none'", "none"),
        ("profile.score == null", True),
        ("profile.score > 1", False),
        ("profile.score + 1", None),
        ("(profile.score ?? 1.5) * 2 == 3", True),
        ("profile.orders + 1", 5),
        ("profile.orders ?? 0 + 1", 5),
        ("profile.spent >= 99.9", True),
        ("profile.vip", None),
        ("not profile.vip", True),
        ("profile.vip or profile.orders > 3", True),
        ("profile.vip and true", False),
        ("consent.email and not consent.sms", True),
        ("steps.remind.action_id == 'a1' and steps.remind.visits == 2", True),
        ("steps.remind.outcome == 'sent' and steps.remind.channel == 'email' and steps.remind.at == now", True),
        ("steps.pause.visits", 0),
        ("steps.pause.outcome == null", True),
        ("customer_id", "ada"),
        ("now - event.occurred_at >= 1 day", True),
        ("now - 1 day == event.occurred_at", True),
        ("event.deliver_on + 1 day > event.deliver_on", True),
        ("event.deliver_on - profile.birthday == 19782 * 1 day", True),
        ("2 * 90 minutes == 3 hours", True),
        ("6 hours / 4 hours", 1.5),
        ("7 % 4", 3),
        ("7 / 2", 3.5),
        ("-event.pieces", -3),
        ("--event.pieces", 3),
        ("event.cart_id in ['c1', 'c2']", True),
        ("event.cart_id not in ['c1', 'c2']", False),
        ("'gift' in event.tags", True),
        ("event.cart_id in [entry.cart_id, 'x']", True),
        ("event.value in [12.5, 3]", True),
        ("lower('ABC') == 'abc' and upper('abc') == 'ABC'", True),
        ("contains(event.cart_id, 'c')", True),
        ("contains(event.tags, 'new')", True),
        ("contains(event.note, 'x')", False),
        ("starts_with(profile.name, 'A') and ends_with(profile.name, 'a')", True),
        ("length(event.tags) + length(event.cart_id)", 4),
        ("lower(event.note)", None),
        ("days_between(event.occurred_at, now)", 1),
        ("hours_between(event.occurred_at, now)", 24),
        ("days_between(event.deliver_on, now)", 0),
        ("year(now) * 10000 + month(now) * 100 + day(now)", 20240229),
        ("weekday(now)", 4),
        ("weekday(event.deliver_on)", 4),
        ("round(2.5)", 3),
        ("round(event.value)", 13),
        ("round(event.value / 3, 2)", Decimal("4.17")),
        ("round(event.weight, 1)", 0.5),
        ("min(event.pieces, 2, 9)", 2),
        ("max(event.value, 20)", Decimal(20)),
        ("abs(-3)", 3),
        ("event.labels.aisle == '7'", True),
        ("event.labels.shelf == null", True),
        ("'it''s' == \"it's\"", True),
        ("1 + 2 * 3 == 7 and (1 + 2) * 3 == 9", True),
        ("true or 1 / event.pieces > 0", True),
    ],
)
def test_an_expression_has_the_documented_value(text: str, expected: Any) -> None:
    found = value_of(text)
    assert found == expected
    assert isinstance(found, bool) == isinstance(expected, bool)


ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@pytest.mark.parametrize("sign", sorted(ORDERINGS))
@pytest.mark.parametrize("left", [1, 2, 3, None])
def test_every_shape_of_a_comparison_means_the_same(sign: str, left: int | None) -> None:
    compare = ORDERINGS[sign]
    is_equality = sign in {"==", "!="}
    expected = compare(left, 2) if is_equality or left is not None else False
    for right in ("2", "entry.pieces", "(entry.pieces + 0)", "(1 + 1)"):
        for said in ("event.pieces", "(event.pieces + 0)"):
            assert value_of(f"{said} {sign} {right}", pieces=left) is expected
            assert value_of(f"event.cart_id == entry.cart_id and {said} {sign} {right}", pieces=left) is expected
            assert value_of(f"event.cart_id == entry.cart_id and {said} {sign} {right}", cart_id="c2") is False


@pytest.mark.parametrize(
    "text", ["1 / (event.pieces - 3)", "event.pieces % (event.pieces - 3)", "event.value / (event.value - 12.5)"]
)
def test_division_by_zero_is_an_arithmetic_error(text: str) -> None:
    with pytest.raises(ArithmeticError):
        value_of(text)


def test_a_whole_number_that_no_longer_fits_into_64_bits_is_an_arithmetic_error() -> None:
    with pytest.raises(OverflowError):
        value_of("event.pieces * event.pieces", pieces=4_000_000_000)


def test_an_attribute_that_an_older_version_stored_with_another_type_counts_as_null() -> None:
    checked, _ = check_expression("profile.orders > 1 or profile.spent > 1 or profile.name < 'x'", NAMES)
    assert checked is not None
    at = scope()
    at.customer.profile.update(orders="many", spent="a lot", name=7)
    assert compile_checked(checked, CAPTURED).evaluate(at) is False


def test_only_what_is_used_is_captured() -> None:
    checked, _ = check_expression("entry.value > 1 and entry.top.sku == profile.name and consent.sms", NAMES)
    assert checked is not None
    used = uses(checked.node)
    assert used.entry == {"value", "top"}
    assert used.attributes == {"name"}
    assert used.consents == {"sms"}


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("event.value > 0 and event.totl < 3", 26, 30),
        ("  lowr(event.cart_id) == 'x'", 2, 6),
        ("event.value > 'x'", 0, 17),
    ],
)
def test_a_mistake_has_its_place_in_the_text(text: str, start: int, end: int) -> None:
    _, problems = check_expression(text, NAMES)
    assert [(problem.start, problem.end) for problem in problems] == [(start, end)]


def test_all_mistakes_of_an_expression_are_reported() -> None:
    _, problems = check_expression("event.totl > 1 and profile.nme == 'x' and foo", NAMES)
    assert [problem.code for problem in problems] == ["J202", "J207", "J210"]


@given(st.text(max_size=200) | st.text(alphabet="evntry.pofilcsa'\"()[]<>=!?+-*/%,0123456789 \n", max_size=300))
def test_any_text_gives_an_expression_or_problems(text: str) -> None:
    checked, problems = check_expression(text, NAMES)
    assert (checked is None) == bool(problems)
    assert all(0 <= problem.start <= problem.end <= max(len(text), problem.end) for problem in problems)


ATOMS = st.sampled_from(
    [f"event.{name}" for name in CART.fields]
    + [f"entry.{name}" for name in CART.fields]
    + [f"profile.{name}" for name in ATTRIBUTES]
    + ["consent.email", "steps.remind.visits", "steps.remind.outcome", "steps.pause.at", "now", "customer_id"]
    + ["0", "1", "2.5", "'c1'", "true", "null", "1 day", "['c1', 'x']", "[1, 2]", "event.top.price", "event.labels.x"]
    + ["999999999999999999", "-7", "0.1"]
)
OPERATORS = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "and", "or", "+", "-", "*", "/", "%", "??", "in"])
FUNCTION_NAMES = st.sampled_from(["lower", "upper", "length", "year", "month", "day", "weekday", "round", "abs", "not"])
PAIR_NAMES = st.sampled_from(["contains", "starts_with", "ends_with", "days_between", "hours_between", "min", "max"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, OPERATORS, inner),
        st.builds("{}({})".format, FUNCTION_NAMES, inner),
        st.builds("{}({}, {})".format, PAIR_NAMES, inner, inner),
        st.builds("-({})".format, inner),
    ),
    max_leaves=8,
)
WHOLE = st.integers(-(2**63), 2**63 - 1)
MONEY = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**10), max_value=10**10, places=2)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.STRING: st.text(max_size=5),
    Kind.INTEGER: WHOLE,
    Kind.FLOAT: st.floats(),
    Kind.DECIMAL: MONEY,
    Kind.BOOLEAN: st.booleans(),
    Kind.INSTANT: WHOLE,
    Kind.DATE: st.integers(-(2**31), 2**31 - 1),
    Kind.LIST: st.lists(st.text(max_size=3), max_size=3),
    Kind.MAP: st.dictionaries(st.just("x"), st.text(max_size=3)),
    Kind.RECORD: st.fixed_dictionaries({"sku": st.text(max_size=3), "price": MONEY}),
}
ANY_VALUE = st.one_of(st.none(), WHOLE, st.floats(), st.text(max_size=4), st.booleans(), st.lists(WHOLE, max_size=2))


def as_stored(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return {k: as_stored(v) for k, v in value.items()} if isinstance(value, dict) else value


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, st.data())
def test_evaluation_raises_nothing_but_arithmetic_errors(text: str, data: st.DataObject) -> None:
    checked, problems = check_expression(text, NAMES)
    assert (checked is None) == bool(problems)
    if checked is None:
        return
    event = {name: data.draw(st.none() | VALUES[of.kind]) for name, of in CART.fields.items()}
    at = scope()
    at.event = event
    assert at.instance is not None
    at.instance.entry = [as_stored(event[name]) for name in ENTRY_FIELDS]
    at.customer.profile = {name: data.draw(ANY_VALUE) for name in ATTRIBUTES}
    try:
        value = compile_checked(checked, CAPTURED).evaluate(at)
    except ArithmeticError:
        return
    assert value is None or kind_of(value, checked.type.kind), (text, value, checked.type)


def kind_of(value: Any, kind: Kind) -> bool:
    """Whether the value is of the type that the checker promised."""
    types: dict[Kind, tuple[type, ...]] = {
        Kind.STRING: (str,),
        Kind.FLOAT: (float, int),
        Kind.DECIMAL: (Decimal, int),
        Kind.BOOLEAN: (bool,),
        Kind.LIST: (list,),
        Kind.MAP: (dict,),
        Kind.RECORD: (dict,),
    }
    return isinstance(value, types.get(kind, (int,)))


@pytest.mark.parametrize("text", ["min(event.weight, profile.spent)", "max(profile.spent, event.weight)"])
def test_the_least_and_greatest_of_a_decimal_and_a_number_with_a_point_are_decimals(text: str) -> None:
    checked, problems = check_expression(text, NAMES)
    assert checked is not None, problems
    at = scope()
    at.customer.profile = {"spent": "0.5"}
    for weight in (0.25, 2.0):
        at.event = {"weight": weight}
        assert type(compile_checked(checked, CAPTURED).evaluate(at)) is Decimal
