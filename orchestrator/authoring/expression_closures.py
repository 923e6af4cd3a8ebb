"""Typed nodes -> closures: what a condition costs while events are applied is decided here.

The shapes that most conditions have (a field compared with a constant or with an entry field, and `and`/`or` of
those) get closures of their own, which read the scope without a call in between: `event.value > 0` takes about
0.1 µs instead of 0.25. No source text is ever evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, assert_never

from orchestrator.authoring.expression_functions import (
    BETWEEN,
    CALENDAR_DAYS,
    FUNCTIONS,
    INTEGER_MAX,
    whole_number,
)
from orchestrator.authoring.expression_nodes import (
    Aggregated,
    Ambient,
    Apply,
    Attribute,
    AudienceMember,
    ConsentKey,
    Constant,
    EntryField,
    EventField,
    ExperimentArm,
    Member,
    SegmentMember,
    StepField,
    Typed,
    contains_decimal,
)
from orchestrator.authoring.expression_operators import (
    ARITHMETIC,
    COMPARE,
    COMPARE_ENTRY,
    COMPARE_FIELD,
)
from orchestrator.engine.aggregates import fold_of, read_of
from orchestrator.engine.distinct import fold_distinct, merge_distinct, read_distinct
from orchestrator.engine.ids import aggregate_key
from orchestrator.engine.merging import merge_of
from orchestrator.model.aggregates import Aggregate
from orchestrator.model.types import Kind, Type

Evaluate = Callable[[Any], Any]
DAY_MS = 86_400_000
INTEGERS = frozenset({Kind.INTEGER, Kind.INSTANT, Kind.DATE, Kind.DURATION})
PYTHON_TYPES: dict[Kind, tuple[type, ...]] = {
    Kind.STRING: (str,),
    Kind.INTEGER: (int,),
    Kind.FLOAT: (float, int),
    Kind.BOOLEAN: (bool,),
    Kind.INSTANT: (int,),
    Kind.DATE: (int,),
    Kind.DURATION: (int,),
    Kind.LIST: (list,),
    Kind.MAP: (dict,),
    Kind.RECORD: (dict,),
}


def closure(node: Typed, captured: Mapping[str, int]) -> Evaluate:
    """The function of a scope that gives the node's value. `captured` is each entry field's place in the instance."""
    match node:
        case Constant():
            return _constant(node.value)
        case EventField():
            return _event_field(node.name)
        case EntryField():
            return _entry_field(captured[node.name], node.type)
        case Attribute():
            return _attribute(node.name, node.type)
        case ConsentKey():
            return _consent(node.name)
        case AudienceMember():
            return _audience(node.name)
        case SegmentMember():
            return _segment(node.name)
        case ExperimentArm():
            return _experiment(node.name)
        case StepField():
            return _step_field(node.step, node.name)
        case Ambient():
            return _AMBIENT[node.name]
        case Member():
            return _member(closure(node.of, captured), node.name)
        case Apply():
            return _apply(node, captured)
        case Aggregated():
            return _aggregated(node)
        case _:
            assert_never(node)


def aggregate_of(node: Aggregated) -> Aggregate:
    """What has to be kept of the customer's events for this aggregate."""
    return Aggregate(
        key=_aggregate_key(node),
        text=node.text,
        on=node.on,
        where=None if node.where is None else closure(node.where, {}),
        value=None if node.value is None else closure(node.value, {}),
        fold=fold_distinct(node.window_ms)
        if node.name == "distinct"
        else fold_of(node.name, _kind(node), node.window_ms),
        merge=merge_distinct(node.window_ms)
        if node.name == "distinct"
        else merge_of(node.name, _kind(node), node.window_ms),
        window_ms=node.window_ms,
    )


def _kind(node: Aggregated) -> Kind:
    return Kind.INTEGER if node.value is None else node.value.type.kind


def _aggregate_key(node: Aggregated) -> str:
    return aggregate_key(node.text, _kind(node).value)


def _aggregated(node: Aggregated) -> Evaluate:
    key = _aggregate_key(node)
    if node.name == "distinct":
        read = read_distinct(node.window_ms)
    else:
        read = read_of(node.name, _kind(node), node.window_ms)
    return lambda scope: read(scope.customer.aggregates.get(key), scope.now_ms)


def stored(of: Type) -> Callable[[Any], Any] | None:
    """What turns a value of this type into stored form, or None if it is stored as it is."""
    if not contains_decimal(of):
        return None
    return str_or_none if of.kind is Kind.DECIMAL else _store_deep


def str_or_none(value: Any) -> Any:
    """The value as text; null stays null."""
    return None if value is None else str(value)


