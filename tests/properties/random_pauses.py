"""Journeys that are paused and run again: waiting ones that pauses are likely to meet, and the sets that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from tests.properties.random_expressions import Around
from tests.properties.random_journeys import BY_COMMAND, BY_EVENT, NAMES, SetSource, journeys, migrations
from tests.properties.random_logs import (
    CUSTOMERS,
    DAY,
    HOUR,
    MINUTE,
    REACHABLE,
    STARTS,
    WEIGHTED_GAPS,
    Moment,
    fields_of,
)
from tests.properties.random_policies import experiments, policies
from tests.properties.random_steps import SPANS
from tests.properties.shop import CHANNELS, PURPOSES

ENTERED_ON = ("cart", "cart", "viewed")
AWAITED = ("clicked", "told", "viewed")
ENDS = ("ordered", "ordered", "clicked", "told")
WAITS = ("wait", "wait_for", "wait_for", "send")
FIRST_STEPS: tuple[tuple[str, ...], ...] = (
    ("wait",),
    ("wait_for",),
    ("wait", "wait_for"),
    ("wait", "send", "wait_for"),
    ("wait", "wait", "wait_for"),
    ("wait_for", "wait", "wait_for"),
    ("send", "wait_for"),
    ("send", "wait", "wait_for"),
)
"""Nobody is done with them at once."""

RESUMES: tuple[Any, ...] = (
    "at_once",
    {"over": "5 hours"},
    {"over": "3 days"},
    {"max": 1, "per": "5 hours"},
    {"max": 2, "per": "1 day"},
    {"max": 1, "per": "1 day", "skip_older_than": "1 day"},
    {"over": "5 hours", "skip_older_than": "5 hours"},
    {"skip_older_than": "1 day"},
    "expire",
    "expire",
    "at_once",
)
SHORT = ("1 hour", "1 hour", "5 hours", "1 day")
"""Waits of which some are over in a pause."""
RARE = ("consent_changed", "customer_erased", "journey_stop_requested", "journey_stop_requested")
STRETCHES = (MINUTE, HOUR, 5 * HOUR, 6 * HOUR, DAY, 2 * DAY)
LONG = 6_000
"""Three such texts are more than a passage keeps."""
MANY = 66
"""More events than a passage keeps."""
FEW = 2


@st.composite
def sources_that_wait(draw: st.DrawFn, *, apart: bool = False) -> SetSource:
    """A folder of one or more plain journeys, at times with one beside them that says whatever journeys can say.

    If they are `apart`, no journey can have to do with another.
    """
    names = NAMES[: draw(st.sampled_from([2, 3] if apart else [1, 2, 2, 3]))]
    ways = dict.fromkeys(names, BY_EVENT)
    has_any = not apart and len(names) > 1 and draw(st.sampled_from([False, False, True]))
    if has_any and draw(st.booleans()):
        ways[names[-1]] = BY_COMMAND
    purposes = draw(st.sampled_from([(), (), PURPOSES]))
    around = {}
    for number, name in enumerate(names):
        commanded = tuple(other for other in names[number + 1 :] if ways[other] == BY_COMMAND)
        around[name] = Around((name,) if apart else names, commanded, purposes)
    found = {}
    for name in names:
        if has_any and name == names[-1]:
            found[name] = draw(journeys(name, ways[name], around[name]))
        else:
            found[name] = draw(plain_journeys(name, around[name]))
    has_rules = not apart and draw(st.sampled_from([False, False, True]))
    rules = draw(policies(names, purposes)) if has_rules else None
    return SetSource(
        found, ways, around, rules or {"default_zone": "UTC"} | _purposes_of(purposes), draw(experiments())
    )


def _purposes_of(purposes: Sequence[str]) -> dict[str, Any]:
    return {"purposes": {one: {"legal_basis": "legitimate_interest"} for one in purposes}} if purposes else {}


@st.composite
def plain_journeys(draw: st.DrawFn, name: str, around: Around, *, entry: Any = None) -> dict[str, Any]:
    """Waits for time and for events, and messages, one after the other; exits and a goal that ask for nothing more."""
    found: dict[str, Any] = {"journey": name, "owner": "tests@shop.example", "status": "live"}
    found["entry"] = entry or draw(_entry())
    exits = draw(st.sampled_from([(), ("ordered",), ("ordered",), ("told",), ("told", "ordered")]))
    if exits:
        found["exit"] = [{"on": on} for on in exits]
    if draw(st.sampled_from([False] * 7 + [True])):
        found["max_duration"] = draw(st.sampled_from(SPANS))
    if draw(st.booleans()):
        found["goal"] = {"on": draw(st.sampled_from(ENDS[:3])), "within": draw(st.sampled_from(SPANS))}
    first = draw(st.sampled_from(FIRST_STEPS))
    kinds = [*first, *draw(st.lists(st.sampled_from(WAITS), min_size=1, max_size=3))]
    if bool(around.commanded) and draw(st.booleans()):
        kinds[-1] = "start"
    elif name != NAMES[0] and len(around.journeys) > 1 and draw(st.sampled_from([False, False, True])):
        kinds = [draw(st.sampled_from(["wait", "wait_for"])), "stop"]
    names = [f"s{number}" for number in range(len(kinds))]
    found["steps"] = {
        step: draw(_step(kind, names[number + 1 :], around))
        for number, (step, kind) in enumerate(zip(names, kinds, strict=True))
    }
    return found


@st.composite
def _entry(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"on": draw(st.sampled_from(ENTERED_ON))}
    if draw(st.sampled_from([False, False, True])):
        found["key"] = "event.cart_id" if found["on"] == "cart" else "event.sku"
    found["reentry"] = draw(st.sampled_from(["always", "always", "always", "after 1 day", "never"]))
    return found


@st.composite
def _step(draw: st.DrawFn, kind: str, ahead: Sequence[str], around: Around) -> dict[str, Any]:
    found: dict[str, Any]
    match kind:
        case "wait":
            return {"wait": draw(st.sampled_from(SHORT))}
        case "send":
            channels = draw(st.sampled_from([*sorted(CHANNELS), ["email", "sms"]]))
            found = {"send": channels, "template": "plain"}
            if draw(st.sampled_from([False, False, True])):
                return found | {"class": "transactional"}
            return found | {"priority": draw(st.integers(0, 9))}
        case "start":
            return {"start": draw(st.sampled_from(around.commanded))}
        case "stop":
            return {"stop": draw(st.sampled_from([NAMES[0], *around.journeys]))}
        case _:
            listed = draw(st.lists(st.sampled_from(AWAITED), min_size=1, max_size=2, unique=True))
            awaited: list[dict[str, Any]] = [{"on": on} for on in listed]
            found = {"wait_for": awaited}
            if draw(st.booleans()):
                found["timeout"] = draw(st.sampled_from([*SHORT, *SPANS]))
                if len(ahead) > 1 and draw(st.booleans()):
                    # The step that follows is reached by the time-out.
                    awaited[0]["go"] = draw(st.sampled_from(ahead))
            return found


@st.composite
def next_sources(draw: st.DrawFn, source: SetSource, *, turns: str) -> SetSource:
    """The folder a while later: some journeys are paused, those that were may run again; at times one has other steps
    and takes customers along. The first journey `turns` "paused" or "live" for sure, if that is said.
    """
    changed: dict[str, dict[str, Any]] = {}
    for name, journey in source.journeys.items():
        other = dict(journey)
        wanted = turns if name == NAMES[0] else ""
        if draw(st.sampled_from([False] * 5 + [True])) and not wanted:
            drawn = draw(_other_steps(source, name))
            other = drawn | {"entry": journey["entry"], "status": journey["status"]}
            other |= {key: journey[key] for key in ("resume",) if key in journey}
            if draw(st.sampled_from([True, True, False])):
                other["migrate"] = draw(migrations(journey, other))
        if journey["status"] == "paused" and wanted != "paused":
            if wanted or draw(st.sampled_from([True, True, True, False])):
                other["status"] = draw(st.sampled_from(["live"] * 5 + ["retired"]))
                other = _with_resume(other, draw(st.sampled_from([*RESUMES, None])))
        elif journey["status"] == "live" and wanted != "live" and (wanted or draw(st.booleans())):
            other["status"] = "paused"
            other = _with_resume(other, draw(st.sampled_from([*RESUMES, None, None, None])))
        changed[name] = other
    return replace(source, journeys=changed)


@st.composite
def _other_steps(draw: st.DrawFn, source: SetSource, name: str) -> dict[str, Any]:
    entry, around = source.journeys[name]["entry"], source.around[name]
    if source.entered_by[name] == BY_EVENT:
        return draw(plain_journeys(name, around, entry=entry))
    return draw(journeys(name, source.entered_by[name], around))


def _with_resume(journey: dict[str, Any], resume: Any) -> dict[str, Any]:
    """The journey with this `resume`, before its entry; without any, if it is None."""
    found: dict[str, Any] = {}
    for key, value in journey.items():
        if key == "entry" and resume is not None:
            found["resume"] = resume
        if key != "resume":
            found[key] = value
    return found


@st.composite
def crowded(draw: st.DrawFn, log: tuple[Moment, ...], at: int) -> tuple[Moment, ...]:
    """The log with more that comes for the same customer from the moment `at` on: a few events, time between them; or
    more of them, or longer ones, than a passage can keep, and then one that may end it.
    """
    kind = draw(st.sampled_from(["", "", "few", "few", "many", "many", "long"]))
    if not kind:
        return log
    now_ms, customer_id, added = log[at - 1].at_ms, log[at - 1].customer_id, []
    for _ in range(draw(st.integers(1, 4))):
        now_ms += draw(st.sampled_from(WEIGHTED_GAPS))
        event_type = draw(st.sampled_from(AWAITED))
        added.append(Moment(now_ms, customer_id, event_type, draw(fields_of(event_type, now_ms))))
    if kind == "many":
        added = [*added, *[added[-1]] * MANY]
    elif kind == "long":
        added = [_lengthened(one) for one in (*added, *[added[-1]] * FEW)]
    if kind != "few" or draw(st.booleans()):
        event_type = draw(st.sampled_from(ENDS))
        added.append(Moment(now_ms, customer_id, event_type, draw(fields_of(event_type, now_ms))))
    later_ms = now_ms - log[at - 1].at_ms
    return (*log[:at], *added, *(replace(one, at_ms=one.at_ms + later_ms) for one in log[at:]))


@st.composite
def dense_logs(draw: st.DrawFn, source: SetSource) -> tuple[tuple[Moment, ...], list[int]]:
    """A log of little else than pauses: entries, then what moves passages on and takes them out, before, in and after
    each pause; and where the pauses begin and end.
    """
    now_ms = draw(st.sampled_from(STARTS))
    log = [Moment(now_ms, who, "registered", draw(fields_of("registered", now_ms)) | REACHABLE) for who in CUSTOMERS]
    entered = [journey["entry"]["on"] for journey in source.journeys.values() if "on" in journey["entry"]]
    inside = draw(st.sampled_from([CUSTOMERS[:1], CUSTOMERS]))
    log += [Moment(now_ms, who, entered[0], draw(fields_of(entered[0], now_ms))) for who in inside]
    places = []
    rare = draw(st.sampled_from([(), (), *((one,) for one in RARE)]))
    for number in range(draw(st.sampled_from([3, 3, 4, 5]))):
        # Every second stretch is a pause. Between two of them there is less time, so that some still wait.
        is_pause = number % 2 == 1
        gaps = st.sampled_from(STRETCHES if is_pause else STRETCHES[:3])
        places.append(len(log))
        for _ in range(draw(st.integers(1, 5) if is_pause else st.integers(0, 2))):
            now_ms += draw(gaps)
            event_type = draw(st.sampled_from([*AWAITED, *AWAITED, *AWAITED, *ENDS[1:], *entered, *rare]))
            who = draw(st.sampled_from([*CUSTOMERS[:1], *CUSTOMERS]))
            log.append(Moment(now_ms, who, event_type, draw(fields_of(event_type, now_ms))))
        now_ms += draw(gaps)
        log.append(Moment(now_ms, CUSTOMERS[0]))
    log += [Moment(now_ms + 30 * DAY, who) for who in CUSTOMERS]
    return tuple(log), places[1:]


def _lengthened(moment: Moment) -> Moment:
    name = {"clicked": "place", "told": "words", "viewed": "sku"}[moment.type]
    return replace(moment, fields=moment.fields | {name: "x" * LONG})


def likely_in_pauses(source: SetSource) -> list[str]:
    """The event types that let customers in, move them on and take them out."""
    entered = [str(journey["entry"].get("on", "journey_requested")) for journey in source.journeys.values()]
    return [*entered, *entered, *AWAITED, *AWAITED, *ENDS, "consent_changed"]
