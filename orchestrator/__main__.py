"""``python -m orchestrator``: the same command as ``orchestrator``."""

from __future__ import annotations

from orchestrator.cli.main import main

main()
