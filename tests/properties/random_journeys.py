"""Valid journeys as YAML: every kind of step, ways forward and back, exits, goals, re-entry, keys; and policies.

A journey is drawn in two strokes: which steps there are and where each leads, so that those that nothing leads to can
be taken out; then what each says, which may name the steps that are left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.properties.random_expressions import Around, Place, conditions, values
from tests.properties.random_policies import experiments, policies
from tests.properties.random_steps import CLOCKS, SPANS, WAITING, ZONES, Targets, steps
from tests.properties.shop import CONSENTS, EVENTS, EXPERIMENTS, FILES, PLAIN_FILES, PURPOSES, SEGMENTS

NAMES = ("one", "two", "three", "four")
ENTRIES = ("cart", "cart", "ordered", "viewed", "clicked", "registered", "told")
AT_ONCE = ("send", "send", "send", "send", "branch", "split", "set")
ACTIONS = ("increment", "audience", "audience", "audience", "task", "webhook", "stop", "experiment", "experiment")
BY_EVENT, BY_COMMAND, BY_ITSELF = "event", "command", "itself"
"""What lets customers in: an event; a request; a date, a schedule or a segment."""
RESULTS = frozenset({"send", "task", "webhook", "emit"})
"""The kinds of steps with an action id."""


@dataclass(frozen=True, slots=True)
class SetSource:
    """A journeys folder before it is written: each journey by name with what it can refer to, and the rules for all."""

    journeys: dict[str, dict[str, Any]]
    entered_by: dict[str, str]
    around: dict[str, Around]
    policies: dict[str, Any]
    experiments: dict[str, Any]
    is_plain: bool = False
    """Whether the journeys only wait and send what says nothing about the customer's past."""


def files_of(source: SetSource) -> dict[str, str]:
    """The files of the folder: path → text."""
    return {
        **(PLAIN_FILES if source.is_plain else FILES),
        **{f"{name}.yaml": written(journey) for name, journey in source.journeys.items()},
        "policies.yaml": written(source.policies),
        "experiments.yaml": written({"experiments": source.experiments}),
    }


def journey_sets() -> st.SearchStrategy[dict[str, str]]:
    """The files of a journeys folder: path → text."""
    return sources_of_sets().map(files_of)


@st.composite
def sources_of_sets(draw: st.DrawFn) -> SetSource:
    """A journeys folder."""
    names = NAMES[: draw(st.sampled_from([1, 1, 2, 3, 4]))]
    ways = {name: draw(st.sampled_from([BY_EVENT] * 3 + [BY_COMMAND, BY_ITSELF])) for name in names}
    purposes = draw(st.sampled_from([PURPOSES, ()]))
    if len(names) > 1 and draw(st.booleans()):
        ways[names[-1]] = BY_COMMAND
    around = {}
    for number, name in enumerate(names):
        # Only later ones are started, so that journeys do not start each other without end.
        commanded = tuple(other for other in names[number + 1 :] if ways[other] == BY_COMMAND)
        around[name] = Around(names, commanded, purposes)
    found = {name: draw(journeys(name, ways[name], around[name])) for name in names}
    return SetSource(found, ways, around, draw(policies(names, purposes)), draw(experiments()))


@st.composite
def changed_sources(draw: st.DrawFn, source: SetSource) -> SetSource:
    """Such a folder a while later: journeys with other steps, another status, customers taken along or filled in.

    What lets customers in stays, and so do the rules for all: they are counted again over the whole log.
    """
    changed: dict[str, dict[str, Any]] = {}
    for name, journey in source.journeys.items():
        other = dict(journey)
        entered_on = journey["entry"].get("on")
        if draw(st.sampled_from([True, True, False])):
            drawn = draw(journeys(name, source.entered_by[name], source.around[name], entered_on=entered_on))
            other = drawn | {"entry": journey["entry"]}
            if draw(st.sampled_from([True, True, False])):
                other["migrate"] = draw(migrations(journey, other))
        elif draw(st.booleans()):
            other["status"] = draw(st.sampled_from(["live", "shadow", "retired"]))
        entry = journey["entry"]
        may_fill = "schedule" in entry or entry.get("when") == "enters" or str(entry.get("offset", "")).startswith("-")
        if may_fill and draw(st.sampled_from([True, True, False])):
            other["entry"] = {**entry, "backfill": "true"}
        changed[name] = other
    return replace(source, journeys=changed)


