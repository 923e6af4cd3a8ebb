"""Dotted names of an expression -> typed nodes: `event.value`, `profile.email`, `steps.offer.outcome`."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.authoring.expression_nodes import (
    UNKNOWN,
    Ambient,
    Attribute,
    AudienceMember,
    ConsentKey,
    Constant,
    EntryField,
    EventField,
    ExperimentArm,
    Member,
    Names,
    SegmentMember,
    StepField,
    Typed,
)
from orchestrator.authoring.expression_syntax import ExpressionProblem, Name
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.model.types import BOOLEAN, INSTANT, INTEGER, STRING, EventType, Kind, Type

ROOTS = ("event", "entry", "profile", "consent", "audience", "segment", "experiment", "steps", "now", "customer_id")
STEP_FIELDS = {"outcome": STRING, "visits": INTEGER, "at": INSTANT, "action_id": STRING, "channel": STRING}
SEND_FIELDS = frozenset({"action_id", "channel"})
"""Results that only a step that asks for something has."""
SPELLED = {
    "true": "true",
    "yes": "true",
    "on": "true",
    "false": "false",
    "no": "false",
    "off": "false",
    "none": "null",
    "null": "null",
    "nil": "null",
    "today": "now",
}
"""Words for values -> how the language writes them."""
BROKEN = "broken"
"""The kind of a step that could not be read."""
ASKING = frozenset({"send", "task", "webhook", "emit"})

ENTRY_AT = "at"
"""When the customer entered, for journeys without an entry event; an entry event has fields of its own."""

NO_ENTRY_EVENT = "customers do not enter this journey on an event"
"""Why `entry` and, before a customer is inside, `event` have no fields."""

Part = tuple[str, int, int]


def typed_name(tree: Name, names: Names, problems: list[ExpressionProblem]) -> Typed:
    """The value that the name stands for; problems are appended and give the type UNKNOWN."""
    root = tree.parts[0][0]
    rest = tree.parts[1:]
    if names.only_event and root != "event":
        return _bad(problems, "J241", tree.parts[0], f'"{root}" is not known here: {names.only_event}', "use event.*")
    if root not in ROOTS:
        return _unknown_root(tree, names, problems)
    if root in {"now", "customer_id"}:
        if rest:
            return _bad(problems, "J219", rest[0], f'"{root}" has no fields', "leave the dot out")
        if root == "now" and names.no_now:
            message = f'"now" is not known here: {names.no_now}'
            return _bad(problems, "J245", tree.parts[0], message, "use days_since(EVENT), or count(EVENT, 30 days)")
        return Ambient(INSTANT if root == "now" else STRING, root)
    if not rest:
        return _bad(problems, "J210", tree.parts[0], f'"{root}" alone has no value', f"name a field: {root}.name")
    if root == "steps":
        return _step_field(tree, names, problems)
    base = _first_field(root, tree.parts[0], rest[0], names, problems)
    return _members(base, rest[1:], problems)


def _bad(problems: list[ExpressionProblem], code: str, part: Part, message: str, hint: str = "") -> Constant:
    problems.append(ExpressionProblem(code, part[1], part[2], message, hint))
    return Constant(UNKNOWN, None)


def _unknown_root(tree: Name, names: Names, problems: list[ExpressionProblem]) -> Constant:
    word = tree.parts[0][0]
    hint = ""
    if len(tree.parts) == 1:
        for root, event in (("event", names.event), ("entry", names.entry)):
            if event is not None and word in event.fields:
                hint = f"did you mean {root}.{word}?"
                break
        else:
            hint = f"did you mean profile.{word}?" if word in names.attributes else ""
    if not hint and word in names.event_types:
        hint = f"write what you want to know of past events: count({word}), or last({word}.field)"
    if word.lower() in SPELLED:
        hint = f"write {SPELLED[word.lower()]}"
    if not hint:
        hint = did_you_mean(word, ROOTS, otherwise=f"a text needs quotes of its own: \"'{word}'\"")
    return _bad(problems, "J210", tree.parts[0], f'"{word}" is not known', hint)


def _first_field(root: str, root_part: Part, part: Part, names: Names, problems: list[ExpressionProblem]) -> Typed:
    field = part[0]
    match root:
        case "event":
            return _event_field(names.event, names.no_event, root_part, part, names, problems)
        case "entry" if field == ENTRY_AT and names.entry is None and names.is_inside and names.no_entry:
            return Ambient(INSTANT, "entry.at")
        case "entry":
            found = _event_field(names.entry, names.no_entry, root_part, part, names, problems)
            return EntryField(found.type, field) if isinstance(found, EventField) else found
        case "consent":
            if field not in names.consents:
                return _bad(
                    problems, "J206", part, f'there is no consent "{field}"', did_you_mean(field, names.consents)
                )
            return ConsentKey(BOOLEAN, field)
        case "audience":
            if field not in names.audiences:
                hint = did_you_mean(field, names.audiences, otherwise="audiences.yaml names the audiences")
                return _bad(problems, "J230", part, f'there is no audience "{field}"', hint)
            return AudienceMember(BOOLEAN, field)
        case "segment":
            if names.no_past:
                message = f"segments are not known here: {names.no_past}"
                return _bad(problems, "J242", root_part, message, "use it in a journey or in segments.yaml")
            if field not in names.segments:
                hint = did_you_mean(field, names.segments, otherwise="segments.yaml names the segments")
                return _bad(problems, "J250", part, f'there is no segment "{field}"', hint)
            return SegmentMember(BOOLEAN, field)
        case "experiment":
            if field not in names.experiments:
                hint = did_you_mean(field, names.experiments, otherwise="experiments.yaml names the experiments")
                return _bad(problems, "J263", part, f'there is no experiment "{field}"', hint)
            return ExperimentArm(Type(Kind.STRING, nullable=True, symbols=names.experiments[field]), field)
        case _:
            if field not in names.attributes:
                hint = did_you_mean(field, names.attributes, otherwise="profile.yaml says which attributes there are")
                return _bad(problems, "J207", part, f'the profile has no attribute "{field}"', hint)
            of = names.attributes[field]
            return Attribute(of if of == UNKNOWN else replace(of, nullable=True), field)


def _event_field(
    event: EventType | None,
    reason: str,
    root_part: Part,
    part: Part,
    names: Names,
    problems: list[ExpressionProblem],
) -> Typed:
    if event is None:
        if not reason:
            return Constant(UNKNOWN, None)
        hint = _instead(root_part[0], reason, is_inside=names.is_inside)
        return _bad(problems, "J212", root_part, f'"{root_part[0]}" is not known here: {reason}', hint)
    if part[0] not in event.fields:
        hint = did_you_mean(part[0], event.fields)
        if (root_part[0], part[0]) == ("entry", ENTRY_AT):
            hint = "entry.occurred_at is when it happened"
        return _bad(problems, "J202", part, f'event "{event.name}" has no field "{part[0]}"', hint)
    return EventField(event.fields[part[0]], part[0])


def _instead(root: str, reason: str, *, is_inside: bool) -> str:
    if reason == NO_ENTRY_EVENT:
        return "use profile.*; entry.at is when the customer entered"
    if root == "event" and not is_inside:
        return "use profile.*, or the past: last(order_placed.total)"
    if root == "event":
        return "use entry.* for the event that the customer entered on, or profile.*"
    return "use event.* for the event of this place"


def _members(base: Typed, parts: tuple[Part, ...], problems: list[ExpressionProblem]) -> Typed:
    for part in parts:
        if base.type == UNKNOWN:
            return base
        if base.type.kind is Kind.RECORD:
            if part[0] not in base.type.fields:
                return _bad(
                    problems,
                    "J219",
                    part,
                    f'the record has no field "{part[0]}"',
                    did_you_mean(part[0], base.type.fields),
                )
            inner = base.type.fields[part[0]]
            base = Member(replace(inner, nullable=inner.nullable or base.type.nullable), base, part[0])
        elif base.type.kind is Kind.MAP and base.type.item is not None:
            base = Member(replace(base.type.item, nullable=True), base, part[0])
        else:
            return _bad(
                problems, "J219", part, f'there is no "{part[0]}" in {base.type}', "only records and maps have fields"
            )
    return base


def _step_field(tree: Name, names: Names, problems: list[ExpressionProblem]) -> Typed:
    root, step, *rest = tree.parts
    if names.steps is None:
        return _bad(
            problems, "J212", root, '"steps" is not known here: nobody is in a step yet', "use event.* or profile.*"
        )
    if step[0] not in names.steps:
        return _bad(problems, "J208", step, f'there is no step "{step[0]}"', did_you_mean(step[0], names.steps))
    if not rest:
        return _bad(
            problems, "J209", step, f'"steps.{step[0]}" alone has no value', f"name a result: {', '.join(STEP_FIELDS)}"
        )
    field = rest[0]
    if len(rest) > 1:
        return _bad(problems, "J219", rest[1], f'"{field[0]}" has no fields', "leave the dot out")
    if field[0] not in STEP_FIELDS:
        return _bad(problems, "J209", field, f'a step has no result "{field[0]}"', did_you_mean(field[0], STEP_FIELDS))
    kind = names.steps[step[0]]
    if kind == BROKEN:
        # What is wrong with the step is said where it stands.
        return Constant(UNKNOWN, None)
    if field[0] in SEND_FIELDS and kind not in ASKING:
        return _bad(
            problems,
            "J209",
            field,
            f'step "{step[0]}" is a {kind} step: it has no {field[0]}',
            "only steps that ask for something have one: send, task, webhook, emit",
        )
    of = STEP_FIELDS[field[0]]
    if field[0] != "visits":
        of = replace(of, nullable=True, symbols=names.results().get((step[0], field[0]), ()))
    return StepField(of, step[0], field[0])
