"""Template files -> parts with their variables, and the function that renders a message.

`templates/<name>/<channel>.liquid` is the default language, `<channel>.<language>.liquid` another one. Front matter
gives parts such as `subject`; the rest of the file is the part `body`. Sandbox: decision 0002.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from liquid import BoundTemplate
from liquid.exceptions import LiquidError

from orchestrator.authoring.liquid_sandbox import (
    ESCAPING,
    FORBIDDEN_FILTERS,
    FORBIDDEN_TAGS,
    PLAIN,
)
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.template_filters import filter_calls, what_it_takes
from orchestrator.authoring.yaml_source import (
    Document,
    Scalar,
    parse_yaml,
    problem_in,
    problem_inside,
)
from orchestrator.model.problems import Problem

TEMPLATES_FOLDER = "templates"
BODY = "body"
HTML_CHANNELS = frozenset({"email"})
"""Channels whose body is HTML, so that variables in it are escaped."""

_FRONT_LINE = re.compile(r"([a-z][a-z0-9_]*):[ \t]+(\S.*)", re.ASCII)
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\"""")
_FILE_NAME = re.compile(r"([a-z][a-z0-9_]*)(?:\.([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*))?\.liquid", re.ASCII)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that a part reads: its dotted path and where it stands in the part's text."""

    path: tuple[str, ...]
    index: int


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a template: `subject`, `body`, …. `node` is the front matter's value, None for the body, which
    starts at `offset` of the file.
    """

    name: str
    template: BoundTemplate
    variables: tuple[Variable, ...]
    document: Document
    node: Scalar | None
    offset: int

    def problem(self, index: int, length: int, code: str, message: str, *, hint: str = "") -> Problem:
        """A problem at a place in the part's text."""
        if self.node is not None:
            return problem_inside(self.node, index, index + length, code, message, hint=hint)
        start = self.offset + index
        return problem_in(self.document, start, start + length, code, message, hint=hint)


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """One file: the message of one template on one channel in one language ("" is the default)."""

    path: str
    name: str
    channel: str
    language: str
    text: str
    parts: tuple[Part, ...]
    is_whole: bool


def is_template_path(path: str) -> bool:
    """Whether the file lies where templates lie."""
    return path.split("/", 1)[0] == TEMPLATES_FOLDER


def read_template(path: str, text: str, problems: Problems) -> TemplateFile | None:
    """The template of this file, or None if its place or name says nothing; appends what is wrong."""
    folders = PurePosixPath(path).parts
    match = _FILE_NAME.fullmatch(folders[-1])
    if len(folders) != 3 or folders[0] != TEMPLATES_FOLDER or match is None:
        problems.append(
            Problem(
                path,
                1,
                1,
                "J607",
                "a template must be templates/<name>/<channel>.liquid or <channel>.<language>.liquid",
                hint="for example templates/cart_reminder/email.de.liquid",
            )
        )
        return None
    channel, language = match[1], (match[2] or "").lower()
    document = Document(path, text)
    before = len(problems)
    scalars, offset = _front_matter(document, problems)
    parts = [_part(name, scalar.value, document, scalar, 0, channel, problems) for name, scalar in scalars]
    body = text[offset:]
    stripped = body.strip()
    if not stripped:
        problems.append(
            problem_in(document, offset, offset + 1, "J608", "the message has no body", hint="write its text")
        )
    offset += len(body) - len(body.lstrip())
    parts.append(_part(BODY, stripped, document, None, offset, channel, problems))
    kept = tuple(part for part in parts if part is not None)
    return TemplateFile(path, folders[1], channel, language, text, kept, is_whole=len(problems) == before)


