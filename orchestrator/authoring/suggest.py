"""The name that an author probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED_MAX = 20
"""So many names are still a help when they are listed."""

MEANT = {
    "if": ("when", "where"),
    "condition": ("where", "when"),
    "filter": ("where", "when"),
    "else": ("otherwise",),
    "default": ("otherwise",),
    "then": ("go", "next"),
    "goto": ("go", "next"),
    "to": ("go", "next"),
    "event": ("on",),
    "trigger": ("on", "entry"),
    "delay": ("wait",),
    "sleep": ("wait",),
    "pause": ("wait",),
    "variables": ("with",),
    "data": ("with",),
    "name": ("journey",),
    "id": ("journey",),
    "description": ("title",),
    "every": ("schedule",),
    "cron": ("schedule",),
    "cooldown": ("reentry",),
    "experiments": ("experiment",),
    "variants": ("arms",),
}
"""Words that other tools have for a key of the language."""


def meant(word: str, known: Iterable[str]) -> str | None:
    """The known word that is probably meant, None if none is near."""
    names = sorted(known)
    same = next((other for other in MEANT.get(word.lower(), ()) if other in names), None)
    if same is not None:
        return same
    near = difflib.get_close_matches(word[:80], names, n=1, cutoff=0.6)
    return near[0] if near else None


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """A hint naming the known word nearest to this one; else the known words if they are few; else `otherwise`."""
    names = sorted(known)
    near = meant(word, names)
    if near is not None:
        return f'did you mean "{near}"?'
    if otherwise:
        return otherwise
    if not names:
        return ""
    if len(names) <= LISTED_MAX:
        return f"known: {', '.join(names)}"
    return f"known: {', '.join(names[:LISTED_MAX])}, and {len(names) - LISTED_MAX} more"
