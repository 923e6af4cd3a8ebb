"""How customers who are inside an older version of a journey come into the one in force. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.model.types import Type


@dataclass(frozen=True, slots=True)
class Migration:
    """Which older versions come along, and how.

    `versions` are prefixes of them; None for any. `steps` maps a step to the one that follows in its place; others keep
    their names. `restarts`: each step is arrived at anew; otherwise a wait of the same kind ends when it would have.
    `values` are fields of the entry event, in stored form, for passages of versions that did not keep them.
    """

    versions: tuple[str, ...] | None
    steps: dict[str, str]
    restarts: bool
    values: dict[str, Any]


def covers(migration: Migration, version: str) -> bool:
    """Whether passages of this version come along.

    >>> covers(Migration(("ab",), {}, False, {}), "abcd"), covers(Migration((), {}, False, {}), "abcd")
    (True, False)
    """
    return migration.versions is None or version.startswith(migration.versions)


def target_of(migration: Migration, step: str) -> str:
    """The step that a passage in this step of an older version comes to."""
    return migration.steps.get(step, step)


def holds_same(old: Type, new: Type) -> bool:
    """Whether a value kept as one type can be read as the other; that it may be missing does not matter.

    >>> from orchestrator.model.types import INTEGER, STRING, Kind
    >>> holds_same(STRING, Type(Kind.STRING, nullable=True)), holds_same(STRING, INTEGER)
    (True, False)
    """
    if old.item is not None and new.item is not None and not holds_same(old.item, new.item):
        return False
    return old.kind is new.kind
