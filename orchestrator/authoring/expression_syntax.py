"""Expression text -> syntax tree with positions. A Pratt parser: each operator has a binding power."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from orchestrator.authoring.durations import (
    calendar_problem,
    checked_duration,
    is_calendar_unit,
    unit_ms,
)
from orchestrator.model.types import BOOLEAN, DURATION, FLOAT, INTEGER, NULL, STRING, Type

LENGTH_MAX = 2_000
DEPTH_MAX = 40
TOKENS_MAX = 300
DIGITS_MAX = 18
"""So that every whole number fits into 64 bits."""


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """A mistake in an expression; `start` and `end` count characters of its text."""

    code: str
    start: int
    end: int
    message: str
    hint: str = ""


class Literal(msgspec.Struct, frozen=True, gc=False):
    """A value as written."""

    start: int
    end: int
    value: Any
    type: Type
    text: str


class Name(msgspec.Struct, frozen=True, gc=False):
    """A dotted name: `event.value` is (("event", 0, 5), ("value", 6, 11))."""

    start: int
    end: int
    parts: tuple[tuple[str, int, int], ...]


class Operation(msgspec.Struct, frozen=True, gc=False):
    """An operator with one or two operands; `at` is where the operator stands."""

    start: int
    end: int
    operator: str
    operands: tuple[Tree, ...]
    at: tuple[int, int]


class Call(msgspec.Struct, frozen=True, gc=False):
    """A function with its arguments."""

    start: int
    end: int
    name: str
    arguments: tuple[Tree, ...]


class ListOf(msgspec.Struct, frozen=True, gc=False):
    """Values in brackets."""

    start: int
    end: int
    items: tuple[Tree, ...]


class Filtered(msgspec.Struct, frozen=True, gc=False):
    """`order_placed where event.total > 50`: what an aggregate counts, and which of them."""

    start: int
    end: int
    of: Tree
    where: Tree


Tree = Literal | Name | Operation | Call | ListOf | Filtered


class _Token(msgspec.Struct, frozen=True, gc=False):
    """A word, number, text or sign and where it stands."""

    kind: str
    text: str
    start: int
    end: int


class _Failed(Exception):
    def __init__(self, problem: ExpressionProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<sign>==|!=|<=|>=|\?\?|[<>+\-*/%(),.\[\]])
    )""",
    re.VERBOSE | re.ASCII,
)
_POWERS = {
    "or": 1,
    "and": 2,
    "==": 4,
    "!=": 4,
    "<": 4,
    "<=": 4,
    ">": 4,
    ">=": 4,
    "in": 4,
    "not in": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "%": 6,
    "??": 8,
}
_NOT_POWER = 3
_MINUS_POWER = 7
_COMPARISON_POWER = 4
_SLIPS = {
    "=": 'equality is written "=="',
    "&": 'write "and"',
    "|": 'write "or"',
    "!": 'write "not"',
    ";": "one expression has one result; leave the rest out",
    "{": "leave the braces out: an expression is written as it is",
    "$": "leave the sign out",
}


_LIKE_SIGNS = {
    "=>": 'write ">="',
    "=<": 'write "<="',
    "\u2265": 'write ">="',
    "\u2264": 'write "<="',
    "\u2260": 'write "!="',
    "\u2013": "write a minus sign: -",
    "\u2212": "write a minus sign: -",
}
_CURLY_QUOTES = "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u00b4\u0060"
_WORDS = {
    "is": "write == null or != null",
    "like": "write contains(text, 'part'), starts_with(text, 'part') or ends_with(text, 'part')",
    "contains": "write contains(text, 'part')",
    "between": "write x >= 1 and x <= 5",
    "equals": 'write "=="',
    "eq": 'write "=="',
    "has": "write contains(text, 'part'), or 'item' in list",
    "if": "a condition has no if: write what must hold",
    "then": "a condition has no then: write what must hold",
    "xor": "join two conditions with and / or",
}
"""What other languages have where this one has something else."""


