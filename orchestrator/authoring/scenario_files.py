"""Scenario files: YAML text → `Scenario` values, every mistake with its position.

scenarios:
  - name: a cart that is left alone brings a reminder after an hour
    given:
      profile: {email: ada@example.com}
      consent: {email: true}
    when:
      - {event: cart_updated, with: {cart_id: k1, value: 80}}
    then:
      - {at: +1 hour, sent: email, template: cart_reminder}
      - {at: +1 hour, in_step: react}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from orchestrator.authoring.durations import parse_duration, unit_ms
from orchestrator.authoring.event_values import BadValue, EventShape, read_instant
from orchestrator.authoring.expression_closures import loaded
from orchestrator.authoring.expression_types import described
from orchestrator.authoring.scenario_nodes import Reader, value_of_node
from orchestrator.authoring.scenario_values import (
    COMMANDS,
    DEFAULT_START_MS,
    EXPECTATIONS,
    STATES,
    TRANSITIONS,
    YES_OR_NO,
    ChangeOver,
    Expectation,
    Given,
    Scenario,
    SentBefore,
    Switch,
    When,
    event_of,
)
from orchestrator.authoring.sources import is_scenario_file
from orchestrator.authoring.suggest import meant
from orchestrator.authoring.yaml_source import ListNode, MappingNode, Node, Scalar, parse_yaml
from orchestrator.engine.ids import address_digest
from orchestrator.engine.pausing import EXPIRED_IN_PAUSE
from orchestrator.model.action_steps import Task
from orchestrator.model.journey import Exit, Journey, JourneySet, Send, Split
from orchestrator.model.problems import Problem
from orchestrator.model.types import Kind, Type

CHANGE_OVER = "change_over"
CHANGE_KEYS = frozenset({"at", CHANGE_OVER})
SWITCHES = frozenset({"pause", "resume"})
"""What can happen in a scenario beside events: a journey is paused, or runs again."""

GIVEN_KEYS = frozenset(
    {
        "time",
        "customer",
        "profile",
        "consent",
        "reachable",
        "audience",
        "sent_before",
        "split",
        "experiment",
        "held_out",
        "global_holdout",
        "backfill",
        "under",
    }
)
_BESIDE = frozenset({"at", "journey"}).union(*EXPECTATIONS.values())
"""What can stand in a line of `then` beside what it expects."""

WHEN_KEYS = frozenset({"at", "event", "with", *SWITCHES})

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_AMOUNT = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII)
_OFFSET = re.compile(r"\+(\d{1,9}) ([a-z]+)(?: (\d{1,9}) ([a-z]+))?(?: (\d{1,9}) ([a-z]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scenarios:
    """All scenarios in file order, and what is wrong with the files."""

    scenarios: tuple[Scenario, ...]
    problems: tuple[Problem, ...]


def load_scenarios(
    files: Mapping[str, str],
    journeys: JourneySet,
    shapes: Mapping[str, EventShape],
    earlier: Mapping[str, JourneySet] | None = None,
) -> Scenarios:
    """The scenarios of every `<journey>.scenarios.yaml` among the files (path → text).

    `earlier` are the sets that a scenario can begin under, by the path of the older form of its journey.
    """
    scenarios: list[Scenario] = []
    problems: list[Problem] = []
    for path, text in sorted(files.items()):
        if not is_scenario_file(path):
            continue
        root = parse_yaml(path, text, problems)
        if root is not None:
            scenarios += _file(root, _journey_of(path), journeys, shapes, earlier or {}, problems)
    return Scenarios(tuple(scenarios), tuple(sorted(problems)))


def _journey_of(path: str) -> str:
    return PurePosixPath(path).name.partition(".")[0]


def _file(
    root: Node,
    name: str,
    journeys: JourneySet,
    shapes: Mapping[str, EventShape],
    earlier: Mapping[str, JourneySet],
    problems: list[Problem],
) -> list[Scenario]:
    journey = journeys.current.get(name)
    read = Reader(problems)
    if journey is None:
        read.unknown(root, "journey", name, journeys.current)
        return []
    entries = read.mapping(root, {"scenarios"}, required={"scenarios"})
    own = {path: older for path, older in earlier.items() if _journey_of(path) == name}
    story = _StoryReader(read, journey, journeys, shapes, own)
    found: list[Scenario] = []
    names: set[str] = set()
    for node in read.items(entries.get("scenarios")):
        scenario = story.under(node).scenario(node)
        if scenario is None:
            continue
        if scenario.name in names:
            read.problem(node, "J808", f'a second scenario is called "{scenario.name}"', hint="names tell them apart")
        names.add(scenario.name)
        found.append(scenario)
    return found


class _StoryReader:
    """Reads the scenarios of one file; holds what names can refer to."""

    def __init__(
        self,
        read: Reader,
        journey: Journey,
        journeys: JourneySet,
        shapes: Mapping[str, EventShape],
        earlier: Mapping[str, JourneySet],
    ) -> None:
        self._read = read
        self._journey = journey
        self._journeys = journeys
        self._shapes = shapes
        self._earlier = earlier

    def under(self, node: Node) -> _StoryReader:
        """The reader for a scenario that may begin under an older form of its journey: both have names for it."""
        older = self._earlier.get(_under(node))
        if older is None:
            return self
        both = _both(older.current[self._journey.name], self._journey)
        journeys = replace(self._journeys, current={**self._journeys.current, both.name: both})
        return _StoryReader(self._read, both, journeys, self._shapes, self._earlier)

    def scenario(self, node: Node) -> Scenario | None:
        read = self._read
        before = len(read.problems)
        entries = read.mapping(node, {"name", "given", "when", "then", "until"}, required={"name", "when", "then"})
        if not isinstance(node, MappingNode):
            return None
        name = read.text(entries.get("name"))
        given = self._given(entries.get("given"))
        when, change_over = self._when(entries.get("when"), given)
        if bool(_under(node)) != (change_over is not None):
            hint = "write given: {under: FILE} and when: [{at: +1 day, change_over: true}], or neither"
            message = "a scenario in which the journeys change says what they were, and when they change, once"
            read.problem(node, "J182", message, hint=hint)
        then = [self._expectation(line) for line in read.items(entries.get("then"))]
        until_ms = self._offset(entries["until"]) if "until" in entries else None
        if len(read.problems) > before or name is None:
            return None
        expected = tuple(line for line in then if line is not None)
        # How things stand, where no time is said, is how they stand after the last event.
        last_ms = max((event.after_ms for event in when), default=0)
        last_ms = last_ms if change_over is None else max(last_ms, change_over.after_ms)
        dated = tuple(replace(e, after_ms=last_ms) if e.kind in STATES and e.after_ms is None else e for e in expected)
        mentioned_ms = max([last_ms, *(line.after_ms or 0 for line in dated)])
        return Scenario(name, self._journey.name, given, when, dated, mentioned_ms, until_ms, node, change_over)

    def _given(self, node: Node | None) -> Given:
        if node is None:
            return Given()
        read = self._read
        entries = read.mapping(node, GIVEN_KEYS, required=set())
        at_ms = DEFAULT_START_MS
        if (time := read.text(entries.get("time"))) is not None:
            at_ms = read.checked(entries["time"], "J804", lambda: read_instant(time, "time"), DEFAULT_START_MS)
        customer = read.text(entries.get("customer"))
        arms = {key.value: arm for key, arm in self._arms(entries.get("split"))}
        is_held_out = bool(read.boolean(entries.get("held_out")))
        is_left_alone = bool(read.boolean(entries.get("global_holdout")))
        experiments = self._experiments(entries.get("experiment"))
        if customer is not None and (arms or experiments or is_held_out or is_left_alone):
            read.problem(
                entries["customer"],
                "J810",
                "chance has decided for a customer who is named",
                hint="leave customer out, then one is found who fits what is given",
            )
        profile = self._profile(entries.get("profile"))
        known = self._journeys.audiences
        inside = [name for name, is_in in self._inside("audience", known, entries.get("audience")).items() if is_in]
        return Given(
            at_ms,
            customer,
            profile,
            self._consent(entries.get("consent")),
            tuple(self._sent_before(entries.get("sent_before"))),
            arms,
            is_held_out,
            {name: str(profile.get(known[name].identity, "")) for name in inside},
            is_left_alone,
            experiments=experiments,
            is_backfilled=bool(read.boolean(entries.get("backfill"))),
            under=self._older(entries.get("under")),
            unreachable=self._unreachable(entries.get("reachable"), profile),
        )

    def _older(self, node: Node | None) -> JourneySet | None:
        path = self._read.text(node)
        if node is not None and path is not None and path not in self._earlier:
            self._read.unknown(node, "older form of the journey", path, self._earlier)
        return self._earlier.get(path or "")

    def _profile(self, node: Node | None) -> dict[str, Any]:
        """Attribute → value in stored form."""
        read = self._read
        values: dict[str, Any] = {}
        for key, value in read.pairs(node):
            attribute = self._journeys.attributes.get(key.value)
            if attribute is None:
                read.unknown(key, "profile attribute", key.value, self._journeys.attributes)
                continue
            stored = _stored(attribute, value_of_node(value))
            if stored is None:
                hint = _AS_WRITTEN.get(attribute.kind, "")
                read.problem(value, "J809", f'profile attribute "{key.value}" is {described(attribute)}', hint=hint)
            else:
                values[key.value] = stored
        return values

    def _consent(self, node: Node | None) -> dict[str, bool]:
        read = self._read
        known = {channel.consent for channel in self._journeys.channels.values()}
        known |= {audience.consent for audience in self._journeys.audiences.values()}
        for purpose in self._journeys.purposes.values():
            known |= {purpose.consent, *purpose.by_channel.values()}
        granted: dict[str, bool] = {}
        for key, value in read.pairs(node):
            if key.value not in known:
                read.unknown(key, "consent", key.value, known)
            elif (choice := read.boolean(value)) is not None:
                granted[key.value] = choice
        return granted

    def _unreachable(self, node: Node | None, profile: Mapping[str, Any]) -> dict[str, bytes]:
        """Channel → digest of the profile's address, for those that are said not to be reachable."""
        channels = self._journeys.channels
        return {
            name: address_digest(str(profile[channels[name].address]))
            for name, is_reachable in self._inside("channel", channels, node).items()
            if not is_reachable and profile.get(channels[name].address)
        }

    def _inside(self, what: str, known: Mapping[str, object], node: Node | None) -> dict[str, bool]:
        """Audience or segment → whether the customer is in it."""
        read = self._read
        inside: dict[str, bool] = {}
        for key, value in read.pairs(node):
            if key.value not in known:
                read.unknown(key, what, key.value, known)
            elif (choice := read.boolean(value)) is not None:
                inside[key.value] = choice
        return inside

    def _sent_before(self, node: Node | None) -> list[SentBefore]:
        read = self._read
        sends: list[SentBefore] = []
        for item in read.items(node):
            entries = read.mapping(item, {"ago", "channel", "journey", "purpose"}, required={"ago", "channel"})
            channel = read.text(entries.get("channel"))
            if "ago" not in entries or channel is None:
                continue
            if channel not in self._journeys.channels:
                read.unknown(entries["channel"], "channel", channel, self._journeys.channels)
            journey = read.text(entries.get("journey")) or ""
            if journey and journey not in self._journeys.current:
                read.unknown(entries["journey"], "journey", journey, self._journeys.current)
            purpose = read.text(entries.get("purpose")) or self._journeys.default_purpose
            if "purpose" in entries and purpose not in self._journeys.purposes:
                read.unknown(entries["purpose"], "purpose", purpose, self._journeys.purposes)
            sends.append((self._offset(entries["ago"], sign=""), channel, journey, purpose))
        return sorted(sends, reverse=True)

    def _arms(self, node: Node | None) -> list[tuple[Scalar, str]]:
        read = self._read
        splits = {s.name: s for s in self._journey.steps.values() if isinstance(s, Split)}
        arms: list[tuple[Scalar, str]] = []
        for key, value in read.pairs(node):
            arm = read.text(value)
            if key.value not in splits:
                read.unknown(key, "split", key.value, splits)
            elif arm is not None:
                known = {a.go for a in splits[key.value].arms}
                if arm not in known:
                    read.unknown(value, "arm", arm, known)
                arms.append((key, arm))
        return arms

    def _experiments(self, node: Node | None) -> dict[str, str]:
        """Experiment → arm."""
        read, known = self._read, self._journeys.experiments
        chosen: dict[str, str] = {}
        for key, value in read.pairs(node):
            arm = read.text(value)
            if key.value not in known:
                read.unknown(key, "experiment", key.value, known)
            elif arm is not None:
                arms = [name for name, _ in known[key.value].arms]
                if arm not in arms:
                    read.unknown(value, "arm", arm, arms)
                chosen[key.value] = arm
        return chosen

    def _when(self, node: Node | None, given: Given) -> tuple[tuple[When | Switch, ...], ChangeOver | None]:
        found: list[When | Switch] = []
        change_over: ChangeOver | None = None
        paused: set[str] = set()
        after_ms = 0
        for item in self._read.items(node):
            words = {key.value for key, _ in item.entries} if isinstance(item, MappingNode) else set()
            is_change, is_switch = CHANGE_OVER in words, bool(words & SWITCHES)
            required = {CHANGE_OVER} if is_change else set() if is_switch else {"event"}
            entries = self._read.mapping(item, CHANGE_KEYS if is_change else WHEN_KEYS, required=required)
            if not isinstance(item, MappingNode):
                continue
            earlier_ms = after_ms
            if "at" in entries:
                after_ms = self._offset(entries["at"])
                if after_ms < earlier_ms:
                    self._read.problem(
                        entries["at"], "J811", "this event comes before the one above it", hint="put it above"
                    )
            if is_change:
                if change_over is not None or self._read.boolean(entries[CHANGE_OVER]) is False:
                    message = "the journeys change once, to those of this directory"
                    self._read.problem(item, "J183", message, hint="write change_over: true, once")
                change_over = ChangeOver(after_ms, len(found))
                continue
            if is_switch:
                switch = self._switch(entries, after_ms, paused)
                found += [] if switch is None else [switch]
                continue
            name = self._read.text(entries.get("event"))
            if name is None:
                continue
            if name not in self._shapes:
                self._read.unknown(entries["event"], "event type", name, self._shapes)
                continue
            found.append(self._event(item, entries.get("with"), self._shapes[name], after_ms, given))
        return tuple(found), change_over

    def _switch(self, entries: Mapping[str, Node], after_ms: int, paused: set[str]) -> Switch | None:
        """A journey that is paused or runs again; `paused` are those that are by then."""
        is_pause = "pause" in entries
        node = entries["pause" if is_pause else "resume"]
        name = self._read.text(node)
        if name is None:
            return None
        if len(entries.keys() - {"at"}) > 1:
            self._read.problem(node, "J186", "a line of when says one thing", hint="write two lines, each with its at")
        elif name not in self._journeys.current:
            self._read.unknown(node, "journey", name, self._journeys.current)
        elif (name in paused) is is_pause:
            said = "is paused already" if is_pause else "is not paused"
            self._read.problem(node, "J275", f'journey "{name}" {said}', hint="pause and resume take turns")
        else:
            paused ^= {name}
            return Switch(after_ms, name, is_pause)
        return None

    def _event(self, item: MappingNode, fields: Node | None, shape: EventShape, after_ms: int, given: Given) -> When:
        written: dict[str, Any] = {}
        actions_of: dict[str, str] = {}
        for key, value in self._read.pairs(fields):
            if key.value not in shape.fields and key.value != "event_id":
                self._read.unknown(key, f"field of {shape.name}", key.value, shape.fields)
                continue
            step = self._action_of(value)
            if step is not None:
                actions_of[key.value] = step
            else:
                written[key.value] = value_of_node(value)
        when = When(after_ms, shape, written, actions_of, item)
        try:
            event_of(when, given, "customer", 1, dict.fromkeys(actions_of, ""))
        except BadValue as bad:
            place = next((v for k, v in self._read.pairs(fields) if re.match(rf"{k.value}\b", str(bad))), item)
            hint = "put it in quotes" if str(bad).endswith("is not a text") else ""
            self._read.problem(place, "J806", str(bad), hint=hint)
        return when

    def _action_of(self, node: Node) -> str | None:
        """The step in `{action_of: STEP}`, or None for any other value."""
        if not isinstance(node, MappingNode) or [key.value for key, _ in node.entries] != ["action_of"]:
            return None
        value = node.entries[0][1]
        step = self._read.text(value)
        if step is not None and step not in self._journey.steps:
            self._read.unknown(value, "step", step, self._journey.steps)
        return step or ""

    def _expectation(self, node: Node) -> Expectation | None:
        read = self._read
        if not isinstance(node, MappingNode):
            read.mapping(node, set(), required=set())
            return None
        kinds = [key for key, _ in node.entries if key.value in EXPECTATIONS]
        if not kinds or (len(kinds) > 1 and kinds[1].value not in EXPECTATIONS[kinds[0].value]):
            unknown = [key.value for key, _ in node.entries if key.value not in _BESIDE]
            near = None if kinds or not unknown else meant(unknown[0], EXPECTATIONS)
            hint = f"one of: {', '.join(EXPECTATIONS)}" if near is None else f'did you mean "{near}"?'
            read.problem(node, "J807", "a line of then expects exactly one thing", hint=hint)
            return None
        kind = kinds[0].value
        entries = read.mapping(node, {kind, "at", "journey"} | EXPECTATIONS[kind], required=set())
        journey = self._journey
        if (name := read.text(entries.get("journey"))) is not None:
            if name not in self._journeys.current:
                read.unknown(entries["journey"], "journey", name, self._journeys.current)
                return None
            journey = self._journeys.current[name]
        more: dict[str, Any] = {}
        for key in EXPECTATIONS[kind] & entries.keys():
            more[key] = self._more(key, entries[key], journey, entries[kind])
        after_ms = self._offset(entries["at"]) if "at" in entries else None
        return Expectation(kind, self._value(kind, entries[kind], journey), more, journey.name, after_ms, node)

    def _more(self, key: str, node: Node, journey: Journey, of: Node) -> Any:
        if key == "with":
            return self._emitted_fields(node, of)
        if key == "contains" and isinstance(node, ListNode):
            return tuple(self._read.text(item) for item in node.items)
        text = self._read.text(node)
        if key in {"step", "to"} and text is not None and text not in journey.steps:
            self._read.unknown(node, "step", text, journey.steps)
        if key == "template" and text is not None:
            known = _templates(self._journeys)
            if text not in known:
                self._read.unknown(node, "template", text, known)
        return (text,) if key == "contains" else text

    def _emitted_fields(self, node: Node, of: Node) -> dict[str, Any]:
        """Field → value as an emitted event has it, of the event type that stands at `of`."""
        shape = self._shapes.get(of.value) if isinstance(of, Scalar) else None
        values: dict[str, Any] = {}
        for key, value in self._read.pairs(node):
            if shape is None:
                continue
            if key.value not in shape.fields:
                self._read.unknown(key, f"field of {shape.name}", key.value, shape.fields)
                continue
            convert = shape.fields[key.value].convert
            written = value_of_node(value)
            values[key.value] = self._read.checked(value, "J806", partial(convert, written), None)
        return values

    def _value(self, kind: str, node: Node, journey: Journey) -> Any:
        read = self._read
        if kind in YES_OR_NO:
            return read.boolean(node)
        if kind == "profile":
            return self._profile_expected(node)
        if kind == "consent":
            return self._consent(node)
        if kind == "reachable":
            return self._inside("channel", self._journeys.channels, node)
        if kind in {"audience", "segment"}:
            groups = self._journeys.audiences if kind == "audience" else self._journeys.segments
            return self._inside(kind, groups, node)
        if kind == "messages":
            return read.whole(node)
        text = read.text(node)
        if text is None:
            return None
        if kind in {"sent", "not_sent"}:
            known = {*self._journeys.channels, "anything"} if kind == "not_sent" else set(self._journeys.channels)
            if text not in known:
                read.unknown(node, "channel", text, known)
        if kind == "exited" and text not in (reasons := _exit_reasons(journey)):
            read.unknown(node, f"way out of {journey.name} called", text, reasons)
        if kind == "goal" and text not in {"reached", "missed"} and not _AMOUNT.fullmatch(text):
            hint = "write goal: reached, goal: missed, or goal: 19.80"
            read.problem(node, "J809", "a goal is reached, missed, or worth an amount", hint=hint)
        what, words = {
            "in_step": ("step", journey.steps),
            "transition": ("kind of transition", TRANSITIONS),
            "command": ("kind of command", COMMANDS),
            "emitted": ("emitted event type", self._journeys.emits),
        }.get(kind, ("", (text,)))
        if text not in words:
            read.unknown(node, what, text, words)
        return text

    def _profile_expected(self, node: Node) -> dict[str, Any]:
        """As `_profile`, with decimals as such; null says that the attribute has no value."""
        present: list[tuple[Scalar, Node]] = []
        absent: dict[str, Any] = {}
        for key, value in self._read.pairs(node):
            if isinstance(value, Scalar) and value.is_empty:
                absent[key.value] = None
            else:
                present.append((key, value))
        if not isinstance(node, MappingNode):
            return {}
        stored = self._profile(MappingNode(node.document, node.start, node.end, tuple(present)))
        for name, load in [(name, loaded(self._journeys.attributes[name])) for name in stored]:
            if load is not None:
                stored[name] = load(stored[name])
        return stored | absent

    def _offset(self, node: Node, *, sign: str = "+") -> int:
        """Milliseconds from the start; `sign` is what stands before the duration."""
        text = self._read.text(node)
        if text == "start" and sign:
            return 0
        match = _OFFSET.fullmatch(text if sign else f"+{text}") if text is not None else None
        units = [] if match is None else [(int(match[i]), unit_ms(match[i + 1])) for i in (1, 3, 5) if match[i]]
        if not units or any(unit is None for _, unit in units):
            if text is not None:
                example = f"such as: {sign}1 hour, {sign}2 days 30 minutes{', start' if sign else ''}"
                meaning = parse_duration(text.removeprefix("+"))
                if isinstance(meaning, int):
                    example = f"write {sign}{text.removeprefix('+')}"
                elif re.match(r"write \d", meaning.hint):
                    example = f"{meaning.hint}, with {sign} before it" if sign else meaning.hint
                self._read.problem(node, "J804", f'"{text}" is not a time in a scenario', hint=example)
            return 0
        return sum(amount * (unit or 0) for amount, unit in units)


