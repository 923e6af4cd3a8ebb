"""A customer's record given out as JSON, whatever is in it."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from orchestrator.model.customer import NEVER_MS, PAUSED, Customer, Instance, decode_customer, encode_customer
from orchestrator.model.pauses import Kept, Pause, stored
from orchestrator.runtime.privacy import plain_record


def test_what_a_passage_kept_in_a_pause_is_given_out_readably() -> None:
    fields = {"total": Decimal("12.50"), "items": [{"price": Decimal("1.5"), "sku": "mug"}], "note": None}
    pause = Pause(1, kept=[Kept(2, "order_placed", "e1", {name: stored(value) for name, value in fields.items()})])
    instance = Instance(1, "cart", "v", "", 0, PAUSED, "wait", NEVER_MS, NEVER_MS, [], {}, pause=pause)
    customer = decode_customer(encode_customer(Customer(instances=[instance], recent=b"\x01\x02")))
    given = msgspec.json.decode(msgspec.json.encode(plain_record(customer)))
    assert given["recent"] == "0102"
    kept = given["instances"][0]["pause"]["kept"][0]
    expected = {"total": "12.50", "items": [{"price": "1.5", "sku": "mug"}], "note": None}
    assert (kept["at_ms"], kept["type"], kept["event_id"]) == (2, "order_placed", "e1")
    assert kept["fields"] == expected
