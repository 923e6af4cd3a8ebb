"""Actions other than messages as authors write them: what is compiled, drawn, and run by a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from orchestrator.authoring.compiler import Compilation, compile_journeys, with_pinned
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.event_values import event_from, event_shapes
from orchestrator.authoring.graph import mermaid
from orchestrator.authoring.json_values import json_of
from orchestrator.authoring.offline import OfflineEngine
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


TIER_SCENARIOS = """scenarios:
  - name: says once that a tier is reached, and another journey is glad of it
    given: {profile: {email: a@example.com}, consent: {email: true}}
    when:
      - {event: order_placed, with: {order_id: o1, total: 600}}
      - {at: +1 hour, event: order_placed, with: {order_id: o2, total: 400}}
      - {at: +2 hours, event: order_placed, with: {order_id: o3, total: 1}}
    then:
      - {at: +1 hour, emitted: tier_changed, step: tell, with: {tier: gold, lifetime_value: 1000.00}}
      - {at: +1 hour, transition: step, step: tell, because: emitted}
      - {at: +1 hour, journey: glad, entered: true}
      - {at: +1 hour, journey: glad, sent: email}
      - {at: +2 hours, profile: {lifetime_value: 1001.00}}
"""
GLAD = """journey: glad
owner: team@shop.example
status: live
entry: {on: tier_changed, where: event.tier == 'gold'}
steps:
  mail: {send: email, template: cart_offer}
"""


def shop_set(**files: str) -> Compilation:
    changed = {f"{name}.yaml": text for name, text in files.items()}
    return compile_journeys(Sources(files={**NURTURE, **changed}), SHOP_EVENTS)


def test_an_emitted_event_is_one_like_any_other_in_scenarios() -> None:
    journeys = shop_set(glad=GLAD).journeys
    assert journeys is not None
    loaded = load_scenarios({"tiers.scenarios.yaml": TIER_SCENARIOS}, journeys, event_shapes(SHOP_EVENTS))
    assert loaded.problems == ()
    results = run_scenarios(journeys, loaded.scenarios)
    assert all(not result.missed for result in results), render_results(results)
    wrong = TIER_SCENARIOS.replace("tier: gold", "tier: silver")
    loaded = load_scenarios({"tiers.scenarios.yaml": wrong}, journeys, event_shapes(SHOP_EVENTS))
    assert "tier_changed at +1 hour (tier: gold)" in render_results(run_scenarios(journeys, loaded.scenarios))


def test_wrong_fields_of_an_expected_event_are_mistakes_of_the_scenario() -> None:
    journeys = shop_set().journeys
    assert journeys is not None
    wrong = TIER_SCENARIOS.replace("tier: gold", "level: gold").replace("1000.00", "1000.005")
    wrong = wrong.replace("journey: glad, ", "")
    wrong = wrong.replace("emitted: tier_changed, step", "emitted: tier_changes, step")
    loaded = load_scenarios({"tiers.scenarios.yaml": wrong}, journeys, event_shapes(SHOP_EVENTS))
    assert [problem.code for problem in loaded.problems] == ["J805"]
    wrong = wrong.replace("tier_changes", "tier_changed")
    loaded = load_scenarios({"tiers.scenarios.yaml": wrong}, journeys, event_shapes(SHOP_EVENTS))
    assert sorted(problem.code for problem in loaded.problems) == ["J805", "J806"]


def test_an_event_that_is_too_exact_for_its_schema_is_a_recorded_outcome() -> None:
    journeys = shop_set(
        thirds="""journey: thirds
owner: team@shop.example
status: live
entry: {on: order_placed}
steps:
  tell: {emit: tier_changed, with: {tier: "'gold'", lifetime_value: entry.total / 3}}
