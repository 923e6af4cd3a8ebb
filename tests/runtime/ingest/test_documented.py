"""The requests of the operations page are answered as it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from orchestrator.resources import deploy_dir
from orchestrator.stack.stack import Stack
from tests.runtime.ingest.endpoint_process import endpoint
from tests.runtime.ingest.served import PROVIDER_SECRETS, TOKEN
from tests.runtime.worker_process import Installation

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "ingest.md"
SECRET = PROVIDER_SECRETS["INGEST_SECRET_GENERIC"]
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def shown() -> list[tuple[str, str]]:
    """(command, what it prints) of each command of the page."""
    found = []
    for block in BLOCK.findall(PAGE.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed))
    return found


@pytest.mark.broker
def test_every_request_of_the_page_is_answered_as_it_says(stack: Stack, topic_prefix: str, tmp_path: Path) -> None:
    installation = Installation(stack, topic_prefix, tmp_path, time="wall")
    assert len(shown()) >= 4
    more = ["--ingest-providers", str(deploy_dir() / "ingest")]
    with endpoint(installation, *more, INGEST_SECRET_GENERIC=SECRET) as running:
        for command, printed in shown():
            done = subprocess.run(
                ["bash", "-c", command],
                env={"INGEST": running.url, "TOKEN": TOKEN, "INGEST_SECRET_GENERIC": SECRET, "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=True,
                timeout=30,
            )
            assert done.stdout == printed, command
        assert running.stop() == 0
