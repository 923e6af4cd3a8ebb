"""Personal data: every field is decided about, and what is marked goes only where it belongs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.explanation import explain, explanation_values, render_explanation
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.sources import Sources
from orchestrator.engine.erasure import ERASED
from orchestrator.model.actions import ActionCommand, Transition
from orchestrator.model.types import Kind
from orchestrator.resources import schemas_dir
from tests.authoring.cases import fixture_sources
from tests.journeys.shipped import DAY, HOUR, START, shipped_journeys, shop_event

MARK = "zz-canary"
IDS = frozenset(
    {
        *("event_id", "customer_id", "action_id", "cart_id", "order_id", "product_id", "contract_id", "notice_id"),
        *("quote_id", "id", "about", "set_id", "event_ids"),
    }
)
WORDS = frozenset(
    {
        *("platform", "step", "channel", "state", "language", "time_zone", "acquisition_channel", "lifecycle", "tier"),
        *("feature", "journey", "key", "reason", "currency", "page", "category", "topic", "outcome", "subject", "url"),
        *("version", "kind", "to", "template", "message_class", "target", "experiments", "value", "journeys", "type"),
        *(
            "act",
            "who",
            "why",
            "environment",
            "release",
            "changes",
            "detail",
            "requested_by",
            "purpose",
            "provider",
            "consent",
        ),
    }
)
"""Text that is not about who the customer is: names that the house gives, reasons, what was looked at."""


def text_fields(schema: Any, inside: str = "", *, is_marked: bool = False) -> Iterator[tuple[str, bool]]:
    """(name, whether it is marked as personal) of each field that holds text or bytes, also within others."""
    if isinstance(schema, list):
        for one in schema:
            yield from text_fields(one, inside, is_marked=is_marked)
    elif isinstance(schema, dict) and "logicalType" in schema:
        # Amounts, days and instants.
        return
    elif isinstance(schema, dict) and schema["type"] == "record":
        for field in schema["fields"]:
            yield from text_fields(field["type"], field["name"], is_marked=is_marked or bool(field.get("pii")))
    elif isinstance(schema, dict):
        for part in (schema.get("items"), schema.get("values"), schema["type"]):
            if part not in (None, "array", "map", "enum"):
                yield from text_fields(part, inside, is_marked=is_marked)
    elif schema in {"string", "bytes"} and inside:
        yield inside, is_marked


@pytest.mark.parametrize("path", sorted(schemas_dir().rglob("*.avsc")), ids=lambda path: path.stem)
def test_of_each_text_in_a_schema_it_is_said_whether_it_is_personal(path: Path) -> None:
    undecided = {
        name
        for name, is_marked in text_fields(json.loads(path.read_text()))
        if not is_marked and name not in IDS | WORDS
    }
    bounds = {"timers_until_customer", "aligned_after", "aligned_until"} if path.stem == "journal_entry" else set()
    assert undecided - bounds == set(), 'mark them "pii": true, or add them to the words of this test'


def played() -> tuple[OfflineEngine, list[Transition], list[ActionCommand], set[str]]:
    """A run of the shipped journeys with a mark of its own in each personal field of each event."""
    engine = OfflineEngine(shipped_journeys())
    transitions: list[Transition] = []
    actions: list[ActionCommand] = []
    marks: set[str] = set()
    types = load_event_types(schemas_dir() / "events")
    # Who registers first enters most journeys; who is erased would be gone.
    first = [name for name in ("customer_registered", "profile_updated") if name in types]
    names = [*first, *sorted(set(types) - {*first, ERASED})]
    granted = {"email_consent": True, "sms_consent": True, "push_consent": True}
    for number, name in enumerate([*names, *names]):
        texts = {field for field in types[name].pii if types[name].fields[field].kind is Kind.STRING}
        personal = {field: f"{MARK}-{name}-{field}" for field in texts}
        marks |= set(personal.values())
        known = granted if name == "customer_registered" else {}
        at_ms = START + number * HOUR
        effects = engine.apply(at_ms, shop_event(name, f"e{number}", "c1", at_ms, **personal, **known))
        transitions += effects.transitions
        actions += effects.actions
    effects = engine.advance(START + 120 * DAY)
    return engine, [*transitions, *effects.transitions], [*actions, *effects.actions], marks


def test_a_mark_in_each_personal_field_gets_into_messages_and_the_record_and_nowhere_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    engine, transitions, actions, marks = played()
    assert len(marks) >= 10
    assert len(transitions) > 20
    told = msgspec.json.encode(transitions).decode()
    assert MARK not in told
    assert MARK not in caplog.text
    # They did go through: into what is marked in the schema of commands, and into the record.
    assert any(MARK in action.address or MARK in str(action.content) for action in actions)
    rest = [msgspec.structs.replace(action, address="", content={}) for action in actions]
    assert MARK not in msgspec.json.encode(rest).decode()
    customer = engine.customers["c1"]
    assert MARK in str(customer.profile)
    journeys = shipped_journeys()
    explanation = explain("c1", transitions, customer, journeys.versions)
    values = msgspec.json.encode(explanation_values(explanation, show_personal_data=False)).decode()
    assert MARK not in values
    assert MARK not in render_explanation(explanation, show_personal_data=False)


SCHEMA = {
    "type": "record",
    "name": "told",
    "namespace": "shop.events",
    "topic": "events.web",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "customer_id", "type": "string"},
        {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "open", "type": ["null", "string"], "default": None},
        {"name": "closed", "type": ["null", "string"], "default": None, "pii": True},
        {"name": "income", "type": "long", "pii": True},
    ],
}
JOURNEY = """
journey: hello
owner: a@shop.example
status: live
entry: {on: told}
steps:
  note: {set: {nickname: lower(entry.closed)}}
  tell: {emit: told, with: {income: 1, FIELD: "VALUE"}}
"""


def codes(tmp_path: Path, text: str) -> set[str]:
    (tmp_path / "told.avsc").write_text(json.dumps(SCHEMA))
    for path in (Path(__file__).parent / "fixtures" / "schemas").glob("*.avsc"):
        (tmp_path / path.name).write_text(path.read_text())
    files = {**fixture_sources().files, "hello.yaml": text}
    return {problem.code for problem in compile_journeys(Sources(files=files), load_event_types(tmp_path)).problems}


@pytest.mark.parametrize(
    ("value", "is_open"),
    [
        ("entry.closed", True),
        ("profile.nickname", True),
        ("profile.nickname ?? 'nobody'", True),
        ("last(told.closed)", True),
        ("entry.open", False),
        ("'text'", False),
    ],
)
def test_what_is_personal_stays_so_on_its_way(tmp_path: Path, value: str, is_open: bool) -> None:
    text = JOURNEY.replace("VALUE", value)
    assert ("J291" in codes(tmp_path, text.replace("FIELD", "open"))) is is_open
    assert "J291" not in codes(tmp_path, text.replace("FIELD", "closed"))


def test_a_yes_or_no_about_it_is_not_personal_and_goals_and_keys_must_not_be(tmp_path: Path) -> None:
    text = JOURNEY.replace("FIELD", "open").replace("VALUE", "'x'", 1)
    assert "J291" not in codes(tmp_path, text)
    goal = "goal: {on: told, within: 1 day, value: VALUE}\nsteps:"
    assert "J291" in codes(tmp_path, text.replace("steps:", goal.replace("VALUE", "event.income")))
    assert "J291" not in codes(tmp_path, text.replace("steps:", goal.replace("VALUE", "count(told)")))
    assert "J291" in codes(tmp_path, text.replace("{on: told}", "{on: told, key: event.income}"))
