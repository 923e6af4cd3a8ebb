"""The entry of a journey file -> its draft: what lets customers in, and who may."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.authoring.cron_source import parse_cron
from orchestrator.authoring.drafts import (
    EntryDraft,
    OnCommandDraft,
    OnDateDraft,
    OnEventDraft,
    OnScheduleDraft,
    OnSegmentDraft,
    TriggerDraft,
)
from orchestrator.authoring.durations import DurationProblem, Span, parse_span
from orchestrator.authoring.entry_bounds import read_limits, read_moment
from orchestrator.authoring.reading import Problems, fields, read_formula, read_ref, read_word
from orchestrator.authoring.wait_source import read_clock, read_offset, read_zone
from orchestrator.authoring.yaml_source import MappingNode, Node, Scalar, problem_at, problem_inside
from orchestrator.model.journey import ReEntry
from orchestrator.model.problems import Problem

TRIGGER_KEYS: dict[str, tuple[str, ...]] = {
    "on": (),
    "segment": ("when",),
    "schedule": ("zone", "segment"),
    "date": ("offset", "at", "every", "zone"),
    "command": (),
}
"""What lets customers in -> the keys that say more about it. An entry has exactly one of these; the segment of a
schedule says for whom it ticks.
"""

TRIGGER_NEEDS: dict[str, tuple[str, ...]] = {"segment": ("when",)}
"""Trigger -> keys that it cannot do without."""

ENTRY_KEYS = ("where", "key", "reentry", "from", "until", "limit", "backfill")
"""What every entry may have beside its trigger."""

SEGMENT_WAYS = ("enters", "leaves")
COMMAND_WORDS = ("true",)
BACKFILL_WORDS = ("true",)
EVERY_WORDS = ("year",)

Values = Mapping[str, Node]


def read_entry(node: Node | None, problems: Problems) -> EntryDraft | None:
    """Who enters; None if it is too broken to check any further."""
    if node is None:
        return None
    if not isinstance(node, MappingNode):
        fields(node, tuple(TRIGGER_KEYS), problems, what="entry")
        return None
    kind = _kind(node, problems)
    if kind is None:
        return None
    found = fields(node, keys_of(kind), problems, what=f'an entry by "{kind}"', required=TRIGGER_NEEDS.get(kind, ()))
    if found is None:
        return None
    trigger = _trigger(kind, found, problems) if kind in found else None
    where = read_formula(found.get("where"), problems, what="where")
    key = read_formula(found.get("key"), problems, what="key")
    reentry = _reentry(found.get("reentry"), problems)
    opens = read_moment(found.get("from"), problems, what="from")
    closes = read_moment(found.get("until"), problems, what="until")
    limits = read_limits(found.get("limit"), problems)
    backfill = found.get("backfill")
    if read_word(backfill, BACKFILL_WORDS, problems, what="backfill") is None or not isinstance(backfill, Scalar):
        backfill = None
    return None if trigger is None else EntryDraft(node, trigger, where, key, reentry, opens, closes, limits, backfill)


def keys_of(kind: str) -> tuple[str, ...]:
    """Every key that an entry with this trigger may have."""
    return (kind, *TRIGGER_KEYS[kind], *ENTRY_KEYS)


def _kind(node: MappingNode, problems: Problems) -> str | None:
    """The one key that says what lets customers in."""
    given = [key for key, _ in node.entries if key.value in TRIGGER_KEYS]
    if any(key.value == "schedule" for key in given):
        given = [key for key in given if key.value != "segment"]
    if not given:
        place = node.entries[0][0] if node.entries else node
        hint = f"add one of: {', '.join(TRIGGER_KEYS)}"
        problems.append(problem_at(place, "J160", "the entry does not say what lets customers in", hint=hint))
        return None
    if len(given) > 1:
        message = f'an entry is by one thing, and this one is by "{given[0].value}" and "{given[1].value}"'
        problems.append(problem_at(given[1], "J160", message, hint="make two journeys of it, or leave one out"))
        return None
    return given[0].value


def _trigger(kind: str, found: Values, problems: Problems) -> TriggerDraft | None:
    match kind:
        case "on":
            event = read_ref(found["on"], problems, what="on")
            return None if event is None else OnEventDraft(event)
        case "segment":
            segment = read_ref(found["segment"], problems, what="segment")
            way = read_word(found.get("when"), SEGMENT_WAYS, problems, what="when")
            return None if segment is None or way is None else OnSegmentDraft(segment, way == "enters")
        case "schedule":
            return _schedule(found, problems)
        case "date":
            return _date(found, problems)
        case _:
            word = read_word(found["command"], COMMAND_WORDS, problems, what="command")
            return None if word is None else OnCommandDraft()


def _schedule(found: Values, problems: Problems) -> TriggerDraft | None:
    schedule = read_ref(found["schedule"], problems, what="schedule")
    zone = read_zone(found.get("zone"), problems)
    segment = read_ref(found.get("segment"), problems, what="segment")
    if schedule is None or (segment is None and "segment" in found):
        return None
    cron = parse_cron(schedule.name)
    if isinstance(cron, str):
        hint = 'write minute, hour, day, month and weekday: "0 9 * * mon"'
        problems.append(problem_at(schedule.node, "J161", cron, hint=hint))
        return None
    return OnScheduleDraft(schedule, cron, zone, segment)


def _date(found: Values, problems: Problems) -> TriggerDraft | None:
    before = len(problems)
    date = read_formula(found["date"], problems, what="date")
    offset = read_offset(found.get("offset"), problems)
    at = read_clock(found.get("at"), problems)
    every = read_word(found.get("every"), EVERY_WORDS, problems, what="every")
    zone = read_zone(found.get("zone"), problems)
    if date is None or len(problems) > before:
        return None
    return OnDateDraft(date, offset, at, zone, every is not None)


def _reentry(node: Node | None, problems: Problems) -> ReEntry | None:
    never = ReEntry("never")
    ref = read_ref(node, problems, what="reentry")
    if ref is None:
        return None
    mode, _, rest = ref.name.strip().partition(" ")
    if mode in {"never", "always"} and not rest:
        return ReEntry(mode)
    if mode == "after":
        span = parse_span(rest)
        if isinstance(span, Span):
            return ReEntry("after", span.ms, span.months)
        start = ref.name.find(rest) if rest else 0
        problems.append(_duration_problem(ref.node, start, span))
        return never
    problems.append(
        problem_at(
            ref.node, "J115", f'reentry cannot be "{ref.name}"', hint="it is one of: never, always, after 7 days"
        )
    )
    return never


def _duration_problem(node: Scalar, start: int, problem: DurationProblem) -> Problem:
    return problem_inside(node, start, len(node.value), problem.code, problem.message, hint=problem.hint)
