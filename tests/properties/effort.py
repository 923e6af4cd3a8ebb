"""How many examples a property looks at: its share of what the Hypothesis profile says."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

SLOW_TO_DRAW = (HealthCheck.too_slow, HealthCheck.data_too_large)
"""A journeys folder is a large thing to draw."""

PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
"""Without the phase that traces each line to explain a failure: on this Python it takes minutes."""


def examples(share: int) -> settings:
    """`share` examples with the default profile, 50 times as many with `--hypothesis-profile=long`."""
    most = settings().max_examples
    return settings(
        deadline=None,
        max_examples=max(1, share * most // 100),
        phases=PHASES,
        suppress_health_check=SLOW_TO_DRAW,
    )
