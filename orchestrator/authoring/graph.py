"""A journey as a picture, and that in Mermaid: entry, steps with what they do, ways with conditions, exits, goal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import assert_never

from orchestrator.authoring.action_words import action_words
from orchestrator.authoring.drafts import (
    ActionDraft,
    BranchDraft,
    BrokenDraft,
    ExitDraft,
    Formula,
    IncrementDraft,
    JourneyDraft,
    MeetExperimentDraft,
    MonthsDraft,
    SendDraft,
    SetDraft,
    SplitDraft,
    StepDraft,
    UntilMomentDraft,
    UntilTimeDraft,
    WaitDraft,
    WaitForDraft,
    WaitWhileDraft,
)
from orchestrator.authoring.durations import Span, describe_duration
from orchestrator.authoring.entry_words import entry_words
from orchestrator.authoring.flow import END, END_REASON, edges, step_after
from orchestrator.authoring.graph_picture import (
    BOX,
    CHANCE,
    CIRCLE,
    FLAG,
    HEXAGON,
    RHOMBUS,
    ROUND,
    STADIUM,
    Box,
    Picture,
    Shape,
    Way,
)
from orchestrator.authoring.lowering import GOAL_WITHIN_MS_DEFAULT
from orchestrator.authoring.pause_source import resume_words
from orchestrator.authoring.wait_words import wait_words
from orchestrator.model.journey import Status

BRACKETS: dict[Shape, tuple[str, str]] = {
    STADIUM: ("([", "])"),
    BOX: ("[", "]"),
    ROUND: ("(", ")"),
    HEXAGON: ("{{", "}}"),
    RHOMBUS: ("{", "}"),
    CHANCE: ("{", "}"),
    FLAG: (">", "]"),
    CIRCLE: ("((", "))"),
}


def picture(draft: JourneyDraft, inside: Mapping[str, int] | None = None) -> Picture:
    """Everything that is drawn, in the order of the journey; with `inside` how many customers are in each step."""
    counts = {_id(step): count for step, count in (inside or {}).items()}
    parts = tuple(_counted(part, counts) if isinstance(part, Box) else part for part in _parts(draft))
    return Picture(draft.name.name, " ".join(draft.title.split()), parts)


def mermaid(draft: JourneyDraft, inside: Mapping[str, int] | None = None) -> str:
    """The flowchart's text, ending in a line break; with `inside` how many customers are in each step."""
    lines = ["---", f"title: {_title(draft)}", "---", "flowchart TD"]
    lines += [f"  {_line(part)}" for part in picture(draft, inside).parts]
    return "\n".join(lines) + "\n"


def _counted(box: Box, counts: Mapping[str, int]) -> Box:
    count = counts.get(box.name)
    return box if count is None else replace(box, said=(*box.said, f"{count:,} inside"))


def _title(draft: JourneyDraft) -> str:
    plain = " ".join(draft.title.replace('"', "'").replace("\\", "/").split())
    return f'"{plain}"'


def _parts(draft: JourneyDraft) -> Iterator[Box | Way]:
    entry = draft.entry
    said = [*entry_words(entry), *_where(entry.where)]
    if entry.key is not None:
        said.append(f"one passage for each {_text(entry.key)}")
    said.append(_reentry(draft))
    if draft.status is Status.PAUSED:
        said += ["PAUSED: nobody goes on", f"later all {resume_words(draft.resume)}"]
    yield _node("entry", STADIUM, said)
    first = draft.steps[0].name.name
    if draft.holdout:
        yield _node("holdout", CIRCLE, ["control group"])
        yield _way("entry", "holdout", f"{float(draft.holdout * 100):g}% held out")
    yield _way("entry", _id(first), "")
    ends_by_position = False
    for index, step in enumerate(draft.steps):
        yield _step_node(step)
        for edge in edges(step, step_after(draft, index)):
            ends_by_position = ends_by_position or edge.target == END
            yield _way(_id(step.name.name), _id(edge.target), edge.label)
    if ends_by_position:
        yield _node(_id(END), CIRCLE, [END_REASON])
    yield from _anytime(draft)