def _front_matter(document: Document, problems: Problems) -> tuple[list[tuple[str, Scalar]], int]:
    """The parts of the front matter, and where the body starts.

    A line is `name: text`. It is read by itself and not as YAML, in which `{{ name | default: "you" }}` would need
    quotes around it.
    """
    text = document.text
    opening = re.match(r"---[ \t]*\r?\n", text)
    if opening is None:
        return [], 0
    closing = re.compile(r"^---[ \t]*(?:\r?\n|\Z)", re.MULTILINE).search(text, opening.end())
    if closing is None:
        hint = "end it with a line of three dashes"
        problems.append(problem_in(document, 0, 3, "J605", "the front matter has no end", hint=hint))
        return [], len(text)
    parts: dict[str, Scalar] = {}
    start = opening.end()
    for line in text[start : closing.start()].splitlines(keepends=True):
        content = line.strip()
        if content and not content.startswith("#"):
            _front_line(document, start, line, parts, problems)
        start += len(line)
    return list(parts.items()), closing.end()


def _front_line(document: Document, start: int, line: str, parts: dict[str, Scalar], problems: Problems) -> None:
    match = _FRONT_LINE.fullmatch(line.rstrip())
    if match is None or match[1] == BODY:
        hint = "one line for each part: subject: Your cart is waiting"
        problems.append(problem_in(document, start, start + len(line), "J605", "not a part of the message", hint=hint))
        return
    if match[1] in parts:
        message = f'"{match[1]}" is given twice'
        problems.append(problem_in(document, start, start + len(match[1]), "J106", message, hint="keep one of the two"))
        return
    written = match[2]
    value, style = written, ""
    if _QUOTED.fullmatch(written) is not None:
        node = parse_yaml(document.path, written, [])
        if isinstance(node, Scalar):
            value, style = node.value, node.style
    parts[match[1]] = Scalar(document, start + match.start(2), start + match.end(2), value, style)


def _part(
    name: str,
    text: str,
    document: Document,
    node: Scalar | None,
    offset: int,
    channel: str,
    problems: Problems,
) -> Part | None:
    sandbox = ESCAPING if name == BODY and channel in HTML_CHANNELS else PLAIN
    empty = Part(name, BoundTemplate(sandbox, []), (), document, node, offset)
    try:
        template = sandbox.from_string(text)
        analysis = template.analyze(include_partials=False)
    except LiquidError as error:
        index = max(0, error.token.start_index) if error.token is not None else 0
        length = len(error.token.value) if error.token is not None and error.token.start_index >= 0 else len(text)
        problems.append(_syntax_problem(empty, error, index, length))
        return None
    except RecursionError:
        problems.append(empty.problem(0, 1, "J601", "the template is nested too deeply", hint="split it up"))
        return None
    for filter_name, spans in analysis.filters.items():
        if filter_name not in sandbox.filters:
            for span in spans:
                problems.append(_unknown_filter(empty, filter_name, span.index))
    for call in filter_calls(template):
        takes = what_it_takes(call, sandbox.filters) if call.name in sandbox.filters else None
        if takes is not None:
            message = f'not Liquid: the filter "{call.name}" takes {takes} after it'
            hint = "write the values behind a colon: date: '%d.%m.%Y'"
            problems.append(empty.problem(call.index, len(call.name), "J601", message, hint=hint))
    variables = tuple(
        Variable(tuple(str(segment) for segment in variable.segments), variable.span.index)
        for found in analysis.globals.values()
        for variable in found
    )
    return Part(name, template, variables, document, node, offset)


def _syntax_problem(part: Part, error: LiquidError, index: int, length: int) -> Problem:
    said = str(error.message).splitlines()[0] if error.message else "not understood"
    for tag in FORBIDDEN_TAGS:
        if said == f"unexpected tag '{tag}'":
            return part.problem(
                index, length, "J604", f'the tag "{tag}" cannot be used', hint="write the text into this template"
            )
    return part.problem(index, length, "J601", f"not Liquid: {said}", hint="see docs/language.md, Templates")


def _unknown_filter(part: Part, name: str, index: int) -> Problem:
    if name in FORBIDDEN_FILTERS:
        hint = "leave it out: what customers wrote stays escaped"
        return part.problem(index, len(name), "J604", f'the filter "{name}" cannot be used', hint=hint)
    hint = did_you_mean(name, PLAIN.filters, otherwise="see docs/language.md, Templates")
    return part.problem(index, len(name), "J603", f'there is no filter "{name}"', hint=hint)
