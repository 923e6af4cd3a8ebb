"""Customer journeys as YAML, run exactly once over Kafka events."""

from __future__ import annotations

__version__ = "0.1.0"