@st.composite
def migrations(draw: st.DrawFn, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"from": "any"}
    moved: dict[str, str] = {}
    for name in old["steps"]:
        others = sorted(new["steps"].keys() - {name})
        if others and (name not in new["steps"] or draw(st.sampled_from([False, False, True]))):
            moved[name] = draw(st.sampled_from(others))
    if moved:
        found["steps"] = moved
    if draw(st.booleans()):
        found["timers"] = draw(st.sampled_from(["keep", "restart"]))
    return found


@st.composite
def journeys(
    draw: st.DrawFn, name: str, entered_by: str, around: Around, *, entered_on: str | None = None
) -> dict[str, Any]:
    """One journey, as keys with values; entered on this event, if one is said."""
    if entered_by == BY_EVENT and entered_on is None:
        entered_on = draw(st.sampled_from(ENTRIES))
    ways = _reachable(draw(_ways(around, may_emit=entered_on != "told")))
    kinds = {step: kind if kind in RESULTS else "other" for step, (kind, _) in ways.items()}
    inside = Place(entry=entered_on, steps=kinds, around=around)
    # A journey that is asked for although nobody is let in.
    closed = ["retired"] * 2 if entered_by == BY_COMMAND else []
    found: dict[str, Any] = {
        "journey": name,
        "owner": "tests@shop.example",
        "status": draw(st.sampled_from(["live"] * 6 + ["shadow", "shadow", "retired", *closed])),
        "entry": draw(_entry(entered_by, entered_on)),
    }
    if draw(st.booleans()) and around.purposes:
        found["purpose"] = draw(st.sampled_from(around.purposes[:-1]))
    exits = [draw(_exit(inside)) for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2])))]
    if exits:
        found["exit"] = exits
    if draw(st.sampled_from([False] * 3 + [True])):
        found["max_duration"] = draw(st.sampled_from(SPANS))
    goal = draw(st.sampled_from([None, "ordered", "clicked"]))
    if goal is not None:
        found["goal"] = {"on": goal, "within": draw(st.sampled_from(SPANS))}
        at_goal = replace(inside, event=goal)
        if draw(st.booleans()):
            found["goal"]["where"] = draw(conditions(at_goal, depth=1))
        if goal == "ordered":
            found["goal"]["value"] = draw(values(at_goal, "decimal"))
    if draw(st.sampled_from([False] * 7 + [True])):
        found["holdout"] = "50%"
    found["steps"] = {step: draw(steps(kind, targets, inside)) for step, (kind, targets) in ways.items()}
    return found


@st.composite
def _entry(draw: st.DrawFn, entered_by: str, entered_on: str | None) -> dict[str, Any]:
    without_event = st.one_of(_date(), _date(), _schedule(), _segment())
    found: dict[str, Any] = {"on": entered_on}
    if entered_by == BY_COMMAND:
        found = {"command": "true"}
    elif entered_by == BY_ITSELF:
        found = draw(without_event)
    place = Place(entered_on)
    if draw(st.sampled_from([False] * 4 + [True])):
        firsts = ["event.cart_id == 'c1' and ", "event.size in ['LARGE', 'GIFT'] and "] if entered_on == "cart" else []
        found["where"] = draw(st.sampled_from(["", *firsts])) + f"({draw(conditions(place, depth=1))})"
    if entered_on is not None and draw(st.booleans()):
        keys = [f.name for f in EVENTS[entered_on] if f.kind in {"text", "whole"}]
        found["key"] = f"event.{draw(st.sampled_from(keys))}"
    found["reentry"] = draw(
        st.sampled_from(["always", "always", "after 1 day", "after 5 hours", "after 1 month", "never"])
    )
    limits = draw(st.sampled_from([(), (), (), ("own",), ("own",), ("all",), ("own", "all")]))
    if limits:
        found["limit"] = [draw(_limit(whose)) for whose in limits]
    if draw(st.sampled_from([False] * 9 + [True])):
        found["from"] = draw(st.sampled_from(["2026-02-03", "2026-03-08 03:00 America/New_York"]))
    if draw(st.sampled_from([False] * 9 + [True])):
        found["until"] = draw(st.sampled_from(["2026-03-10", "2026-11-01 Australia/Lord_Howe"]))
    return found


