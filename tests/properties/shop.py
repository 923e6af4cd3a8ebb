"""The shop that random journeys are written for: event types, rules from events to profiles, channels, templates."""

from __future__ import annotations

import json
from dataclasses import dataclass

from orchestrator.authoring.event_schemas import event_types_from_texts

_INSTANT = {"type": "long", "logicalType": "timestamp-millis"}
_DATE = {"type": "int", "logicalType": "date"}
_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an event: its Avro type and the kind of its values."""

    name: str
    avro: object
    kind: str
    nullable: bool = False


def _of(name: str, kind: str, *, nullable: bool = False) -> Field:
    avro = {
        "text": "string",
        "whole": "int",
        "number": "double",
        "decimal": _DECIMAL,
        "flag": "boolean",
        "instant": _INSTANT,
        "date": _DATE,
        "size": {"type": "enum", "name": f"{name}_size", "symbols": ["SMALL", "LARGE", "GIFT"]},
    }[kind]
    return Field(name, ["null", avro] if nullable else avro, kind, nullable)


EVENTS: dict[str, tuple[Field, ...]] = {
    "registered": (
        _of("email", "text", nullable=True),
        _of("phone", "text", nullable=True),
        _of("push_token", "text", nullable=True),
        _of("first_name", "text", nullable=True),
        _of("language", "text", nullable=True),
        _of("time_zone", "text", nullable=True),
        _of("born", "date", nullable=True),
        _of("score", "whole", nullable=True),
        _of("email_ok", "flag"),
        _of("sms_ok", "flag"),
        _of("push_ok", "flag"),
        _of("offers_ok", "flag"),
        _of("ads_ok", "flag"),
    ),
    "moved": (
        _of("time_zone", "text", nullable=True),
        _of("renewal", "instant", nullable=True),
        _of("score", "whole", nullable=True),
    ),
    "consent_changed": (_of("channel", "text"), _of("granted", "flag")),
    "cart": (_of("cart_id", "text"), _of("value", "decimal"), _of("items", "whole"), _of("size", "size")),
    "ordered": (_of("cart_id", "text"), _of("total", "decimal"), _of("items", "whole", nullable=True)),
    "clicked": (_of("action_id", "text", nullable=True), _of("place", "text")),
    "viewed": (_of("sku", "text"), _of("seconds", "number"), _of("due", "instant", nullable=True)),
    "told": (_of("words", "text", nullable=True), _of("amount", "decimal", nullable=True)),
    "task_completed": (_of("action_id", "text"), _of("outcome", "text")),
}
"""Event type → its fields, without the three that every event has. Journeys emit `told`."""

ASKED: dict[str, tuple[Field, ...]] = {
    "journey_requested": (_of("journey", "text"), _of("key", "text", nullable=True)),
    "journey_stop_requested": (_of("journey", "text"), _of("key", "text", nullable=True)),
    "customer_erased": (),
}
"""The events by which people and services ask the orchestrator for something."""

PEOPLE = frozenset({"registered", "moved", "consent_changed", "customer_erased"})
TOPICS = ("events.people", "events.shop")


def topic_of(event_type: str) -> str:
    """Where events of this type are published."""
    return TOPICS[0] if event_type in PEOPLE else TOPICS[1]


_COMMON = ({"name": "event_id", "type": "string"}, {"name": "customer_id", "type": "string"})

SCHEMAS: dict[str, str] = {
    name: json.dumps(
        {
            "type": "record",
            "name": name,
            "namespace": "shop",
            "topic": topic_of(name),
            "fields": [
                *_COMMON,
                {"name": "occurred_at", "type": _INSTANT},
                *({"name": field.name, "type": field.avro} for field in fields),
            ],
        }
    )
    for name, fields in {**EVENTS, **ASKED}.items()
}
"""Event type → Avro schema."""

EVENT_TYPES = event_types_from_texts({f"{name}.avsc": text for name, text in SCHEMAS.items()}).types

PROFILE: dict[str, str] = {
    "email": "text",
    "phone": "text",
    "push_token": "text",
    "first_name": "text",
    "language": "text",
    "time_zone": "text",
    "born": "date",
    "score": "whole",
    "renewal": "instant",
    "last_order_at": "instant",
    "spent": "decimal",
}
"""Attribute → the kind of its values; each may be missing."""

SETTABLE = {"score": "whole", "first_name": "text", "spent": "decimal", "renewal": "instant"}
"""The attributes that steps set. The zone is not one of them: what hours are quiet is recounted from the log."""

SEGMENTS = ("busy", "keen", "lapsed", "both", "spender", "curious")
CONSENTS = ("email", "sms", "push", "offers", "ads")
CHANNELS = {"email": "email", "sms": "phone", "push": "push_token"}
AUDIENCES = {"near": ("email", "ads"), "far": ("phone", "sms")}
"""Audience → who the customer is there, and what the customer must have agreed to."""
EXPERIMENTS = {"look": ("plain", "bright"), "pace": ("slow", "quick", "mad")}
"""Experiment → its arms."""
PURPOSES = ("offers", "news", "care")
"""What messages are for where the policies say so; the last one is never promotional."""

FILES: dict[str, str] = {
    "profile.yaml": """\
