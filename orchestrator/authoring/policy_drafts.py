"""policies.yaml as written: every name with its place in the file, nothing looked up yet."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from orchestrator.authoring.drafts import CapDraft, QuietHoursDraft, RateDraft, Ref
from orchestrator.model.policies import Basis


@dataclass(frozen=True, slots=True)
class PurposeDraft:
    """A purpose; `consents` are the consent keys that it names itself, by channel (None: for all other channels)."""

    name: Ref
    basis: Basis
    consents: tuple[tuple[Ref | None, Ref], ...] = ()

    @property
    def keys(self) -> tuple[Ref, ...]:
        """The consent keys that messages of this purpose look at, each where it is said."""
        named = tuple(key for _, key in self.consents)
        if self.basis is Basis.CONTRACT or any(channel is None for channel, _ in self.consents):
            return named
        return (*named, self.name)


@dataclass(frozen=True, slots=True)
class HoldoutDraft:
    """The global holdout; `excepted` are purposes."""

    share: Fraction
    salt: str
    excepted: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class PoliciesDraft:
    """What holds for all journeys together."""

    caps: tuple[CapDraft, ...] = ()
    default_zone: str | None = None
    quiet_hours: tuple[QuietHoursDraft, ...] = ()
    rates: tuple[RateDraft, ...] = ()
    purposes: tuple[PurposeDraft, ...] = ()
    default_purpose: Ref | None = None
    global_holdout: HoldoutDraft | None = None