@st.composite
def _limit(draw: st.DrawFn, whose: str) -> dict[str, Any]:
    found: dict[str, Any] = {"max": draw(st.sampled_from([1, 1, 2]))}
    if draw(st.sampled_from([True, True, False])):
        found["per"] = draw(st.sampled_from(["7 days", "1 day"]))
    if whose == "all":
        found["of"] = "all"
    return found


@st.composite
def _schedule(draw: st.DrawFn) -> dict[str, Any]:
    ticks = ["30 2 * * *", "0 9 * * mon,fri", "0 */8 29-31 * *", "15 0 * * *", "0 9 1 * *"]
    found: dict[str, Any] = {"schedule": draw(st.sampled_from(ticks)), "zone": draw(st.sampled_from(ZONES))}
    if draw(st.sampled_from([False, False, True])):
        found["segment"] = draw(st.sampled_from(SEGMENTS))
    return found


def _segment() -> st.SearchStrategy[dict[str, Any]]:
    ways = st.sampled_from(["enters", "enters", "leaves"])
    return st.fixed_dictionaries({"segment": st.sampled_from(SEGMENTS), "when": ways})


@st.composite
def _date(draw: st.DrawFn) -> dict[str, Any]:
    attribute = draw(st.sampled_from(["last_order_at", "last_order_at", "renewal", "born"]))
    found: dict[str, Any] = {"date": f"profile.{attribute}"}
    if draw(st.sampled_from([True, True, False])):
        found["offset"] = draw(st.sampled_from(["3 days", "3 days", "-2 days", "-1 month", "1 year"]))
    if draw(st.booleans()):
        found["at"] = draw(st.sampled_from(CLOCKS))
    if draw(st.booleans()):
        found["every"] = "year"
    found["zone"] = draw(st.sampled_from(ZONES))
    return found


@st.composite
def _exit(draw: st.DrawFn, inside: Place) -> dict[str, Any]:
    if draw(st.sampled_from([False, False, True])):
        withdrawn = st.sampled_from([f"not consent.{key}" for key in CONSENTS])
        return {"when": draw(st.one_of(withdrawn, conditions(inside, depth=1)))}
    on = draw(st.sampled_from(sorted(EVENTS)))
    found: dict[str, Any] = {"on": on}
    if draw(st.booleans()):
        found["where"] = draw(conditions(replace(inside, event=on), depth=1))
    return found


