"""segments.yaml -> drafts."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.authoring.drafts import Formula, Ref
from orchestrator.authoring.reading import Problems, fields, read_formula, read_pairs, read_text
from orchestrator.authoring.yaml_source import Node

SEGMENT_KEYS = ("when", "title")
SEGMENT_REQUIRED = ("when",)


@dataclass(frozen=True, slots=True)
class SegmentDraft:
    """A segment: the customers for whom the condition holds."""

    name: Ref
    title: str
    when: Formula


def read_segments(root: Node, problems: Problems) -> tuple[SegmentDraft, ...]:
    """The segments; appends what is wrong."""
    found = fields(root, ("segments",), problems, what="segments.yaml", required=("segments",))
    if found is None:
        return ()
    segments: list[SegmentDraft] = []
    for name, node in read_pairs(found.get("segments"), problems, what="segments"):
        values = fields(node, SEGMENT_KEYS, problems, what=f'segment "{name.name}"', required=SEGMENT_REQUIRED)
        if values is None:
            continue
        title = read_text(values.get("title"), problems, what="the title")
        when = read_formula(values.get("when"), problems, what="when")
        if when is not None:
            segments.append(SegmentDraft(name, title or name.name, when))
    return tuple(segments)