profile:
  - on: registered
    set:
      email: event.email
      phone: event.phone
      push_token: event.push_token
      first_name: event.first_name
      language: event.language
      time_zone: event.time_zone
      born: event.born
      score: event.score
  - on: registered
    consent:
      - {key: "'email'", granted: event.email_ok}
      - {key: "'sms'", granted: event.sms_ok}
      - {key: "'push'", granted: event.push_ok}
      - {key: "'offers'", granted: event.offers_ok}
      - {key: "'ads'", granted: event.ads_ok}
  - on: moved
    set: {time_zone: event.time_zone, renewal: event.renewal, score: event.score}
  - on: consent_changed
    consent: {key: event.channel, granted: event.granted}
  - on: ordered
    set: {last_order_at: event.occurred_at, spent: event.total / event.items}
""",
    "channels.yaml": """\
channels:
  email: {address: email, consent: email}
  sms: {address: phone, consent: sms}
  push: {address: push_token, consent: push}
""",
    "segments.yaml": """\
segments:
  busy: {when: "count(cart, 3 days) >= 2"}
  keen: {when: profile.score >= 2}
  lapsed: {when: days_since(ordered) >= 2}
  both: {when: segment.keen and not segment.lapsed}
  spender: {when: "sum(ordered.total where event.items != null, 7 days) >= 100"}
  curious: {when: "distinct(viewed.sku, 36 hours) >= 2 or max(cart.value) > 50"}
""",
    "audiences.yaml": """\
audiences:
  near: {destination: ads, identity: email, consent: ads}
  far: {destination: ads, identity: phone, consent: sms}
""",
    "webhooks.yaml": """\
webhooks:
  crm: {endpoint: crm, method: POST, expires: 3 days}
""",
    "templates/asked/human.liquid": "---\nsubject: Call {{ profile.first_name }}\n---\nAbout {{ it }}.",
    "templates/gone/human.liquid": "Call {{ profile.score | divided_by: it }}.",
    **{f"templates/plain/{channel}.liquid": "Hello {{ profile.first_name }}." for channel in CHANNELS},
    **{f"templates/told/{channel}.liquid": "Look: {{ it }}." for channel in CHANNELS},
    **{f"templates/risky/{channel}.liquid": "Each {{ it | divided_by: profile.score }}." for channel in CHANNELS},
    "templates/plain/email.de.liquid": "Hallo {{ profile.first_name }}.",
}
"""The files beside the journeys and the policies."""

PLAIN_FILES = {
    path: text
    for path, text in FILES.items()
    if path in {"profile.yaml", "channels.yaml"} or path.startswith("templates/plain/")
}
"""Those that journeys need which only wait and send a plain message. Fewer are compiled sooner."""

TEMPLATES = {"plain": False, "told": True, "risky": True}
"""Template → whether it takes a variable `it`."""
