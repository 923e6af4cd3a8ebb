"""Reading scenario files node by node: what was expected and was not there becomes a problem."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, TypeVar

from orchestrator.authoring.event_values import BadValue
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.yaml_source import ListNode, MappingNode, Node, Scalar, problem_at
from orchestrator.model.problems import Problem

Value = TypeVar("Value")

_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,18}\.\d{1,18}", re.ASCII)


class Reader:
    """Takes nodes apart and appends what is wrong to `problems`."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems

    def problem(self, node: Node, code: str, message: str, *, hint: str = "") -> None:
        """Notes what is wrong with the node."""
        self.problems.append(problem_at(node, code, message, hint=hint))

    def unknown(self, node: Node, what: str, name: str, known: Iterable[str]) -> None:
        """A name that refers to nothing; J805 for all kinds of names, because the remedy is the same."""
        self.problem(node, "J805", f'there is no {what} "{name}"', hint=did_you_mean(name, known))

    def mapping(self, node: Node, keys: set[str] | frozenset[str], *, required: set[str]) -> dict[str, Node]:
        """The entries with known keys."""
        if not isinstance(node, MappingNode):
            self.problem(node, "J801", "keys with values belong here", hint=", ".join(sorted(keys)))
            return {}
        entries: dict[str, Node] = {}
        for key, value in node.entries:
            if key.value in keys:
                entries[key.value] = value
            else:
                self.problem(key, "J802", f'"{key.value}" means nothing here', hint=did_you_mean(key.value, keys))
        for name in sorted(required - entries.keys()):
            self.problem(node, "J803", f'"{name}" is missing')
        return entries

    def pairs(self, node: Node | None) -> tuple[tuple[Scalar, Node], ...]:
        """The entries of a mapping with free keys; none where nothing was written."""
        if node is None:
            return ()
        if not isinstance(node, MappingNode):
            self.problem(node, "J801", "names with values belong here", hint="such as {name: value}")
            return ()
        return node.entries

    def items(self, node: Node | None) -> tuple[Node, ...]:
        """The items of a list; none where nothing was written."""
        if node is None:
            return ()
        if not isinstance(node, ListNode):
            self.problem(node, "J801", "a list belongs here", hint="begin each item with a dash")
            return ()
        return node.items

    def text(self, node: Node | None) -> str | None:
        """The text; None where nothing was written."""
        if node is None:
            return None
        if not isinstance(node, Scalar) or node.is_empty:
            self.problem(node, "J809", "a text belongs here", hint="write one value")
            return None
        return node.value

    def boolean(self, node: Node | None) -> bool | None:
        """True or false; None where nothing was written."""
        if node is None:
            return None
        value = value_of_node(node)
        if isinstance(value, bool):
            return value
        self.problem(node, "J809", "true or false belongs here", hint="write true or false, without quotes")
        return None

    def whole(self, node: Node) -> int | None:
        """A number that counts something."""
        value = value_of_node(node)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.problem(node, "J809", "a whole number belongs here")
        return None

    def checked(self, node: Node, code: str, read: Callable[[], Value], otherwise: Value) -> Value:
        """What `read` gives; a BadValue becomes a problem at the node."""
        try:
            return read()
        except BadValue as bad:
            self.problem(node, code, str(bad))
            return otherwise


def value_of_node(node: Node) -> Any:
    """The node as a plain value. Words without quotes are texts, except numbers, true, false and null."""
    match node:
        case ListNode():
            return [value_of_node(item) for item in node.items]
        case MappingNode():
            return {key.value: value_of_node(value) for key, value in node.entries}
        case Scalar():
            return _scalar(node)


def _scalar(node: Scalar) -> Any:
    if node.is_empty:
        return None
    if node.style:
        return node.value
    if node.value in {"true", "false"}:
        return node.value == "true"
    if _WHOLE.fullmatch(node.value):
        return int(node.value)
    return Decimal(node.value) if _DECIMAL.fullmatch(node.value) else node.value
