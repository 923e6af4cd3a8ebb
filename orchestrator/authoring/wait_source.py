"""The forms of `wait` and `wait_while` -> drafts."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.authoring.drafts import (
    MonthsDraft,
    Offset,
    Ref,
    StepDraft,
    UntilMomentDraft,
    UntilTimeDraft,
    WaitDraft,
    WaitWhileDraft,
)
from orchestrator.authoring.durations import (
    DAY_MS,
    DurationProblem,
    checked_months,
    parse_duration,
    parse_months,
    shortened,
)
from orchestrator.authoring.reading import (
    Problems,
    fields,
    one_or_many,
    read_duration,
    read_formula,
    read_ref,
    read_scalar,
    read_span,
    read_word,
)
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.wait_words import WEEKDAYS
from orchestrator.authoring.yaml_source import MappingNode, Node, Scalar, problem_at
from orchestrator.engine.local_time import zone_names
from orchestrator.model.journey import ClockTime

UNTIL_KEYS = ("until", "on", "offset", "at", "zone", "missing", "past")
OF_A_TIME = frozenset({"until", "on", "zone"})
OF_A_MOMENT = frozenset({"until", "offset", "at", "zone", "missing", "past"})
CUSTOMER = "customer"
NOW = "now"
"""What `past` says to go on as if the wait were over."""

_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})", re.ASCII)
_LOOKS_LIKE_DATE = re.compile(r"[0-9]{4}-[0-9]{2}|[0-9]{1,2}\.[0-9]{1,2}\.", re.ASCII)
_LOOKS_LIKE_CLOCK = re.compile(r"[0-9]", re.ASCII)

Values = Mapping[str, Node]


def read_wait(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    """The step of `wait: DURATION` or `wait: {until: ...}`."""
    follows = read_ref(found.get("next"), problems, what="next")
    node = found["wait"]
    if isinstance(node, MappingNode):
        return _until(name, node, follows, problems)
    months = parse_months(node.value) if isinstance(node, Scalar) else None
    if months is None:
        duration_ms = read_duration(node, problems, what="wait")
        return None if duration_ms is None else WaitDraft(name, duration_ms, follows)
    checked = checked_months(months)
    if isinstance(checked, DurationProblem):
        problems.append(problem_at(node, checked.code, checked.message, hint=checked.hint))
        return None
    return MonthsDraft(name, checked, follows)


def read_wait_while(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    """The step of `wait_while: CONDITION`."""
    condition = read_formula(found["wait_while"], problems, what="wait_while")
    timeout = read_span(found.get("timeout"), problems, what="timeout")
    on_timeout = read_ref(found.get("on_timeout"), problems, what="on_timeout")
    follows = read_ref(found.get("next"), problems, what="next")
    if on_timeout is not None and "timeout" not in found:
        message = "on_timeout without a timeout never happens"
        problems.append(problem_at(on_timeout.node, "J506", message, hint="add timeout: 1 day"))
        return None
    if condition is None or (timeout is None and "timeout" in found):
        return None
    return WaitWhileDraft(name, condition, timeout, on_timeout, follows)


def _until(name: Ref, node: MappingNode, follows: Ref | None, problems: Problems) -> StepDraft | None:
    before = len(problems)
    found = fields(node, UNTIL_KEYS, problems, what="a wait", required=("until",))
    if found is None or "until" not in found:
        return None
    scalar = read_scalar(found["until"], problems, what="until", hint='write until: "09:00"')
    if scalar is None:
        return None
    is_time = _LOOKS_LIKE_CLOCK.match(scalar.value) is not None
    _refuse_keys(node, OF_A_TIME if is_time else OF_A_MOMENT, problems, is_time=is_time)
    zone = read_zone(found.get("zone"), problems)
    if is_time:
        at = read_clock(scalar, problems)
        weekdays = _weekdays(found.get("on"), problems)
        if at is None or len(problems) > before:
            return None
        return UntilTimeDraft(name, at, weekdays, zone, follows)
    until = read_formula(scalar, problems, what="until")
    offset = read_offset(found.get("offset"), problems)
    at = read_clock(found.get("at"), problems)
    missing = read_ref(found.get("missing"), problems, what="missing")
    past = read_ref(found.get("past"), problems, what="past")
    if "past" not in found:
        message = f'step "{name.name}" does not say what happens if the moment is past'
        problems.append(problem_at(scalar, "J512", message, hint="add past: now, or past: STEP"))
    if until is None or past is None or len(problems) > before:
        return None
    later = None if past.name == NOW else past
    return UntilMomentDraft(name, until, offset, at, zone, missing, later, follows)


def _refuse_keys(node: MappingNode, fitting: frozenset[str], problems: Problems, *, is_time: bool) -> None:
    kind = "a time of day" if is_time else "a date or instant"
    for key, _ in node.entries:
        if key.value in UNTIL_KEYS and key.value not in fitting:
            message = f'"{key.value}" means nothing in a wait until {kind}'
            hint = f"beside until it may have: {', '.join(k for k in UNTIL_KEYS if k in fitting and k != 'until')}"
            problems.append(problem_at(key, "J510", message, hint=hint))


def read_clock(node: Node | None, problems: Problems) -> ClockTime | None:
    """A local time of day, from 00:00 to 23:59."""
    if node is None:
        return None
    scalar = read_scalar(node, problems, what="a time of day", hint='write it as "09:00"')
    if scalar is None:
        return None
    match = _CLOCK.fullmatch(scalar.value.strip())
    if match is not None and int(match[1]) < 24 and int(match[2]) < 60:
        return ClockTime(int(match[1]), int(match[2]))
    message = f'"{shortened(scalar.value)}" is not a time of day'
    hint = "write hours and minutes, from 00:00 to 23:59"
    if _LOOKS_LIKE_DATE.match(scalar.value):
        hint = "a date stands in the profile or in the entry event: until: profile.ATTRIBUTE, or entry.FIELD"
    problems.append(problem_at(scalar, "J507", message, hint=hint))
    return None


def read_zone(node: Node | None, problems: Problems, *, allows_customer: bool = True) -> str | None:
    """The name of a zone; None for the customer's."""
    ref = read_ref(node, problems, what="zone")
    if ref is None or (allows_customer and ref.name == CUSTOMER):
        return None
    if ref.name in zone_names():
        return ref.name
    known = [*([CUSTOMER] if allows_customer else []), *sorted(zone_names())]
    hint = did_you_mean(ref.name, known, otherwise="name it as in Europe/Berlin")
    problems.append(problem_at(ref.node, "J509", f'there is no time zone "{shortened(ref.name)}"', hint=hint))
    return None


