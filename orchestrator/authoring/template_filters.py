"""The filters that a template calls, and whether each is given what it takes: otherwise every message would fail."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from liquid import BoundTemplate, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import KeywordArgument
from liquid.expression import Expression

OF_THE_SANDBOX = frozenset({"environment", "context"})
"""Arguments that no author gives."""


@dataclass(frozen=True, slots=True)
class Call:
    """A filter's name, where it stands in the text, and what it is called with."""

    name: str
    index: int
    positional: int
    named: tuple[str, ...]


def filter_calls(template: BoundTemplate) -> Iterator[Call]:
    """Every call of a filter, in no particular order."""
    return _in_nodes(template.nodes, RenderContext(template))


def _in_nodes(nodes: Iterable[Node], context: RenderContext) -> Iterator[Call]:
    for node in nodes:
        for expression in node.expressions():
            yield from _in_expression(expression)
        yield from _in_nodes(node.children(context, include_partials=False), context)


def _in_expression(expression: Expression) -> Iterator[Call]:
    for called in getattr(expression, "filters", None) or ():
        named = tuple(argument.name for argument in called.args if isinstance(argument, KeywordArgument))
        yield Call(called.name, called.token.start_index, len(called.args) - len(named), named)
    for inner in expression.children():
        yield from _in_expression(inner)


def what_it_takes(call: Call, filters: Mapping[str, Any]) -> str | None:
    """What the filter takes beside the value before it, if that is not what it is given; None where it fits."""
    parameters = list(inspect.signature(filters[call.name]).parameters.values())[1:]
    own = [one for one in parameters if one.name not in OF_THE_SANDBOX]
    placed = [one for one in own if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    needed = sum(1 for one in placed if one.default is inspect.Parameter.empty)
    known = {one.name for one in own}
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in own):
        return None
    if needed <= call.positional + len(known.intersection(call.named)) and call.positional <= len(placed):
        return None if known.issuperset(call.named) else "no such named value"
    most = len(placed)
    if not most:
        return "no value"
    return f"{needed} {'value' if needed == 1 else 'values'}" if needed == most else f"{needed} to {most} values"
