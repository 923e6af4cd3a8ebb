"""What one step of a random journey says, given its kind and where its ways lead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.properties.random_expressions import Place, conditions, values
from tests.properties.shop import AUDIENCES, CHANNELS, EVENTS, EXPERIMENTS, SETTABLE, TEMPLATES

DURATIONS = ("5 hours", "1 day", "36 hours", "3 days", "1 week")
SPANS = (*DURATIONS, "1 month")
"""Where months may be said too."""
CLOCKS = ("00:00", "02:30", "08:00", "21:00", "23:59")
ZONES = ("customer", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

WAITING = ("wait", "months", "until_time", "until_moment", "wait_for", "wait_while")

Targets = dict[str, Any]
"""What a step's ways are called → the step that each leads to."""


Keys = dict[str, Any]


@st.composite
def steps(draw: st.DrawFn, kind: str, targets: Targets, inside: Place) -> Keys:
    """The step's keys with their values."""
    found: Keys = draw(_STEPS[kind](targets, inside))
    for way in ("next", "on_timeout"):
        if targets.get(way) is not None:
            found[way] = targets[way]
    return found


def _wait(_targets: Targets, _inside: Place) -> st.SearchStrategy[Keys]:
    return st.builds(lambda duration: {"wait": duration}, st.sampled_from(DURATIONS))


def _months(_targets: Targets, _inside: Place) -> st.SearchStrategy[Keys]:
    return st.builds(lambda duration: {"wait": duration}, st.sampled_from(["1 month", "2 months", "1 year"]))


@st.composite
def _until_time(draw: st.DrawFn, _targets: Targets, _inside: Place) -> Keys:
    found: Keys = {"until": draw(st.sampled_from(CLOCKS))}
    if draw(st.booleans()):
        found["on"] = draw(st.lists(st.sampled_from(WEEKDAYS), min_size=1, unique=True))
    found["zone"] = draw(st.sampled_from(["customer", "customer", "customer", *ZONES]))
    return {"wait": found}


@st.composite
def _wait_for(draw: st.DrawFn, targets: Targets, inside: Place) -> Keys:
    found: Keys = {"wait_for": [draw(_awaited(go, inside)) for go in targets["awaited"]]}
    if "on_timeout" in targets:
        found["timeout"] = draw(st.sampled_from(SPANS))
    return found


@st.composite
def _wait_while(draw: st.DrawFn, _targets: Targets, inside: Place) -> Keys:
    return {"wait_while": draw(conditions(inside)), "timeout": draw(st.sampled_from(SPANS))}


@st.composite
def _branch(draw: st.DrawFn, targets: Targets, inside: Place) -> Keys:
    cases: list[Keys] = [{"when": draw(conditions(inside)), "go": go} for go in targets["cases"]]
    if targets["otherwise"] is not None:
        cases.append({"otherwise": targets["otherwise"]})
    return {"branch": cases}


@st.composite
def _split(draw: st.DrawFn, targets: Targets, _inside: Place) -> Keys:
    arms = targets["arms"]
    shares = {1: ("100%",), 2: ("50%", "50%"), 3: ("25%", "25%", "50%")}[len(arms)]
    found: Keys = {"split": dict(zip(arms, shares, strict=True))}
    if draw(st.booleans()):
        found["salt"] = "shared"
    return found


@st.composite
def _set(draw: st.DrawFn, _targets: Targets, inside: Place) -> Keys:
    names = draw(st.lists(st.sampled_from(sorted(SETTABLE)), min_size=1, max_size=2, unique=True))
    return {"set": {attribute: draw(values(inside, SETTABLE[attribute])) for attribute in names}}


def _exit(_targets: Targets, _inside: Place) -> st.SearchStrategy[Keys]:
    return st.builds(lambda: {"exit": "left"})


@st.composite
def _moment(draw: st.DrawFn, targets: Targets, inside: Place) -> Keys:
    may_miss = "missing" in targets
    moments = [(name, kind) for name, kind, null in inside.names() if kind in {"instant", "date"} and null == may_miss]
    # The one that an event can change while somebody waits comes up more often.
    name, kind = draw(st.sampled_from([*moments, *[each for each in moments if each[0] == "profile.renewal"] * 3]))
    found: Keys = {"until": name, "past": targets["past"] or "now"}
    has_time = draw(st.booleans())
    if has_time:
        found["at"] = draw(st.sampled_from(CLOCKS))
    offsets = ["-1 day", "+3 days", "1 month", "-1 year", "+1 year"]
    if kind == "instant" and not has_time:
        offsets += ["-5 hours", "+90 minutes"]
    if draw(st.booleans()):
        found["offset"] = draw(st.sampled_from(offsets))
    if may_miss:
        found["missing"] = targets["missing"]
    if draw(st.booleans()):
        found["zone"] = draw(st.sampled_from(ZONES))
    return {"wait": found}


