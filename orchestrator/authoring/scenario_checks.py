"""Was an expectation met? One function for each kind; the answer to no is what happened instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from orchestrator.authoring.durations import UNITS_MS
from orchestrator.authoring.scenario_values import Expectation
from orchestrator.engine.reach import is_cut_off
from orchestrator.model.actions import ActionCommand, Transition
from orchestrator.model.customer import ACTIVE, PAUSED, Customer, Instance
from orchestrator.model.events import EmittedEvent
from orchestrator.model.journey import Channel

NOTHING = "nothing of the kind"


@dataclass(slots=True)
class Happened:
    """All that came of a scenario, in order. `states`: milliseconds from the start → the customer then."""

    start_ms: int
    actions: list[ActionCommand] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    emitted: list[EmittedEvent] = field(default_factory=list)
    states: dict[int, Customer] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)

    def last_action(self, journey: str, step: str) -> ActionCommand | None:
        """The step's latest message or other command."""
        return next((a for a in reversed(self.actions) if (a.journey, a.step) == (journey, step)), None)


def happened_instead(expectation: Expectation, happened: Happened) -> tuple[str, str] | None:
    """(what was expected, what happened instead), or None if the expectation was met."""
    instead = _CHECKS[expectation.kind](expectation, happened)
    return None if instead is None else (_described(expectation), instead)


def offset(after_ms: int) -> str:
    """The time from the start as scenarios write it: `+1 day 30 minutes`."""
    if after_ms == 0:
        return "start"
    parts = []
    rest = after_ms
    for name in ("day", "hour", "minute", "second"):
        amount, rest = divmod(rest, UNITS_MS[name])
        if amount:
            parts.append(f"{amount} {name}{'' if amount == 1 else 's'}")
    if rest:
        parts.append(f"{rest} ms")
    return f"+{' '.join(parts)}"


def _described(expectation: Expectation) -> str:
    value = expectation.value
    shown = ", ".join(f"{name}: {_plain(v)}" for name, v in value.items()) if isinstance(value, dict) else _plain(value)
    more = "".join(f", {name}: {_plain(text)}" for name, text in sorted(expectation.more.items()))
    when = "" if expectation.after_ms is None else f" at {offset(expectation.after_ms)}"
    return f"{expectation.kind}: {shown}{more}{when}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(f'"{text}"' for text in value) if isinstance(value, tuple) else str(value)


def _is_then(expectation: Expectation, happened: Happened, at_ms: int) -> bool:
    return expectation.after_ms is None or at_ms - happened.start_ms == expectation.after_ms


def _messages(expectation: Expectation, happened: Happened) -> list[ActionCommand]:
    return [a for a in happened.actions if a.journey == expectation.journey and a.kind == "send"]


def _transitions(expectation: Expectation, happened: Happened, *kinds: str) -> list[Transition]:
    return [t for t in happened.transitions if t.journey == expectation.journey and t.kind in kinds]


def _mismatch(expectation: Expectation, action: ActionCommand, happened: Happened) -> str:
    """What is wrong with the message, or an empty text if it is the expected one."""
    if not _is_then(expectation, happened, action.created_at_ms):
        return "the time differs"
    wanted = {
        "sent": action.channel,
        **{name: getattr(action, name) for name in ("template", "language", "step", "address")},
    }
    asked = {"sent": expectation.value, **expectation.more}
    for name, found in wanted.items():
        if name in asked and asked[name] != found:
            return "the channel differs" if name == "sent" else f"the {name} differs"
    content = "\n".join(action.content.values())
    missing = next((text for text in expectation.more.get("contains", ()) if text not in content), None)
    return "" if missing is None else f'the content lacks "{missing}"'


def _check_command(expectation: Expectation, happened: Happened) -> str | None:
    # What a withdrawn consent leads to belongs to no journey.
    of_kind = [
        action
        for action in happened.actions
        if action.kind == expectation.value and action.journey in {expectation.journey, ""}
    ]
    more = expectation.more
    for action in of_kind:
        content = "\n".join(action.content.values())
        if (
            _is_then(expectation, happened, action.created_at_ms)
            and all(more.get(name) in {None, getattr(action, name)} for name in ("target", "step", "address"))
            and all(text in content for text in more.get("contains", ()))
        ):
            return None
    others = of_kind or [action for action in happened.actions if action.kind != "send"]
    return _list(
        f"{action.kind} {action.target} at {offset(action.created_at_ms - happened.start_ms)}" for action in others
    )


