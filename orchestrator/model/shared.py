"""What the customers of one partition share: how much of a rate, or of a limit, has been used.

One record for each partition, kept beside the customer records under a key that no customer can have, and written in
the same batches. It is encoded like theirs: `0x01 | NEVER_MS (8 bytes) | MessagePack`, so that no timer is pending.
"""

from __future__ import annotations

import msgspec

from orchestrator.model.customer import FORMAT, HEADER_BYTES, NEVER_MS

SHARED_KEY = b"\xffshared"
"""No customer id, which is text, begins with this byte."""

_PREFIX = bytes([FORMAT]) + NEVER_MS.to_bytes(8, "big")


class Shared(msgspec.Struct, array_like=True):
    """One partition of `partitions`, and what has been used there.

    `slots` maps a rate's name to the instant from which on its next slot is free, in microseconds since the epoch.
    `counts` maps a limit's name to how many were let through, by part of the limit's window: (part, count), in order.
    """

    partition: int = 0
    partitions: int = 1
    slots: dict[str, int] = {}
    counts: dict[str, list[tuple[int, int]]] = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Shared)


def encode_shared(shared: Shared) -> bytes:
    """The record's bytes."""
    return _PREFIX + _encoder.encode(shared)


def decode_shared(record: bytes | None, *, partition: int, partitions: int) -> Shared:
    """What these bytes hold; a new one if there are none.

    Raises: ValueError if the bytes are damaged.
    """
    if record is None:
        return Shared(partition, partitions)
    if not record.startswith(_PREFIX):
        raise ValueError(f"the shared record has unknown format {record[:HEADER_BYTES].hex() or 'empty'}")
    try:
        shared = _decoder.decode(memoryview(record)[HEADER_BYTES:])
    except msgspec.MsgspecError as error:
        raise ValueError(f"the shared record is damaged: {error}") from error
    shared.partition, shared.partitions = partition, partitions
    return shared
