"""A journey's picture as SVG, which every browser shows; nothing has to be installed for it."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from orchestrator.authoring.graph_layout import Arrow, Route, Size, layout
from orchestrator.authoring.graph_picture import COLOURS, Box, Picture, Shape, Way

FONT_FAMILY = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
INK, MUTED, LINE = "#212121", "#455a64", "#607d8b"
TITLE_PX, BOX_PX, LABEL_PX = 18.0, 13.0, 11.0
LEADING = 1.35
BOX_COLUMNS, LABEL_COLUMNS = 38, 30
"""Characters in a line before it is wrapped."""
MARGIN = 20.0
LOOP = 22.0
"""How far an arrow from a box to itself goes out."""
ARROW_HEAD = 7.0

_NARROW, _SLIM, _WIDE = frozenset("iljI|.,:;'!"), frozenset('ft()[]-/\\ r"'), frozenset("mwMW@%")
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(picture: Picture) -> str:
    """The drawing as an XML document, ending in a line break."""
    texts = {box.name: _wrapped(box.said, BOX_COLUMNS) for box in picture.boxes}
    inner = {box.name: _inner_size(box, texts[box.name]) for box in picture.boxes}
    labels = [_wrapped((way.label,), LABEL_COLUMNS) if way.label else () for way in picture.ways]
    loops = {
        way.start: _text_size(label, LABEL_PX) for way, label in zip(picture.ways, labels, strict=True) if _is_loop(way)
    }
    # Room for a loop on both sides, so that the box stays in the middle of its place.
    outer = {
        name: Size(size.width + 2 * (LOOP + 6 + loops[name].width), max(size.height, loops[name].height))
        if name in loops
        else size
        for name, size in inner.items()
    }
    routed = [index for index, way in enumerate(picture.ways) if not _is_loop(way)]
    arrows = [Arrow(picture.ways[index].start, picture.ways[index].end, _label_size(labels[index])) for index in routed]
    placed = layout(outer, arrows)
    top = MARGIN + TITLE_PX * LEADING + MARGIN / 2
    width = max(placed.width, _text_width(picture.title, TITLE_PX, is_bold=True)) + 2 * MARGIN
    height = top + placed.height + MARGIN
    lines = _head(picture, width, height)
    lines.append(f'<g transform="translate({_px((width - placed.width) / 2)} {_px(top)})">')
    for index, route in zip(routed, placed.routes, strict=True):
        lines += _way(picture.ways[index], route, labels[index])
    for way, label in zip(picture.ways, labels, strict=True):
        if _is_loop(way):
            lines += _loop(placed.boxes[way.start], inner[way.start], label)
    for box in picture.boxes:
        lines += _box(box, placed.boxes[box.name], inner[box.name], texts[box.name])
    return "\n".join([*lines, "</g>", "</svg>"]) + "\n"


def _head(picture: Picture, width: float, height: float) -> list[str]:
    title = _clean(picture.title)
    about = _clean(f"The journey {picture.name}: its entry, its steps from top to bottom, and its ways out.")
    size = f'width="{_px(width)}" height="{_px(height)}"'
    view = f'viewBox="0 0 {_px(width)} {_px(height)}" font-family={quoteattr(FONT_FAMILY)} text-anchor="middle"'
    head = f'markerWidth="{_px(ARROW_HEAD)}" markerHeight="{_px(ARROW_HEAD)}" markerUnits="userSpaceOnUse"'
    place = f'x="{_px(width / 2)}" y="{_px(MARGIN + TITLE_PX)}" font-size="{_px(TITLE_PX)}" font-weight="bold"'
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} {view}>',
        f"<title>{title}</title>",
        f"<desc>{about}</desc>",
        f'<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" {head} orient="auto">',
        f'<path d="M0 0 8 4 0 8Z" fill="{LINE}"/></marker></defs>',
        f'<rect {size} fill="#ffffff"/>',
        f'<text {place} fill="{INK}">{title}</text>',
    ]


def _way(way: Way, route: Route, label: Sequence[str]) -> Iterator[str]:
    stations = route.stations
    first = stations[0]
    path = [f"M{_px(first.x)} {_px(first.start_y)}V{_px(first.end_y)}"]
    for here, there in pairwise(stations):
        arrives_y = there.start_y
        if there is stations[-1]:
            # The head needs a straight stretch, or it points along the bend.
            arrives_y += math.copysign(ARROW_HEAD, here.end_y - there.start_y)
        if abs(here.x - there.x) >= 0.5:
            bend = (here.end_y + arrives_y) / 2
            path.append(f"C{_px(here.x)} {_px(bend)} {_px(there.x)} {_px(bend)} {_px(there.x)} {_px(arrives_y)}")
        path.append(f"V{_px(there.end_y)}")
    yield _line("".join(path), is_dashed=way.is_open_always)
    if route.label is not None:
        x, y = route.label
        yield from _label(x, y, label)


def _loop(middle: tuple[float, float], size: Size, label: Sequence[str]) -> Iterator[str]:
    x, y = middle[0] + size.width / 2, middle[1]
    far, reach = x + LOOP, size.height / 4
    yield _line(
        f"M{_px(x)} {_px(y + reach)}C{_px(far)} {_px(y + reach)} {_px(far)} {_px(y - reach)} {_px(x)} {_px(y - reach)}",
        is_dashed=False,
    )
    if label:
        yield from _label(far + 3 + _text_size(label, LABEL_PX).width / 2, y, label)


def _line(path: str, *, is_dashed: bool) -> str:
    dashes = ' stroke-dasharray="5 4"' if is_dashed else ""
    return f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="1.4"{dashes} marker-end="url(#head)"/>'


def _label(x: float, y: float, lines: Sequence[str]) -> Iterator[str]:
    size = _text_size(lines, LABEL_PX)
    yield (
        f'<rect x="{_px(x - size.width / 2)}" y="{_px(y - size.height / 2)}" width="{_px(size.width)}"'
        f' height="{_px(size.height)}" rx="3" fill="#ffffff"/>'
    )
    yield from _text(x, y, lines, LABEL_PX, MUTED, is_titled=False)


def _box(box: Box, middle: tuple[float, float], size: Size, lines: Sequence[str]) -> Iterator[str]:
    colours = COLOURS[box.shape]
    x, y = middle
    yield f'<g class="{box.shape.value}">'
    yield _outline(box.shape, x, y, size, f'fill="{colours.fill}" stroke="{colours.line}" stroke-width="1.4"')
    # The point of a flag is not for writing.
    yield from _text(x - (6 if box.shape is Shape.FLAG else 0), y, lines, BOX_PX, INK, is_titled=True)
    yield "</g>"


def _outline(shape: Shape, x: float, y: float, size: Size, paint: str) -> str:
    left, right, up, down = x - size.width / 2, x + size.width / 2, y - size.height / 2, y + size.height / 2
    match shape:
        case Shape.HEXAGON:
            corners = [(left, y), (left + 12, up), (right - 12, up), (right, y), (right - 12, down), (left + 12, down)]
        case Shape.RHOMBUS | Shape.CHANCE:
            corners = [(left, y), (x, up), (right, y), (x, down)]
        case Shape.FLAG:
            corners = [(left, up), (right - 14, up), (right, y), (right - 14, down), (left, down)]
        case Shape.BOX | Shape.ROUND | Shape.STADIUM | Shape.CIRCLE:
            radius = {Shape.BOX: 3.0, Shape.ROUND: 12.0}.get(shape, size.height / 2)
            return (
                f'<rect x="{_px(left)}" y="{_px(up)}" width="{_px(size.width)}" height="{_px(size.height)}"'
                f' rx="{_px(radius)}" {paint}/>'
            )
    points = " ".join(f"{_px(a)},{_px(b)}" for a, b in corners)
    return f'<polygon points="{points}" {paint}/>'


def _text(x: float, y: float, lines: Sequence[str], px: float, ink: str, *, is_titled: bool) -> Iterator[str]:
    """The lines around a middle; the first one bold if it is a name."""
    # A letter without a tail stands a third of its size above the middle of its line.
    base = y - (len(lines) - 1) * px * LEADING / 2 + px * 0.35
    for number, line in enumerate(lines):
        weight = ' font-weight="bold"' if is_titled and number == 0 else ""
        place = f'x="{_px(x)}" y="{_px(base + number * px * LEADING)}"'
        yield f'<text {place} font-size="{_px(px)}" fill="{ink}"{weight}>{_clean(line)}</text>'


def _is_loop(way: Way) -> bool:
    return way.start == way.end


def _wrapped(lines: Sequence[str], columns: int) -> tuple[str, ...]:
    wrapped = [textwrap.wrap(line, columns, break_on_hyphens=False) or [""] for line in lines]
    return tuple(part for parts in wrapped for part in parts)


def _label_size(lines: Sequence[str]) -> Size | None:
    return _text_size(lines, LABEL_PX) if lines else None


def _text_size(lines: Sequence[str], px: float) -> Size:
    return Size(max((_text_width(line, px) for line in lines), default=0.0) + 6, len(lines) * px * LEADING + 4)


def _inner_size(box: Box, lines: Sequence[str]) -> Size:
    widths = [_text_width(line, BOX_PX, is_bold=number == 0) for number, line in enumerate(lines)]
    width, height = max(widths), len(lines) * BOX_PX * LEADING
    match box.shape:
        case Shape.RHOMBUS | Shape.CHANCE:
            # A rhombus that holds a rectangle: half of it is corners.
            return Size(width * 1.3 + 44, height * 1.3 + 30)
        case Shape.HEXAGON | Shape.FLAG:
            return Size(width + 36, height + 14)
        case Shape.STADIUM | Shape.CIRCLE:
            return Size(width + 20 + height * 0.5, height + 14)
        case Shape.BOX | Shape.ROUND:
            return Size(width + 24, height + 14)


def _text_width(text: str, px: float, *, is_bold: bool = False) -> float:
    """The width in the widest of the fonts, near enough to keep text inside its box."""
    return sum(_em(character) for character in text) * px * (1.08 if is_bold else 1.0)


def _em(character: str) -> float:
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return 1.0
    if character in _NARROW:
        return 0.33
    if character in _SLIM:
        return 0.42
    if character in _WIDE:
        return 0.98
    return 0.7 if character.isupper() else 0.63


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _clean(text: str) -> str:
    """The text for an XML document, in which control characters may not stand even when escaped."""
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))