def _check_emitted(expectation: Expectation, happened: Happened) -> str | None:
    wanted = expectation.more.get("with", {})
    said = []
    for made in happened.emitted:
        journey, _, _, step = made.source.split("/")
        fields = made.event.fields
        wrong = [name for name, value in wanted.items() if fields.get(name) != value]
        if (
            made.event.type == expectation.value
            and journey == expectation.journey
            and expectation.more.get("step") in {None, step}
            and _is_then(expectation, happened, made.at_ms)
            and not wrong
        ):
            return None
        differs = f" ({', '.join(f'{name}: {_plain(fields.get(name))}' for name in wrong)})" if wrong else ""
        said.append(f"{made.event.type} at {offset(made.at_ms - happened.start_ms)}{differs}")
    return _list(said)


def _check_sent(expectation: Expectation, happened: Happened) -> str | None:
    messages = _messages(expectation, happened)
    wrong = [(action, _mismatch(expectation, action, happened)) for action in messages]
    if any(not why for _, why in wrong):
        return None
    said = [f"{_message(action, happened)} ({why})" for action, why in wrong]
    return _list(said + _not_sent_lines(expectation, happened))


def _check_not_sent(expectation: Expectation, happened: Happened) -> str | None:
    more = expectation.more
    for action in _messages(expectation, happened):
        if (
            _is_then(expectation, happened, action.created_at_ms)
            and expectation.value in {"anything", action.channel}
            and more.get("template") in {None, action.template}
            and more.get("step") in {None, action.step}
        ):
            return _message(action, happened)
    if "because" not in more:
        return None
    for transition in _transitions(expectation, happened, "step"):
        if (
            transition.reason == more["because"]
            and more.get("step") in {None, transition.step}
            and _is_then(expectation, happened, transition.at_ms)
        ):
            return None
    return _list(_not_sent_lines(expectation, happened))


def _check_messages(expectation: Expectation, happened: Happened) -> str | None:
    until_ms = None if expectation.after_ms is None else happened.start_ms + expectation.after_ms
    messages = [a for a in _messages(expectation, happened) if until_ms is None or a.created_at_ms <= until_ms]
    if len(messages) == expectation.value:
        return None
    return f"{len(messages)}: {_list(_message(action, happened) for action in messages)}"


def _instances(expectation: Expectation, happened: Happened) -> list[Instance]:
    state = happened.states[expectation.after_ms or 0]
    key = expectation.more.get("key")
    return [
        i
        for i in state.instances
        if i.journey == expectation.journey and i.state in {ACTIVE, PAUSED} and key in {None, i.key}
    ]


def _check_in_step(expectation: Expectation, happened: Happened) -> str | None:
    steps = [instance.step for instance in _instances(expectation, happened)]
    if expectation.value in steps:
        return None
    if steps:
        return f"in {', '.join(steps)}"
    return _list(_exits(expectation, happened)) if _exits(expectation, happened) else "never inside"


def _check_inside(expectation: Expectation, happened: Happened) -> str | None:
    steps = [instance.step for instance in _instances(expectation, happened)]
    if bool(steps) == expectation.value:
        return None
    return f"in {', '.join(steps)}" if steps else _list(_exits(expectation, happened))


def _check_kind(kind: str) -> Callable[[Expectation, Happened], str | None]:
    def check(expectation: Expectation, happened: Happened) -> str | None:
        found = [t for t in _transitions(expectation, happened, kind) if _is_then(expectation, happened, t.at_ms)]
        if bool(found) == expectation.value:
            return None
        others = _transitions(expectation, happened, "entered", "held_out", "not_entered")
        return _list(_transition(t, happened) for t in others)

    return check


def _check_exited(expectation: Expectation, happened: Happened) -> str | None:
    for transition in _transitions(expectation, happened, "exited"):
        if transition.reason == expectation.value and _is_then(expectation, happened, transition.at_ms):
            return None
    return _list(_exits(expectation, happened))


def _check_goal(expectation: Expectation, happened: Happened) -> str | None:
    goals = [t for t in _transitions(expectation, happened, "goal") if _is_then(expectation, happened, t.at_ms)]
    if expectation.value == "missed":
        return _list(_transition(t, happened) for t in goals) if goals else None
    if any(expectation.value == "reached" or _is_same_amount(expectation.value, t.value) for t in goals):
        return None
    return _list(_transition(t, happened) for t in _transitions(expectation, happened, "goal"))


