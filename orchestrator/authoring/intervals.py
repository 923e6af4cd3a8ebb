"""How sure a share is that was found by counting."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def wilson(found: int, of: int) -> tuple[float, float]:
    """The score interval of the share `found / of`, at 95% confidence: it holds for small counts and shares near 0 too.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).

    >>> low, high = wilson(10, 100)
    >>> f"{low:.4f} {high:.4f}"
    '0.0552 0.1744'
    >>> wilson(0, 0)
    (0.0, 1.0)
    """
    if not of:
        return 0.0, 1.0
    share, square = found / of, _Z * _Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = _Z / (1 + square / of) * sqrt(share * (1 - share) / of + square / (4 * of * of))
    # At the ends the bounds are the share itself, which rounding would miss.
    return (middle - half if found else 0.0), (middle + half if found < of else 1.0)
