"""What messages are for and by what right they are sent; who is left alone by all journeys."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Basis(Enum):
    """By what right messages of a purpose are sent.

    `CONSENT`: the customer has agreed. `LEGITIMATE_INTEREST`: the customer has not objected. `CONTRACT`: the message is
    part of what the customer has asked for.
    """

    CONSENT = "consent"
    LEGITIMATE_INTEREST = "legitimate_interest"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What messages are for. `consent` is the consent key, `by_channel` that of single channels."""

    name: str
    basis: Basis
    consent: str
    by_channel: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class GlobalHoldout:
    """Customers whom no journey sends promotional messages: `share` on the scale 0 to 2**64, drawn by `salt`.

    Messages of the purposes `excepted` are sent all the same.
    """

    share: int
    salt: str
    excepted: frozenset[str] = frozenset()