def parse_expression(text: str) -> Tree | ExpressionProblem:
    """The expression's syntax tree, or the first mistake in it."""
    if len(text) > LENGTH_MAX:
        return ExpressionProblem(
            "J121", 0, len(text), f"the expression is longer than {LENGTH_MAX} characters", "split the step in two"
        )
    try:
        return _Parser(text, _tokens(text)).whole()
    except _Failed as failed:
        return failed.problem


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    index = 0
    while index < len(text):
        match = _TOKEN.match(text, index)
        if match is None:
            if text[index:].isspace():
                break
            raise _Failed(_bad_character(text, index))
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind), match.end(kind)))
        index = match.end()
    if len(tokens) > TOKENS_MAX:
        start = tokens[TOKENS_MAX].start
        raise _Failed(
            ExpressionProblem("J121", start, len(text), "the expression is too long", "split the step in two")
        )
    tokens.append(_Token("end", "", len(text.rstrip()), len(text.rstrip())))
    return tokens


def _bad_character(text: str, index: int) -> ExpressionProblem:
    while text[index].isspace():
        index += 1
    character = text[index]
    if character in "'\"":
        return ExpressionProblem("J123", index, len(text), "the text has no closing quote", f"end it with {character}")
    hint = _LIKE_SIGNS.get(text[index : index + 2]) or _LIKE_SIGNS.get(character) or _SLIPS.get(character, "")
    if character in _CURLY_QUOTES:
        hint = "write straight quotes: 'text'"
    return ExpressionProblem("J120", index, index + 1, f'"{character}" has no meaning in an expression', hint)


