"""A request's body → events, or everything that is wrong with it. All or nothing: one bad event refuses the request."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from orchestrator.authoring.event_values import HEAD, BadValue, EventShape, event_from
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.model.customer import RECENT_EVENTS_MAX
from orchestrator.model.events import Event
from orchestrator.runtime.ingest.tokens import Client

ID_CHARACTERS_MAX = 256
"""Of event and customer ids: both are kept, or are a record's key."""

CUSTOMER_EVENTS_MAX = RECENT_EVENTS_MAX // 2
"""Of one customer in one request. Workers drop what they have seen among the customer's last few: a request that is
sent again is recognised as a whole, with room for what came from elsewhere meanwhile.
"""

_SYNTAX = re.compile(r"\(byte (\d+)\)")
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_canonical = msgspec.json.Encoder(order="sorted", decimal_format="string").encode


@dataclass(frozen=True, slots=True)
class BodyProblem:
    """One thing that is wrong, without anything that the body holds but names.

    `event` is its position in the request, 0 the first, None for the body as a whole; `field` the field's path or "".
    """

    event: int | None
    field: str
    problem: str
    hint: str


class BadBody(Exception):
    """The body is refused: with 400 where it is no JSON, 403 where an event may not be sent, else 422."""

    def __init__(self, status: int, problems: list[BodyProblem]) -> None:
        super().__init__(status)
        self.status = status
        self.problems = problems


def decode_json(body: bytes) -> Any:
    """What the body says; raises BadBody with the place of the first mistake."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = f"the body is not JSON{_place(body, str(error))}"
        problem = BodyProblem(None, "", text, "send one event as an object, or a list of them")
        raise BadBody(400, [problem]) from None


def _place(body: bytes, error: str) -> str:
    found = _SYNTAX.search(error)
    if found is None:
        return ""
    before = body[: int(found[1])]
    line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
    return f" at line {line}, column {column}"


def read_events(
    body: bytes,
    shapes: Mapping[str, EventShape],
    client: Client,
    *,
    of_type: str | None,
    idempotency_key: str,
    events_max: int,
) -> list[Event]:
    """The request's events, at least one.

    Raises: BadBody with every bad event.
    """
    written = decode_json(body)
    items = written if isinstance(written, list) else [written]
    if not items:
        raise BadBody(422, [BodyProblem(None, "", "there is no event", "send at least one")])
    if len(items) > events_max:
        raise BadBody(
            422, [BodyProblem(None, "", f"there are more than {events_max} events", "send them in several requests")]
        )
    events: list[Event] = []
    problems: list[BodyProblem] = []
    is_forbidden = False
    for number, item in enumerate(items):
        try:
            event = _read(item, shapes, of_type, _Ids(client.name, idempotency_key, number))
        except _Bad as bad:
            problems.append(BodyProblem(number, bad.field, bad.problem, bad.hint))
            continue
        if client.may_send(event.type):
            events.append(event)
        else:
            is_forbidden = True
            hint = "name the type in the token's line, or send it with another token"
            problems.append(BodyProblem(number, "type", f"this token may not send {event.type}", hint))
    if problems:
        raise BadBody(403 if is_forbidden else 422, problems)
    if (beyond := _one_too_many(events)) is not None:
        text = f"is one more than {CUSTOMER_EVENTS_MAX} events of this customer"
        raise BadBody(422, [BodyProblem(beyond, "customer_id", text, "send them in several requests")])
    return events


def _one_too_many(events: Sequence[Event]) -> int | None:
    """The place of the first event that is beyond what one customer may have in a request."""
    counts: Counter[str] = Counter()
    for number, event in enumerate(events):
        counts[event.customer_id] += 1
        if counts[event.customer_id] > CUSTOMER_EVENTS_MAX:
            return number
    return None


class _Bad(Exception):
    def __init__(self, field: str, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.field = field
        self.problem = problem
        self.hint = hint


@dataclass(frozen=True, slots=True)
class _Ids:
    """What an event's id is derived from where it has none: the request's key, or without one the event itself."""

    client: str
    key: str
    number: int

    def derived(self, event_type: str, written: Mapping[str, Any]) -> str:
        parts = (
            ("key", self.client, self.key, str(self.number), event_type)
            if self.key
            else ("content", self.client, event_type, _canonical(written).decode())
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _read(item: Any, shapes: Mapping[str, EventShape], of_type: str | None, ids: _Ids) -> Event:
    if not isinstance(item, dict):
        raise _Bad("", "is not a JSON object", "an event is an object of fields")
    event_type = item.pop("type", of_type)
    if of_type is not None and event_type != of_type:
        raise _Bad("type", "is not the type in the address", "leave it out, or send to /v1/events")
    shape = shapes.get(event_type) if isinstance(event_type, str) else None
    if shape is None:
        if event_type is None:
            raise _Bad("type", "is missing", "name the event type")
        hint = did_you_mean(str(event_type), shapes, otherwise="see schemas/events")
        raise _Bad("type", "is a type that no schema describes", hint)
    try:
        if item.get("event_id") is None:
            item["event_id"] = ids.derived(shape.name, item)
        event = event_from(shape, item)
    except RecursionError:
        raise _Bad("", "is nested too deeply", f"see schemas/events/{shape.name}.avsc") from None
    except BadValue as bad:
        field, _, problem = str(bad).partition(" ")
        raise _Bad(field, problem or "is not as it must be", _hint(field, problem, shape)) from None
    for name, value in (("event_id", event.event_id), ("customer_id", event.customer_id)):
        if len(value) > ID_CHARACTERS_MAX:
            raise _Bad(name, f"is longer than {ID_CHARACTERS_MAX} characters", "")
    return event


def _hint(field: str, problem: str, shape: EventShape) -> str:
    known = (*HEAD, *shape.fields)
    if problem.startswith("is not a field"):
        return did_you_mean(field, known)
    if problem == "is missing":
        needed = [*HEAD[1:], *(name for name, of in shape.fields.items() if of.is_required)]
        return f"{shape.name} needs {', '.join(needed)}"
    return f"see schemas/events/{shape.name}.avsc"
