"""Actions other than messages as authors write them: what is compiled, drawn, and run by a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from orchestrator.authoring.compiler import compile_journeys, with_pinned
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.graph import mermaid
from orchestrator.authoring.json_values import json_of
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenario_report import render_results
from orchestrator.authoring.scenarios import run_scenarios
from orchestrator.authoring.sources import Sources
from orchestrator.model.journey import JourneySet
from orchestrator.model.types import DATE, DECIMAL, INSTANT, STRING, Kind, Type
from tests.authoring.cases import fixture_events, fixture_sources
from tests.authoring.test_language_docs import ROOT, examples

EVENTS = fixture_events().types
COUNT = """journey: count
owner: team@shop.example
status: live
entry: {on: order_placed, reentry: always}
exit: {when: profile.orders >= 9}
steps:
  add: {increment: {orders: 1, spent: entry.total, halves: 0.5}}
  is_vip:
    branch:
      - {when: profile.orders >= 2 and not audience.vip_ads, go: vip}
      - {otherwise: stay}
  vip: {audience: {add: vip_ads}, priority: 7, expires: 2 days}
  stay: {wait_while: audience.vip_ads, timeout: 30 days, on_timeout: out}
  gone: {exit: gone}
  out: {audience: {remove: [vip_ads]}}
"""


def compiled(**files: str) -> JourneySet:
    sources = fixture_sources({f"{name}.yaml": text for name, text in files.items()})
    compilation = compile_journeys(sources, EVENTS)
    assert compilation.problems == ()
    assert compilation.journeys is not None
    return compilation.journeys


def missed(journeys: JourneySet, scenarios: Mapping[str, str]) -> str:
    loaded = load_scenarios(scenarios, journeys, event_shapes(EVENTS))
    assert loaded.problems == ()
    results = run_scenarios(journeys, loaded.scenarios)
    return render_results(results) if any(result.missed for result in results) else ""


SCENARIOS = """scenarios:
  - name: counts exactly, adds at the second order, and leaves when the consent is taken back
    given: {profile: {email: a@example.com}, consent: {email: true}}
    when:
      - {event: order_placed, with: {cart_id: c1, total: 0.10}}
      - {at: +1 hour, event: order_placed, with: {cart_id: c2, total: 0.20}}
      - {at: +2 hours, event: consent_changed, with: {channel: email, granted: false}}
    then:
      - {at: start, profile: {orders: 1, spent: 0.10, halves: 0.5}}
      - {at: start, audience: {vip_ads: false}}
      - {at: +1 hour, profile: {orders: 2, spent: 0.30, halves: 1}}
      - {at: +1 hour, command: audience_add, target: vip_ads, address: a@example.com, step: vip}
      - {at: +1 hour, audience: {vip_ads: true}}
      - {at: +1 hour, transition: audience, step: vip, because: added}
      - {at: +2 hours, command: audience_remove, target: vip_ads}
      - {at: +2 hours, audience: {vip_ads: false}}
      - {at: +2 hours, exited: gone}
      - {messages: 0}
  - name: is removed when the time is over
    given: {profile: {email: a@example.com, orders: 5}, consent: {email: true}, audience: {vip_ads: true}}
    when:
      - {event: order_placed, with: {cart_id: c1, total: 1}}
    then:
      - {at: +30 days, command: audience_remove, step: out, address: a@example.com}
      - {at: +30 days, audience: {vip_ads: false}}