class _Parser:
    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._index = 0
        self._depth = 0

    def whole(self) -> Tree:
        tree = self._expression(0)
        token = self._peek()
        if token.kind != "end":
            raise _Failed(self._unexpected(token))
        return tree

    def _peek(self) -> _Token:
        return self._tokens[self._index]

    def _take(self) -> _Token:
        token = self._tokens[self._index]
        if token.kind != "end":
            self._index += 1
        return token

    def _expression(self, power: int) -> Tree:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            token = self._peek()
            raise _Failed(
                ExpressionProblem("J121", token.start, token.end, "the expression is nested too deeply", "split it up")
            )
        left = self._prefix()
        while True:
            operator = self._operator()
            if operator is None or _POWERS[operator] <= power:
                break
            at_token = self._take()
            end = self._take().end if operator == "not in" else at_token.end
            right = self._expression(_POWERS[operator])
            left = Operation(left.start, right.end, operator, (left, right), (at_token.start, end))
            if _POWERS[operator] == _COMPARISON_POWER:
                self._refuse_chain()
        self._depth -= 1
        return left

    def _operator(self) -> str | None:
        token = self._peek()
        if token.kind == "sign" and token.text in _POWERS:
            return token.text
        if token.kind == "word" and token.text in {"and", "or", "in"}:
            return token.text
        if token.kind == "word" and token.text == "not":
            following = self._tokens[self._index + 1]
            if following.kind == "word" and following.text == "in":
                return "not in"
        return None

    def _refuse_chain(self) -> None:
        operator = self._operator()
        if operator is not None and _POWERS[operator] == _COMPARISON_POWER:
            token = self._peek()
            raise _Failed(
                ExpressionProblem(
                    "J122",
                    token.start,
                    token.end,
                    "comparisons cannot be chained",
                    "join two comparisons with and: 1 < x and x < 5",
                )
            )

    def _prefix(self) -> Tree:
        token = self._take()
        if token.kind == "number":
            return self._number(token)
        if token.kind == "text":
            quote = token.text[0]
            value = token.text[1:-1].replace(quote * 2, quote)
            return Literal(token.start, token.end, value, STRING, token.text)
        if token.kind == "word":
            return self._word(token)
        if token.text == "-":
            operand = self._expression(_MINUS_POWER)
            return Operation(token.start, operand.end, "-", (operand,), (token.start, token.end))
        if token.text == "(":
            inner = self._expression(0)
            self._expect(")", token)
            return inner
        if token.text == "[":
            items = self._items("]", token)
            return ListOf(token.start, self._tokens[self._index - 1].end, items)
        raise _Failed(self._unexpected(token))

    def _word(self, token: _Token) -> Tree:
        match token.text:
            case "true" | "false":
                return Literal(token.start, token.end, token.text == "true", BOOLEAN, token.text)
            case "null":
                return Literal(token.start, token.end, None, NULL, token.text)
            case "not":
                operand = self._expression(_NOT_POWER)
                return Operation(token.start, operand.end, "not", (operand,), (token.start, token.end))
            case "and" | "or" | "in":
                raise _Failed(self._unexpected(token))
            case _:
                pass
        if self._peek().text == "(":
            opening = self._take()
            arguments = self._items(")", opening)
            return Call(token.start, self._tokens[self._index - 1].end, token.text, arguments)
        parts = [(token.text, token.start, token.end)]
        while self._peek().text == ".":
            dot = self._take()
            part = self._take()
            if part.kind != "word":
                raise _Failed(
                    ExpressionProblem("J120", dot.start, max(part.end, dot.end), "a name must follow the dot")
                )
            parts.append((part.text, part.start, part.end))
        return Name(token.start, parts[-1][2], tuple(parts))

    def _number(self, token: _Token) -> Tree:
        if len(token.text.replace(".", "")) > DIGITS_MAX:
            raise _Failed(
                ExpressionProblem("J124", token.start, token.end, f"a number has at most {DIGITS_MAX} digits")
            )
        unit = self._peek()
        if unit.kind == "word" and (unit_ms(unit.text) is not None or is_calendar_unit(unit.text)):
            return self._duration(token, self._take())
        if "." in token.text:
            return Literal(token.start, token.end, float(token.text), FLOAT, token.text)
        return Literal(token.start, token.end, int(token.text), INTEGER, token.text)

    def _duration(self, token: _Token, unit: _Token) -> Tree:
        length_ms = unit_ms(unit.text)
        problem = calendar_problem(unit.text) if length_ms is None else None
        if length_ms is not None:
            if "." in token.text:
                raise _Failed(
                    ExpressionProblem(
                        "J501",
                        token.start,
                        unit.end,
                        "a duration is a whole number of units",
                        "90 minutes, not 1.5 hours",
                    )
                )
            checked = checked_duration(int(token.text) * length_ms)
            if isinstance(checked, int):
                text = self._text[token.start : unit.end]
                return Literal(token.start, unit.end, checked, DURATION, text)
            problem = checked
        assert problem is not None
        raise _Failed(ExpressionProblem(problem.code, token.start, unit.end, problem.message, problem.hint))

    def _items(self, closing: str, opening: _Token) -> tuple[Tree, ...]:
        items: list[Tree] = []
        if self._peek().text == closing and self._peek().kind == "sign":
            self._take()
            return ()
        while True:
            items.append(self._item())
            token = self._peek()
            if token.kind == "sign" and token.text == ",":
                self._take()
                continue
            self._expect(closing, opening)
            return tuple(items)

    def _item(self) -> Tree:
        tree = self._expression(0)
        token = self._peek()
        if token.kind != "word" or token.text != "where":
            return tree
        self._take()
        condition = self._expression(0)
        return Filtered(tree.start, condition.end, tree, condition)

    def _expect(self, closing: str, opening: _Token) -> None:
        token = self._peek()
        if token.kind == "sign" and token.text == closing:
            self._take()
            return
        if token.kind == "end":
            raise _Failed(
                ExpressionProblem(
                    "J120", opening.start, opening.end, f'"{opening.text}" is never closed', f'add "{closing}"'
                )
            )
        raise _Failed(self._unexpected(token))

    def _unexpected(self, token: _Token) -> ExpressionProblem:
        if token.kind == "end":
            return ExpressionProblem("J120", token.start, token.end, "the expression ends too early")
        return ExpressionProblem(
            "J120", token.start, token.end, f'"{token.text}" is not expected here', self._hint(token)
        )

    def _hint(self, token: _Token) -> str:
        """What to do about a word or sign that cannot stand here."""
        before = self._tokens[max(0, self._tokens.index(token) - 1)]
        if token.kind != "word":
            return 'write "!="' if token.text == ">" and before.text == "<" else ""
        word = token.text.lower()
        if word in {"and", "or", "not", "in"} and word != token.text:
            return f'write "{word}" in small letters'
        if before.kind == "number":
            return f'leave "{token.text}" out: a number has no unit, except those of time (7 days)'
        return _WORDS.get(word, "join two conditions with and / or")
