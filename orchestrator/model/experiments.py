"""Named experiments: which arm a customer meets, whatever journeys use it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Experiment:
    """`arms` are (name, upper bound on the scale 0 to 2**64, exclusive), the control arm first.

    It runs from `from_ms` until, not including, `until_ms` (None: without such a bound).
    """

    name: str
    salt: str
    arms: tuple[tuple[str, int], ...]
    from_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class MeetExperiment:
    """Go on by the customer's arm of the experiment: `go` is arm → step, the control arm first."""

    name: str
    experiment: str
    go: dict[str, str]
