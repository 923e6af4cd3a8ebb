"""The entry of a journey file -> its draft: what lets customers in, and who may."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.authoring.drafts import EntryDraft, OnCommandDraft, OnEventDraft, OnSegmentDraft, TriggerDraft
from orchestrator.authoring.durations import DurationProblem, parse_duration
from orchestrator.authoring.reading import Problems, fields, read_formula, read_ref, read_word
from orchestrator.authoring.yaml_source import MappingNode, Node, Scalar, problem_at, problem_inside
from orchestrator.model.journey import ReEntry
from orchestrator.model.problems import Problem

TRIGGER_KEYS: dict[str, tuple[str, ...]] = {
    "on": (),
    "segment": ("when",),
    "command": (),
}
"""What lets customers in -> the keys that say more about it. An entry has exactly one of these."""

TRIGGER_NEEDS: dict[str, tuple[str, ...]] = {"segment": ("when",)}
"""Trigger -> keys that it cannot do without."""

ENTRY_KEYS = ("where", "key", "reentry")
"""What every entry may have beside its trigger."""

SEGMENT_WAYS = ("enters", "leaves")
COMMAND_WORDS = ("true",)

Values = Mapping[str, Node]


def read_entry(node: Node | None, problems: Problems) -> EntryDraft | None:
    """Who enters; None if it is too broken to check any further."""
    if node is None:
        return None
    if not isinstance(node, MappingNode):
        fields(node, (), problems, what="entry")
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
    return None if trigger is None else EntryDraft(trigger, where, key, reentry)


def keys_of(kind: str) -> tuple[str, ...]:
    """Every key that an entry with this trigger may have."""
    return (kind, *TRIGGER_KEYS[kind], *ENTRY_KEYS)


def _kind(node: MappingNode, problems: Problems) -> str | None:
    """The one key that says what lets customers in."""
    given = [key for key, _ in node.entries if key.value in TRIGGER_KEYS]
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
        case _:
            word = read_word(found["command"], COMMAND_WORDS, problems, what="command")
            return None if word is None else OnCommandDraft()


def _reentry(node: Node | None, problems: Problems) -> ReEntry:
    never = ReEntry("never")
    ref = read_ref(node, problems, what="reentry")
    if ref is None:
        return never
    mode, _, rest = ref.name.strip().partition(" ")
    if mode in {"never", "always"} and not rest:
        return ReEntry(mode)
    if mode == "after":
        duration = parse_duration(rest)
        if isinstance(duration, int):
            return ReEntry("after", duration)
        start = ref.name.find(rest) if rest else 0
        problems.append(_duration_problem(ref.node, start, duration))
        return never
    problems.append(
        problem_at(
            ref.node, "J115", f'reentry cannot be "{ref.name}"', hint="it is one of: never, always, after 7 days"
        )
    )
    return never


def _duration_problem(node: Scalar, start: int, problem: DurationProblem) -> Problem:
    return problem_inside(node, start, len(node.value), problem.code, problem.message, hint=problem.hint)