def _weekdays(node: Node | None, problems: Problems) -> frozenset[int]:
    words = [
        (item, read_word(item, WEEKDAYS, problems, what="a weekday")) for item in one_or_many(node, problems, what="on")
    ]
    seen: set[int] = set()
    for item, word in words:
        if word is not None:
            if WEEKDAYS[word] in seen:
                problems.append(problem_at(item, "J508", f'"{word}" is named twice', hint="name it once"))
            seen.add(WEEKDAYS[word])
    return frozenset(seen)


def read_offset(node: Node | None, problems: Problems) -> Offset | None:
    """A duration with or without a sign; days, weeks, months and years are those of the calendar."""
    if node is None:
        return None
    scalar = read_scalar(node, problems, what="offset", hint="write it as -30 days")
    if scalar is None:
        return None
    text = " ".join(scalar.value.split())
    sign = -1 if text.startswith("-") else 1
    amount = text.removeprefix("-").removeprefix("+")
    months = parse_months(amount)
    found = parse_duration(amount) if months is None else checked_months(months)
    if isinstance(found, DurationProblem):
        hint = found.hint if found.code != "J503" else "leave the offset out instead"
        problems.append(problem_at(scalar, found.code, found.message, hint=hint))
        return None
    if months is not None:
        return Offset(text, scalar, months=sign * found)
    is_in_days = amount.rstrip("s").endswith(("day", "week"))
    return Offset(text, scalar, days=sign * (found // DAY_MS)) if is_in_days else Offset(text, scalar, ms=sign * found)
