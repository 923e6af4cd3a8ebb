"""A journey's flowchart: golden files, and labels that Mermaid can read."""

from __future__ import annotations

import re

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.graph import mermaid
from tests.authoring.cases import GOLDEN, fixture_events, fixture_sources

CART = fixture_sources().files["cart.yaml"]
VARIANTS = {
    "cart": CART,
    "small": "journey: small\ntitle: 'Say \"hello\" & go'\nowner: team@shop.example\nstatus: live\n"
    "entry: {on: cart_updated, where: 'event.cart_id != \"#<1>\"', reentry: always}\n"
    "steps: {pause: {wait: 90 minutes},"
    " again: {wait_for: [{on: order_placed}, {on: order_placed, go: pause}], timeout: 1 day}}\n",
}


def flowchart(name: str) -> str:
    compilation = compile_journeys(fixture_sources({f"{name}.yaml": VARIANTS[name]}), fixture_events().types)
    assert compilation.journeys is not None, compilation.problems
    return mermaid(next(draft for draft in compilation.drafts if draft.name.name == name))


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_a_flowchart_is_as_its_golden_file(name: str) -> None:
    assert flowchart(name) == (GOLDEN / "graph" / f"{name}.mmd").read_text()


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
