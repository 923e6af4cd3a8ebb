"""Entry condition -> what it needs of the event, so that journeys are found by it (`engine/entry_index.py`)."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.authoring.atoms import Atom, atom_of, cannot_fail
from orchestrator.authoring.expression_nodes import Apply, EventField, Typed
from orchestrator.authoring.value_sets import FIRST, LAST, Span, ValueSet, values
from orchestrator.model.triggers import Need, Range
from orchestrator.model.types import Kind

TOLD_APART = frozenset(
    {Kind.STRING, Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL, Kind.BOOLEAN, Kind.INSTANT, Kind.DATE, Kind.DURATION}
)
"""The kinds of values that can be looked up and put in order."""

_Whole = tuple[EventField, ValueSet]


def needs_of(condition: Typed) -> tuple[Need, ...]:
    """What the condition needs of each field, in the order in which it asks; without it the condition is false, and
    nothing in it is evaluated that can fail.
    """
    return tuple(need for field, wanted in _wanted(condition).items() if (need := _need(field, wanted)) is not None)


def _wanted(node: Typed) -> dict[EventField, ValueSet]:
    """Field → the values without which the condition is false and cannot fail."""
    if isinstance(node, Apply) and node.name == "and":
        first, second = node.arguments
        found = _wanted(first)
        # What may fail is evaluated before the second is asked: leaving the journey out would hide that it failed.
        for field, wanted in _wanted(second).items() if cannot_fail(first) else ():
            found[field] = found[field] & wanted if field in found else wanted
        return found
    if isinstance(node, Apply) and node.name == "or":
        one, other = (_wanted(argument) for argument in node.arguments)
        return {field: wanted | other[field] for field, wanted in one.items() if field in other}
    if isinstance(node, Apply) and node.name == "not":
        # Of the opposite it is not enough to know what it needs: it is all of one field, or nothing is known.
        whole = _whole(node.arguments[0])
        return {} if whole is None else dict([_without(whole)])
    found_here = _of_event(node)
    return {} if found_here is None else dict([found_here])


def _whole(node: Typed) -> _Whole | None:
    """(field, values for which the condition holds) of a condition that is about this field alone."""
    if isinstance(node, Apply) and node.name in {"and", "or"}:
        one, other = (_whole(argument) for argument in node.arguments)
        if one is None or other is None or one[0] != other[0]:
            return None
        return one[0], one[1] & other[1] if node.name == "and" else one[1] | other[1]
    if isinstance(node, Apply) and node.name == "not":
        inner = _whole(node.arguments[0])
        return None if inner is None else _without(inner)
    return _of_event(node)


def _without(whole: _Whole) -> _Whole:
    field, wanted = whole
    return field, ~wanted


def _of_event(node: Typed) -> _Whole | None:
    atom = atom_of(node)
    if isinstance(atom, Atom) and isinstance(atom.subject, EventField) and atom.subject.type.kind in TOLD_APART:
        return atom.subject, atom.passing
    return None


def _need(field: EventField, wanted: ValueSet) -> Need | None:
    if field.type.kind is not Kind.FLOAT:
        wanted = replace(wanted, nan=False)
    if field.type.kind is Kind.BOOLEAN:
        wanted &= values([False, True, None])
    points = wanted.points()
    if points is not None:
        return Need(field.name, points)
    if wanted.nan or (wanted.null and wanted.spans[0][0] == FIRST and wanted.spans[-1][1] == LAST):
        # Nearly every event has one of these.
        return None
    return Need(field.name, frozenset({None}) if wanted.null else frozenset(), tuple(map(_range, wanted.spans)))


def _range(span: Span) -> Range:
    low, high = span
    return Range(None if low == FIRST else low[1], low[2] < 0, None if high == LAST else high[1], high[2] > 0)
