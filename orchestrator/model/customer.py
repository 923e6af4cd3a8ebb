"""The one record per customer: profile, consent, journey instances, send history, recent events.

Encoded as `0x01 | wake_at_ms (8 bytes, big-endian) | MessagePack`, so that the timer index can be rebuilt from the
changelog without decoding the body. `wake_at_ms` is the earliest pending timer of the customer, or `NEVER_MS`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.model.pauses import Pause

FORMAT = 1
NEVER_MS = 0x7FFF_FFFF_FFFF_FFFF
HEADER_BYTES = 9
RECENT_EVENTS_MAX = 32
"""How many event ids are remembered to recognise a redelivered event; 8 bytes each in every customer record."""

ACTIVE, HELD_OUT, FINISHED, PAUSED = 0, 1, 2, 3
"""Instance states: in a step; in the control group; done with the steps but still able to reach its goal; standing
still in a step, because the journey is paused."""


class StepResult(msgspec.Struct, array_like=True, gc=False):
    """How a step last ended: `outcome` (sent, capped, timeout, an arm's name, …), at which visit and when."""

    visits: int = 0
    at_ms: int = 0
    outcome: str = ""
    action_id: str | None = None
    channel: str | None = None


class Sent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A promotional message that caps look at: when, on which channel, from which journey, for which purpose."""

    at_ms: int
    channel: str
    journey: str = ""
    purpose: str = ""


class Instance(msgspec.Struct, array_like=True):
    """One passage of the customer through one version of a journey.

    `number` counts the customer's entries into any journey; `key` tells parallel instances apart ("" when the
    journey has none). `entry` holds the values of the entry event that the journey refers to, in the order of
    `Journey.captured`, in stored form (decimals as text). `timer_at_ms` is when the current step's timer is due,
    `goal_until_ms` when the goal can no longer be reached; NEVER_MS for none. `reserved` is the channel of whose rate a
    slot is reserved for the step's message, at `timer_at_ms`; "" for none. `exposed` is the arm of each named
    experiment that the passage has met. `pause` is what a passage keeps that stands still (`PAUSED`); its `timer_at_ms`
    is then when it goes on again.
    """

    number: int
    journey: str
    version: str
    key: str
    entered_at_ms: int
    state: int
    step: str
    timer_at_ms: int
    goal_until_ms: int
    entry: list[Any]
    results: dict[str, StepResult]
    reserved: str = ""
    exposed: dict[str, str] = {}
    pause: Pause | None = None


class Customer(msgspec.Struct, array_like=True):
    """Everything the orchestrator knows about one customer.

    `profile` values are in stored form. `consent` maps a consent key to granted. `entered` maps `journey` or
    `journey|key` to the last entry's instant, for re-entry rules. `sends` is the send history that caps look at, in
    time order. `recent` is the concatenation of the last event ids' 8-byte hashes.
    `clocks` are timers of the customer, not of one passage: name (`kind:what`, see `engine/clocks.py`) to due instant.
    `aligned` says with which rules the record was brought in line last (`JourneySet.alignment`). `aggregates` holds
    what expressions count over past events, in the stored form of each aggregate; `segments` the segments that the
    customer is in, with the instant of becoming a member; `audiences` those that the customer was added to, with the
    instant and who the customer is there; `exposures` the arm of each named experiment that the customer has met.
    `admissions` maps a journey with a limit of entries to those of the customer that count, in time order; `populated`
    names the journeys that the customer was looked at for as they came into force.
    `unreachable` maps a channel to a digest of the address on which the customer could not be reached.
    `emitted` is when the hour began in which emitted events are counted, and how many there were in it.
    `histories` says of aggregates, by their keys, with which publication of journeys they were taken up again after
    they had not been kept (0: they always were), and whether what was before it has been added (`engine/rebuild.py`).
    """

    profile: dict[str, Any] = {}
    consent: dict[str, bool] = {}
    instances: list[Instance] = []
    entered: dict[str, int] = {}
    sends: list[Sent] = []
    recent: bytes = b""
    last_at_ms: int = 0
    entries: int = 0
    clocks: dict[str, int] = {}
    aligned: str = ""
    aggregates: dict[str, Any] = {}
    segments: dict[str, int] = {}
    audiences: dict[str, tuple[int, str]] = {}
    exposures: dict[str, str] = {}
    admissions: dict[str, list[int]] = {}
    populated: list[str] = []
    emitted: tuple[int, int] = (0, 0)
    unreachable: dict[str, bytes] = {}
    histories: dict[str, tuple[int, bool]] = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Customer)


def wake_at_ms(customer: Customer) -> int:
    """The earliest instant at which a timer of this customer is due, or `NEVER_MS`."""
    wake = NEVER_MS
    for instance in customer.instances:
        if instance.timer_at_ms < wake:
            wake = instance.timer_at_ms
        if instance.goal_until_ms < wake:
            wake = instance.goal_until_ms
    if customer.clocks:
        for due_ms in customer.clocks.values():
            if due_ms < wake:
                wake = due_ms
    return wake


def encode_customer(customer: Customer) -> bytes:
    """The record's bytes, timer header first."""
    return b"\x01" + wake_at_ms(customer).to_bytes(8, "big") + _encoder.encode(customer)


def decode_customer(record: bytes) -> Customer:
    """The customer in these bytes.

    Raises: ValueError if the format is unknown or the body is damaged.
    """
    if not record or record[0] != FORMAT:
        raise ValueError(f"customer record has unknown format {record[:1].hex() or 'empty'}")
    try:
        return _decoder.decode(memoryview(record)[HEADER_BYTES:])
    except msgspec.MsgspecError as error:
        raise ValueError(f"customer record is damaged: {error}") from error


def encoded_wake_at_ms(record: bytes) -> int:
    """The timer header of an encoded record, without decoding its body."""
    return int.from_bytes(record[1:HEADER_BYTES], "big")
