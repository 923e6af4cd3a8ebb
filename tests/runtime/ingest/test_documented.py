"""The requests of the operations page are answered as it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from orchestrator.stack.stack import Stack
from tests.runtime.ingest.endpoint_process import endpoint
from tests.runtime.ingest.served import TOKEN
from tests.runtime.worker_process import Installation

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "ingest.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def shown() -> list[tuple[str, str]]:
    """(command, what it prints) of each command of the page."""
    found = []
    for block in BLOCK.findall(PAGE.read_text()):
        for part in block.split("$ curl ")[1:]:
            command, _, printed = part.partition("\n")
            found.append(("curl " + command, printed))
    return found


@pytest.mark.broker
def test_every_request_of_the_page_is_answered_as_it_says(stack: Stack, topic_prefix: str, tmp_path: Path) -> None:
    installation = Installation(stack, topic_prefix, tmp_path, time="wall")
    assert len(shown()) >= 3
    with endpoint(installation) as running:
        for command, printed in shown():
            done = subprocess.run(
                ["bash", "-c", command],
                env={"INGEST": running.url, "TOKEN": TOKEN, "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=True,
                timeout=30,
            )
            assert done.stdout == printed, command
        assert running.stop() == 0