def _equals(found: Any, expected: Any) -> bool:
    """Whether what is kept, in stored form, is what is expected: 10 is 10.00 where that is an amount."""
    match expected:
        case Decimal():
            return isinstance(found, str) and _is_same_amount(str(expected), found)
        case list():
            return isinstance(found, list) and len(found) == len(expected) and all(map(_equals, found, expected))
        case dict():
            is_like = isinstance(found, dict) and found.keys() == expected.keys()
            return is_like and all(_equals(found[key], value) for key, value in expected.items())
        case _:
            return bool(found == expected)


def _is_same_amount(expected: str, found: str | None) -> bool:
    try:
        return found is not None and Decimal(expected) == Decimal(found)
    except InvalidOperation:
        return expected == found


def _check_transition(expectation: Expectation, happened: Happened) -> str | None:
    found = _transitions(expectation, happened, expectation.value)
    more = expectation.more
    for t in found:
        if (
            _is_then(expectation, happened, t.at_ms)
            and more.get("step") in {None, t.step}
            and more.get("to") in {None, t.to}
            and more.get("because") in {None, t.reason}
        ):
            return None
    return _list(_transition(t, happened) for t in found)


def _check_values(name: str) -> Callable[[Expectation, Happened], str | None]:
    def check(expectation: Expectation, happened: Happened) -> str | None:
        state = happened.states[expectation.after_ms or 0]
        found = state.profile if name == "profile" else state.consent
        wrong = [key for key, value in expectation.value.items() if not _equals(found.get(key), value)]
        return ", ".join(f"{key}: {_plain(found.get(key, 'nothing'))}" for key in wrong) if wrong else None

    return check


def _check_reachable(expectation: Expectation, happened: Happened) -> str | None:
    customer = happened.states[expectation.after_ms or 0]
    found = {}
    for name in expectation.value:
        channel = happened.channels[name]
        address = customer.profile.get(channel.address)
        found[name] = bool(address) and not is_cut_off(customer, channel, str(address))
    wrong = [name for name, is_reachable in expectation.value.items() if found[name] is not is_reachable]
    return ", ".join(f"{name}: {_plain(found[name])}" for name in wrong) if wrong else None


def _check_segment(expectation: Expectation, happened: Happened) -> str | None:
    inside = happened.states[expectation.after_ms or 0].segments
    wrong = [name for name, is_in in expectation.value.items() if (name in inside) is not is_in]
    return ", ".join(f"{name}: {_plain(name in inside)}" for name in wrong) if wrong else None


def _check_audience(expectation: Expectation, happened: Happened) -> str | None:
    inside = happened.states[expectation.after_ms or 0].audiences
    wrong = [name for name, is_in in expectation.value.items() if (name in inside) is not is_in]
    return ", ".join(f"{name}: {_plain(name in inside)}" for name in wrong) if wrong else None


def _message(action: ActionCommand, happened: Happened) -> str:
    return f"{action.channel} {action.template} at {offset(action.created_at_ms - happened.start_ms)}"


def _not_sent_lines(expectation: Expectation, happened: Happened) -> list[str]:
    reasons = {"capped", "no_consent", "unreachable", "template_failed", "shadow"}
    return [
        f"{t.step} sent nothing at {offset(t.at_ms - happened.start_ms)}: {t.reason}"
        for t in _transitions(expectation, happened, "step")
        if t.reason in reasons
    ]


def _transition(transition: Transition, happened: Happened) -> str:
    parts = (
        transition.kind,
        transition.step,
        transition.to and f"-> {transition.to}",
        transition.reason,
        transition.value,
    )
    return f"{' '.join(part for part in parts if part)} at {offset(transition.at_ms - happened.start_ms)}"


def _exits(expectation: Expectation, happened: Happened) -> list[str]:
    return [_transition(t, happened) for t in _transitions(expectation, happened, "exited")]


def _list(lines: Iterable[str]) -> str:
    return "; ".join(lines) or NOTHING


_CHECKS: dict[str, Callable[[Expectation, Happened], str | None]] = {
    "sent": _check_sent,
    "not_sent": _check_not_sent,
    "messages": _check_messages,
    "in_step": _check_in_step,
    "inside": _check_inside,
    "entered": _check_kind("entered"),
    "held_out": _check_kind("held_out"),
    "exited": _check_exited,
    "goal": _check_goal,
    "transition": _check_transition,
    "profile": _check_values("profile"),
    "consent": _check_values("consent"),
    "reachable": _check_reachable,
    "audience": _check_audience,
    "segment": _check_segment,
    "command": _check_command,
    "emitted": _check_emitted,
}
