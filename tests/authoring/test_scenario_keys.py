"""docs/scenarios.md knows every word that scenarios have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.authoring import scenario_files
from orchestrator.authoring.scenario_values import COMMANDS, EXPECTATIONS, TRANSITIONS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()


def words() -> list[str]:
    beside = {word for more in EXPECTATIONS.values() for word in more}
    when = {*scenario_files.WHEN_KEYS, *scenario_files.CHANGE_KEYS, "action_of", "until"}
    return sorted({*scenario_files.GIVEN_KEYS, *when, *EXPECTATIONS, *beside, *TRANSITIONS, *COMMANDS, "journey"})


@pytest.mark.parametrize("word", words())
def test_a_word_of_scenarios_is_documented(word: str) -> None:
    assert re.search(rf"`[^`]*\b{word}\b[^`]*`", DOCUMENT), word
