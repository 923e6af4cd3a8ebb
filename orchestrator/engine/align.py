"""A customer record brought in line with a new journey set: its audiences, its clocks, its passages.

It happens once for each set, at the first decision about the customer under it. For customers about whom nothing is
decided the worker does it soon after the set came into force.
"""

from __future__ import annotations

from orchestrator.engine.audiences import withdraw
from orchestrator.engine.migration import migrate
from orchestrator.engine.pausing import align_pauses
from orchestrator.engine.population import align_entries, backfill
from orchestrator.engine.segments import align_segments
from orchestrator.engine.turn import Turn


def align(turn: Turn) -> None:
    """Brings the record in line with `turn.journeys`, at `turn.now_ms`; doing it again changes nothing.

    A customer who was not known before (`last_at_ms` 0) has nothing to catch up on: what the event means follows
    anyway.
    """
    align_pauses(turn)
    if turn.customer.audiences:
        withdraw(turn)
    align_segments(turn)
    align_entries(turn)
    if turn.journeys.migrating:
        migrate(turn)
    backfill(turn)
    turn.customer.aligned = turn.journeys.alignment
