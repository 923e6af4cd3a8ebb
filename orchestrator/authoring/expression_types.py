"""Syntax tree -> typed nodes: names are looked up, operand types checked. Every mistake is reported with a place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from orchestrator.authoring.expression_aggregates import AGGREGATES, AggregateChecker, is_aggregate
from orchestrator.authoring.expression_functions import FUNCTIONS, NUMBER, Function
from orchestrator.authoring.expression_names import typed_name
from orchestrator.authoring.expression_nodes import UNKNOWN, Apply, Constant, Names, Typed
from orchestrator.authoring.expression_syntax import (
    Call,
    ExpressionProblem,
    Filtered,
    ListOf,
    Literal,
    Name,
    Operation,
    Tree,
)
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.model.types import (
    BOOLEAN,
    DATE,
    DECIMAL,
    DURATION,
    FLOAT,
    INSTANT,
    INTEGER,
    NULL,
    Kind,
    Type,
)

TIMES = frozenset({Kind.INSTANT, Kind.DATE, Kind.DURATION})
ORDERED = NUMBER | TIMES
DAY_MS = 86_400_000


def unified(first: Type, second: Type) -> Type | None:
    """The type that holds values of both, or None if there is none."""
    if UNKNOWN in (first, second):
        return second if first == UNKNOWN else first
    nullable = first.nullable or second.nullable
    if first.kind is Kind.NULL or second.kind is Kind.NULL:
        return replace(second if first.kind is Kind.NULL else first, nullable=True)
    if first.kind is second.kind:
        if first.kind is Kind.STRING:
            both = first.symbols + tuple(symbol for symbol in second.symbols if symbol not in first.symbols)
            return Type(Kind.STRING, nullable, symbols=both if first.symbols and second.symbols else ())
        if first.item is not None and second.item is not None:
            item = unified(first.item, second.item)
            return None if item is None else Type(first.kind, nullable, item=item)
        return replace(first, nullable=nullable)
    kinds = {first.kind, second.kind}
    if kinds <= NUMBER:
        return Type(Kind.DECIMAL if Kind.DECIMAL in kinds else Kind.FLOAT, nullable)
    return None


def as_decimal(node: Typed) -> Typed:
    """The node with literals turned into exact decimals."""
    if isinstance(node, Constant) and node.type.kind in {Kind.FLOAT, Kind.INTEGER} and node.text:
        return Constant(DECIMAL, Decimal(node.text), node.text)
    if isinstance(node, Apply) and node.name == "neg" and node.type.kind in {Kind.FLOAT, Kind.INTEGER}:
        inner = as_decimal(node.arguments[0])
        return Apply(inner.type, "neg", (inner,))
    return node


def described(of: Type) -> str:
    """The type in an author's words."""
    words = {
        Kind.STRING: "text",
        Kind.INTEGER: "a whole number",
        Kind.FLOAT: "a number",
        Kind.DECIMAL: "a decimal number",
    }
    words |= {
        Kind.BOOLEAN: "true or false",
        Kind.INSTANT: "an instant",
        Kind.DATE: "a date",
        Kind.DURATION: "a duration",
    }
    words |= {Kind.LIST: "a list", Kind.MAP: "a map", Kind.RECORD: "a record", Kind.NULL: "null"}
    return words[of.kind]


COUNT_UNITS = {"days_since": "days", "days_between": "days", "hours_between": "hours", "count": "events"}
"""Functions whose result is a plain number -> of what."""