def _store_deep(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [_store_deep(item) for item in value]
    if isinstance(value, dict):
        return {key: _store_deep(item) for key, item in value.items()}
    return value


def loaded(of: Type) -> Callable[[Any], Any] | None:
    """What turns stored form back into values of this type, or None if they are the same."""
    if not contains_decimal(of):
        return None
    if of.kind is Kind.DECIMAL:
        return _load_decimal
    if of.kind is Kind.RECORD:
        loaders = {name: load for name, inner in of.fields.items() if (load := loaded(inner)) is not None}
        return lambda value: (
            {key: loaders[key](item) if key in loaders else item for key, item in value.items()}
            if isinstance(value, dict)
            else None
        )
    load = loaded(of.item) if of.item is not None else None
    if load is None:
        return None
    inner = load
    if of.kind is Kind.LIST:
        return lambda value: [inner(item) for item in value] if isinstance(value, list) else None
    return lambda value: {key: inner(item) for key, item in value.items()} if isinstance(value, dict) else None


def _load_decimal(value: Any) -> Any:
    if value is None:
        return None
    try:
        return Decimal(value)
    except (InvalidOperation, TypeError, ValueError):
        return None


def _constant(value: Any) -> Evaluate:
    return lambda _: value


def _event_field(name: str) -> Evaluate:
    return lambda scope: scope.event.get(name)


def _entry_field(index: int, of: Type) -> Evaluate:
    load = loaded(of)
    if load is None:
        return lambda scope: scope.instance.entry[index]
    read = load
    return lambda scope: read(scope.instance.entry[index])


def _attribute(name: str, of: Type) -> Evaluate:
    """Reads an attribute that an older set of journeys may have stored with another type: that counts as null."""
    load = loaded(of)
    if load is not None:
        read = load
        return lambda scope: read(scope.customer.profile.get(name))
    types = PYTHON_TYPES.get(of.kind, ())
    return lambda scope: value if type(value := scope.customer.profile.get(name)) in types else None


def _consent(name: str) -> Evaluate:
    return lambda scope: scope.customer.consent.get(name, False)


def _audience(name: str) -> Evaluate:
    return lambda scope: name in scope.customer.audiences


def _segment(name: str) -> Evaluate:
    return lambda scope: name in scope.customer.segments


def _experiment(name: str) -> Evaluate:
    return lambda scope: scope.customer.exposures.get(name)


def _step_field(step: str, name: str) -> Evaluate:
    if name == "visits":
        return lambda scope: 0 if (result := scope.instance.results.get(step)) is None else result.visits
    if name == "at":
        return lambda scope: None if (result := scope.instance.results.get(step)) is None else result.at_ms
    if name == "outcome":
        return lambda scope: None if (result := scope.instance.results.get(step)) is None else result.outcome
    if name == "action_id":
        return lambda scope: None if (result := scope.instance.results.get(step)) is None else result.action_id
    return lambda scope: None if (result := scope.instance.results.get(step)) is None else result.channel


def _now(scope: Any) -> Any:
    return scope.now_ms


def _customer_id(scope: Any) -> Any:
    return scope.customer_id


def _entered_at(scope: Any) -> Any:
    return scope.instance.entered_at_ms


_AMBIENT: dict[str, Evaluate] = {"now": _now, "customer_id": _customer_id, "entry.at": _entered_at}


def _member(of: Evaluate, name: str) -> Evaluate:
    return lambda scope: None if (value := of(scope)) is None else value.get(name)


def _apply(node: Apply, captured: Mapping[str, int]) -> Evaluate:
    if node.name in COMPARE:
        return _comparison(node, captured)
    arguments = tuple(closure(argument, captured) for argument in node.arguments)
    match node.name:
        case "and" | "or":
            correlated = _correlated(node, arguments[1], captured)
            return correlated or _junction(node.name, arguments[0], arguments[1])
        case "not":
            return _negation(node.arguments[0], captured)
        case "in":
            return _membership(node, arguments)
        case "??":
            value, default = _exact_arguments(node, arguments) if node.type.kind is Kind.DECIMAL else arguments
            return lambda scope: default(scope) if (found := value(scope)) is None else found
        case "list":
            return lambda scope: [argument(scope) for argument in arguments]
        case "neg":
            operand = arguments[0]
            return lambda scope: None if (value := operand(scope)) is None else -value
        case "+" | "-" | "*" | "/" | "%":
            return _arithmetic(node, arguments)
        case _:
            return _call(node, arguments)


def _negation(node: Typed, captured: Mapping[str, int]) -> Evaluate:
    """`not x`; where x is made of `or`, its sides are asked without a call in between: exits by consent are like that,
    and they are asked for every passage at every event.
    """
    sides = _sides(node)
    match [closure(side, captured) for side in sides]:
        case [one, other]:
            return lambda scope: not (one(scope) or other(scope))
        case [one, other, third]:
            return lambda scope: not (one(scope) or other(scope) or third(scope))
        case _:
            inner = closure(node, captured)
            return lambda scope: not inner(scope)


def _sides(node: Typed) -> list[Typed]:
    """`a or b or c` as a list; a list of one for anything else."""
    if isinstance(node, Apply) and node.name == "or":
        return [side for argument in node.arguments for side in _sides(argument)]
    return [node]


def _junction(name: str, left: Evaluate, right: Evaluate) -> Evaluate:
    if name == "and":
        return lambda scope: True if left(scope) and right(scope) else False  # noqa: SIM210 - operands may be null
    return lambda scope: True if left(scope) or right(scope) else False  # noqa: SIM210 - operands may be null


def _correlated(node: Apply, right: Evaluate, captured: Mapping[str, int]) -> Evaluate | None:
    """`event.x == entry.x and ...`, with the first comparison written out: it is false for nearly every event."""
    left = node.arguments[0]
    if node.name != "and" or not isinstance(left, Apply) or left.name != "==":
        return None
    field, entry = left.arguments
    if not isinstance(field, EventField) or not isinstance(entry, EntryField) or contains_decimal(entry.type):
        return None
    name, index = field.name, captured[entry.name]
    return lambda scope: True if scope.event.get(name) == scope.instance.entry[index] and right(scope) else False  # noqa: SIM210 - right may be null


def _comparison(node: Apply, captured: Mapping[str, int]) -> Evaluate:
    left, right = node.arguments
    if isinstance(left, EventField) and isinstance(right, Constant) and right.value is not None:
        return COMPARE_FIELD[node.name](left.name, right.value)
    if isinstance(left, EventField) and isinstance(right, EntryField) and not contains_decimal(right.type):
        return COMPARE_ENTRY[node.name](left.name, captured[right.name])
    return COMPARE[node.name](closure(left, captured), closure(right, captured))


def _membership(node: Apply, arguments: tuple[Evaluate, ...]) -> Evaluate:
    value, where = arguments
    listed = node.arguments[1]
    if isinstance(listed, Apply) and all(isinstance(item, Constant) for item in listed.arguments):
        constants = frozenset(item.value for item in listed.arguments if isinstance(item, Constant))
        return lambda scope: value(scope) in constants
    return lambda scope: (items := where(scope)) is not None and value(scope) in items


def _arithmetic(node: Apply, arguments: tuple[Evaluate, ...]) -> Evaluate:
    left, right = arguments
    if node.type.kind is Kind.DECIMAL:
        left = _exactly(left) if node.arguments[0].type.kind is Kind.FLOAT else left
        right = _exactly(right) if node.arguments[1].type.kind is Kind.FLOAT else right
    if node.type.kind is Kind.DATE:
        right = _in_days(right)
    compute = ARITHMETIC[node.name](left, right)
    if node.type.kind is Kind.DURATION and node.arguments[0].type.kind is Kind.DATE:
        return lambda scope: None if (days := compute(scope)) is None else days * DAY_MS
    if node.type.kind in INTEGERS:
        return _bounded(compute)
    return compute


def _bounded(compute: Evaluate) -> Evaluate:
    def evaluate(scope: Any) -> Any:
        value = compute(scope)
        if value is None or -INTEGER_MAX <= value <= INTEGER_MAX:
            return value
        return whole_number(value)

    return evaluate


def _exactly(value: Evaluate) -> Evaluate:
    return lambda scope: None if (found := value(scope)) is None else Decimal(found)


def _exact_arguments(node: Apply, arguments: tuple[Evaluate, ...]) -> tuple[Evaluate, ...]:
    """Of a decimal and a number with a point each is a decimal, so that whichever is chosen is one."""
    pairs = zip(node.arguments, arguments, strict=True)
    return tuple(_exactly(value) if argument.type.kind is Kind.FLOAT else value for argument, value in pairs)


def _in_days(value: Evaluate) -> Evaluate:
    return lambda scope: None if (found := value(scope)) is None else found // DAY_MS


def _in_ms(value: Evaluate) -> Evaluate:
    return lambda scope: None if (found := value(scope)) is None else found * DAY_MS


def _call(node: Apply, arguments: tuple[Evaluate, ...]) -> Evaluate:
    function = FUNCTIONS[node.name]
    call, on_null = function.call, function.on_null
    kinds = [argument.type.kind for argument in node.arguments]
    if node.name in CALENDAR_DAYS and kinds[0] is Kind.INSTANT:
        arguments = (_in_days(arguments[0]),)
    elif node.name in BETWEEN:
        pairs = zip(kinds, arguments, strict=True)
        arguments = tuple(_in_ms(argument) if kind is Kind.DATE else argument for kind, argument in pairs)
    elif node.type.kind is Kind.DECIMAL:
        arguments = _exact_arguments(node, arguments)
    if len(arguments) == 1:
        only = arguments[0]
        return lambda scope: on_null if (value := only(scope)) is None else call(value)
    if len(arguments) == 2:
        first, second = arguments
        return lambda scope: (
            on_null if (one := first(scope)) is None or (other := second(scope)) is None else call(one, other)
        )

    def evaluate(scope: Any) -> Any:
        values = [argument(scope) for argument in arguments]
        return on_null if None in values else call(*values)

    return evaluate
