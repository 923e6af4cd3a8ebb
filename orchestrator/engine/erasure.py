"""A customer is forgotten: every passage ends, nothing more is sent, and the record is that of somebody unknown."""

from __future__ import annotations

from orchestrator.engine.audiences import withdraw_from
from orchestrator.engine.turn import Turn, record, version_of
from orchestrator.model.customer import ACTIVE, PAUSED, Customer

ERASED = "customer_erased"
"""The event type that asks for it, and the reason with which passages end."""


def erase(turn: Turn) -> None:
    """Ends passages and memberships, and empties the record; what was due and is not done yet is not done any more.

    Doing it again changes nothing, so that nothing has to be remembered in order to recognise a redelivery.
    """
    customer = turn.customer
    for instance in customer.instances:
        if instance.state in {ACTIVE, PAUSED}:
            journey = version_of(turn.journeys, instance)
            record(turn, journey, instance, "exited", step=instance.step, reason=ERASED)
    withdraw_from(turn, list(customer.audiences), reason=ERASED)
    unknown = Customer()
    # The new value has containers of its own, and nobody else holds them.
    for name in Customer.__struct_fields__:
        setattr(customer, name, getattr(unknown, name))
