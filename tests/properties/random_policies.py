"""Rules for all journeys, at random: caps, quiet hours, rates, purposes, the global holdout; and experiments."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.properties.random_steps import CLOCKS, ZONES
from tests.properties.shop import CHANNELS, EXPERIMENTS

Keys = dict[str, Any]

SHARES = {2: (("50%", "50%"), ("10%", "90%")), 3: (("25%", "25%", "50%"), ("80%", "10%", "10%"))}
"""How many arms → what their shares may be."""


@st.composite
def policies(draw: st.DrawFn, journeys: tuple[str, ...], purposes: tuple[str, ...]) -> Keys:
    """The keys of policies.yaml. The purposes are `PURPOSES`, or none."""
    found: Keys = {"default_zone": draw(st.sampled_from(["UTC", *ZONES[1:]]))}
    if purposes:
        found["purposes"] = draw(_purposes(purposes))
        if draw(st.booleans()):
            found["default_purpose"] = draw(st.sampled_from(purposes[:-1]))
    if draw(st.sampled_from([False] * 3 + [True])):
        found["global_holdout"] = {"share": "50%", "salt": draw(st.sampled_from(["first", "second", "third"]))}
        if draw(st.booleans()):
            found["global_holdout"]["except"] = ["transactional", *purposes[:1]]
    rules = {
        "caps": [draw(_cap(number, journeys, purposes)) for number in range(draw(st.sampled_from([1, 0, 2, 3])))],
        "quiet_hours": [draw(_quiet_hours()) for _ in range(draw(st.sampled_from([1, 0, 0, 2])))],
        "rates": [draw(_rate(per)) for per in draw(st.sampled_from([(), ("1 day",), ("1 day", "10 minutes")]))],
    }
    return found | {name: listed for name, listed in rules.items() if listed}


def _channels() -> st.SearchStrategy[Any]:
    return st.one_of(st.just("all"), st.lists(st.sampled_from(sorted(CHANNELS)), min_size=1, max_size=2, unique=True))


@st.composite
def _purposes(draw: st.DrawFn, names: tuple[str, ...]) -> dict[str, Keys]:
    offers, news, care = names
    return {
        offers: {"legal_basis": draw(st.sampled_from(["consent", "legitimate_interest"]))},
        news: draw(st.sampled_from([{"consent": "offers"}, {"consent": {"sms": "ads", "email": "offers"}}])),
        care: {"legal_basis": "contract"},
    }


@st.composite
def _cap(draw: st.DrawFn, number: int, journeys: tuple[str, ...], purposes: tuple[str, ...]) -> Keys:
    found: Keys = {
        "name": f"cap{number}",
        "channels": draw(_channels()),
        "max": draw(st.sampled_from([1, 1, 2, 3])),
        "per": draw(st.sampled_from(["5 hours", "1 day", "3 days", "7 days"])),
    }
    if draw(st.sampled_from([False, False, True])):
        found["journeys"] = draw(st.lists(st.sampled_from(journeys), min_size=1, max_size=2, unique=True))
    if purposes and draw(st.sampled_from([False, True])):
        found["purposes"] = draw(st.lists(st.sampled_from(purposes[:-1]), min_size=1, unique=True))
    return found


@st.composite
def _quiet_hours(draw: st.DrawFn) -> Keys:
    start, end = draw(st.lists(st.sampled_from(CLOCKS), min_size=2, max_size=2, unique=True))
    found: Keys = {"channels": draw(_channels()), "from": start, "to": end}
    found["zone"] = draw(st.sampled_from(ZONES))
    found["then"] = draw(st.sampled_from(["hold", "hold", "skip"]))
    if found["then"] == "hold" and draw(st.booleans()):
        found["late_after"] = draw(st.sampled_from(["1 hour", "8 hours", "1 day"]))
    return found


@st.composite
def _rate(draw: st.DrawFn, per: str) -> Keys:
    channels = draw(st.one_of(st.just("all"), _channels()))
    found: Keys = {"channels": channels, "max": draw(st.sampled_from([1, 1, 2, 3])), "per": per}
    if draw(st.booleans()):
        found["late_after"] = draw(st.sampled_from(["10 minutes", "1 day"]))
    return found


@st.composite
def experiments(draw: st.DrawFn) -> dict[str, Keys]:
    """Experiment → its keys."""
    found: dict[str, Keys] = {}
    for name, arms in EXPERIMENTS.items():
        shares = draw(st.sampled_from(SHARES[len(arms)]))
        found[name] = {"arms": dict(zip(arms, shares, strict=True))}
        if draw(st.booleans()):
            found[name]["salt"] = draw(st.sampled_from(["shared", "other"]))
        if draw(st.sampled_from([False] * 4 + [True])):
            found[name]["from"] = draw(st.sampled_from(["2026-02-02", "2026-03-08 03:00 America/New_York"]))
        if draw(st.sampled_from([False] * 4 + [True])):
            found[name]["until"] = draw(st.sampled_from(["2026-03-29", "2026-11-01 Australia/Lord_Howe"]))
    return found
