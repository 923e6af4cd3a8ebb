"""A journey's drawing in each language: golden files, and texts that none of them takes for its own signs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.drafts import JourneyDraft
from orchestrator.authoring.graph import mermaid, picture
from orchestrator.authoring.graph_dot import dot
from orchestrator.authoring.graph_picture import BOX, Box, Picture, Shape, Way
from orchestrator.authoring.graph_svg import svg
from tests.authoring.cases import GOLDEN, fixture_events, fixture_sources

CART = fixture_sources().files["cart.yaml"]
VARIANTS = {
    "cart": CART,
    "small": "journey: small\ntitle: 'Say \"hello\" & go'\nowner: team@shop.example\nstatus: live\n"
    "entry: {on: cart_updated, where: 'event.cart_id != \"#<1>\"', reentry: always}\n"
    "steps: {pause: {wait: 90 minutes},"
    " again: {wait_for: [{on: order_placed}, {on: order_placed, go: pause}], timeout: 1 day}}\n",
    "restless": "journey: restless\nowner: team@shop.example\nstatus: draft\nentry: {on: cart_updated}\n"
    "steps: {listen: {wait_for: [{on: cart_updated, go: listen}, {on: order_placed}]}}\n",
    "patient": "journey: patient\nowner: team@shop.example\nstatus: draft\nentry: {on: cart_updated}\n"
    "steps: {month: {wait: 1 month}, morning: {wait: {until: '09:00', on: [mon, tue], zone: Asia/Kathmandu}},"
    " later: {wait: {until: entry.occurred_at, offset: 90 days, at: '09:00', past: now}},"
    " rest: {wait_while: profile.first_name == 'Ada', timeout: 2 days, on_timeout: late}, late: {exit: late}}\n",
}
FORMATS: dict[str, Callable[[JourneyDraft], str]] = {
    "mmd": mermaid,
    "dot": lambda draft: dot(picture(draft)),
    "svg": lambda draft: svg(picture(draft)),
}
SVG = "{http://www.w3.org/2000/svg}"


def draft_of(name: str) -> JourneyDraft:
    compilation = compile_journeys(fixture_sources({f"{name}.yaml": VARIANTS[name]}), fixture_events().types)
    assert compilation.journeys is not None, compilation.problems
    return next(draft for draft in compilation.drafts if draft.name.name == name)


def flowchart(name: str) -> str:
    return mermaid(draft_of(name))


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_a_drawing_is_as_its_golden_file(name: str, form: str) -> None:
    assert FORMATS[form](draft_of(name)) == (GOLDEN / "graph" / f"{name}.{form}").read_text()


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_every_way_leads_between_nodes_that_are_drawn_and_labels_hold_no_sign_of_mermaid(name: str) -> None:
    lines = flowchart(name).splitlines()[4:]
    nodes = {match[1] for line in lines if (match := re.match(r"  (\w+)[(\[{>]", line))}
    for line in lines:
        way = re.fullmatch(r'  (\w+) (?:-->|-\.->)(?:\|"([^"|]*)"\|)? (\w+)', line)
        if way:
            assert {way[1], way[3]} <= nodes
        labels = re.findall(r'"([^"]*)"', line)
        assert all(not re.search(r"[<>](?!br/>|$)", label.replace("<br/>", "")) for label in labels)


def picture_of(*said: str, title: str = "A title") -> Picture:
    boxes = tuple(Box(f"b{number}", BOX, (text,)) for number, text in enumerate(said))
    return Picture("test", title, (*boxes, Way("b0", f"b{len(said) - 1}", said[0])))


HOSTILE = 'a "quoted" \\N <b> & \x00 </text> ]]> --'


def test_an_svg_is_xml_and_shows_every_text_as_it_was_written() -> None:
    root = ET.fromstring(svg(picture_of(HOSTILE, "other", title=HOSTILE)))
    shown = [element.text for element in root.iter(f"{SVG}text")]
    assert shown.count(HOSTILE.replace("\0", "\N{REPLACEMENT CHARACTER}")) == 2
    assert root.find(f"{SVG}title") is not None
    assert not list(root.iter(f"{SVG}b"))


def test_an_svg_refers_to_nothing_outside_itself() -> None:
    text = svg(picture(draft_of("cart")))
    assert "href" not in text
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert "<script" not in text


def test_every_kind_of_box_has_a_colour_of_its_own() -> None:
    parts = tuple(Box(shape.value, shape, (shape.value,)) for shape in Shape)
    root = ET.fromstring(svg(Picture("test", "All", parts)))
    groups = {group.get("class"): group[0].get("fill") for group in root.iter(f"{SVG}g") if group.get("class")}
    assert len(groups) == len(Shape)
    assert len(set(groups.values())) == len(Shape)


def test_a_long_condition_is_wrapped() -> None:
    root = ET.fromstring(svg(picture_of(" and ".join(["event.value > 100"] * 8), "other")))
    assert max(len(element.text or "") for element in root.iter(f"{SVG}text")) < 40


def test_dot_quotes_what_would_end_a_text_or_give_an_order() -> None:
    line = next(line for line in dot(picture_of('say "hi"\\N', "other")).splitlines() if line.startswith('  "b0" ['))
    assert r'label="say \"hi\"\\N"' in line


def test_each_dot_line_is_a_statement_with_its_quotes_in_pairs() -> None:
    for name in VARIANTS:
        lines = dot(picture(draft_of(name))).splitlines()
        assert lines[0] == f'digraph "{name}" {{'
        assert lines[-1] == "}"
        for line in lines[1:-1]:
            assert re.fullmatch(
                r'  (?:\w+|"\w+"(?: -> "\w+")?)(?: \[(?:\w+=(?:"(?:[^"\\]|\\.)*"|\d+)(?:, )?)+\])?;', line
            )
