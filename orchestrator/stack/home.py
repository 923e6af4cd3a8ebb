"""Where the stack keeps its files: what is downloaded once for the user, and what belongs to one folder of work."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = "customer-journey-orchestrator"

RECORD_FILE = "stack.json"
"""What is remembered of a stack in its folder; see `record.py`."""


def cache_dir() -> Path:
    """The folder of downloaded files: `ORCHESTRATOR_CACHE_DIR`, or the user's cache folder."""
    if configured := os.environ.get("ORCHESTRATOR_CACHE_DIR"):
        return Path(configured).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / PROJECT


def stack_dir() -> Path:
    """The folder of a stack's topics, schemas and logs: `stack` below `ORCHESTRATOR_HOME`.

    The default home is `.orchestrator` in the current folder, so that each project has its own stack, which goes when
    the folder goes.
    """
    return Path(os.environ.get("ORCHESTRATOR_HOME") or ".orchestrator").expanduser().absolute() / "stack"


def maven_repository() -> str | None:
    """The mirror of Maven Central to download from, if `ORCHESTRATOR_MAVEN_REPOSITORY` names one."""
    return os.environ.get("ORCHESTRATOR_MAVEN_REPOSITORY") or None
