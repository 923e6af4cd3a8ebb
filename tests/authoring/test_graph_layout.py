"""Where boxes and arrows go: nothing on top of anything else, arrows from their box to their box."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.graph_layout import Arrow, Layout, Size, layout

NAMES = [f"b{number}" for number in range(9)]
sizes = st.builds(Size, st.integers(20, 200), st.integers(16, 80))
arrows = st.builds(Arrow, st.sampled_from(NAMES), st.sampled_from(NAMES), st.none() | sizes).filter(
    lambda arrow: arrow.start != arrow.end
)


def frame(middle: tuple[float, float], size: Size) -> tuple[float, float, float, float]:
    x, y = middle
    return x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2


def overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    # A hair's breadth is a rounding, not an overlap.
    return min(one[2], other[2]) - max(one[0], other[0]) > 0.01 and min(one[3], other[3]) - max(one[1], other[1]) > 0.01


def crossings(placed: Layout, arrows: list[Arrow]) -> int:
    ends = [(placed.boxes[arrow.start][0], placed.boxes[arrow.end][0]) for arrow in arrows]
    return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for index, a in enumerate(ends) for b in ends[:index])


@settings(max_examples=80, deadline=None)
@given(st.lists(sizes, min_size=len(NAMES), max_size=len(NAMES)), st.lists(arrows, max_size=14))
def test_boxes_and_labels_lie_apart_and_inside_the_drawing(of_boxes: list[Size], drawn: list[Arrow]) -> None:
    boxes = dict(zip(NAMES, of_boxes, strict=True))
    placed = layout(boxes, drawn)
    frames = [frame(placed.boxes[name], size) for name, size in boxes.items()]
    for arrow, route in zip(drawn, placed.routes, strict=True):
        assert (route.label is None) == (arrow.label is None)
        if route.label is not None and arrow.label is not None:
            frames.append(frame(route.label, arrow.label))
    assert not any(overlap(one, other) for index, one in enumerate(frames) for other in frames[:index])
    assert all(f[0] > -0.01 and f[1] > -0.01 for f in frames)
    assert all(f[2] < placed.width + 0.01 and f[3] < placed.height + 0.01 for f in frames)


@settings(max_examples=80, deadline=None)
@given(st.lists(sizes, min_size=len(NAMES), max_size=len(NAMES)), st.lists(arrows, min_size=1, max_size=14))
def test_an_arrow_leaves_its_box_at_the_edge_and_arrives_at_the_edge_of_the_other(
    of_boxes: list[Size], drawn: list[Arrow]
) -> None:
    boxes = dict(zip(NAMES, of_boxes, strict=True))
    placed = layout(boxes, drawn)
    for arrow, route in zip(drawn, placed.routes, strict=True):
        first, last = route.stations[0], route.stations[-1]
        for name, x, y in ((arrow.start, first.x, first.start_y), (arrow.end, last.x, last.end_y)):
            left, top, right, bottom = frame(placed.boxes[name], boxes[name])
            assert left <= x <= right
            assert min(abs(y - top), abs(y - bottom)) < 0.01
        ys = [y for station in route.stations for y in (station.start_y, station.end_y)]
        assert ys in (sorted(ys), sorted(ys, reverse=True))


def test_a_step_stands_below_the_steps_that_lead_to_it_and_a_way_back_leads_up() -> None:
    boxes = dict.fromkeys(["a", "b", "c"], Size(40, 20))
    placed = layout(boxes, [Arrow("a", "b"), Arrow("b", "c"), Arrow("a", "c"), Arrow("c", "a")])
    heights = [placed.boxes[name][1] for name in ("a", "b", "c")]
    assert heights == sorted(set(heights))
    back = placed.routes[3]
    assert back.stations[0].start_y > back.stations[-1].end_y


def test_arrows_that_need_not_cross_do_not() -> None:
    boxes = dict.fromkeys(["top", "a", "b", "c", "x", "y", "z"], Size(40, 20))
    fan = [Arrow("top", "a"), Arrow("top", "b"), Arrow("top", "c")]
    pairs = [Arrow("a", "z"), Arrow("b", "y"), Arrow("c", "x")]
    assert crossings(layout(boxes, [*fan, *pairs]), pairs) == 0


def test_parts_without_a_connection_stand_beside_each_other() -> None:
    boxes = dict.fromkeys(["a", "b", "c", "d"], Size(40, 20))
    placed = layout(boxes, [Arrow("a", "b"), Arrow("c", "d")])
    assert placed.boxes["a"][1] == placed.boxes["c"][1]
    assert placed.boxes["c"][0] - placed.boxes["a"][0] > 40
