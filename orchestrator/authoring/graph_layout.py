"""Where boxes and arrows of a drawing go: layers from top to bottom, few crossings, long arrows straight.

Source: Sugiyama, Tagawa, Toda: Methods for Visual Understanding of Hierarchical System Structures (1981), with the
weights of Gansner et al.: A Technique for Drawing Directed Graphs (1993). Labels are boxes of their own in the layers
between, so that nothing is ever written over anything else.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

ORDER_SWEEPS = 24
PLACE_SWEEPS = 120
BOTH_SIDES_SWEEPS = 12
"""The last sweeps look up and down at once, which evens out what the ones before did in one direction only."""
VISITS_MAX = 200_000
"""Bounds a drawing of hundreds of steps to a few seconds, at the price of some straightness; others never get there."""
SWEEPS_LEAST = 8
GAP_ACROSS = 26.0
GAP_DOWN = 18.0
LANE = 8.0
"""The width of an arrow's way past boxes."""
STRAIGHTNESS = (1.0, 2.0, 8.0)
"""How strongly two neighbours want to be in line: both boxes, one of them, none (an arrow's way)."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a box or a label."""

    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow to be routed; `label` is the size of what is written beside it."""

    start: str
    end: str
    label: Size | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """A stretch of an arrow that runs straight down (or up) at `x`."""

    x: float
    start_y: float
    end_y: float


@dataclass(frozen=True, slots=True)
class Route:
    """An arrow's stations from its start to its end, and the middle of its label."""

    stations: tuple[Station, ...]
    label: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Box name -> its middle; a route for each arrow, in the order given; the extent of the whole."""

    boxes: dict[str, tuple[float, float]]
    routes: tuple[Route, ...]
    width: float
    height: float


@dataclass(slots=True, eq=False)
class _Item:
    """Something with a place in a layer: a box, or (`is_way`) a part of an arrow."""

    rank: int
    width: float
    height: float
    is_way: bool = False
    x: float = 0.0
    place: int = 0
    above: list[_Item] = field(default_factory=list)
    below: list[_Item] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Chain:
    """An arrow as items from its upper to its lower end."""

    items: tuple[_Item, ...]
    is_upward: bool
    label: _Item | None


def layout(boxes: Mapping[str, Size], arrows: Sequence[Arrow]) -> Layout:
    """The places of all boxes and arrows; the same drawing gets the same places, always.

    Parts that nothing connects stand beside each other. An arrow from a box to itself is not laid out here.
    """
    middles: dict[str, tuple[float, float]] = {}
    routes: dict[int, Route] = {}
    width = height = 0.0
    for names in _parts(boxes, arrows):
        inside = [index for index, arrow in enumerate(arrows) if arrow.start in names]
        part = _connected({name: boxes[name] for name in names}, [arrows[index] for index in inside])
        shift = width + 2 * GAP_ACROSS if width else 0.0
        middles |= {name: (x + shift, y) for name, (x, y) in part.boxes.items()}
        routes |= {index: _shifted(route, shift) for index, route in zip(inside, part.routes, strict=True)}
        width, height = shift + part.width, max(height, part.height)
    return Layout(middles, tuple(routes[index] for index in range(len(arrows))), width, height)


def _shifted(route: Route, shift: float) -> Route:
    stations = tuple(Station(s.x + shift, s.start_y, s.end_y) for s in route.stations)
    return Route(stations, None if route.label is None else (route.label[0] + shift, route.label[1]))


def _parts(boxes: Mapping[str, Size], arrows: Sequence[Arrow]) -> list[dict[str, None]]:
    """The names of the connected parts; names and parts in the order of `boxes`."""
    near: dict[str, list[str]] = {name: [] for name in boxes}
    for arrow in arrows:
        near[arrow.start].append(arrow.end)
        near[arrow.end].append(arrow.start)
    seen: set[str] = set()
    found = []
    for name in boxes:
        if name in seen:
            continue
        reached, open_names = {name}, [name]
        while open_names:
            for other in near[open_names.pop()]:
                if other not in reached:
                    reached.add(other)
                    open_names.append(other)
        seen |= reached
        found.append(dict.fromkeys(other for other in boxes if other in reached))
    return found


def _connected(boxes: Mapping[str, Size], arrows: Sequence[Arrow]) -> Layout:
    upward = _upward(list(boxes), arrows)
    ranks = _ranks(list(boxes), arrows, upward)
    items = {name: _Item(ranks[name], size.width, size.height) for name, size in boxes.items()}
    chains = [_chain(items, arrow, is_upward=index in upward) for index, arrow in enumerate(arrows)]
    rows: list[list[_Item]] = [[] for _ in range(max(ranks.values()) + 1)]
    for item in items.values():
        rows[item.rank].append(item)
    for chain in chains:
        for item in chain.items[1:-1]:
            rows[item.rank].append(item)
        for upper, lower in pairwise(chain.items):
            upper.below.append(lower)
            lower.above.append(upper)
    _order(rows)
    _place(rows)
    left = min(item.x - item.width / 2 for row in rows for item in row)
    right = max(item.x + item.width / 2 for row in rows for item in row)
    tops, bottoms = _heights(rows)
    middles = {name: (item.x - left, (tops[item.rank] + bottoms[item.rank]) / 2) for name, item in items.items()}
    routes = tuple(_route(chain, left, tops, bottoms) for chain in chains)
    return Layout(middles, routes, right - left, bottoms[-1])


def _upward(names: Sequence[str], arrows: Sequence[Arrow]) -> set[int]:
    """The arrows that lead back to a box on the way to their start: without them there is no circle."""
    ways: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    for index, arrow in enumerate(arrows):
        ways[arrow.start].append((index, arrow.end))
    found: set[int] = set()
    done: set[str] = set()
    for name in names:
        path: list[tuple[str, Iterator[tuple[int, str]]]] = [] if name in done else [(name, iter(ways[name]))]
        on_path = {name}
        while path:
            here, rest = path[-1]
            following = next(rest, None)
            if following is None:
                done.add(here)
                on_path.discard(here)
                path.pop()
            elif following[1] in on_path:
                found.add(following[0])
            elif following[1] not in done:
                on_path.add(following[1])
                path.append((following[1], iter(ways[following[1]])))
    return found


def _ranks(names: Sequence[str], arrows: Sequence[Arrow], upward: set[int]) -> dict[str, int]:
    """Box -> layer: below everything that leads to it, with a layer for labels in between."""
    below: dict[str, list[str]] = {name: [] for name in names}
    waiting_for = dict.fromkeys(names, 0)
    for index, arrow in enumerate(arrows):
        upper, lower = (arrow.end, arrow.start) if index in upward else (arrow.start, arrow.end)
        below[upper].append(lower)
        waiting_for[lower] += 1
    ranks = dict.fromkeys(names, 0)
    ready = [name for name in names if not waiting_for[name]]
    for name in ready:
        for lower in below[name]:
            ranks[lower] = max(ranks[lower], ranks[name] + 2)
            waiting_for[lower] -= 1
            if not waiting_for[lower]:
                ready.append(lower)
    return ranks


def _chain(items: Mapping[str, _Item], arrow: Arrow, *, is_upward: bool) -> _Chain:
    upper, lower = items[arrow.start], items[arrow.end]
    if is_upward:
        upper, lower = lower, upper
    way = [_Item(rank, LANE, 0.0, is_way=True) for rank in range(upper.rank + 1, lower.rank)]
    label = None
    if arrow.label is not None:
        # Beside the box that it leaves, because there a reader decides which way to follow.
        label = way[-1 if is_upward else 0]
        label.width, label.height = arrow.label.width, arrow.label.height
    return _Chain((upper, *way, lower), is_upward, label)


def _order(rows: list[list[_Item]]) -> None:
    """Sorts each row by its neighbours' middles, down and up again, and keeps the order with fewest crossings."""
    _number(rows)
    best, fewest = [list(row) for row in rows], _crossings(rows)
    for sweep in range(_sweeps(rows, ORDER_SWEEPS)):
        is_down = sweep % 2 == 0
        for row in rows if is_down else reversed(rows):
            middles = {id(item): _middle(item, is_down=is_down) for item in row}
            row.sort(key=lambda item: middles[id(item)])
            for place, item in enumerate(row):
                item.place = place
        crossings = _crossings(rows)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best
    _number(rows)


