"""Valid journeys as YAML: every kind of step, ways forward and back, exits, goals, re-entry, keys; and policies.

A journey is drawn in two strokes: which steps there are and where each leads, so that those that nothing leads to can
be taken out; then what each says, which may name the steps that are left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tests.properties.random_expressions import Place, conditions, values
from tests.properties.random_steps import CLOCKS, DURATIONS, WAITING, ZONES, Targets, steps
from tests.properties.shop import CHANNELS, CONSENTS, EVENTS, FILES, SEGMENTS

ENTRIES = ("cart", "cart", "ordered", "viewed", "clicked", "registered")
AT_ONCE = ("send", "send", "send", "branch", "split", "set")


@st.composite
def journey_sets(draw: st.DrawFn) -> dict[str, str]:
    """The files of a journeys folder: path → text."""
    count = draw(st.sampled_from([1, 1, 2, 3]))
    files = dict(FILES)
    for name in ("one", "two", "three")[:count]:
        files[f"{name}.yaml"] = written(draw(journeys(name)))
    files["policies.yaml"] = written(draw(policies()))
    return files


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """Caps and quiet hours."""
    some_channels = st.one_of(
        st.just("all"), st.lists(st.sampled_from(sorted(CHANNELS)), min_size=1, max_size=2, unique=True)
    )
    caps = [
        {
            "name": f"cap{number}",
            "channels": draw(some_channels),
            "max": draw(st.sampled_from([1, 1, 2, 3])),
            "per": draw(st.sampled_from(["5 hours", "1 day", "3 days", "7 days"])),
        }
        for number in range(draw(st.sampled_from([1, 0, 2, 3])))
    ]
    quiet: list[dict[str, Any]] = []
    for _ in range(draw(st.sampled_from([1, 0, 2]))):
        start, end = draw(st.lists(st.sampled_from(CLOCKS), min_size=2, max_size=2, unique=True))
        rule: dict[str, Any] = {"channels": draw(some_channels), "from": start, "to": end}
        rule["zone"] = draw(st.sampled_from(ZONES))
        rule["then"] = draw(st.sampled_from(["hold", "hold", "skip"]))
        if rule["then"] == "hold" and draw(st.booleans()):
            rule["late_after"] = draw(st.sampled_from(["1 hour", "8 hours", "1 day"]))
        quiet.append(rule)
    found: dict[str, Any] = {"default_zone": draw(st.sampled_from(["UTC", *ZONES[1:]]))}
    if caps:
        found["caps"] = caps
    if quiet:
        found["quiet_hours"] = quiet
    return found


@st.composite
def journeys(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """One journey, as keys with values."""
    entered_on = draw(st.sampled_from([*ENTRIES, None, None]))
    ways = _reachable(draw(_ways()))
    kinds = {step: "send" if kind == "send" else "other" for step, (kind, _) in ways.items()}
    inside = Place(entry=entered_on, steps=kinds)
    found: dict[str, Any] = {
        "journey": name,
        "owner": "tests@shop.example",
        "status": draw(st.sampled_from(["live"] * 6 + ["shadow", "shadow", "retired"])),
        "entry": draw(_entry(entered_on)),
    }
    exits = [draw(_exit(inside)) for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2])))]
    if exits:
        found["exit"] = exits
    goal = draw(st.sampled_from([None, "ordered", "clicked"]))
    if goal is not None:
        found["goal"] = {"on": goal, "within": draw(st.sampled_from(DURATIONS))}
        at_goal = Place(goal, entered_on, kinds)
        if draw(st.booleans()):
            found["goal"]["where"] = draw(conditions(at_goal, depth=1))
        if goal == "ordered":
            found["goal"]["value"] = draw(values(at_goal, "decimal"))
    if draw(st.sampled_from([False] * 7 + [True])):
        found["holdout"] = "50%"
    found["steps"] = {step: draw(steps(kind, targets, inside)) for step, (kind, targets) in ways.items()}
    return found


@st.composite
def _entry(draw: st.DrawFn, entered_on: str | None) -> dict[str, Any]:
    without_event = st.one_of(_date(), _date(), _schedule(), _segment())
    found: dict[str, Any] = {"on": entered_on} if entered_on is not None else draw(without_event)
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
    if draw(st.sampled_from([False, False, True])):
        found["limit"] = {"max": draw(st.sampled_from([1, 1, 2])), "per": draw(st.sampled_from(["7 days", "1 day"]))}
    if draw(st.sampled_from([False] * 9 + [True])):
        found["from"] = draw(st.sampled_from(["2026-02-03", "2026-03-08 03:00 America/New_York"]))
    if draw(st.sampled_from([False] * 9 + [True])):
        found["until"] = draw(st.sampled_from(["2026-03-10", "2026-11-01 Australia/Lord_Howe"]))
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
        found["where"] = draw(conditions(Place(on, inside.entry, inside.steps), depth=1))
    return found


@st.composite
def _ways(draw: st.DrawFn) -> dict[str, tuple[str, Targets]]:
    """Step → kind, and where its ways lead. Ways that nobody waits on lead forward, so that each loop waits."""
    names = [f"s{number}" for number in range(draw(st.sampled_from([3, 4, 5, 7, 1, 2])))]
    found: dict[str, tuple[str, Targets]] = {}
    for index, name in enumerate(names):
        kind = draw(st.sampled_from([*AT_ONCE, *WAITING, "wait", "wait_for", "send", "exit"]))
        ahead = names[index + 1 :]
        forward = st.sampled_from(ahead) if ahead else st.none()
        anywhere = st.sampled_from(names)
        targets: Targets = {}
        if not ahead and kind in {"branch", "split", "until_moment"}:
            kind = "set"
        match kind:
            case "exit":
                pass
            case "branch":
                targets["cases"] = draw(st.lists(forward, min_size=1, max_size=3))
                targets["otherwise"] = draw(st.one_of(st.none(), forward))
            case "split":
                targets["arms"] = draw(st.lists(forward, min_size=1, max_size=3, unique=True))
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
    return [*entered, *("moved" for text in files.values() if "until:" in text)]


_BRINGS = {
    "profile.born": ("registered",),
    "profile.renewal": ("moved",),
    "profile.last_order_at": ("ordered",),
    **dict.fromkeys(SEGMENTS, ("cart", "ordered")),
}
"""What an entry looks at -> the event types that change it."""


_ENTRY = re.compile(r"^entry: \{(?:on|date|segment): ([\w.]+)", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.]*(?: [a-z]+)?")
_OPEN = frozenset({"steps", "caps", "quiet_hours", "exit"})


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
