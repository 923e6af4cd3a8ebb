"""The longest that a passage may last: whoever is still inside then leaves with the reason `expired`.

It is a clock of the customer (`expiry:NUMBER`), so journeys without such a bound pay nothing for it.
"""

from __future__ import annotations

from orchestrator.engine.clocks import EXPIRY, FIRE, set_clock
from orchestrator.engine.steps import leave
from orchestrator.engine.turn import Turn, version_of
from orchestrator.engine.waits import later
from orchestrator.model.customer import ACTIVE, PAUSED, Instance
from orchestrator.model.journey import Journey

EXPIRED = "expired"


def bound_passage(turn: Turn, journey: Journey, instance: Instance) -> None:
    """Sets the clock at which the passage, which begins now, ends at the latest."""
    if journey.max_duration_ms:
        due_ms = later(turn, journey.max_duration_ms, journey.max_duration_months)
        set_clock(turn.customer, f"{EXPIRY}:{instance.number}", due_ms)


def fire_expiry(turn: Turn, number: str) -> None:
    """Ends the passage of this number, if it still is under way. One that stands still ends when it would go on."""
    for instance in turn.customer.instances:
        if str(instance.number) == number and instance.state == PAUSED and instance.pause is not None:
            instance.pause.expired_at_ms = turn.now_ms
            return
        if str(instance.number) == number and instance.state == ACTIVE:
            turn.instance = instance
            leave(turn, version_of(turn.journeys, instance), instance, EXPIRED)
            return


FIRE[EXPIRY] = fire_expiry
