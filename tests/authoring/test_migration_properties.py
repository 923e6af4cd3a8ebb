"""Whatever two versions of a journey look like: if the proof lets one into the other, nothing is said twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.authoring.compiler import Compilation, compile_journeys, with_pinned
from orchestrator.authoring.migration_proof import prove
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from tests.authoring.cases import fixture_events, fixture_sources

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_772_442_000_000 + HOUR
"""Monday, 10:00 UTC: within the quiet hours."""
HEAD = "journey: cart\nowner: o@shop.example\nstatus: live\nentry: {on: cart_updated}\n"
KINDS = {
    "send": "{send: email, template: reminder, with: {value: 1}}",
    "transactional": "{send: email, template: reminder, with: {value: 1}, class: transactional}",
    "wait": "{wait: 7 hours}",
    "long": "{wait: 2 days}",
    "month": "{wait: 1 month}",
    "morning": '{wait: {until: "09:00"}}',
    "react": "{wait_for: [{on: email_clicked}], timeout: 1 day}",
    "patient": "{wait_for: [{on: email_clicked}, {on: order_placed}], timeout: 3 days}",
    "hold": "{wait_while: not (profile.seen ?? false), timeout: 12 hours}",
    "asked": "{webhook: crm_lead, with: {value: 1}}",
    "mark": "{set: {seen: true}}",
}
POLICIES = {
    "plain": "caps: [{name: weekly, channels: all, max: 9, per: 7 days}]\n",
    "quiet": "quiet_hours: [{channels: all, from: '09:30', to: '08:00'}]\n",
    "rated": "rates: [{channels: [email], max: 2, per: 1 hour}]\n",
}


@dataclass(frozen=True)
class Pair:
    """Steps by name of both versions, which older ones lead where, and the rules that both run under."""

    old: dict[str, str]
    new: dict[str, str]
    steps: dict[str, str]
    timers: str
    rules: str

    @property
    def declared(self) -> str:
        mapped = ", ".join(f"{name}: {target}" for name, target in self.steps.items())
        return (
            f"migrate: {{from: any, timers: {self.timers}, steps: {{{mapped}}}}}\n"
            if mapped
            else (f"migrate: {{from: any, timers: {self.timers}}}\n")
        )


def written(steps: dict[str, str]) -> str:
    return "steps:\n" + "".join(f"  {name}: {KINDS[kind]}\n" for name, kind in steps.items())


@cache
def compiled(text: str, rules: str) -> Compilation:
    profile = fixture_sources().files["profile.yaml"] + "  - on: order_placed\n    set: {seen: false}\n"
    changed = {
        "cart.yaml": HEAD + text,
        "policies.yaml": POLICIES[rules],
        "profile.yaml": profile,
        "cart.scenarios.yaml": "scenarios: []",
    }
    found = compile_journeys(fixture_sources(changed), fixture_events().types)
    assert found.journeys is not None, found.problems
    return found


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=7))
    old = {f"s{number}": kind for number, kind in enumerate(kinds)}
    names = list(old)
    if draw(st.booleans()):
        names = list(draw(st.permutations(names)))
    renamed: dict[str, str] = {}
    new: dict[str, str] = {}
    for number, name in enumerate(names):
        change = draw(st.sampled_from(["keep", "keep", "keep", "rename", "remove", "insert", "other"]))
        if change == "insert":
            new[f"i{number}"] = draw(st.sampled_from(sorted(KINDS)))
        if change == "rename":
            renamed[name] = f"r{number}"
            new[f"r{number}"] = old[name]
        elif change == "other":
            new[name] = draw(st.sampled_from(sorted(KINDS)))
        elif change != "remove":
            new[name] = old[name]
    new = new or {"last": "wait"}
    for name in old:
        if name not in new and name not in renamed and draw(st.integers(0, 2)):
            renamed[name] = draw(st.sampled_from(sorted(new)))
    return Pair(old, new, renamed, draw(st.sampled_from(["keep", "restart"])), draw(st.sampled_from(sorted(POLICIES))))


def same_steps(pair: Pair, name: str) -> set[str]:
    """The older steps that a step of the new version is."""
    found = {name} & pair.old.keys()
    return found | {
        old for old, new in pair.steps.items() if new == name and old not in pair.new and name not in pair.old
    }


def done(effects: Sequence[Effects]) -> list[tuple[str, str]]:
    return [(a.step, a.action_id) for one in effects for a in one.actions if a.customer_id == "c1"]


def head(number: int) -> dict[str, object]:
    return {"event_id": f"e{number}", "customer_id": "c1", "occurred_at": START, "cart_id": "k", "value": 1}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pairs(), st.integers(0, 5 * DAY), st.lists(st.tuples(st.integers(1, 6 * DAY), st.booleans()), max_size=3))
def test_a_migration_that_is_proved_repeats_nothing_and_leaves_nobody_behind(
    pair: Pair, after_ms: int, events: list[tuple[int, bool]]
) -> None:
    before = compiled(written(pair.old), pair.rules).journeys
    now = compiled(pair.declared + written(pair.new), pair.rules)
    assert before is not None
    assert now.journeys is not None
    problems = prove(now.drafts, now.journeys, [before])
    is_proved = not any(problem.severity == "error" for problem in problems)
    engine = OfflineEngine(before)
    customer = Customer(profile={"email": "a@example.com"}, consent={"email": True}, last_at_ms=START - 1)
    engine.put("c1", customer)
    # Somebody else has the first slot of the rate.
    engine.put("c0", Customer(profile={"email": "b@example.com"}, consent={"email": True}, last_at_ms=START - 1))
    engine.apply(START, Event("cart_updated", "e0", "c0", head(0)))
    effects = [engine.apply(START, Event("cart_updated", "e1", "c1", head(1)))]
    later = []
    for number, (at_ms, is_click) in enumerate(sorted(events), 2):
        event = Event("email_clicked" if is_click else "order_placed", f"e{number}", "c1", head(number))
        if at_ms < after_ms:
            effects.append(engine.apply(START + at_ms, event))
        else:
            later.append((START + at_ms, event))
    effects.append(engine.advance(START + after_ms))
    sent_before = {step for step, _ in done(effects) if step in pair.old}
    occupied = {one.step for one in customer.instances}
    engine.journeys = with_pinned(now.journeys, [before])
    change = engine.bring_in_line(START + after_ms)
    assert decode_customer(encode_customer(customer)) == customer
    version = now.journeys.current["cart"].version
    is_new_version = version != before.current["cart"].version
    if is_proved:
        for step, _ in done([change]):
            repeated = same_steps(pair, step) & sent_before
            assert not repeated, f"{step} repeats {repeated}"
        for instance in customer.instances:
            assert instance.version == version
            assert instance.step in now.journeys.current["cart"].steps
        kinds = [told.kind for told in change.transitions if told.customer_id == "c1"]
        assert kinds.count("migrated") == (len(occupied) if is_new_version else 0)
        assert "failed" not in kinds
    effects.append(change)
    for at_ms, event in later:
        effects.append(engine.apply(at_ms, event))
    effects.append(engine.advance(START + 300 * DAY))
    ids = [identity for _, identity in done(effects)]
    assert len(set(ids)) == len(ids)
    if is_proved:
        assert customer.instances == []
