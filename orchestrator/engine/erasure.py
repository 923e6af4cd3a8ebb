"""A customer is forgotten: every passage ends, nothing more is sent, and the record is that of somebody unknown."""

from __future__ import annotations

from orchestrator.engine.audiences import withdraw_from
from orchestrator.engine.turn import Turn, record, version_of
from orchestrator.model.actions import Recall
from orchestrator.model.customer import ACTIVE, PAUSED, Customer

ERASED = "customer_erased"
"""The event type that asks for it, and the reason with which passages end."""


def erase(turn: Turn) -> None:
    """Ends passages and memberships, and empties the record; what was due and is not done yet is not done any more, and
    commands that are on their way are called back, but for removals from audiences.

    Doing it again changes nothing, so that nothing has to be remembered in order to recognise a redelivery. It recalls
    again: the commands may be those of a worker that did not recall yet.
    """
    customer = turn.customer
    for instance in customer.instances:
        if instance.state in {ACTIVE, PAUSED}:
            journey = version_of(turn.journeys, instance)
            record(turn, journey, instance, "exited", step=instance.step, reason=ERASED)
    withdraw_from(turn, list(customer.audiences), reason=ERASED)
    turn.effects.recalls.append(Recall(turn.customer_id, turn.now_ms))
    unknown = Customer()
    # The new value has containers of its own, and nobody else holds them.
    for name in Customer.__struct_fields__:
        setattr(customer, name, getattr(unknown, name))