def _anytime(draft: JourneyDraft) -> Iterator[Box | Way]:
    """The ways out that are open in every step."""
    if draft.goal is None and not draft.exits and draft.max_duration is None:
        return
    yield _node("anytime", STADIUM, ["at any time"])
    if draft.goal is not None:
        goal = draft.goal
        within = goal.within or Span(GOAL_WITHIN_MS_DEFAULT)
        said = ["goal", f"within {within}"]
        if goal.value is not None:
            said.append(f"worth {_text(goal.value)}")
        yield _node("goal", FLAG, said)
        yield _dotted("anytime", "goal", " ".join([goal.on.name, *_where(goal.where)]))
    if draft.exits or draft.max_duration is not None:
        yield _node("leave", CIRCLE, ["exit"])
    for rule in draft.exits:
        if rule.on is not None:
            yield _dotted("anytime", "leave", " ".join([rule.on.name, *_where(rule.where)]))
        elif rule.when is not None:
            yield _dotted("anytime", "leave", _text(rule.when))
    if draft.max_duration is not None:
        yield _dotted("anytime", "leave", f"expired after {draft.max_duration}")


def _reentry(draft: JourneyDraft) -> str:
    rule = draft.entry.reentry
    if rule is None or rule.mode == "never":
        return "once only"
    match rule.mode:
        case "always":
            return "again and again"
        case _:
            return f"again after {Span(rule.after_ms, rule.after_months)}"


def _step_node(step: StepDraft) -> Box:
    name = step.name.name
    if isinstance(step, ActionDraft):
        return _node(_id(name), ROUND if isinstance(step, IncrementDraft) else BOX, [name, *action_words(step)])
    match step:
        case WaitDraft():
            return _node(_id(name), HEXAGON, [name, f"wait {describe_duration(step.duration_ms)}"])
        case WaitForDraft():
            said = [name, f"wait for {' or '.join(dict.fromkeys(item.on.name for item in step.awaited))}"]
            if step.timeout is not None:
                said.append(f"at most {step.timeout}")
            return _node(_id(name), HEXAGON, said)
        case MonthsDraft() | UntilTimeDraft() | UntilMomentDraft() | WaitWhileDraft():
            return _node(_id(name), HEXAGON, [name, *wait_words(step)])
        case BranchDraft():
            return _node(_id(name), RHOMBUS, [name])
        case SplitDraft():
            return _node(_id(name), CHANCE, [name, "by chance"])
        case MeetExperimentDraft():
            return _node(_id(name), CHANCE, [name, f"experiment {step.experiment.name}"])
        case SendDraft():
            channels = ", else ".join(channel.name for channel in step.channels)
            return _node(_id(name), BOX, [name, f"send {step.template.name}", f"by {channels}"])
        case SetDraft():
            said = [f"set {attribute.name} to {_text(formula)}" for attribute, formula in step.assignments]
            return _node(_id(name), ROUND, [name, *said])
        case BrokenDraft():
            return _node(_id(name), BOX, [name])
        case ExitDraft():
            said = [name] if step.reason == name else [name, f"exit: {step.reason}"]
            return _node(_id(name), CIRCLE, said)
        case _:
            assert_never(step)


def _where(formula: Formula | None) -> list[str]:
    return [] if formula is None else [f"where {_text(formula)}"]


def _text(formula: Formula) -> str:
    return " ".join(formula.text.split())


def _id(step: str) -> str:
    """A node's id; the prefix keeps Mermaid's own words, such as `end`, out of it."""
    return f"step_{step.lstrip('_')}"


def _node(name: str, shape: Shape, said: list[str]) -> Box:
    return Box(name, shape, tuple(said))


def _way(start: str, end: str, label: str) -> Way:
    return Way(start, end, label)


def _dotted(start: str, end: str, label: str) -> Way:
    return Way(start, end, label, is_open_always=True)


def _line(part: Box | Way) -> str:
    """The part in Mermaid's language."""
    if isinstance(part, Box):
        opening, closing = BRACKETS[part.shape]
        return f'{part.name}{opening}"{"<br/>".join(_escaped(line) for line in part.said)}"{closing}'
    arrow = "-.->" if part.is_open_always else "-->"
    return (
        f'{part.start} {arrow}|"{_escaped(part.label)}"| {part.end}'
        if part.label
        else f"{part.start} {arrow} {part.end}"
    )


def _escaped(text: str) -> str:
    for character, entity in (("#", "#35;"), ("&", "#amp;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(character, entity)
    return text