@st.composite
def _ways(draw: st.DrawFn, around: Around, *, may_emit: bool) -> dict[str, tuple[str, Targets]]:
    """Step → kind, and where its ways lead. Ways that nobody waits on lead forward, so that each loop waits."""
    names = [f"s{number}" for number in range(draw(st.sampled_from([3, 4, 5, 7, 1, 2])))]
    found: dict[str, tuple[str, Targets]] = {}
    for index, name in enumerate(names):
        at_once = [*AT_ONCE, *ACTIONS, *(["emit"] * 2 * may_emit), *(["start"] * 4 * bool(around.commanded))]
        later = [*WAITING, "wait", "wait_for", "send", "send", "exit"]
        # What comes first is what most customers come to.
        kind = draw(st.sampled_from(at_once + (later if index or draw(st.sampled_from([True, True, False])) else [])))
        ahead = names[index + 1 :]
        forward = st.sampled_from(ahead) if ahead else st.none()
        anywhere = st.sampled_from(names)
        targets: Targets = {}
        if not ahead and kind in {"branch", "split", "until_moment", "experiment"}:
            kind = "set"
        match kind:
            case "exit":
                pass
            case "branch":
                targets["cases"] = draw(st.lists(forward, min_size=1, max_size=3))
                targets["otherwise"] = draw(st.one_of(st.none(), forward))
            case "split":
                targets["arms"] = draw(st.lists(forward, min_size=1, max_size=3, unique=True))
            case "experiment":
                arms = draw(st.sampled_from(sorted(EXPERIMENTS.values())))
                targets["arms"] = [draw(forward) for _ in arms]
            case "wait_for":
                targets["awaited"] = draw(st.lists(st.one_of(st.none(), anywhere), min_size=1, max_size=2))
                if draw(st.sampled_from([True, True, True, False])):
                    targets["on_timeout"] = draw(st.one_of(st.none(), anywhere))
            case "until_moment":
                if draw(st.booleans()):
                    targets["missing"] = draw(forward)
                targets |= {way: draw(st.one_of(st.none(), forward)) for way in ("next", "past")}
            case "wait_while":
                targets["next"] = draw(st.one_of(st.none(), forward))
                targets["on_timeout"] = draw(st.one_of(st.none(), anywhere))
            case _:
                targets["next"] = draw(st.one_of(st.none(), anywhere if kind in WAITING else forward))
        found[name] = (kind, targets)
    return found


def _reachable(ways: dict[str, tuple[str, Targets]]) -> dict[str, tuple[str, Targets]]:
    """Without the steps that no way leads to; none of those left leads to one that is gone."""
    names = list(ways)
    reached: set[str] = set()
    ahead = [names[0]]
    while ahead:
        name = ahead.pop()
        if name in reached:
            continue
        reached.add(name)
        _, targets = ways[name]
        following = names[names.index(name) + 1] if name != names[-1] else None
        listed = [each for way, each in targets.items() if way != "past" or each is not None]
        aimed = [one for each in listed for one in (each if isinstance(each, list) else [each])]
        ahead += [target for one in aimed if (target := one or following) is not None]
    return {name: way for name, way in ways.items() if name in reached}


def likely_events(files: Mapping[str, str]) -> list[str]:
    """The event types that let someone in or bring about what does, and the one that moves waits until a moment where
    there are such.
    """
    found = [entry for text in files.values() if (entry := _ENTRY.search(text)) is not None]
    entered = [event for entry in found for event in _BRINGS.get(entry[1], (entry[1],))]
    asked = [found for text in files.values() for found in re.findall(_LEADS, text)]
    return [*entered, *(event for lead in asked for event in _BRINGS[lead])]


_BRINGS = {
    "profile.born": ("registered",),
    "profile.renewal": ("moved",),
    "profile.last_order_at": ("ordered",),
    **dict.fromkeys(SEGMENTS, ("cart", "ordered", "viewed")),
    "true": ("journey_requested", "journey_requested"),
    "until:": ("moved",),
    "{task:": ("task_completed",),
    "{audience:": ("consent_changed",),
}
"""What an entry or a step looks at -> the event types that change it."""

_LEADS = re.compile(r"until:|\{task:|\{audience:")
_ENTRY = re.compile(r"^entry: \{(?:on|date|segment|command): ([\w.]+)", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.]*(?: [a-z]+)?")
_OPEN = frozenset({"steps", "caps", "quiet_hours", "exit", "rates", "purposes", "experiments"})


def written(journey: Mapping[str, Any]) -> str:
    """The YAML text: the first keys each on a line, steps and rules too, the rest in braces."""
    lines: list[str] = []
    for key, value in journey.items():
        if key in _OPEN and isinstance(value, dict):
            lines += [f"{key}:", *(f"  {name}: {_flow(inner)}" for name, inner in value.items())]
        elif key in _OPEN and isinstance(value, list):
            lines += [f"{key}:", *(f"  - {_flow(inner)}" for inner in value)]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) is None:
        return json.dumps(value)
    return str(value)
