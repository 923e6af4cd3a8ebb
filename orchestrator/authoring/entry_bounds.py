"""When customers may enter a journey, and how many of them -> drafts."""

from __future__ import annotations

import re
from datetime import datetime

from orchestrator.authoring.drafts import EntryLimitDraft, LocalMoment
from orchestrator.authoring.reading import (
    Problems,
    fields,
    one_or_many,
    read_duration,
    read_number,
    read_scalar,
    read_word,
)
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.yaml_source import Node, problem_at
from orchestrator.engine.local_time import zone_names
from orchestrator.model.journey import ClockTime

LIMIT_KEYS = ("max", "per", "of")
LIMIT_REQUIRED = ("max",)
LIMIT_WAYS = ("customer", "all")
LIMIT_MAX = 1_000_000_000
OWN_LIMIT_MAX = 100
"""How many entries of one customer are remembered for a limit at most."""

YEARS = range(1970, 2200)
"""Calendars end somewhere, and nobody means a year beyond these."""

_MOMENT = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2}))?(?:(Z)| ([A-Za-z]\S*))?", re.ASCII)


def read_moment(node: Node | None, problems: Problems, *, what: str) -> LocalMoment | None:
    """`2026-03-01`, `2026-03-01 09:00`, either with a zone after it: a date is its midnight."""
    if node is None:
        return None
    scalar = read_scalar(node, problems, what=what, hint="write a date: 2026-03-01")
    if scalar is None:
        return None
    match = _MOMENT.fullmatch(scalar.value.strip())
    found = None if match is None else _local_time(match)
    if match is None or found is None or found.year not in YEARS:
        hint = "write a date or a local time: 2026-03-01, 2026-03-01 09:00, 2026-03-01 09:00 Europe/Berlin"
        if match is not None and found is None:
            hint = "there is no such day or time: look at the calendar"
        problems.append(
            problem_at(scalar, "J163", f"{what} must be a date or a local time of the years 1970 to 2199", hint=hint)
        )
        return None
    utc, name = match[6], match[7]
    zone = "UTC" if utc else name
    if zone is not None and zone not in zone_names():
        hint = did_you_mean(zone, zone_names(), otherwise="name it as in 2026-03-01 Europe/Berlin")
        problems.append(problem_at(scalar, "J509", f'there is no time zone "{zone}"', hint=hint))
        return None
    return LocalMoment(found.date(), ClockTime(found.hour, found.minute), zone, scalar)


def _local_time(match: re.Match[str]) -> datetime | None:
    year, month, day, hour, minute = (int(part or 0) for part in match.groups()[:5])
    try:
        return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - its zone is looked up later
    except ValueError:
        return None


def read_limits(node: Node | None, problems: Problems) -> tuple[EntryLimitDraft, ...]:
    """One limit or several, over windows of different lengths."""
    found: list[EntryLimitDraft] = []
    for item in one_or_many(node, problems, what="limit"):
        limit = _limit(item, problems)
        if limit is None:
            continue
        if any((limit.per_ms, limit.is_of_all) == (other.per_ms, other.is_of_all) for other in found):
            message = "there are two limits over the same window"
            problems.append(problem_at(item, "J164", message, hint="keep the smaller one"))
            continue
        found.append(limit)
    return tuple(found)


def _limit(node: Node, problems: Problems) -> EntryLimitDraft | None:
    found = fields(node, LIMIT_KEYS, problems, what="a limit", required=LIMIT_REQUIRED)
    if found is None:
        return None
    is_of_all = read_word(found.get("of"), LIMIT_WAYS, problems, what="of") == "all"
    most = read_number(found.get("max"), problems, what="max", least=1, most=LIMIT_MAX if is_of_all else OWN_LIMIT_MAX)
    per_ms = read_duration(found.get("per"), problems, what="per")
    return None if most is None else EntryLimitDraft(most, per_ms, is_of_all, node)
