"""A journey's picture in DOT, the language of Graphviz."""

from __future__ import annotations

from orchestrator.authoring.graph_picture import COLOURS, Box, Picture, Shape, Way

SHAPES: dict[Shape, str] = {
    Shape.STADIUM: 'shape="box", style="rounded,filled"',
    Shape.BOX: 'shape="box", style="filled"',
    Shape.ROUND: 'shape="box", style="rounded,filled"',
    Shape.HEXAGON: 'shape="hexagon", style="filled"',
    Shape.RHOMBUS: 'shape="diamond", style="filled"',
    Shape.CHANCE: 'shape="diamond", style="filled"',
    Shape.FLAG: 'shape="cds", style="filled"',
    Shape.CIRCLE: 'shape="ellipse", style="filled"',
}
FONT = 'fontname="Helvetica,Arial,sans-serif"'


def dot(picture: Picture) -> str:
    """The graph's text, ending in a line break."""
    lines = [
        f"digraph {_quoted(picture.name)} {{",
        f'  graph [label={_quoted(picture.title)}, labelloc="t", rankdir="TB", {FONT}];',
        f"  node [{FONT}, fontsize=12];",
        f"  edge [{FONT}, fontsize=10];",
    ]
    lines += [f"  {_line(part)};" for part in picture.parts]
    return "\n".join([*lines, "}"]) + "\n"


def _line(part: Box | Way) -> str:
    if isinstance(part, Box):
        colours = COLOURS[part.shape]
        label = _quoted("\n".join(part.said))
        colour = f'fillcolor="{colours.fill}", color="{colours.line}"'
        return f"{_quoted(part.name)} [label={label}, {SHAPES[part.shape]}, {colour}]"
    says = [f"label={_quoted(part.label)}"] if part.label else []
    says += ['style="dashed"'] if part.is_open_always else []
    return f"{_quoted(part.start)} -> {_quoted(part.end)}" + (f" [{', '.join(says)}]" if says else "")


def _quoted(text: str) -> str:
    # In a label a backslash begins an order of Graphviz's own, such as \\N for the node's name.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