def _under(node: Node) -> str:
    """The path under `given: {under: ...}`; "" if there is none."""
    for key in ("given", "under"):
        entries = node.entries if isinstance(node, MappingNode) else ()
        node = next((value for name, value in entries if name.value == key), node)
    return node.value if isinstance(node, Scalar) else ""


def _both(older: Journey, journey: Journey) -> Journey:
    """The journey with all that an older form of it has names for."""
    return replace(
        journey,
        steps={**older.steps, **journey.steps},
        exits_on=(*older.exits_on, *journey.exits_on),
        exits_when=(*older.exits_when, *journey.exits_when),
        goal=journey.goal or older.goal,
        max_duration_ms=journey.max_duration_ms or older.max_duration_ms,
    )


def _templates(journeys: JourneySet) -> set[str]:
    steps = (step for journey in journeys.current.values() for step in journey.steps.values())
    return {step.template for step in steps if isinstance(step, Send | Task)}


def _exit_reasons(journey: Journey) -> set[str]:
    reasons = {step.reason for step in journey.steps.values() if isinstance(step, Exit)}
    reasons |= {rule.on for rule in journey.exits_on} | {"runaway", "stopped_by_journey", "removed_by_operator"}
    if journey.resume is not None and (journey.resume.expires or journey.resume.skip_older_than_ms is not None):
        reasons.add(EXPIRED_IN_PAUSE)
    if journey.exits_when:
        reasons.add("exit_condition")
    if journey.max_duration_ms:
        reasons.add("expired")
    return reasons if journey.goal is None else reasons | {"goal"}


