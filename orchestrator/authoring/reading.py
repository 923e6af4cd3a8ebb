"""Nodes -> values of one wanted kind. Each reader gives None after it has reported what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction

from orchestrator.authoring.drafts import Formula, Ref
from orchestrator.authoring.durations import DurationProblem, Span, parse_duration, parse_span, shortened
from orchestrator.authoring.expression_syntax import ExpressionProblem, parse_expression
from orchestrator.authoring.suggest import did_you_mean, meant
from orchestrator.authoring.yaml_source import (
    CUT_OFF,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    problem_at,
    problem_inside,
)
from orchestrator.model.problems import Problem

NAME_LENGTH_MAX = 60
NO_CLOSING_QUOTE = "J123"
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%", re.ASCII)

Problems = list[Problem]


def fields(
    node: Node, known: Iterable[str], problems: Problems, *, what: str, required: Iterable[str] = ()
) -> Mapping[str, Node] | None:
    """The values of a mapping by key; reports unknown keys, and required ones that are missing or empty."""
    listed, needed = tuple(known), tuple(required)
    if not isinstance(node, MappingNode):
        written = shortened(node.value) if isinstance(node, Scalar) and node.value else "..."
        example = f"write {next(iter(needed or listed), 'key')}: {written}"
        problems.append(wrong_kind(node, f"{what} must be keys with values", hint=example))
        return None
    found: dict[str, Node] = {}
    for key, value in node.entries:
        if key.value not in listed:
            problems.append(
                problem_at(key, "J107", f'{what} has no key "{key.value}"', hint=did_you_mean(key.value, listed))
            )
        elif isinstance(value, Scalar) and value.is_empty:
            problems.append(problem_at(key, "J110", f'"{key.value}" has no value', hint="give a value or leave it out"))
        else:
            found[key.value] = value
    given = given_or_meant(node, listed)
    for key_name in needed:
        if key_name not in given:
            place = node.entries[0][0] if node.entries else node
            problems.append(problem_at(place, "J109", f'{what} needs "{key_name}"', hint=f"add {key_name}: ..."))
    return found


def given_or_meant(node: MappingNode, known: tuple[str, ...]) -> set[str | None]:
    """The keys that are written, and those that a wrong one was probably meant for: they are not missed as well."""
    written = {key.value for key, _ in node.entries}
    return written | {meant(key, known) for key in written.difference(known)}


def wrong_kind(node: Node, message: str, *, hint: str = "") -> Problem:
    """A problem about a list where a word should be, and the like."""
    found = {Scalar: "a single value", ListNode: "a list", MappingNode: "keys with values"}[type(node)]
    return problem_at(node, "J108", f"{message}, not {found}", hint=hint)


def read_scalar(node: Node, problems: Problems, *, what: str, hint: str = "") -> Scalar | None:
    """The single value that stands here."""
    if isinstance(node, Scalar) and not node.is_empty:
        return node
    if isinstance(node, Scalar):
        problems.append(problem_at(node, "J110", f"{what} has no value", hint=hint or "give a value"))
    else:
        problems.append(wrong_kind(node, f"{what} must be a single value", hint=hint))
    return None


def read_text(node: Node | None, problems: Problems, *, what: str) -> str | None:
    """The text that stands here."""
    if node is None:
        return None
    scalar = read_scalar(node, problems, what=what)
    if scalar is not None and not scalar.value.strip():
        problems.append(problem_at(scalar, "J110", f"{what} has no value", hint="give a value"))
        return None
    return None if scalar is None else scalar.value.strip()


def read_ref(node: Node | None, problems: Problems, *, what: str) -> Ref | None:
    """A name with its place."""
    if node is None:
        return None
    scalar = read_scalar(node, problems, what=what)
    return None if scalar is None else Ref(scalar.value, scalar)


def read_name(node: Node | None, problems: Problems, *, what: str) -> Ref | None:
    """A new name: small letters, digits and underscores."""
    ref = read_ref(node, problems, what=what)
    if ref is None:
        return None
    if _NAME.fullmatch(ref.name) is None or len(ref.name) > NAME_LENGTH_MAX:
        problems.append(
            problem_at(
                ref.node,
                "J113",
                f'"{shortened(ref.name)}" cannot be the name of {what}',
                hint=f"use small letters, digits and _ (at most {NAME_LENGTH_MAX}), a letter first",
            )
        )
        return None
    return ref


def read_word(node: Node | None, words: Iterable[str], problems: Problems, *, what: str) -> str | None:
    """One of the given words."""
    ref = read_ref(node, problems, what=what)
    if ref is None:
        return None
    listed = tuple(words)
    if ref.name in listed:
        return ref.name
    hint = f"it is one of: {', '.join(listed)}"
    problems.append(problem_at(ref.node, "J115", f'{what} cannot be "{shortened(ref.name)}"', hint=hint))
    return None


def read_number(node: Node | None, problems: Problems, *, what: str, least: int, most: int) -> int | None:
    """A whole number within bounds."""
    ref = read_ref(node, problems, what=what)
    if ref is None:
        return None
    is_number = re.fullmatch(r"[0-9]{1,9}", ref.name, re.ASCII) is not None
    if is_number and least <= int(ref.name) <= most:
        return int(ref.name)
    problems.append(
        problem_at(
            ref.node, "J114", f"{what} must be a whole number from {least} to {most}", hint=f"for example {least}"
        )
    )
    return None


def read_percent(node: Node | None, problems: Problems, *, what: str) -> Fraction | None:
    """A share from 0% to 100%, as a part of one."""
    ref = read_ref(node, problems, what=what)
    if ref is None:
        return None
    match = _PERCENT.fullmatch(ref.name.strip())
    if match is None:
        problems.append(problem_at(ref.node, "J701", f"{what} must be a percentage", hint="write 5% or 12.5%"))
        return None
    share = Fraction(match[1]) / 100
    if share > 1:
        problems.append(problem_at(ref.node, "J702", f"{what} cannot be more than 100%", hint="write 0% to 100%"))
        return None
    return share


def read_duration(node: Node | None, problems: Problems, *, what: str) -> int | None:
    """Milliseconds."""
    if node is None:
        return None
    scalar = read_scalar(node, problems, what=what, hint="write a whole number and a unit: 7 days")
    if scalar is None:
        return None
    found = parse_duration(scalar.value)
    if isinstance(found, DurationProblem):
        problems.append(problem_at(scalar, found.code, found.message, hint=found.hint))
        return None
    return found


def read_span(node: Node | None, problems: Problems, *, what: str) -> Span | None:
    """A duration, or months of the customer's calendar."""
    if node is None:
        return None
    scalar = read_scalar(node, problems, what=what, hint="write a whole number and a unit: 7 days, 3 months")
    if scalar is None:
        return None
    found = parse_span(scalar.value)
    if isinstance(found, DurationProblem):
        problems.append(problem_at(scalar, found.code, found.message, hint=found.hint))
        return None
    return found