def _middle(item: _Item, *, is_down: bool) -> float:
    near = item.above if is_down else item.below
    return sum(other.place for other in near) / len(near) if near else item.place


def _number(rows: Sequence[Sequence[_Item]]) -> None:
    for row in rows:
        for place, item in enumerate(row):
            item.place = place


def _crossings(rows: Sequence[Sequence[_Item]]) -> int:
    count = 0
    for row in rows:
        passed: list[int] = []
        for item in row:
            ends = sorted(other.place for other in item.below)
            count += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return count


def _place(rows: Sequence[Sequence[_Item]]) -> None:
    """Gives each item its x: as near to its neighbours' as the others in its row let it."""
    for row in rows:
        _settle(row, [0.0] * len(row), [1.0] * len(row))
    sweeps = _sweeps(rows, PLACE_SWEEPS)
    for sweep in range(sweeps):
        is_down, is_both = sweep % 2 == 0, sweep >= sweeps - BOTH_SIDES_SWEEPS
        for row in rows if is_down else list(reversed(rows)):
            wanted, weights = [], []
            for item in row:
                near = item.above + item.below if is_both else item.above if is_down else item.below
                pulls = sorted((other.x, STRAIGHTNESS[item.is_way + other.is_way]) for other in near)
                wanted.append(_weighted_median(pulls) if pulls else item.x)
                weights.append(sum(pull for _, pull in pulls) or 0.1)
            _settle(row, wanted, weights)


