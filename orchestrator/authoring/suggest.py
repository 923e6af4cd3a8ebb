"""The name that an author probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """A hint naming the known word nearest to this one; else the known words if they are few; else `otherwise`."""
    names = sorted(known)
    near = difflib.get_close_matches(word[:80], names, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    if otherwise:
        return otherwise
    if not names:
        return ""
    if len(names) <= 12:
        return f"known: {', '.join(names)}"
    return f"known: {', '.join(names[:12])}, and {len(names) - 12} more"
