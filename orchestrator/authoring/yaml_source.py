"""YAML as nodes with positions. First stage of the journey compiler: text -> nodes -> drafts -> journeys.

Built on the parser's events, so that no value is guessed: `on:` stays a word, `1:30` stays `1:30`, a repeated key
is a problem, and anchors cannot multiply a document. Nodes are `msgspec` structures, which hold no cycles and are not
tracked by the garbage collector: a thousand journeys are 200,000 nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from orchestrator.authoring.yaml_slips import explained
from orchestrator.model.problems import Problem

DEPTH_MAX = 24
NODES_MAX = 50_000

CUT_OFF = "J197"
"""The code of what a comma within braces cuts off a value."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Document(msgspec.Struct, frozen=True, gc=False):
    """A source text and the path that problems name."""

    path: str
    text: str


class Scalar(msgspec.Struct, frozen=True, gc=False):
    """One written value: its text, unescaped and unfolded. `style` is the quote, `|`, `>`, or "" if plain."""

    document: Document
    start: int
    end: int
    value: str
    style: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written: an empty place, `~` or `null`."""
        return not self.style and self.value in {"", "~", "null", "Null", "NULL"}


class ListNode(msgspec.Struct, frozen=True, gc=False):
    """A sequence of nodes."""

    document: Document
    start: int
    end: int
    items: tuple[Node, ...]


class MappingNode(msgspec.Struct, frozen=True, gc=False):
    """Key and value pairs in written order; a repeated key keeps its first value and is reported."""

    document: Document
    start: int
    end: int
    entries: tuple[tuple[Scalar, Node], ...]


Node = Scalar | ListNode | MappingNode


class _Refused(Exception):
    """The document cannot be read any further."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def parse_yaml(path: str, text: str, problems: list[Problem]) -> Node | None:
    """The document's root node, or None if it has none; appends what is wrong."""
    document = Document(path, text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problems.append(problem_in(document, error.start, error.end, "J101", "the file is not UTF-8 text"))
        return None
    try:
        return _Composer(document, _events(document), problems).document_node()
    except _Refused as refused:
        problems.append(refused.problem)
        return None


def _events(document: Document) -> Iterator[Any]:
    try:
        yield from yaml.parse(document.text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _Refused(_syntax_problem(document, error)) from None
    except yaml.reader.ReaderError as error:
        index = min(error.position, len(document.text))
        message = "a character that YAML does not allow"
        raise _Refused(
            problem_in(document, index, index + 1, "J103", message, hint="delete the control character")
        ) from None


def _syntax_problem(document: Document, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    index = min(mark.index if mark is not None else 0, len(document.text))
    if "\t" in document.text[index : index + 1] or _is_indented_by_tab(document.text, index):
        start = document.text.find("\t", document.text.rfind("\n", 0, index) + 1)
        return problem_in(
            document,
            start,
            start + 1,
            "J102",
            "a tab cannot indent YAML",
            hint="use spaces; most editors can replace tabs by spaces",
        )
    said = error.problem or error.context or "the YAML cannot be read"
    began = min(error.context_mark.index if error.context_mark is not None else index, len(document.text))
    index, hint = explained(document.text, said, error.context or "", index, began)
    return problem_in(document, index, index + 1, "J103", f"not YAML: {said}", hint=hint)


def _is_indented_by_tab(text: str, index: int) -> bool:
    line_start = text.rfind("\n", 0, index) + 1
    line = text[line_start:].split("\n", 1)[0]
    return "\t" in line[: len(line) - len(line.lstrip())]


class _Composer:
    """Nodes from parser events; a class because the event stream is consumed across mutually recursive functions."""

    def __init__(self, document: Document, events: Iterator[Any], problems: list[Problem]) -> None:
        self._document = document
        self._events = events
        self._problems = problems
        self._nodes = 0

    def document_node(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._refuse(event, "J111", "a second document in one file", "write it into a file of its own")
                root = self._node(next(self._events), 0)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        self._nodes += 1
        if depth > DEPTH_MAX or self._nodes > NODES_MAX:
            self._refuse(event, "J112", "the document is nested too deeply or too large", "split it up")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse(
                event, "J104", "anchors (&) and aliases (*) are not part of the language", "write the value out"
            )
        if getattr(event, "tag", None) is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            hint = "leave the tag out"
            if tag[:1] == "!" and tag[1:2].isalpha():
                hint += f'; in a condition "not" is a word: not {tag[1:]}'
            self._refuse(event, "J105", f"tags such as {tag} are not part of the language", hint)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            inner: Any = next(self._events)
            while not isinstance(inner, yaml.SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
                inner = next(self._events)
            return ListNode(self._document, _start(event), _end(inner), tuple(items))
        return self._mapping(event, depth)

    def _scalar(self, event: Any) -> Scalar:
        style = event.style if event.style in {"'", '"', "|", ">"} else ""
        return Scalar(self._document, _start(event), _end(event), event.value, style)

    def _mapping(self, event: Any, depth: int) -> MappingNode:
        entries: list[tuple[Scalar, Node]] = []
        seen: set[str] = set()
        inner: Any = next(self._events)
        while not isinstance(inner, yaml.MappingEndEvent):
            key = self._node(inner, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar):
                self._problems.append(
                    problem_at(key, "J108", "a key must be a single word", hint="quote {{ }} and [ ] in texts")
                )
            elif event.flow_style and entries and self._is_cut_off(key, value):
                self._problems.append(_cut_off(key, entries[-1][1]))
            elif key.value in seen:
                self._problems.append(
                    problem_at(key, "J106", f'"{key.value}" is given twice', hint="keep one of the two")
                )
            else:
                seen.add(key.value)
                entries.append((key, value))
            inner = next(self._events)
        return MappingNode(self._document, _start(event), _end(inner), tuple(entries))

    def _is_cut_off(self, key: Scalar, value: Node) -> bool:
        """Whether the key stands alone, without a colon: what is written after a comma in the middle of a value."""
        return (
            isinstance(value, Scalar)
            and not value.style
            and not value.value
            and ":" not in self._document.text[key.end : value.start + 1]
        )

    def _refuse(self, event: Any, code: str, message: str, hint: str) -> None:
        start = _start(event)
        end = max(start + 1, _end(event))
        raise _Refused(problem_in(self._document, start, end, code, message, hint=hint))


def _cut_off(key: Scalar, before: Node) -> Problem:
    """What to say about a piece that a comma cut off the value before it."""
    message = f'a comma ends a value within braces, and "{key.value[:60]}" stands alone'
    hint = "put quotes around the whole value"
    if isinstance(before, Scalar) and not before.style:
        whole = f"{before.value}, {key.value}"
        number = before.value.split()[-1:]
        if key.value.isdigit() and number and number[0].isdigit():
            hint = f"write a decimal number with a point: {number[0]}.{key.value}"
        elif len(whole) <= 80 and '"' not in whole:
            hint = f'put quotes around the whole value: "{whole}"'
    return problem_at(key, CUT_OFF, message, hint=hint)


def _start(event: Any) -> int:
    return int(event.start_mark.index)


def _end(event: Any) -> int:
    return int(event.end_mark.index)


def problem_in(
    document: Document, start: int, end: int, code: str, message: str, *, hint: str = "", severity: str = "error"
) -> Problem:
    """A problem that marks the characters `start` to `end` of the document, as far as they are on one line."""
    text = document.text
    start = max(0, min(start, len(text)))
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    last = min(end, line_end if line_end >= 0 else len(text))
    marked = text[start:last].rstrip()
    return Problem(
        path=document.path,
        line=text.count("\n", 0, start) + 1,
        column=start - line_start + 1,
        code=code,
        message=message,
        hint=hint,
        length=max(1, len(marked)),
        severity=severity,
    )


def problem_at(node: Node, code: str, message: str, *, hint: str = "", severity: str = "error") -> Problem:
    """A problem that marks the node."""
    return problem_in(node.document, node.start, node.end, code, message, hint=hint, severity=severity)


def problem_inside(
    scalar: Scalar, start: int, end: int, code: str, message: str, *, hint: str = "", severity: str = "error"
) -> Problem:
    """A problem that marks the characters `start` to `end` of the scalar's value where they stand in the file."""
    first = source_index(scalar, start)
    last = source_index(scalar, max(start, end - 1)) + 1
    return problem_in(scalar.document, first, last, code, message, hint=hint, severity=severity)


def source_index(scalar: Scalar, offset: int) -> int:
    """Where in the document the character `offset` of the scalar's value stands.

    Folding and quoting change blanks and escapes only, so the characters that are not blank are counted through.
    """
    places = _visible_places(scalar)
    before = sum(1 for character in scalar.value[:offset] if not character.isspace())
    is_on_visible = offset < len(scalar.value) and not scalar.value[offset].isspace()
    if is_on_visible and before < len(places):
        return places[before]
    if 0 < before <= len(places):
        return min(places[before - 1] + 1, max(scalar.end, scalar.start))
    return places[0] if places else scalar.start


def _visible_places(scalar: Scalar) -> list[int]:
    text, index, end = scalar.document.text, scalar.start, scalar.end
    if scalar.style in {"|", ">"}:
        newline = text.find("\n", index, end)
        index = newline + 1 if newline >= 0 else end
    elif scalar.style:
        index, end = index + 1, end - 1
    places: list[int] = []
    while index < end:
        width, is_visible = 1, not text[index].isspace()
        if scalar.style == "'" and text[index] == "'":
            width = 2
        elif scalar.style == '"' and text[index] == "\\":
            width, is_visible = _escape(text, index)
        if is_visible:
            places.append(index)
        index += width
    return places


def _escape(text: str, index: int) -> tuple[int, bool]:
    """(how many characters the escape takes, whether it stands for a visible character)."""
    letter = text[index + 1 : index + 2]
    digits = {"x": 2, "u": 4, "U": 8}.get(letter)
    if digits is None:
        return 2, letter not in {"n", "t", "r", " ", "\t", "\n", "v", "f", "N", "_", "L", "P", "e"}
    try:
        return 2 + digits, not chr(int(text[index + 2 : index + 2 + digits], 16)).isspace()
    except ValueError:
        return 2, True
