"""The examples in docs/scenarios.md hold: for the shipped journeys, and for those of docs/language.md."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from orchestrator.cli.test import command
from orchestrator.resources import journeys_dir, schemas_dir
from tests.authoring.test_language_docs import examples

DOCUMENT = Path(__file__).parents[2] / "docs" / "scenarios.md"


def test_the_documented_scenario_holds(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert example is not None
    for path in journeys_dir().rglob("*"):
        if path.is_file() and not path.name.endswith(".scenarios.yaml"):
            copy = tmp_path / path.relative_to(journeys_dir())
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (tmp_path / "cart_abandonment.scenarios.yaml").write_text(example[1])
    result = CliRunner().invoke(command, [str(tmp_path), "--schemas", str(schemas_dir())], standalone_mode=False)
    assert "1 scenario" in result.output, result.output
    assert "all hold" in result.output, result.output


def test_the_documented_change_holds(tmp_path: Path) -> None:
    written = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]
    for path, text in examples().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    today = examples()["trial.yaml"]
    spring = re.sub(r"migrate:\n(?:  .*\n)+", "", today).replace(
        "settle_in: {wait: 5 days}", "wait_a_bit: {wait: 4 days}"
    )
    assert "migrate" not in spring
    (tmp_path / "trial.spring.earlier.yaml").write_text(spring)
    (tmp_path / "trial.scenarios.yaml").write_text(written)
    result = CliRunner().invoke(command, [str(tmp_path), "--schemas", str(schemas_dir())], standalone_mode=False)
    assert "1 scenario" in result.output, result.output
    assert "all hold" in result.output, result.output
