"""What many journeys cost: loading a thousand of them, and an event where a thousand are in force.

They are the shipped ones over and over, each copy for a shop of its own: its entry is narrowed to the shop's events.
Customers belong to one shop each, so that with ten and with a thousand journeys the same is decided about them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.demo.clickstream import convert, read_clicks
from orchestrator.engine.decide import apply_event
from orchestrator.engine.ids import draw
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.types import INTEGER, STRING, EventType
from orchestrator.resources import journeys_dir, schemas_dir

ROUNDS = 3
KINDS = ("cart_abandonment", "welcome_series")
"""The journeys that are copied."""

FEW, MANY = 10, 1_000
STEPS = """\
journey: passing
owner: benchmarks@shop.example
status: live
entry: {on: customer_registered}
goal: {on: order_placed, within: 60 days}
exit:
  - {on: support_requested, where: event.topic == 'complaint'}
steps:
  rest: {wait_for: [{on: app_installed, go: choose}], timeout: 30 days}
  choose: {branch: [{when: profile.language == 'de', go: rest}, {otherwise: rest}]}
"""
"""A passage that an event moves from a wait through a branch to the next wait: a typical transition."""


def measure() -> dict[str, float]:
    """Figure → seconds or microseconds of processor time, the least of several rounds."""
    types = _event_types()
    figures = {f"seconds to load {MANY:,} journeys": _best(lambda: _compiled(types, MANY, "text"), 1, 1.0)}
    for told_apart_by, said in (
        ("text", "by a text"),
        ("range", "by a range"),
        ("amount", "by a text in wide ranges"),
    ):
        costs = {count: _per_event(_compiled(types, count, told_apart_by), count) for count in (FEW, MANY)}
        for count, cost in costs.items():
            figures[f"us per event, {count:,} journeys told apart {said}"] = cost
        figures[f"{MANY:,} journeys to {FEW}, told apart {said}"] = round(costs[MANY] / costs[FEW], 2)
    return {**figures, **_one_decision(types)}


def _event_types() -> dict[str, EventType]:
    types = load_event_types(schemas_dir() / "events")
    more = {"shop": STRING, "shop_number": INTEGER}
    return {name: replace(of, fields={**of.fields, **more}) for name, of in types.items()}


def _compiled(types: dict[str, EventType], count: int, told_apart_by: str) -> JourneySet:
    """So many journeys, told apart by the name of their shop, or by a range that its number is in.

    With `amount` the range is half of all numbers wide, after which the name tells them apart.
    """
    base = read_sources(journeys_dir()).files
    files = {path: text for path, text in base.items() if "/" in path or path in {"profile.yaml", "channels.yaml"}}
    files |= {path: text for path, text in base.items() if path in {"policies.yaml", "audiences.yaml"}}
    for number in range(count // len(KINDS)):
        by_text = f"event.shop == 'shop{number}'"
        own = {
            "text": by_text,
            "range": f"event.shop_number > {number - 1} and event.shop_number < {number + 1}",
            "amount": f"event.shop_number >= {number - count // 4} and event.shop_number <= {number} and {by_text}",
        }[told_apart_by]
        for kind in KINDS:
            files[f"{kind}_{number}.yaml"] = _narrowed(base[f"{kind}.yaml"], f"{kind}_{number}", own)
    compilation = compile_journeys(Sources(files), types)
    assert compilation.journeys is not None, compilation.problems[:3]
    return compilation.journeys


def _narrowed(text: str, name: str, own: str) -> str:
    text = re.sub(r"^journey: .*$", f"journey: {name}", text, count=1, flags=re.MULTILINE)
    narrowed, had_condition = re.subn(
        r"^  where: (.*)$", rf"  where: {own} and (\1)", text, count=1, flags=re.MULTILINE
    )
    return (
        narrowed
        if had_condition
        else re.sub(r"^(  on: .*)$", rf"\1\n  where: {own}", text, count=1, flags=re.MULTILINE)
    )


def _per_event(journeys: JourneySet, count: int) -> float:
    shops = count // len(KINDS)
    events = []
    for event in convert(read_clicks()):
        if event.type in journeys.wanted:
            number = draw("shop", event.customer_id) % shops
            fields = {**event.fields, "shop": f"shop{number}", "shop_number": number}
            events.append(Event(event.type, event.event_id, event.customer_id, fields))

    def replay() -> None:
        engine = OfflineEngine(journeys)
        for event in events:
            engine.apply(event.fields["occurred_at"], event)

    return _best(replay, len(events), 1e6)


def _one_decision(types: dict[str, EventType]) -> dict[str, float]:
    base = read_sources(journeys_dir()).files
    compilation = compile_journeys(Sources({**base, "passing.yaml": STEPS}), types)
    journeys = compilation.journeys
    assert journeys is not None, compilation.problems
    profile = {"email": "a@shop.example", "language": "en"}
    inside = Customer(profile=profile, consent={"email": True}, aligned=journeys.alignment)
    at_ms = 1_790_000_000_000
    for number, event_type in enumerate(("customer_registered", "cart_updated")):
        fields = {"email": "a@shop.example", "cart_id": "c", "value": 50, "items": [], "email_consent": True}
        apply_event(journeys, inside, Event(event_type, f"s{number}", "c", fields), at_ms, Effects())
    assert len(inside.instances) == 3, [one.journey for one in inside.instances]
    record = encode_customer(inside)

    def apply_all(event_type: str, fields: dict[str, Any]) -> Callable[[], None]:
        events = [Event(event_type, f"n{number}", "c", fields) for number in range(2_000)]

        def work() -> None:
            customer = decode_customer(record)
            effects = Effects()
            for event in events:
                apply_event(journeys, customer, event, at_ms, effects)

        return work

    idle = apply_all("product_viewed", {"product_id": "p", "shop": "x"})
    awaited = apply_all("app_installed", {"platform": "ios"})
    return {
        "us, an event that concerns no active step (inside 3 journeys)": _best(idle, 2_000, 1e6),
        "us, an awaited event: two steps on, to the next wait": _best(awaited, 2_000, 1e6),
    }


def _best(work: Callable[[], Any], items: int, scale: float) -> float:
    least = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        least = min(least, time.process_time() - started)
    return round(least / items * scale, 2)
