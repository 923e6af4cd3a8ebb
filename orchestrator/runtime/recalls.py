"""Recalls: what tells sinks that a customer was forgotten, so that they leave undone what they have not come to yet.

A record's key is a digest of the customer id, its value the instant up to which commands are recalled. The sinks'
`Recalls.java` is the reader. See `docs/decisions/0019-recall.md` for why the digest has no key of its own.
"""

from __future__ import annotations

import hashlib

from orchestrator.model.actions import Recall

DIGEST_BYTES = 16
_KIND = b"orchestrator.recall:"
"""Stands before the id, so that nobody finds in the topic the plain digests of addresses that other systems know."""


def customer_digest(customer_id: str) -> str:
    """What the customer is called in the topic: 32 hexadecimal digits.

    >>> customer_digest("user_0042")
    '1704a5ec048bea89ce4add0c7d590361'
    """
    return hashlib.sha256(_KIND + customer_id.encode()).digest()[:DIGEST_BYTES].hex()


def recall_record(recall: Recall) -> tuple[bytes, bytes]:
    """The record's key and value.

    >>> recall_record(Recall("user_0042", 1_700_000_000_000))[1]
    b'{"recalled_at":1700000000000}'
    """
    return customer_digest(recall.customer_id).encode(), b'{"recalled_at":%d}' % recall.at_ms
