"""Deterministic identities and choices: the same in every replay, on every machine."""

from __future__ import annotations

from xxhash import xxh3_64_digest, xxh3_64_hexdigest, xxh3_64_intdigest, xxh3_128_hexdigest

SCALE = 1 << 64
"""Hash choices live on the scale 0 to 2**64."""

_SEPARATOR = "\x1f"


def action_id(customer_id: str, journey: str, instance: int, entered_at_ms: int, step: str, visit: int) -> str:
    """The id of the action that this visit of this step asks for: 32 hex digits.

    The instant of entry is part of it because instances of a customer who was forgotten, and came back, are counted
    from 1 again: receivers would take the new messages for repeats of the old ones.

    >>> first = action_id("c1", "cart_abandonment", 1, 0, "remind", 1)
    >>> first == action_id("c1", "cart_abandonment", 1, 0, "remind", 1)
    True
    >>> first == action_id("c1", "cart_abandonment", 1, 0, "remind", 2)
    False
    >>> first == action_id("c1", "cart_abandonment", 1, 7, "remind", 1)
    False
    """
    parts = (customer_id, journey, str(instance), str(entered_at_ms), step, str(visit))
    return xxh3_128_hexdigest(_SEPARATOR.join(parts).encode())


def draw(salt: str, customer_id: str) -> int:
    """The customer's sticky lot for this salt, uniform on 0 to 2**64 (exclusive).

    >>> draw("holdout/welcome", "c1") == draw("holdout/welcome", "c1")
    True
    """
    return xxh3_64_intdigest(f"{salt}{_SEPARATOR}{customer_id}".encode())


def aggregate_key(text: str, kind: str) -> str:
    """Ten characters under which an aggregate of values of this kind is kept.

    >>> aggregate_key("sum(order_placed.total)", "decimal") == aggregate_key("sum(order_placed.total)", "integer")
    False
    """
    return xxh3_64_hexdigest(f"{text}{_SEPARATOR}{kind}".encode())[:10]


def address_digest(address: str) -> bytes:
    """Eight bytes that stand for an address, however its letters are written.

    >>> address_digest("Ada@Example.com ") == address_digest("ada@example.com")
    True
    """
    return xxh3_64_digest(address.strip().casefold().encode())


def event_digest(event_id: str) -> bytes:
    """Eight bytes that stand for an event id in the customer's memory of recent events."""
    return xxh3_64_digest(event_id.encode())


def is_remembered(recent: bytes, digest: bytes) -> bool:
    """Whether the digest is one of the concatenated digests (and not merely across two of them).

    >>> is_remembered(b"aaaaaaaabbbbbbbb", b"bbbbbbbb"), is_remembered(b"aaaaaaaabbbbbbbb", b"aaaabbbb")
    (True, False)
    """
    at = recent.find(digest)
    while at >= 0:
        if at % 8 == 0:
            return True
        at = recent.find(digest, at + 1)
    return False