"""
    ).journeys
    assert journeys is not None
    engine = OfflineEngine(journeys)
    shape = event_shapes(SHOP_EVENTS)["order_placed"]
    written = {"event_id": "e", "customer_id": "c", "occurred_at": 0, "total": Decimal(10)}
    effects = engine.apply(0, event_from(shape, written, fill=True))
    assert effects.events == []
    assert [t.reason for t in effects.transitions if t.step == "tell" and t.kind == "step"] == ["invalid_event"]


def codes(**files: str) -> list[str]:
    return [problem.code for problem in shop_set(**files).problems]


ECHO = """journey: {name}
owner: team@shop.example
status: live
entry: {{on: {on}, reentry: {reentry}}}
steps:
{steps}
"""


def echo(name: str, on: str, reentry: str, *steps: str) -> str:
    return ECHO.format(name=name, on=on, reentry=reentry, steps="\n".join(f"  {step}" for step in steps))


TELL_TIER = "tell: {emit: tier_changed, with: {tier: \"'gold'\"}}"
TELL_TASK = "tell: {emit: task_completed, with: {action_id: \"'a'\", outcome: \"'done'\"}}"


def test_journeys_that_set_each_other_off_are_refused_unless_time_passes() -> None:
    back = echo("back", "task_completed", "always", TELL_TIER)
    assert codes(there=echo("there", "tier_changed", "always", TELL_TASK), back=back) == ["J239"]
    assert codes(there=echo("there", "tier_changed", "always", "pause: {wait: 1 minute}", TELL_TASK), back=back) == []
    assert codes(there=echo("there", "tier_changed", "after 1 day", TELL_TASK), back=back) == []
    assert codes(there=echo("there", "tier_changed", "always", TELL_TASK)) == []


def test_two_loops_that_wait_for_each_other_are_refused() -> None:
    wait = "wait: {{wait_for: {{on: {on}, go: tell}}, timeout: 1 day, on_timeout: done}}"
    ends = ("done: {exit: finished}",)

    def loop(name: str, on: str, tell: str, following: str) -> str:
        again = tell.replace("}}", "}, next: " + following + "}") if tell.endswith("}}") else tell
        return echo(name, "order_placed", "never", wait.format(on=on), again, *ends)

    one = loop("one", "tier_changed", TELL_TASK, "wait")
    assert codes(one=one, two=loop("two", "task_completed", TELL_TIER, "wait")) == ["J239"]
    assert codes(one=one, two=loop("two", "task_completed", TELL_TIER, "done")) == []


GOLD_SCENARIOS = """scenarios:
  - name: gold customers are welcomed by the journey that is started, once a year
    given: {profile: {email: a@example.com}, consent: {email: true}}
    when:
      - {event: tier_changed, with: {tier: gold}}
      - {at: +1 day, event: tier_changed, with: {tier: gold}}
    then:
      - {at: start, transition: step, step: welcome, because: start_asked}
      - {at: start, journey: gold_welcome, sent: email, template: cart_offer}
      - {at: +1 day, journey: gold_welcome, transition: not_entered, because: reentry}
  - name: somebody asks for it
    given: {profile: {email: a@example.com}, consent: {email: true}}
    when:
      - {event: journey_requested, with: {journey: gold_welcome}}
    then:
      - {at: start, journey: gold_welcome, sent: email}
  - name: a journey is stopped
    given: {profile: {email: a@example.com}, consent: {email: true}}
    when:
      - {event: journey_requested, with: {journey: slow}}
      - {at: +1 hour, event: journey_stop_requested, with: {journey: slow}}
    then:
      - {at: +1 hour, journey: slow, exited: removed_by_operator}
"""
SLOW = """journey: slow
owner: team@shop.example
status: live
entry: {command: true}
steps:
  wait: {wait: 1 day}
  mail: {send: email, template: cart_offer}
"""


def test_journeys_are_started_and_stopped_as_the_scenarios_say() -> None:
    compilation = shop_set(slow=SLOW)
    assert compilation.journeys is not None, compilation.problems
    assert {"journey_requested", "journey_stop_requested"} <= compilation.journeys.wanted
    assert {"gold_welcome", "slow"} <= compilation.journeys.entries_by_command.keys()
    loaded = load_scenarios(
        {"gold_check.scenarios.yaml": GOLD_SCENARIOS}, compilation.journeys, event_shapes(SHOP_EVENTS)
    )
    assert loaded.problems == ()
    results = run_scenarios(compilation.journeys, loaded.scenarios)
    assert all(not result.missed for result in results), render_results(results)


def commanded(name: str, *steps: str) -> str:
    return echo(name, "x", "never", *steps).replace("{on: x, reentry: never}", "{command: true}")


def test_journeys_that_start_each_other_are_refused_unless_one_waits() -> None:
    back = commanded("back", "again: {start: there}")
    assert codes(there=commanded("there", "again: {start: back}"), back=back) == ["J239"]
    assert codes(there=commanded("there", "pause: {wait: 1 day}", "again: {start: back}"), back=back) == []
    assert codes(there=commanded("there", "again: {start: there}")) == ["J239"]
    on_tier = echo("there", "tier_changed", "always", "again: {start: back}")
    assert codes(there=on_tier, back=commanded("back", TELL_TIER)) == ["J239"]


def test_a_drawing_names_events_and_journeys_that_steps_lead_to() -> None:
    texts = "".join(mermaid(draft) for draft in shop_set().drafts)
    assert "emit tier_changed" in texts
    assert "start gold_welcome" in texts
    assert "stop gold_welcome" in texts


def test_records_are_brought_in_line_with_another_consent_of_an_audience() -> None:
    other = "audiences:\n  vip_ads: {destination: ads, identity: email, consent: sms}\n"
    moved = "audiences:\n  vip_ads: {destination: sky, identity: email, consent: email}\n"
    assert compiled().alignment == compiled(audiences=moved).alignment != compiled(audiences=other).alignment