def _sweeps(rows: Sequence[Sequence[_Item]], most: int) -> int:
    return max(SWEEPS_LEAST, min(most, VISITS_MAX // sum(len(row) for row in rows)))


def _weighted_median(pulls: Sequence[tuple[float, float]]) -> float:
    """The x with as much pull on its left as on its right. Unlike a mean it leaves most arrows quite straight."""
    half = sum(pull for _, pull in pulls) / 2
    passed = 0.0
    for (x, pull), (following, _) in zip(pulls, [*pulls[1:], pulls[-1]], strict=True):
        passed += pull
        if passed == half:
            return (x + following) / 2
        if passed > half:
            return x
    return pulls[-1][0]


def _settle(row: Sequence[_Item], wanted: Sequence[float], weights: Sequence[float]) -> None:
    """The nearest places to those wanted (weighted squares) at which nothing overlaps and the order is kept.

    Taken off the least distances, places only have to ascend: an isotonic regression, by pooling adjacent violators.
    """
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + GAP_ACROSS)
    pools: list[tuple[float, float, int]] = []
    for place, weight, offset in zip(wanted, weights, offsets, strict=False):
        mean, total, count = place - offset, weight, 1
        while pools and pools[-1][0] >= mean:
            before, heavy, many = pools.pop()
            mean = (before * heavy + mean * total) / (heavy + total)
            total, count = total + heavy, count + many
        pools.append((mean, total, count))
    means = [mean for mean, _, count in pools for _ in range(count)]
    for item, mean, offset in zip(row, means, offsets, strict=False):
        item.x = mean + offset


def _heights(rows: Sequence[Sequence[_Item]]) -> tuple[list[float], list[float]]:
    """(top, bottom) of each row."""
    tops, bottoms = [], []
    y = 0.0
    for row in rows:
        tops.append(y)
        y += max(item.height for item in row)
        bottoms.append(y)
        y += GAP_DOWN
    return tops, bottoms


def _route(chain: _Chain, left: float, tops: Sequence[float], bottoms: Sequence[float]) -> Route:
    upper, lower = chain.items[0], chain.items[-1]
    # An arrow that leads up has places of its own at both boxes, so that it is not taken for one that leads down.
    aside = 0.25 if chain.is_upward else 0.0
    stations = []
    for item in chain.items:
        top, bottom = tops[item.rank], bottoms[item.rank]
        middle = (top + bottom) / 2
        if item is upper:
            side = 1 if chain.items[1].x >= item.x else -1
            stations.append(Station(item.x - left + side * aside * item.width, middle + item.height / 2, bottom))
        elif item is lower:
            side = 1 if chain.items[-2].x >= item.x else -1
            stations.append(Station(item.x - left + side * aside * item.width, top, middle - item.height / 2))
        else:
            stations.append(Station(item.x - left, top, bottom))
    if chain.is_upward:
        stations = [Station(station.x, station.end_y, station.start_y) for station in reversed(stations)]
    label = chain.label
    place = None if label is None else (label.x - left, (tops[label.rank] + bottoms[label.rank]) / 2)
    return Route(tuple(stations), place)
