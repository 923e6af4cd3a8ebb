"""Templates against the steps that send them and the channels that they are for: every variable and every part exists,
every template is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.authoring.channel_contents import ChannelContent
from orchestrator.authoring.drafts import BrokenDraft, JourneyDraft, SendDraft, TaskDraft
from orchestrator.authoring.expression_names import ROOTS
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.templates import Part, TemplateFile, Variable
from orchestrator.authoring.world import World
from orchestrator.authoring.yaml_source import problem_at, problem_in
from orchestrator.engine.actions import CONTEXT
from orchestrator.model.action_steps import HUMAN
from orchestrator.model.problems import Problem


def check_templates(journeys: Iterable[JourneyDraft], world: World, problems: Problems, *, is_complete: bool) -> None:
    """Appends what is wrong between templates and the steps that send them.

    `is_complete` is whether every journey could be read, so that a template can be called unused.
    """
    used: set[str] = set()
    for draft in journeys:
        for step in draft.steps:
            if isinstance(step, SendDraft | TaskDraft):
                used.add(step.template.name)
                is_complete = is_complete and step.template.name in world.templates
                _check_step(step, draft, world, problems)
            is_complete = is_complete and not isinstance(step, BrokenDraft)
    for name, files in sorted(world.templates.items()):
        _check_files(files, world, problems)
        if is_complete and name not in used:
            problems.append(
                Problem(
                    files[0].path,
                    1,
                    1,
                    "J217",
                    f'no journey uses template "{name}"',
                    hint="use it or delete it",
                    severity="warning",
                )
            )


def check_parts(
    templates: Mapping[str, tuple[TemplateFile, ...]], contents: Mapping[str, ChannelContent], problems: Problems
) -> None:
    """Appends which parts a channel does not know, and which a template lacks."""
    for file in (file for files in templates.values() for file in files):
        content = contents.get(file.channel)
        if content is None:
            continue
        for part in file.parts:
            if part.name not in content.parts:
                message = f'a message on channel "{file.channel}" has no part "{part.name}"'
                hint = did_you_mean(part.name, content.parts - {CONTEXT})
                problems.append(_at_name(file, part, "J610", message, hint))
        if file.is_whole:
            for name in sorted(content.required - {part.name for part in file.parts}):
                message = f'the message has no "{name}", which channel "{file.channel}" needs'
                hint = f"add it between lines of three dashes at the top: {name}: ..."
                problems.append(Problem(file.path, 1, 1, "J611", message, hint=hint))


def _at_name(file: TemplateFile, part: Part, code: str, message: str, hint: str) -> Problem:
    if part.node is None:
        return Problem(file.path, 1, 1, code, message, hint=hint)
    start = part.document.text.rindex(part.name, 0, part.node.start)
    return problem_in(part.document, start, start + len(part.name), code, message, hint=hint)


def _check_files(files: tuple[TemplateFile, ...], world: World, problems: Problems) -> None:
    defaults = {file.channel for file in files if not file.language}
    for file in files:
        if file.channel not in world.channels and file.channel != HUMAN:
            hint = did_you_mean(file.channel, world.channels)
            problems.append(Problem(file.path, 1, 1, "J205", f'there is no channel "{file.channel}"', hint=hint))
        elif file.channel not in defaults:
            defaults.add(file.channel)
            problems.append(
                Problem(
                    file.path,
                    1,
                    1,
                    "J606",
                    f'template "{file.name}" has no default language for channel "{file.channel}"',
                    hint=f"add templates/{file.name}/{file.channel}.liquid for customers of other languages",
                )
            )
        for part in file.parts:
            for variable in part.variables:
                _check_attribute(part, variable, world, problems)


def _check_attribute(part: Part, variable: Variable, world: World, problems: Problems) -> None:
    if variable.path[0] != "profile":
        return
    if len(variable.path) < 2:
        hint = "name an attribute: profile.first_name"
        problems.append(part.problem(variable.index, len("profile"), "J602", '"profile" alone has no text', hint=hint))
    elif variable.path[1] not in world.attributes:
        length = len("profile.") + len(variable.path[1])
        message = f'the profile has no attribute "{variable.path[1]}"'
        hint = did_you_mean(variable.path[1], world.attributes)
        problems.append(part.problem(variable.index, length, "J207", message, hint=hint))


def _check_step(step: SendDraft | TaskDraft, draft: JourneyDraft, world: World, problems: Problems) -> None:
    given = {variable.name for variable, _ in step.variables}
    read: set[str] = set()
    channels = {channel.name for channel in step.channels} if isinstance(step, SendDraft) else {HUMAN}
    files = [file for file in world.templates.get(step.template.name, ()) if file.channel in channels]
    for file in files:
        for part in file.parts:
            for variable in part.variables:
                root = variable.path[0]
                read.add(root)
                if root not in given and root != "profile":
                    problems.append(_unknown(part, variable, step, draft, given))
    # A person is told the variables of a task whether or not the text uses them.
    if isinstance(step, TaskDraft) or not files or not all(file.is_whole for file in files):
        return
    for variable_ref, _ in step.variables:
        if variable_ref.name not in read:
            message = f'template "{step.template.name}" does not use "{variable_ref.name}"'
            problems.append(
                problem_at(variable_ref.node, "J609", message, hint="use it or leave it out", severity="warning")
            )


def _unknown(
    part: Part, variable: Variable, step: SendDraft | TaskDraft, draft: JourneyDraft, given: set[str]
) -> Problem:
    root = variable.path[0]
    message = f'step "{step.name.name}" of journey "{draft.name.name}" gives no variable "{root}"'
    known: Mapping[str, str] = {name: name for name in [*given, "profile"]}
    if root in ROOTS and len(variable.path) > 1:
        name = str(variable.path[-1])
        hint = f"give it to the template by the step, with: {{{name}: {root}.{name}}}, and write {{{{ {name} }}}}"
    else:
        hint = did_you_mean(root, known, otherwise=f"add with: {{{root}: ...}} to the step")
    return part.problem(variable.index, len(root), "J602", message, hint=hint)