_AS_WRITTEN: dict[Kind, str] = {
    Kind.STRING: "put it in quotes",
    Kind.DATE: "write a day that there is: 2026-03-02",
    Kind.INSTANT: "write an instant: 2026-03-02T09:00:00Z",
    Kind.BOOLEAN: "write true or false",
}

_STORED: dict[Kind, Callable[[Any], Any]] = {
    Kind.STRING: lambda value: value if isinstance(value, str) else None,
    Kind.BOOLEAN: lambda value: value if isinstance(value, bool) else None,
    Kind.INTEGER: lambda value: value if isinstance(value, int) and not isinstance(value, bool) else None,
    Kind.FLOAT: lambda value: float(value) if not isinstance(value, (bool, str)) else None,
    Kind.DECIMAL: lambda value: str(value) if not isinstance(value, (bool, str)) else None,
}


def _stored(attribute: Type, value: Any) -> Any:
    """The value in stored form, or None if it does not fit."""
    if attribute.kind is Kind.INSTANT and isinstance(value, str):
        try:
            return read_instant(value, "")
        except BadValue:
            return None
    if attribute.kind is Kind.DATE and isinstance(value, str):
        try:
            return date.fromisoformat(value).toordinal() - _EPOCH_DAY
        except ValueError:
            return None
    convert = _STORED.get(attribute.kind, _STORED[Kind.INTEGER])
    return None if isinstance(value, (list, dict)) else convert(value)