"""


def test_a_journey_counts_and_changes_audiences_as_its_scenarios_say() -> None:
    journeys = compiled(count=COUNT)
    assert missed(journeys, {"count.scenarios.yaml": SCENARIOS}) == ""


def test_a_wrong_expectation_says_what_happened_instead() -> None:
    wrong = SCENARIOS.replace("target: vip_ads, address: a@", "target: vip_ads, address: b@").replace(
        "{at: start, audience: {vip_ads: false}}", "{at: start, audience: {vip_ads: true}}"
    )
    said = missed(compiled(count=COUNT), {"count.scenarios.yaml": wrong})
    assert "audience_add vip_ads at +1 hour" in said
    assert "vip_ads: false" in said


def test_an_increment_types_its_attribute_and_orders_its_assignments() -> None:
    journeys = compiled(count=COUNT)
    assert journeys.attributes["orders"].kind is Kind.INTEGER
    assert journeys.attributes["spent"].kind is Kind.DECIMAL
    assert journeys.attributes["halves"].kind is Kind.FLOAT
    swapped = COUNT.replace("orders: 1, spent: entry.total", "spent: entry.total, orders: 1")
    assert compiled(count=swapped).current["count"].version != journeys.current["count"].version


def test_the_version_is_another_when_the_audience_is_kept_elsewhere() -> None:
    elsewhere = "audiences:\n  vip_ads: {destination: sky, identity: email, consent: email}\n"
    before, after = compiled(count=COUNT), compiled(count=COUNT, audiences=elsewhere)
    assert before.current["count"].version != after.current["count"].version
    assert before.current["cart"].version == after.current["cart"].version
    assert before.destinations["ads"] == "actions.ads"
    assert "ads" not in after.destinations


def test_an_audience_of_an_older_version_stays_as_long_as_the_version() -> None:
    before, after = (
        compiled(count=COUNT),
        compiled(audiences="audiences:\n  a: {destination: sky, identity: email, consent: email}\n"),
    )
    assert set(with_pinned(after, [before]).audiences) == {"a", "vip_ads"}
    assert with_pinned(after, [before]).destinations["ads"] == "actions.ads"


def test_a_drawing_shows_what_is_counted_and_who_is_added() -> None:
    compilation = compile_journeys(fixture_sources({"count.yaml": COUNT}), EVENTS)
    text = mermaid(next(draft for draft in compilation.drafts if draft.name.name == "count"))
    assert "add 1 to orders" in text
    assert "add to vip_ads" in text
    assert "remove from vip_ads" in text


SHOP_EVENTS = load_event_types(ROOT / "schemas" / "events")
NURTURE = examples()
NURTURE_SCENARIOS = """scenarios:
  - name: a big order becomes a lead and a call, and the call's outcome ends it
    given: {time: 2026-03-02T09:00:00Z, profile: {email: a@example.com, first_name: Ada}}
    when:
      - {event: order_placed, with: {order_id: o1, total: 1200.50}}
      - {at: +1 day, event: task_completed, with: {action_id: {action_of: call}, outcome: done}}
    then:
      - at: start
        command: webhook
        target: crm_lead
        address: crm
        contains: ['{"ordered_at":"2026-03-02T09:00:00.000Z","total":1200.50}']
      - at: start
        command: task
        target: sales
        step: call
        contains:
          - Call Ada
          - for 1200.50 EUR
          - '{"entered_at":"2026-03-02T09:00:00.000Z","journey":"nurture","variables":{"total":1200.50}}'
      - {at: +1 day, exited: finished}
      - {messages: 0}
  - name: nobody does it, so somebody else is asked
    given: {profile: {email: a@example.com}}
    when:
      - {event: order_placed, with: {order_id: o1, total: 1000}}
    then:
      - {at: +3 days, command: task, target: sales_lead}
"""


def test_people_and_systems_are_asked_and_answer_as_the_scenarios_say() -> None:
    compilation = compile_journeys(Sources(files=NURTURE), SHOP_EVENTS)
    journeys = compilation.journeys
    assert journeys is not None, compilation.problems
    loaded = load_scenarios({"nurture.scenarios.yaml": NURTURE_SCENARIOS}, journeys, event_shapes(SHOP_EVENTS))
    assert loaded.problems == ()
    results = run_scenarios(journeys, loaded.scenarios)
    assert all(not result.missed for result in results), render_results(results)
    assert journeys.destinations["human"] == "actions.human"
    assert journeys.destinations["webhook"] == "actions.webhook"
    assert "human" not in compiled().destinations


def test_the_version_is_another_when_the_endpoint_or_the_text_for_people_is() -> None:
    def version(changed: dict[str, str]) -> str:
        made = compile_journeys(Sources(files={**NURTURE, **changed}), SHOP_EVENTS).journeys
        assert made is not None
        return made.current["nurture"].version

    versions = {
        version({}),
        version({"webhooks.yaml": "webhooks:\n  crm_lead: {endpoint: other}\n"}),
        version({"templates/call_customer/human.liquid": "Call, for {{ total }}."}),
    }
    assert len(versions) == 3


def test_values_become_json_with_all_their_digits_and_dates_that_people_read() -> None:
    render = json_of(
        {
            "b": DECIMAL,
            "a": Type(Kind.LIST, item=Type(Kind.RECORD, fields={"at": INSTANT, "day": DATE, "name": STRING})),
            "c": DATE,
            "d": Type(Kind.MAP, item=DATE),
            "e": INSTANT,
        }
    )
    values = {
        "b": Decimal("1.10"),
        "a": [{"at": 0, "day": None, "name": "x"}, None],
        "c": 10**9,
        "d": {"k": 1},
        "e": 10**18,
    }
    expected = (
        '{"a":[{"at":"1970-01-01T00:00:00.000Z","day":null,"name":"x"},null],"b":1.10,"c":null,'
        '"d":{"k":"1970-01-02"},"e":null}'
    )
    assert render(values) == expected
    assert render(dict.fromkeys(values)) == '{"a":null,"b":null,"c":null,"d":null,"e":null}'
