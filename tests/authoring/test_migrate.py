"""`migrate` as authors write it: compiled, and no part of the version."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.authoring.compiler import compile_journeys, with_pinned
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.migrations import Migration
from tests.authoring.cases import fixture_events, fixture_sources

DAY = 86_400_000
START = 1_772_442_000_000
CART = fixture_sources().files["cart.yaml"]


def made(text: str = CART) -> JourneySet:
    compilation = compile_journeys(fixture_sources({"cart.yaml": text}), fixture_events().types)
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys


def migrating(*lines: str, text: str = CART) -> str:
    return text.replace("steps:\n", "".join(["migrate:\n", *(f"  {line}\n" for line in lines), "steps:\n"]), 1)


def test_it_is_compiled() -> None:
    found = made(migrating("from: any")).current["cart"].migration
    assert found == Migration(None, {}, restarts=False, values={})
    lines = ["from: [abcdef, 123456]", "steps: {hesitate: pause}", "timers: restart", "entry: {value: -2}"]
    found = made(migrating(*lines)).current["cart"].migration
    assert found == Migration(("abcdef", "123456"), {"hesitate": "pause"}, restarts=True, values={"value": "-2"})


def test_it_is_no_part_of_the_version_and_one_of_what_records_have_to_be_in_line_with() -> None:
    plain, declared = made(), made(migrating("from: any"))
    assert plain.current["cart"].version == declared.current["cart"].version
    assert plain.migrating == {}
    changed = made(migrating("from: any", text=CART.replace("wait: 1 hour", "wait: 2 hours")))
    restarted = made(migrating("from: any", "timers: restart"))
    assert len({plain.alignment, declared.alignment, changed.alignment, restarted.alignment}) == 4
    assert made(migrating("from: any", text=CART.replace("status: live", "status: draft"))).migrating == {}


@pytest.mark.parametrize(
    ("written", "kept"),
    [("entry.pieces", 3), ("entry.weight", 3.0), ("entry.value", "3"), ("entry.note", None)],
)
def test_a_value_is_kept_as_the_field_would_be(written: str, kept: Any) -> None:
    field = written.removeprefix("entry.")
    text = CART.replace("{value: entry.value}", f"{{value: {written}}}").replace("entry.value >= 100", "true")
    lines = ["from: any"] if kept is None else ["from: any", f"entry: {{{field}: 3}}"]
    old, new = made(), made(migrating(*lines, text=text))
    engine = OfflineEngine(old)
    fields = {"cart_id": "k1", "value": 20, "event_id": "e1", "customer_id": "c1", "occurred_at": START}
    engine.apply(START - 2, Event("customer_registered", "e0", "c1", {"email": "a@example.com"}))
    consent = {"channel": "email", "granted": True}
    engine.apply(START - 1, Event("consent_changed", "e0b", "c1", consent))
    engine.apply(START, Event("cart_updated", "e1", "c1", fields))
    engine.journeys = with_pinned(new, [old])
    moved = engine.bring_in_line(START + 1).transitions
    assert [t.kind for t in moved] == ["migrated"]
    captured = [one.field for one in new.current["cart"].captured]
    (instance,) = engine.customers["c1"].instances
    values = dict(zip(captured, instance.entry, strict=True))
    assert (values["cart_id"], values[field]) == ("k1", "20" if field == "value" else kept)


def test_a_journey_that_is_retired_still_takes_customers_along() -> None:
    retired = made(migrating("from: any", text=CART.replace("status: live", "status: retired")))
    assert list(retired.migrating) == ["cart"]
