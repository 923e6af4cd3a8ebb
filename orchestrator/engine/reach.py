"""Whether a channel's address still leads to the customer: what receipts say about it, and for how long it holds.

What is kept is a digest of the address that is of no use. It holds for that address alone: with another one in the
profile the customer can be reached again, and the address itself need not be kept.
"""

from __future__ import annotations

from orchestrator.engine.ids import address_digest
from orchestrator.engine.turn import Turn
from orchestrator.model.customer import Customer
from orchestrator.model.journey import Channel, ReachRule


def is_cut_off(customer: Customer, channel: Channel, address: str) -> bool:
    """Whether this address of the customer, on this channel, is known to be of no use."""
    return customer.unreachable.get(channel.name) == address_digest(address)


def apply_reach_rule(turn: Turn, rule: ReachRule) -> None:
    """Takes from the turn's event that the address is of no use, or is of use again. An event about another address
    than the customer's own says nothing about it.
    """
    if rule.where is not None and not rule.where.evaluate(turn):
        return
    channel = turn.journeys.channels[rule.channel]
    current = turn.customer.profile.get(channel.address)
    if not current:
        return
    digest = address_digest(str(current))
    told = None if rule.address is None else rule.address.evaluate(turn)
    if told and address_digest(str(told)) != digest:
        return
    cut_off = turn.customer.unreachable
    if not rule.is_reachable:
        cut_off[channel.name] = digest
    elif cut_off.get(channel.name) == digest:
        del cut_off[channel.name]
