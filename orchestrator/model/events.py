"""A behavioural event as the engine sees it, after decoding."""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """One thing that a customer did.

    `fields` holds the Avro record's fields by name: strings, ints, floats, bools, `Decimal` for decimals, ints for
    instants (milliseconds, UTC) and dates (days), lists, dicts and None. `type` is the Avro record's name.
    """

    type: str
    event_id: str
    customer_id: str
    fields: dict[str, Any]


class EmittedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that a journey asks to be published: to `topic`, at the decision's time, by the step `source`.

    `source` is `journey/version/instance/step`. The event's id is an action id, so it is equal in every replay.
    """

    event: Event
    topic: str
    at_ms: int
    source: str