@st.composite
def _awaited(draw: st.DrawFn, go: str | None, inside: Place) -> Keys:
    on = draw(st.sampled_from(sorted(EVENTS)))
    found: Keys = {"on": on}
    if draw(st.booleans()):
        found["where"] = draw(conditions(Place(on, inside.entry, inside.steps), depth=1))
    if go is not None:
        found["go"] = go
    return found


@st.composite
def _send(draw: st.DrawFn, _targets: Targets, inside: Place) -> Keys:
    channels = draw(st.lists(st.sampled_from(sorted(CHANNELS)), min_size=1, max_size=3, unique=True))
    template = draw(st.sampled_from(["plain", "told", "plain", "told", "risky"]))
    found: Keys = {"send": channels if len(channels) > 1 else channels[0], "template": template}
    if TEMPLATES[template]:
        found["with"] = {"it": draw(st.one_of(values(inside, "whole"), values(inside, "decimal")))}
    purposes = inside.around.purposes
    if draw(st.sampled_from([False] * 3 + [True])):
        found["class"] = "transactional"
    else:
        # A contract is no basis for promotional messages.
        purposes = purposes[:-1]
    if draw(st.booleans()) and purposes:
        found["purpose"] = draw(st.sampled_from(purposes))
    if draw(st.booleans()):
        found["priority"] = draw(st.integers(0, 9))
        found["expires"] = draw(st.sampled_from(DURATIONS))
    return found


@st.composite
def _increment(draw: st.DrawFn, _targets: Targets, inside: Place) -> Keys:
    kinds = {name: kind for name, kind in SETTABLE.items() if kind in {"whole", "decimal"}}
    names = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, unique=True))
    return {"increment": {name: draw(st.one_of(st.just("1"), values(inside, kinds[name]))) for name in names}}


@st.composite
def _audience(draw: st.DrawFn, _targets: Targets, _inside: Place) -> Keys:
    near, far = AUDIENCES
    names = draw(st.sampled_from([[near], [near], [far, near], [far]]))
    way = draw(st.sampled_from(["add", "add", "remove"]))
    return {"audience": {way: names if len(names) > 1 else names[0]}, "expires": draw(st.sampled_from(DURATIONS))}


@st.composite
def _task(draw: st.DrawFn, _targets: Targets, inside: Place) -> Keys:
    template = draw(st.sampled_from(["asked", "asked", "gone"]))
    found: Keys = {"task": draw(st.sampled_from(["sales", "care"])), "template": template}
    found["with"] = {"it": draw(values(inside, "whole"))}
    if draw(st.booleans()):
        found |= {
            "due": draw(st.sampled_from(DURATIONS)),
            "class": draw(st.sampled_from(["promotional", "transactional"])),
        }
    return found


@st.composite
def _webhook(draw: st.DrawFn, _targets: Targets, inside: Place) -> Keys:
    kinds = draw(st.lists(st.sampled_from(["text", "whole", "decimal", "instant"]), unique=True))
    found: Keys = {"webhook": "crm"}
    return found | ({"with": {kind: draw(values(inside, kind)) for kind in kinds}} if kinds else {})


@st.composite
def _emit(draw: st.DrawFn, _targets: Targets, inside: Place) -> Keys:
    found = {"words": draw(values(inside, "text")), "amount": draw(values(inside, "decimal"))}
    if draw(st.sampled_from([False, False, True])):
        # More digits than the field has, as soon as anything was bought.
        found["amount"] = "(sum(ordered.total) + 1) / 3"
    return {"emit": "told", "with": found}


def _start(_targets: Targets, inside: Place) -> st.SearchStrategy[Keys]:
    return st.builds(lambda name: {"start": name}, st.sampled_from(inside.around.commanded))


def _stop(_targets: Targets, inside: Place) -> st.SearchStrategy[Keys]:
    return st.builds(lambda name: {"stop": name}, st.sampled_from(inside.around.journeys))


def _experiment(targets: Targets, _inside: Place) -> st.SearchStrategy[Keys]:
    ways = targets["arms"]
    name = next(name for name, arms in EXPERIMENTS.items() if len(arms) == len(ways))
    return st.just({"experiment": name, "arms": dict(zip(EXPERIMENTS[name], ways, strict=True))})


_STEPS: dict[str, Callable[[Targets, Place], st.SearchStrategy[Keys]]] = {
    "wait": _wait,
    "months": _months,
    "until_time": _until_time,
    "until_moment": _moment,
    "wait_for": _wait_for,
    "wait_while": _wait_while,
    "branch": _branch,
    "split": _split,
    "send": _send,
    "set": _set,
    "exit": _exit,
    "increment": _increment,
    "audience": _audience,
    "task": _task,
    "webhook": _webhook,
    "emit": _emit,
    "start": _start,
    "stop": _stop,
    "experiment": _experiment,
}