def read_formula(node: Node | None, problems: Problems, *, what: str) -> Formula | None:
    """An expression, parsed."""
    if node is None:
        return None
    hint = "an expression with brackets or braces at its start needs quotes around it"
    scalar = read_scalar(node, problems, what=what, hint=hint) if not _is_null(node) else node
    if not isinstance(scalar, Scalar):
        return None
    tree = parse_expression(scalar.value)
    if isinstance(tree, ExpressionProblem):
        if _is_cut_off(scalar):
            if any(problem.code == CUT_OFF and problem.path == scalar.document.path for problem in problems):
                return None
            tree = replace(tree, hint="a comma ends a value within braces: put quotes around the whole of it")
        elif tree.code == NO_CLOSING_QUOTE and _is_followed_by(scalar, "#"):
            tree = replace(tree, hint="a # after a blank begins a comment: put quotes around the whole value")
        problems.append(expression_problem(scalar, tree))
        return None
    return Formula(scalar, tree)


def _is_cut_off(node: Scalar) -> bool:
    """Whether YAML ended the expression at a comma in the middle of a call."""
    return _is_followed_by(node, ",") and node.value.count("(") > node.value.count(")")


def _is_followed_by(node: Scalar, sign: str) -> bool:
    """Whether the value is written without quotes, and this stands after it on the line."""
    return not node.style and node.document.text[node.end : node.end + 20].lstrip(" ").startswith(sign)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value == "null"


def expression_problem(node: Scalar, problem: ExpressionProblem) -> Problem:
    """A problem of an expression at its place in the file."""
    return problem_inside(node, problem.start, problem.end, problem.code, problem.message, hint=problem.hint)


def read_items(node: Node | None, problems: Problems, *, what: str) -> tuple[Node, ...]:
    """The items of a list that is not empty."""
    if node is None:
        return ()
    if not isinstance(node, ListNode):
        problems.append(wrong_kind(node, f"{what} must be a list", hint="start each item with a dash"))
        return ()
    if not node.items:
        problems.append(problem_at(node, "J110", f"{what} is an empty list", hint="give at least one item"))
    return node.items


def one_or_many(node: Node | None, problems: Problems, *, what: str) -> tuple[Node, ...]:
    """The items of a list, or the one value that stands instead of a list."""
    if node is None:
        return ()
    return read_items(node, problems, what=what) if isinstance(node, ListNode) else (node,)


def read_refs(node: Node | None, problems: Problems, *, what: str) -> tuple[Ref, ...]:
    """One name or a list of names."""
    refs = [read_ref(item, problems, what=f"one of {what}") for item in one_or_many(node, problems, what=what)]
    return tuple(ref for ref in refs if ref is not None)


def read_pairs(node: Node | None, problems: Problems, *, what: str) -> tuple[tuple[Ref, Node], ...]:
    """The pairs of a mapping whose keys are new names."""
    if node is None:
        return ()
    if not isinstance(node, MappingNode):
        problems.append(wrong_kind(node, f"{what} must be names with values", hint="write name: value"))
        return ()
    if not node.entries:
        problems.append(problem_at(node, "J110", f"{what} is empty", hint="give at least one name, or leave it out"))
    pairs: list[tuple[Ref, Node]] = []
    for key, value in node.entries:
        name = read_name(key, problems, what=f"an entry of {what}")
        if name is not None:
            pairs.append((name, value))
    return tuple(pairs)


def read_assignments(node: Node | None, problems: Problems, *, what: str) -> tuple[tuple[Ref, Formula], ...]:
    """Names with expressions."""
    found: list[tuple[Ref, Formula]] = []
    for name, value in read_pairs(node, problems, what=what):
        formula = read_formula(value, problems, what=f'"{name.name}"')
        if formula is not None:
            found.append((name, formula))
    return tuple(found)
