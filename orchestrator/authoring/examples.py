"""A new journey from an example: its file, templates and scenarios under a name of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.authoring.reading import Problems, read_name
from orchestrator.authoring.rules_source import RULE_FILES
from orchestrator.authoring.sources import is_test_file
from orchestrator.authoring.templates import is_template_path
from orchestrator.authoring.yaml_source import Document, ListNode, MappingNode, Node, Scalar, parse_yaml
from orchestrator.model.journey import Status

Replacements = dict[tuple[int, int], str]
"""(start, end) of a text -> what comes there instead."""


def example_names(files: Mapping[str, str]) -> list[str]:
    """The journeys among these files (path -> text), by name."""
    return sorted(
        path.removesuffix(".yaml")
        for path in files
        if path.endswith(".yaml") and "/" not in path and path not in RULE_FILES and not is_test_file(path)
    )


def is_journey_name(text: str) -> bool:
    """Whether a journey, and so its file, can be called this."""
    problems: Problems = []
    read_name(Scalar(Document("", text), 0, len(text), text, "'"), problems, what="a journey")
    return not problems and f"{text}.yaml" not in RULE_FILES


def copy_of(example: str, name: str, files: Mapping[str, str]) -> dict[str, str]:
    """Path -> text of the example journey under the new name: a draft with templates and scenarios of its own.

    `files` holds the example. Comments and layout stay as they are. What cannot be parsed is left out.
    """
    text = files[f"{example}.yaml"]
    root = _root(text)
    templates = {node.value: f"{name}_{node.value}" for node in _named(root, "template")}
    copied = {f"{name}.yaml": _rewritten(text, _in_journey(root, name, templates))}
    scenarios = files.get(f"{example}.scenarios.yaml")
    if scenarios is not None:
        replacements = _renamed(_named(_root(scenarios), "template"), templates)
        for key in ("journey", "pause", "resume"):
            replacements |= _renamed(_named(_root(scenarios), key), {example: name})
        copied[f"{name}.scenarios.yaml"] = _rewritten(scenarios, replacements)
    for path, content in files.items():
        folder, _, rest = path.removeprefix("templates/").partition("/")
        if is_template_path(path) and folder in templates:
            copied[f"templates/{templates[folder]}/{rest}"] = content
    return copied


def _in_journey(root: Node | None, name: str, templates: Mapping[str, str]) -> Replacements:
    replacements = _renamed(_named(root, "template"), templates)
    for key, value in root.entries if isinstance(root, MappingNode) else ():
        if isinstance(value, Scalar) and key.value in {"journey", "status"}:
            replacements[value.start, value.end] = name if key.value == "journey" else Status.DRAFT.value
    return replacements


def _root(text: str) -> Node | None:
    return parse_yaml("", text, [])


def _named(node: Node | None, key: str) -> Iterator[Scalar]:
    """Every single value that stands under this key, anywhere."""
    if isinstance(node, MappingNode):
        for name, value in node.entries:
            if name.value == key and isinstance(value, Scalar):
                yield value
            yield from _named(value, key)
    elif isinstance(node, ListNode):
        for item in node.items:
            yield from _named(item, key)


def _renamed(nodes: Iterator[Scalar], names: Mapping[str, str]) -> Replacements:
    return {(node.start, node.end): names[node.value] for node in nodes if node.value in names}


def _rewritten(text: str, replacements: Replacements) -> str:
    # From the end, so that places before it stay right.
    for (start, end), new in sorted(replacements.items(), reverse=True):
        text = text[:start] + new + text[end:]
    return text
