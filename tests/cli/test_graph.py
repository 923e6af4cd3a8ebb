"""``orchestrator graph``: the languages of drawings, on the standard output and in files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from tests.authoring.cases import FIXTURES, GOLDEN

CART = ["graph", "cart", str(FIXTURES / "journeys"), "--schemas", str(FIXTURES / "schemas")]


@pytest.mark.parametrize(("form", "suffix"), [("mermaid", "mmd"), ("dot", "dot"), ("svg", "svg")])
def test_a_journey_is_drawn_in_the_language_asked_for(
    form: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*CART, "--format", form]) == 0
    assert capsys.readouterr().out == (GOLDEN / "graph" / f"cart.{suffix}").read_text()


def test_a_drawing_is_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "cart.svg"
    assert run([*CART, "--format", "svg", "--output", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert ET.parse(target).getroot().tag.endswith("svg")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*CART, "--output", str(tmp_path / "no" / "cart.mmd")]) == 3
    assert "cart.mmd cannot be written: No such file" in capsys.readouterr().err
