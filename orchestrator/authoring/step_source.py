"""One step of a journey file -> its draft."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from orchestrator.authoring.action_source import (
    EXPIRES_MS_DEFAULT,
    MESSAGE_CLASSES,
    PRIORITY_DEFAULT,
    read_audience_step,
    read_emit,
    read_increment,
    read_start,
    read_stop,
    read_task,
    read_variables,
    read_webhook,
)
from orchestrator.authoring.drafts import (
    AwaitedDraft,
    BranchDraft,
    CaseDraft,
    ExitDraft,
    Ref,
    SendDraft,
    SetDraft,
    SplitDraft,
    StepDraft,
    WaitForDraft,
)
from orchestrator.authoring.experiments import read_meeting
from orchestrator.authoring.reading import (
    Problems,
    fields,
    given_or_meant,
    one_or_many,
    read_assignments,
    read_duration,
    read_formula,
    read_items,
    read_name,
    read_number,
    read_pairs,
    read_percent,
    read_ref,
    read_span,
    read_text,
    read_word,
    wrong_kind,
)
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.wait_source import read_wait, read_wait_while
from orchestrator.authoring.yaml_source import MappingNode, Node, problem_at
from orchestrator.model.problems import Problem

KEYS: dict[str, tuple[str, ...]] = {
    "wait": ("wait", "next"),
    "wait_for": ("wait_for", "timeout", "on_timeout"),
    "wait_while": ("wait_while", "timeout", "on_timeout", "next"),
    "branch": ("branch",),
    "split": ("split", "salt"),
    "experiment": ("experiment", "arms"),
    "send": ("send", "template", "with", "class", "purpose", "priority", "expires", "next"),
    "set": ("set", "next"),
    "increment": ("increment", "next"),
    "audience": ("audience", "priority", "expires", "next"),
    "task": ("task", "template", "with", "due", "class", "priority", "expires", "next"),
    "webhook": ("webhook", "with", "priority", "next"),
    "emit": ("emit", "with", "next"),
    "start": ("start", "next"),
    "stop": ("stop", "next"),
    "exit": ("exit",),
}
"""Step kind → the keys that it may have. The kind is the key that no other kind has."""

CASE_KEYS = ("when", "go", "otherwise")

Values = Mapping[str, Node]


def read_step(name: Ref, node: Node, problems: Problems) -> StepDraft | None:
    """The step, or None after reporting what is wrong with it."""
    what = f'step "{name.name}"'
    if not isinstance(node, MappingNode):
        problems.append(
            wrong_kind(node, f"{what} must say what it does", hint=f"for example {name.name}: {{wait: 1 hour}}")
        )
        return None
    kinds = [key.value for key, _ in node.entries if key.value in KEYS]
    if len(kinds) != 1:
        problems.append(_not_one_kind(name, node, kinds))
        return None
    kind = kinds[0]
    found = fields(node, KEYS[kind], problems, what=f"a {kind} step")
    if found is None or kind not in found:
        return None
    return _READERS[kind](name, found, problems)


def _not_one_kind(name: Ref, node: MappingNode, kinds: list[str]) -> Problem:
    if kinds:
        message = f'step "{name.name}" does several things: {", ".join(kinds)}'
        return problem_at(name.node, "J116", message, hint="make a step of its own for each")
    given = [key.value for key, _ in node.entries]
    hint = did_you_mean(given[0], KEYS) if given else f"a step is one of: {', '.join(KEYS)}"
    return problem_at(name.node, "J116", f'step "{name.name}" does nothing that is known', hint=hint)


def _wait_for(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    nodes = one_or_many(found["wait_for"], problems, what="wait_for")
    awaited = [_awaited(node, problems) for node in nodes]
    timeout = read_span(found.get("timeout"), problems, what="timeout")
    on_timeout = read_ref(found.get("on_timeout"), problems, what="on_timeout")
    if on_timeout is not None and "timeout" not in found:
        message = "on_timeout without a timeout never happens"
        problems.append(problem_at(on_timeout.node, "J506", message, hint="add timeout: 1 day"))
        return None
    kept = tuple(item for item in awaited if item is not None)
    if not kept or len(kept) != len(nodes) or (timeout is None and "timeout" in found):
        return None
    return WaitForDraft(name, kept, timeout, on_timeout)


def _awaited(node: Node, problems: Problems) -> AwaitedDraft | None:
    found = fields(node, ("on", "where", "go"), problems, what="an awaited event", required=("on",))
    if found is None:
        return None
    on = read_ref(found.get("on"), problems, what="on")
    where = read_formula(found.get("where"), problems, what="where")
    go = read_ref(found.get("go"), problems, what="go")
    return None if on is None else AwaitedDraft(on, where, go)


def _branch(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    cases: list[CaseDraft] = []
    otherwise: Ref | None = None
    nodes = read_items(found["branch"], problems, what="branch")
    is_whole = bool(nodes)
    for index, node in enumerate(nodes):
        values = fields(node, CASE_KEYS, problems, what="a case")
        if values is None:
            is_whole = False
        elif "otherwise" in values:
            otherwise = read_ref(values["otherwise"], problems, what="otherwise")
            if len(values) > 1 or index != len(nodes) - 1:
                problems.append(
                    problem_at(
                        values["otherwise"], "J305", '"otherwise" must stand alone and last', hint="move it to the end"
                    )
                )
        else:
            case = _case(node, values, problems)
            is_whole = is_whole and case is not None
            cases.extend([] if case is None else [case])
    if is_whole and not cases:
        problems.append(
            problem_at(name.node, "J306", f'branch "{name.name}" has no case', hint="add {when: ..., go: ...}")
        )
        return None
    return BranchDraft(name, tuple(cases), otherwise) if is_whole else None


def _case(node: Node, values: Values, problems: Problems) -> CaseDraft | None:
    given = given_or_meant(node, CASE_KEYS) if isinstance(node, MappingNode) else set()
    for key in ("when", "go") if "otherwise" not in given else ():
        if key not in given:
            problems.append(problem_at(node, "J109", f'a case needs "{key}"', hint=f"add {key}: ..."))
    when = read_formula(values.get("when"), problems, what="when")
    go = read_ref(values.get("go"), problems, what="go")
    return None if when is None or go is None else CaseDraft(when, go)


def _split(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    salt = read_text(found.get("salt"), problems, what="salt")
    pairs = read_pairs(found["split"], problems, what="split")
    arms: list[tuple[Ref, Fraction]] = []
    for arm, node in pairs:
        share = read_percent(node, problems, what=f'the share of "{arm.name}"')
        if share is not None:
            arms.append((arm, share))
    if not arms or len(arms) != len(pairs):
        return None
    total = sum((share for _, share in arms), Fraction(0))
    if total != 1:
        percent = f"{float(total * 100):g}%"
        problems.append(
            problem_at(
                name.node,
                "J703",
                f'the shares of split "{name.name}" add up to {percent}',
                hint="they must add up to 100%",
            )
        )
        return None
    for arm, share in arms:
        if share == 0:
            problems.append(
                problem_at(arm.node, "J704", f'nobody goes to "{arm.name}"', hint="give it a share, or leave it out")
            )
    return SplitDraft(name, tuple(arms), salt)


def _send(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    channels = [
        read_ref(node, problems, what="a channel") for node in one_or_many(found["send"], problems, what="send")
    ]
    template = read_ref(found.get("template"), problems, what="template")
    if "template" not in found:
        problems.append(
            problem_at(name.node, "J109", f'send step "{name.name}" needs "template"', hint="add template: ...")
        )
    variables = read_variables(found, problems)
    message_class = read_word(found.get("class"), MESSAGE_CLASSES, problems, what="the class")
    priority = read_number(found.get("priority"), problems, what="the priority", least=0, most=9)
    expires_ms = read_duration(found.get("expires"), problems, what="expires")
    follows = read_ref(found.get("next"), problems, what="next")
    kept = tuple(channel for channel in channels if channel is not None)
    for index, channel in enumerate(kept):
        if channel.name in {earlier.name for earlier in kept[:index]}:
            problems.append(
                problem_at(channel.node, "J705", f'channel "{channel.name}" is named twice', hint="name it once")
            )
    if template is None or not kept:
        return None
    return SendDraft(
        name=name,
        channels=kept,
        template=template,
        variables=variables,
        message_class=message_class or MESSAGE_CLASSES[0],
        priority=PRIORITY_DEFAULT if priority is None else priority,
        expires_ms=expires_ms or EXPIRES_MS_DEFAULT,
        next=follows,
        purpose=read_ref(found.get("purpose"), problems, what="the purpose"),
    )


def _set(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    assignments = read_assignments(found["set"], problems, what="set")
    follows = read_ref(found.get("next"), problems, what="next")
    return SetDraft(name, assignments, follows) if assignments else None


def _exit(name: Ref, found: Values, problems: Problems) -> StepDraft | None:
    reason = read_name(found["exit"], problems, what="an exit's reason")
    return None if reason is None else ExitDraft(name, reason.name)


_READERS: dict[str, Callable[[Ref, Values, Problems], StepDraft | None]] = {
    "wait": read_wait,
    "wait_for": _wait_for,
    "wait_while": read_wait_while,
    "branch": _branch,
    "split": _split,
    "experiment": read_meeting,
    "send": _send,
    "set": _set,
    "increment": read_increment,
    "audience": read_audience_step,
    "task": read_task,
    "webhook": read_webhook,
    "emit": read_emit,
    "start": read_start,
    "stop": read_stop,
    "exit": _exit,
}
