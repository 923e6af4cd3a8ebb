"""The short way for what most templates are made of: text, variables with a default, `if` and `for` over a variable.

Liquid sets up a context for each part and looks names up in a chain of scopes: 20 to 90 µs for a message, more than
everything else in a decision. These closures print the same (a test compares them) in 2 to 10 µs; whatever is
unusual, in the template or in a value, is left to Liquid (decision 0002).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from liquid import BoundTemplate, Markup
from liquid.ast import BlockNode
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import BooleanExpression, FilteredExpression, Path, StringLiteral
from liquid.builtin.expressions.logical import is_truthy
from liquid.builtin.filters.misc import default as default_filter
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.stringify import to_liquid_string

from orchestrator.authoring.liquid_sandbox import Sandbox

RenderPart = Callable[[Mapping[str, Any]], str]
Read = Callable[[Mapping[str, Any]], Any]

LOOP_HELPER = "forloop"
BUILT_IN_NAMES = frozenset({"size", "first", "last"})
"""Members that Liquid makes up for lists and texts."""


class _Unusual(Exception):
    """A value that Liquid treats in a way of its own."""


def direct_renderer(template: BoundTemplate, *, otherwise: RenderPart) -> RenderPart | None:
    """A renderer that prints what Liquid prints, or None if the template needs Liquid.

    `otherwise` renders with Liquid, for values that are unusual.
    """
    pieces = _pieces(template.nodes, autoescape=template.env.autoescape)
    if pieces is None:
        return None
    limit = Sandbox.output_stream_limit

    def render(variables: Mapping[str, Any]) -> str:
        try:
            text = "".join([piece(variables) for piece in pieces])
        except _Unusual:
            return otherwise(variables)
        # Liquid bounds the length in bytes, and unifies line ends.
        return text if len(text) < limit // 4 and "\r" not in text else otherwise(variables)

    return render


def _pieces(nodes: list[Any], *, autoescape: bool) -> list[RenderPart] | None:
    pieces: list[RenderPart] = []
    for node in nodes:
        piece = _piece(node, autoescape=autoescape)
        if piece is None:
            return None
        pieces.append(piece)
    return pieces


def _piece(node: object, *, autoescape: bool) -> RenderPart | None:
    match node:
        case ContentNode():
            text = node.text
            return lambda _: text
        case OutputNode():
            return _output(node, autoescape=autoescape)
        case IfNode():
            return _if(node, autoescape=autoescape)
        case ForNode():
            return _for(node, autoescape=autoescape)
        case _:
            return None


def _block(node: BlockNode | None, *, autoescape: bool) -> RenderPart | None:
    if node is None:
        return lambda _: ""
    if node.blank:
        # Liquid prints nothing for a block of blanks.
        return None
    pieces = _pieces(node.nodes, autoescape=autoescape)
    if pieces is None:
        return None
    inside = pieces
    return lambda variables: "".join([piece(variables) for piece in inside])


def _if(node: IfNode, *, autoescape: bool) -> RenderPart | None:
    if node.alternatives or not isinstance(node.condition, BooleanExpression):
        return None
    read = _read(node.condition.expression)
    then = _block(node.consequence, autoescape=autoescape)
    otherwise = _block(node.default, autoescape=autoescape)
    if read is None or then is None or otherwise is None:
        return None
    return lambda variables: then(variables) if is_truthy(read(variables)) else otherwise(variables)


def _for(node: ForNode, *, autoescape: bool) -> RenderPart | None:
    loop = node.expression
    if node.default or loop.limit or loop.offset or loop.reversed or loop.identifier == LOOP_HELPER:
        return None
    read = _read(loop.iterable)
    body = _block(node.block, autoescape=autoescape)
    if read is None or body is None:
        return None
    name = loop.identifier

    def render(variables: Mapping[str, Any]) -> str:
        items = read(variables)
        if type(items) is not list or len(items) > 100:
            raise _Unusual
        inner = dict(variables)
        texts: list[str] = []
        for item in items:
            inner[name] = item
            texts.append(body(inner))
        return "".join(texts)

    return render


def _output(node: OutputNode, *, autoescape: bool) -> RenderPart | None:
    if not isinstance(node.expression, FilteredExpression):
        return None
    read = _read(node.expression.left)
    if read is None:
        return None
    filters = node.expression.filters or []
    if not filters:
        return lambda variables: _printed(read(variables), autoescape)
    only = filters[0]
    if len(filters) > 1 or only.name != "default" or len(only.args) != 1:
        return None
    literal = getattr(only.args[0], "value", None)
    if not isinstance(literal, StringLiteral):
        return None
    otherwise = Markup(literal.value) if autoescape else literal.value
    return lambda variables: _printed(default_filter(read(variables), otherwise), autoescape)


def _printed(value: Any, autoescape: bool) -> str:  # noqa: FBT001  (the order of Liquid's own function)
    if type(value) is str and not autoescape:
        return value
    return str(to_liquid_string(value, autoescape))


def _read(expression: object) -> Read | None:
    """What reads a variable, or one field of it."""
    if not isinstance(expression, Path) or not all(isinstance(segment, str) for segment in expression.path):
        return None
    names = [str(segment) for segment in expression.path]
    if names[0] == LOOP_HELPER or len(names) > 2 or not BUILT_IN_NAMES.isdisjoint(names):
        return None
    root = names[0]
    if len(names) == 1:
        return lambda variables: variables.get(root)
    field = names[1]

    def read(variables: Mapping[str, Any]) -> Any:
        value = variables.get(root)
        if type(value) is dict:
            return value.get(field)
        if value is None:
            return None
        raise _Unusual

    return read
