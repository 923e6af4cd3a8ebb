"""Whether a condition can hold, and whether it can fail to hold, found by looking at all ways in which it may.

A condition is turned into the ways in which it holds: each says of some subjects which values they have. Subjects are
taken as independent, but for those that a way says are equal, so what is found never to hold never does; of what is
not found nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from orchestrator.authoring.atoms import BOTH_NULL, atom_of, cannot_fail, possible
from orchestrator.authoring.expression_nodes import Apply, Member, Typed
from orchestrator.authoring.value_sets import ValueSet, values

WAYS_MAX = 64
"""With more ways than this, nothing is said about the condition: looking at all would take too long."""

Way = dict[Typed, ValueSet]
"""Subject → the values that it has; subjects of which nothing is known are left out."""
Ways = list[Way] | None
"""All ways; none: it never comes about. None if there are too many to look at."""

_EQUAL = values([0, BOTH_NULL])


def ways(node: Typed, *, holds: bool = True) -> Ways:
    """The ways in which the condition holds, or (`holds` False) in which it is evaluated and does not hold."""
    if isinstance(node, Apply) and node.name == "not":
        return ways(node.arguments[0], holds=not holds)
    if isinstance(node, Apply) and node.name in {"and", "or"}:
        one, other = (ways(argument, holds=holds) for argument in node.arguments)
        if (node.name == "and") == holds:
            return together(one, other)
        return None if one is None or other is None or len(one) + len(other) > WAYS_MAX else one + other
    atom = atom_of(node)
    if isinstance(atom, bool):
        return [{}] if atom == holds else []
    left = (atom.passing if holds else ~atom.passing) & possible(atom.subject)
    return [] if left.is_empty(atom.subject.type) else [{atom.subject: left}]


def together(one: Ways, other: Ways) -> Ways:
    """The ways in which both come about."""
    if one == [] or other == []:
        return []
    if one is None or other is None or len(one) * len(other) > WAYS_MAX:
        return None
    return [joined for first in one for second in other if (joined := _joined(first, second)) is not None]


def never_holds(node: Typed) -> bool:
    """Whether there is no way in which the condition holds."""
    return ways(node) == []


def always_holds(node: Typed) -> bool:
    """Whether there is no way in which the condition does not hold, and none in which it fails."""
    return cannot_fail(node) and ways(node, holds=False) == []


def none_of(conditions: Iterable[Typed]) -> Ways:
    """The ways in which none of these holds, as far as it is known: one that may fail need not hold in any."""
    left: Ways = [{}]
    for condition in conditions:
        if cannot_fail(condition):
            further = together(left, ways(condition, holds=False))
            # Without what is too much to look at, more seems possible than is.
            left = left if further is None else further
    return left


def leaves(node: Typed) -> Iterator[Typed]:
    """The parts of a condition that `and`, `or` and `not` join."""
    if isinstance(node, Apply) and node.name in {"and", "or", "not"}:
        for argument in node.arguments:
            yield from leaves(argument)
    else:
        yield node


def are_apart(subjects: Sequence[Typed]) -> bool:
    """Whether no two of them have to do with each other, so that any of their values can meet."""
    found = set(subjects)
    if len(found) < len(subjects):
        return False
    compared = [one for one in subjects if isinstance(one, Apply) and one.name == "compare"]
    return not any(argument in found for one in compared for argument in one.arguments)


def rewritten(node: Typed, change: Callable[[Typed], Typed]) -> Typed:
    """The node with every part that is not made of others changed."""
    if isinstance(node, Apply):
        return replace(node, arguments=tuple(rewritten(argument, change) for argument in node.arguments))
    if isinstance(node, Member):
        return replace(node, of=rewritten(node.of, change))
    return change(node)


def _joined(first: Way, second: Way) -> Way | None:
    """What both ways say, None if they exclude each other."""
    joined = dict(first)
    for subject, wanted in second.items():
        known = joined.get(subject)
        if known is None:
            joined[subject] = wanted
        else:
            both = known & wanted
            if both.is_empty(subject.type):
                return None
            joined[subject] = both
    return None if any(_exclude(subject, joined) for subject in joined) else joined


def _exclude(subject: Typed, way: Way) -> bool:
    """Whether two subjects are equal by this way, and it leaves no value that both have."""
    if not (isinstance(subject, Apply) and subject.name == "compare" and way[subject] & ~_EQUAL == values([])):
        return False
    left, right = subject.arguments
    both = way.get(left, possible(left)) & way.get(right, possible(right))
    return both.is_empty(left.type) or both.is_empty(right.type)
