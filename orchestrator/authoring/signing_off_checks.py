"""Links to sign off with: promotional messages have one, and it takes a consent back that somebody asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from orchestrator.authoring.drafts import JourneyDraft, SendDraft
from orchestrator.authoring.governance import UNFINISHED
from orchestrator.authoring.governance_source import GovernanceDraft
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.templates import BODY, HTML_CHANNELS, Part, TemplateFile
from orchestrator.authoring.world import World
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.engine.limits import PROMOTIONAL
from orchestrator.model.problems import Problem

UNSUBSCRIBED = "unsubscribed"
"""The event that the endpoint makes of such a link."""

# As the sinks read them: `Links.java`.
_IN_HTML = re.compile(r"""href\s*=\s*["']\s*unsubscribe:([a-z][a-z0-9_]*)?\s*["']""", re.IGNORECASE | re.ASCII)
_IN_TEXT = re.compile(r"<unsubscribe:([a-z][a-z0-9_]*)?>|\A\s*unsubscribe:([a-z][a-z0-9_]*)?\s*\Z", re.ASCII)


def check_signing_off(
    journeys: Iterable[JourneyDraft], world: World, governance: GovernanceDraft | None, problems: Problems
) -> None:
    """Appends which promotional messages nobody can sign off from, and which links to sign off with do nothing."""
    said = None if governance is None else governance.signing_off
    for ref in said or ():
        if ref.name not in world.channels:
            hint = did_you_mean(ref.name, world.channels)
            problems.append(problem_at(ref.node, "J205", f'there is no channel "{ref.name}"', hint=hint))
    # Without the event nobody can be offered such a link, so its absence is no surprise.
    expected = HTML_CHANNELS if UNSUBSCRIBED in world.event_types else frozenset()
    required = expected if said is None else {ref.name for ref in said}
    for file, is_for_somebody in _promotional(journeys, world):
        if file.channel in required and file.is_whole and not any(_links(file, part) for part in file.parts):
            problems.append(_missing(file, is_required=said is not None and is_for_somebody))
    files = [file for files in world.templates.values() for file in files]
    is_heard = any(rule.on.name == UNSUBSCRIBED and rule.consents for rule in world.rules)
    for file in files:
        for part in file.parts:
            for match in _links(file, part):
                _check_link(part, match, world, problems, is_heard=is_heard)


def _promotional(journeys: Iterable[JourneyDraft], world: World) -> Iterator[tuple[TemplateFile, bool]]:
    """The templates that a promotional message is made of, each once, in the order of their names; and whether anybody
    is let into a journey that sends it.
    """
    sent: dict[tuple[str, str], bool] = {}
    for draft in journeys:
        for step in draft.steps:
            if isinstance(step, SendDraft) and step.message_class == PROMOTIONAL:
                for channel in step.channels:
                    key = (step.template.name, channel.name)
                    sent[key] = sent.get(key, False) or draft.status not in UNFINISHED
    for name, files in sorted(world.templates.items()):
        for file in files:
            if (name, file.channel) in sent:
                yield file, sent[name, file.channel]


def _missing(file: TemplateFile, *, is_required: bool) -> Problem:
    how = '<a href="unsubscribe:">Unsubscribe</a>' if file.channel in HTML_CHANNELS else "<unsubscribe:>"
    return Problem(
        file.path,
        1,
        1,
        "J612",
        f'promotional messages on channel "{file.channel}" need a link to sign off with',
        hint=f"add {how} to the body; or send it with class: transactional if it has to come",
        severity="error" if is_required else "warning",
    )


def _links(file: TemplateFile, part: Part) -> list[re.Match[str]]:
    is_html = part.name == BODY and file.channel in HTML_CHANNELS
    return list((_IN_HTML if is_html else _IN_TEXT).finditer(_text(file, part)))


def _text(file: TemplateFile, part: Part) -> str:
    return file.text[part.offset :].rstrip() if part.node is None else part.node.value


def _check_link(part: Part, match: re.Match[str], world: World, problems: Problems, *, is_heard: bool) -> None:
    length = match.end() - match.start()
    if not is_heard:
        message = "whoever follows this link goes on getting messages: no rule takes a consent back"
        hint = (
            'add to profile.yaml: {on: unsubscribed, consent: {key: event.consent ?? event.channel, granted: "false"}}'
        )
        problems.append(part.problem(match.start(), length, "J614", message, hint=hint))
    name = next((group for group in match.groups() if group), "")
    if name and name not in world.consents:
        index = match.start() + match[0].index(name)
        hint = did_you_mean(name, world.consents)
        problems.append(part.problem(index, len(name), "J613", f'nothing needs the consent "{name}"', hint=hint))
