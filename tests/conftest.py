"""What tests share: one real broker and registry for the whole run, and topic names that no other test uses."""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from orchestrator.stack.progress import console_progress
from orchestrator.stack.stack import Stack, running_stack

# Whether a test is quick enough depends on the machine, so no example has a deadline.
# Where a change is judged (CI is set) the examples are the same each time; at a desk and at night they are new ones.
settings.register_profile(
    "default", settings.get_profile("default"), deadline=None, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("default")
settings.register_profile("long", max_examples=5_000, deadline=None)
"""For nights: `pytest tests/properties --hypothesis-profile=long --timeout=0`."""

_numbers = itertools.count(1)


# A shell that runs the tests in its background has them ignore Ctrl-C, and so would every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A broker and a registry with nothing in them, for tests marked `broker`. They end with the test run."""
    with running_stack(tmp_path_factory.mktemp("stack"), progress=console_progress()) as running:
        yield running


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for topics, groups and subjects that is this test's alone, also on a broker that outlives the run."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    return f"{name}-{os.getpid()}-{next(_numbers)}."


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that takes the stack is marked as one that needs the broker, also where the mark was forgotten."""
    # First, because the selection by marks is made at the same point.
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.broker)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own for what `orchestrator up` makes."""
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