class Checker:
    """Typed nodes for one expression; `problems` collects what is wrong with it."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.problems: list[ExpressionProblem] = []

    def typed(self, tree: Tree) -> Typed:
        """The tree with types; a part that is wrong has the type UNKNOWN."""
        match tree:
            case Literal():
                return Constant(tree.type, tree.value, tree.text)
            case Name():
                return typed_name(tree, self.names, self.problems)
            case ListOf():
                return self._list(tree)
            case Call():
                return self._call(tree)
            case Operation():
                return self._operation(tree)
            case Filtered():
                return self._report(
                    tree, "J150", '"where" belongs to an aggregate', "write count(order_placed where event.total > 50)"
                )

    def _report(self, place: Tree, code: str, message: str, hint: str = "") -> Constant:
        self.problems.append(ExpressionProblem(code, place.start, place.end, message, hint))
        return Constant(UNKNOWN, None)

    def _operation(self, tree: Operation) -> Typed:
        operands = tuple(self.typed(operand) for operand in tree.operands)
        match tree.operator:
            case "and" | "or" | "not":
                return self._boolean(tree, operands)
            case "==" | "!=":
                return self._equality(tree, operands)
            case "<" | "<=" | ">" | ">=":
                return self._ordering(tree, operands)
            case "in" | "not in":
                return self._membership(tree, operands)
            case "??":
                return self._default(tree, operands)
            case _ if len(operands) == 1:
                return self._negative(tree, operands[0])
            case _:
                return self._arithmetic(tree, operands)

    def _boolean(self, tree: Operation, operands: tuple[Typed, ...]) -> Typed:
        for place, operand in zip(tree.operands, operands, strict=True):
            if operand.type.kind not in {Kind.BOOLEAN, Kind.NULL}:
                self._report(
                    place,
                    "J415",
                    f'"{tree.operator}" joins conditions, and this is {described(operand.type)}',
                    "compare it with something: == or >",
                )
        return Apply(BOOLEAN, tree.operator, operands)

    def _equality(self, tree: Operation, operands: tuple[Typed, ...]) -> Typed:
        left, right = operands
        both = unified(left.type, right.type)
        result = Apply(BOOLEAN, tree.operator, self._exact(operands))
        if UNKNOWN in {left.type, right.type}:
            return result
        for one, other in ((left, right), (right, left)):
            if one.type == NULL and other.type.kind is not Kind.NULL and not other.type.nullable:
                return self._report(
                    tree,
                    "J409",
                    f"this is never null: it is always {described(other.type)}",
                    "leave the comparison out",
                )
            if one.type.symbols and isinstance(other, Constant) and isinstance(other.value, str):
                self._known_symbol(tree, one.type, other)
        if both is None:
            return self._unlike(tree, left.type, right.type, "J402", "these are never equal")
        return result

    def _known_symbol(self, tree: Operation, of: Type, constant: Constant) -> None:
        if constant.value not in of.symbols:
            place = next(operand for operand in tree.operands if isinstance(operand, Literal))
            hint = did_you_mean(str(constant.value), of.symbols)
            self._report(place, "J408", f"this is never {constant.text}", hint)

    def _unlike(self, tree: Tree, left: Type, right: Type, code: str, message: str) -> Constant:
        kinds = {left.kind, right.kind}
        said = f"{message}: {described(left)} and {described(right)}"
        if kinds & TIMES and kinds <= ORDERED:
            hint = _unit_hint(tree) if kinds & NUMBER else "use days_between(a, b) or subtract one from the other"
            return self._report(tree, "J404", said, hint)
        return self._report(tree, code, said, "compare values of one type")

    def _ordering(self, tree: Operation, operands: tuple[Typed, ...]) -> Typed:
        left, right = operands
        result = Apply(BOOLEAN, tree.operator, self._exact(operands))
        if UNKNOWN in {left.type, right.type}:
            return result
        if left.type.kind not in ORDERED or right.type.kind not in ORDERED:
            if left.type.kind is right.type.kind is Kind.STRING:
                return result
            return self._unlike(tree, left.type, right.type, "J403", f'"{tree.operator}" cannot order these')
        if left.type.kind is not right.type.kind and not {left.type.kind, right.type.kind} <= NUMBER:
            return self._unlike(tree, left.type, right.type, "J403", f'"{tree.operator}" cannot order these')
        return result

    def _membership(self, tree: Operation, operands: tuple[Typed, ...]) -> Typed:
        item, where = operands
        inside: Typed = Apply(BOOLEAN, "in", operands)
        if where.type != UNKNOWN and where.type.kind is not Kind.LIST:
            hint = (
                "use contains(text, part)"
                if where.type.kind is Kind.STRING
                else "write the values in brackets: ['a', 'b']"
            )
            return self._report(
                tree.operands[1], "J416", f'"in" needs a list, and this is {described(where.type)}', hint
            )
        of = where.type.item or UNKNOWN
        if item.type.kind in {Kind.LIST, Kind.MAP, Kind.RECORD} or unified(item.type, of) is None:
            return self._report(
                tree,
                "J416",
                f"{described(item.type)} is never in a list of {described(of)} values",
                "compare values of one type",
            )
        if item.type.symbols and isinstance(where, Apply):
            place = tree.operands[1]
            for argument in where.arguments:
                if isinstance(argument, Constant) and argument.value not in item.type.symbols:
                    hint = did_you_mean(str(argument.value), item.type.symbols)
                    self._report(place, "J408", f"this is never {argument.text}", hint)
        if tree.operator == "not in":
            return Apply(BOOLEAN, "not", (inside,))
        return inside

    def _default(self, tree: Operation, operands: tuple[Typed, ...]) -> Typed:
        left, right = operands
        both = unified(left.type, right.type)
        if both is None:
            return self._report(
                tree,
                "J419",
                f"the default is {described(right.type)}, the value {described(left.type)}",
                "use a default of the value's type",
            )
        if UNKNOWN not in {left.type, right.type} and not left.type.nullable:
            return self._report(
                tree.operands[0], "J420", "this is never null, so the default is never used", "leave the default out"
            )
        return Apply(replace(both, nullable=right.type.nullable), "??", self._exact(operands))

    def _negative(self, tree: Operation, operand: Typed) -> Typed:
        if operand.type == UNKNOWN or operand.type.kind in NUMBER | {Kind.DURATION}:
            return Apply(operand.type, "neg", (operand,))
        return self._report(tree, "J405", f"{described(operand.type)} has no negative", "use a number")

    def _arithmetic(self, tree: Operation, operands: tuple[Typed, ...]) -> Typed:
        left, right = self._exact(operands)
        if UNKNOWN in {left.type, right.type}:
            # What a time and something unknown give is unknown too: an instant less another one is a duration.
            is_of_time = not TIMES.isdisjoint({left.type.kind, right.type.kind})
            of = UNKNOWN if is_of_time else unified(left.type, right.type) or UNKNOWN
            return Apply(of, tree.operator, (left, right))
        if tree.operator in {"/", "%"} and isinstance(right, Constant) and right.value == 0:
            return self._report(tree.operands[1], "J421", "this divides by zero", "divide by something else")
        result = _arithmetic_type(tree.operator, left, right)
        if result is not None:
            nullable = left.type.nullable or right.type.nullable
            return Apply(replace(result, nullable=nullable), tree.operator, (left, right))
        kinds = {left.type.kind, right.type.kind}
        said = f'"{tree.operator}" cannot join {described(left.type)} and {described(right.type)}'
        if kinds <= ORDERED:
            return self._report(tree, "J404", said, "give the unit (7 days), or use days_between(a, b)")
        hint = "put texts together in a template" if Kind.STRING in kinds else "use numbers"
        return self._report(tree, "J405", said, hint)

    def _exact(self, nodes: Iterable[Typed]) -> tuple[Typed, ...]:
        listed = tuple(nodes)
        if any(_is_decimal(node.type) for node in listed):
            return tuple(as_decimal(node) for node in listed)
        return listed

    def _list(self, tree: ListOf) -> Typed:
        items = tuple(self.typed(item) for item in tree.items)
        if not items:
            return self._report(tree, "J417", "an empty list", "put values between the brackets")
        of = items[0].type
        for place, item in zip(tree.items[1:], items[1:], strict=True):
            both = unified(of, item.type)
            if both is None:
                return self._report(
                    place,
                    "J417",
                    f"the list mixes {described(of)} and {described(item.type)}",
                    "use values of one type",
                )
            of = both
        return Apply(Type(Kind.LIST, item=of), "list", self._exact(items))

    def _call(self, tree: Call) -> Typed:
        if is_aggregate(tree, self.names):
            return AggregateChecker(self.names, self.problems, self._condition).typed(tree)
        arguments = tuple(self.typed(argument) for argument in tree.arguments)
        function = FUNCTIONS.get(tree.name)
        if function is None:
            place = Literal(tree.start, tree.start + len(tree.name), None, NULL, "")
            return self._report(
                place, "J211", f'there is no function "{tree.name}"', did_you_mean(tree.name, {*FUNCTIONS, *AGGREGATES})
            )
        most = None if function.is_variadic else len(function.parameters)
        if len(arguments) < function.required or (most is not None and len(arguments) > most):
            return self._report(
                tree, "J407", f'"{tree.name}" does not take {len(arguments)} values', f"write {function.description}"
            )
        if not self._arguments_fit(tree, function, arguments):
            return Constant(function.result or UNKNOWN, None)
        return self._result(tree, function, arguments)

    def _condition(self, tree: Tree, names: Names) -> Typed:
        """The condition of an aggregate, which has names of its own."""
        inner = Checker(names)
        node = inner.typed(tree)
        self.problems.extend(inner.problems)
        if node.type.kind not in {Kind.BOOLEAN, Kind.NULL}:
            return self._report(
                tree,
                "J401",
                f"a condition is true or false, and this is {described(node.type)}",
                "compare it with something: == or >",
            )
        return node

    def _arguments_fit(self, tree: Call, function: Function, arguments: tuple[Typed, ...]) -> bool:
        fits = True
        for index, (place, argument) in enumerate(zip(tree.arguments, arguments, strict=True)):
            wanted = function.parameters[min(index, len(function.parameters) - 1)]
            if argument.type.kind not in wanted and argument.type.kind is not Kind.NULL:
                self._report(
                    place,
                    "J406",
                    f'"{tree.name}" cannot take {described(argument.type)} here',
                    f"write {function.description}",
                )
                fits = False
        return fits

    def _result(self, tree: Call, function: Function, arguments: tuple[Typed, ...]) -> Typed:
        nullable = function.on_null is None and any(argument.type.nullable for argument in arguments)
        if tree.name == "contains":
            return self._contains(tree, arguments)
        if function.result is not None:
            return Apply(replace(function.result, nullable=nullable), tree.name, arguments)
        if tree.name == "round":
            return self._round(tree, arguments, nullable=nullable)
        exact = self._exact(arguments)
        of = exact[0].type
        for place, argument in zip(tree.arguments[1:], exact[1:], strict=True):
            both = unified(of, argument.type)
            if both is None:
                return self._unlike(place, of, argument.type, "J406", f'"{tree.name}" needs values of one type')
            of = both
        return Apply(replace(of, nullable=nullable), tree.name, exact)

    def _contains(self, tree: Call, arguments: tuple[Typed, ...]) -> Typed:
        where, what = arguments
        of = where.type.item if where.type.kind is Kind.LIST else Type(Kind.STRING)
        if where.type != UNKNOWN and unified(what.type, of or UNKNOWN) is None:
            self._report(
                tree.arguments[1],
                "J406",
                f'"contains" looks for {described(of or UNKNOWN)} here, not {described(what.type)}',
                "write contains(text or list, part)",
            )
        return Apply(BOOLEAN, "contains", arguments)

    def _round(self, tree: Call, arguments: tuple[Typed, ...], *, nullable: bool) -> Typed:
        if len(arguments) == 1:
            return Apply(replace(INTEGER, nullable=nullable), "round", arguments)
        digits = arguments[1]
        if not isinstance(digits, Constant) or digits.value not in range(10):
            return self._report(tree.arguments[1], "J406", "the digits must be a number from 0 to 9", "round(x, 2)")
        of = INTEGER if digits.value == 0 else arguments[0].type
        return Apply(replace(of, nullable=nullable), "round", arguments)


def _is_decimal(of: Type) -> bool:
    return of.kind is Kind.DECIMAL or (of.item is not None and of.item.kind is Kind.DECIMAL)


def _arithmetic_type(operator: str, left: Typed, right: Typed) -> Type | None:
    kinds = (left.type.kind, right.type.kind)
    if Kind.NULL in kinds:
        return NULL
    if set(kinds) <= NUMBER:
        if Kind.DECIMAL in kinds:
            return DECIMAL
        return FLOAT if Kind.FLOAT in kinds or operator == "/" else INTEGER
    match (kinds[0], operator, kinds[1]):
        case (Kind.INSTANT, "-", Kind.INSTANT) | (Kind.DURATION, "+" | "-" | "%", Kind.DURATION):
            return DURATION
        case (Kind.DATE, "-", Kind.DATE):
            return DURATION
        case (Kind.INSTANT, "+" | "-", Kind.DURATION) | (Kind.DURATION, "+", Kind.INSTANT):
            return INSTANT
        case (Kind.DATE, "+" | "-", Kind.DURATION) if isinstance(right, Constant) and right.value % DAY_MS == 0:
            return DATE
        case (Kind.DURATION, "*", Kind.INTEGER) | (Kind.INTEGER, "*", Kind.DURATION):
            return DURATION
        case (Kind.DURATION, "/", Kind.DURATION):
            return FLOAT
        case _:
            return None


def _unit_hint(tree: Tree) -> str:
    """What to do where a number meets a duration: the one that has, or lacks, its unit by mistake."""
    operands = tree.operands if isinstance(tree, Operation) else ()
    calls = [operand.name for operand in operands if isinstance(operand, Call)]
    counting = next((name for name in calls if name in COUNT_UNITS), None)
    if counting is None:
        return "give the unit: 7 days"
    return f"{counting} is a number of {COUNT_UNITS[counting]}: leave the unit out"
