"""What lets customers into a journey: as it is written, checked and compiled."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.entry_source import ENTRY_KEYS, TRIGGER_KEYS
from orchestrator.authoring.entry_words import entry_words
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.explanation import iso
from orchestrator.authoring.graph import mermaid
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.scenarios import run_scenarios
from orchestrator.authoring.sources import Sources
from orchestrator.model.journey import Journey, OnDate, WaitFor, WaitWhile
from orchestrator.model.triggers import EntryLimit, OnCommand, OnSchedule
from tests.authoring.cases import fixture_events, fixture_sources

EVENTS = fixture_events().types
ALL_KEYS = [key for kind, more in TRIGGER_KEYS.items() for key in (kind, *more)]
GREETING = """journey: greeting
owner: team@shop.example
status: live
entry: {entry}
steps:
  pause: {{wait: 1 hour}}
  look:
    branch:
      - {{when: {when}, go: done}}
      - {{otherwise: bye}}
  done: {{exit: finished}}
  bye: {{exit: finished}}
"""


def sources(entry: str, when: str = "consent.email") -> Sources:
    return fixture_sources({"greeting.yaml": GREETING.format(entry=entry, when=when)})


def greeting(entry: str, when: str = "consent.email") -> Journey:
    compilation = compile_journeys(sources(entry, when), EVENTS)
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys.current["greeting"]


def codes(entry: str, when: str = "consent.email") -> list[tuple[str, str]]:
    compilation = compile_journeys(sources(entry, when), EVENTS)
    return [(problem.code, problem.hint) for problem in compilation.problems if problem.path == "greeting.yaml"]


def test_a_journey_that_is_only_asked_for() -> None:
    journey = greeting("{command: true, where: consent.email and profile.first_name == 'Ada', reentry: always}")
    assert journey.entry.trigger == OnCommand()
    assert journey.captured == ()


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("{command: maybe}", "J115"),
        ("{on: cart_updated, command: true}", "J160"),
        ("{reentry: always}", "J160"),
        ("{command: true, when: enters}", "J107"),
        ("{segment: vip, when: joins}", "J115"),
        ("{segment: vip}", "J109"),
        ("on_command", "J108"),
    ],
)
def test_an_entry_that_cannot_be_read_is_refused(entry: str, code: str) -> None:
    assert code in {found for found, _ in codes(entry)}


def test_without_an_entry_event_its_fields_are_refused_and_the_instant_of_entry_is_there() -> None:
    hint = "use profile.*; entry.at is when the customer entered"
    assert codes("{command: true}", when="entry.value > 5") == [("J212", hint)]
    assert codes("{command: true, where: event.value > 5}") == [("J212", hint)]
    assert codes("{command: true, where: now - entry.at > 1 day}") != []
    assert codes("{command: true}", when="now - entry.at > 1 day") == []


def test_with_an_entry_event_at_is_one_of_its_fields() -> None:
    assert [code for code, _ in codes("{on: cart_updated}", when="entry.at < now")] == ["J202"]


PROFILE = """profile:
  - on: customer_registered
    set: {email: event.email, phone: event.phone, first_name: event.first_name, time_zone: event.first_name}
  - on: customer_registered
    set: {birthday: event.birthday, spent: event.spent}
  - on: order_placed
    set: {ordered_at: event.occurred_at}
  - on: consent_changed
    consent: {key: event.channel, granted: event.granted}
"""


def played(entry: str, scenarios: str, *, segments: str = "") -> str:
    """What the scenarios' run says of the greeting journey."""
    text = f"scenarios:\n{textwrap.indent(textwrap.dedent(scenarios).strip(), '  ')}\n"
    files = {**sources(entry).files, "profile.yaml": PROFILE, "greeting.scenarios.yaml": text}
    if segments:
        files["segments.yaml"] = segments
    compilation = compile_journeys(Sources(files=files), EVENTS)
    assert compilation.journeys is not None, compilation.problems
    loaded = load_scenarios(files, compilation.journeys, event_shapes(EVENTS))
    assert loaded.problems == ()
    results = run_scenarios(compilation.journeys, loaded.scenarios, only="greeting:")
    assert results
    return "\n".join(f"{missed.expected}: {missed.happened}" for result in results for missed in result.missed)


def test_a_scenario_tells_of_a_birthday() -> None:
    story = """
    - name: a birthday that is known
      given: {time: 2026-03-02T09:00:00Z, profile: {birthday: 2000-03-20, time_zone: America/New_York}}
      when: []
      then:
        - {at: +11 days 4 hours, entered: true}
        - {inside: false}
    - name: a birthday that is learned too late comes round
      given: {time: 2026-03-02T09:00:00Z}
      when:
        - {event: customer_registered, with: {birthday: 2000-03-05, first_name: "Europe/Berlin"}}
      then:
        - {at: +360 days 23 hours, entered: true}
    - name: no birthday
      when: []
      then:
        - {entered: false}
    """
    entry = '{date: profile.birthday, offset: -7 days, at: "09:00", every: year, reentry: always}'
    assert played(entry, story) == ""


def test_a_scenario_tells_of_a_schedule_and_ends() -> None:
    story = """
    - name: the first monday
      given: {time: 2026-03-03T09:00:00Z, profile: {first_name: Ada}}
      when: []
      then:
        - {at: +5 days 23 hours, entered: true}
        - {exited: finished}
        - {at: +1 day, inside: false}
    - name: three of them
      given: {time: 2026-03-03T09:00:00Z, profile: {first_name: Ada}}
      when: []
      until: +20 days
      then:
        - {at: +5 days 23 hours, entered: true}
        - {at: +12 days 23 hours, entered: true}
        - {at: +19 days 23 hours, entered: true}
    """
    entry = "{schedule: '0 9 * * mon', zone: Europe/Berlin, where: profile.first_name == 'Ada', reentry: always}"
    assert played(entry, story) == ""
    assert "entered: true" in played(entry, story.replace("+19 days 23 hours", "+19 days 22 hours"))


def test_what_lets_in_is_compiled() -> None:
    trigger = greeting("{schedule: '0 9 * * mon', zone: Asia/Kathmandu}").entry.trigger
    assert isinstance(trigger, OnSchedule)
    assert (trigger.cron.hours, trigger.zone, trigger.segment) == ((9,), "Asia/Kathmandu", None)
    yearly = greeting("{date: profile.birthday, offset: -2 weeks, every: year, reentry: always}").entry.trigger
    assert isinstance(yearly, OnDate)
    assert (yearly.is_date, yearly.days, yearly.is_yearly, yearly.zone) == (True, -14, True, None)


def test_records_are_brought_in_line_with_changed_schedules_and_with_nothing_else() -> None:
    def alignment(entry: str, status: str = "live", zone: str = "UTC") -> str:
        files = {
            "greeting.yaml": GREETING.format(entry=entry, when="consent.email").replace("live", status),
            "policies.yaml": f"default_zone: {zone}\n",
        }
        compilation = compile_journeys(fixture_sources(files), EVENTS)
        assert compilation.journeys is not None, compilation.problems
        return compilation.journeys.alignment

    monday = alignment("{schedule: '0 9 * * mon'}")
    assert monday == alignment("{ schedule:   '0 9 * * mon' }")
    others = {alignment("{schedule: '0 9 * * tue'}"), alignment("{schedule: '0 9 * * mon'}", zone="Europe/Berlin")}
    plain = alignment("{on: cart_updated}")
    assert len(others | {monday, plain}) == 4
    assert alignment("{schedule: '0 9 * * mon'}", status="draft") == plain


def test_a_drawing_says_what_lets_customers_in() -> None:
    def drawn(entry: str) -> str:
        compilation = compile_journeys(sources(entry), EVENTS)
        draft = next(draft for draft in compilation.drafts if draft.name.name == "greeting")
        return mermaid(draft).splitlines()[4].strip()

    said = drawn("{date: profile.birthday, offset: -7 days, at: '09:00', every: year, zone: Asia/Kathmandu}")
    assert said == (
        'entry(["enters on profile.birthday -7 days every year<br/>at 09:00<br/>in Asia/Kathmandu<br/>once only"])'
    )
    assert drawn("{schedule: '0 9 * * mon', segment: vip, where: consent.email, reentry: always}") == (
        'entry(["enters at 0 9 * * mon<br/>for segment vip<br/>where consent.email<br/>again and again"])'
    )
    assert drawn("{segment: vip, when: leaves}") == 'entry(["enters on leaving segment vip<br/>once only"])'
    assert drawn("{command: true}") == 'entry(["enters when it is asked for<br/>once only"])'


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("{schedule: '0 9 * * mon', segment: vip}", "J250"),
        ("{schedule: '0 9 * * mon', zone: Europe/Berlim}", "J509"),
        ("{date: now}", "J520"),
        ("{date: profile.birthday, offset: -2 hours}", "J514"),
        ("{date: profile.birthday, at: noon}", "J507"),
        ("{date: profile.birthday, every: month}", "J115"),
        ("{date: profile.birthday, when: enters}", "J107"),
        ("{date: profile.birthday, segment: vip}", "J160"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused(entry: str, code: str) -> None:
    assert [found for found, _ in codes(entry)] == [code]


def test_a_window_is_one_of_the_zone_that_it_names_or_of_the_default_one() -> None:
    def window(text: str) -> tuple[str, str]:
        bounds = greeting(f"{{command: true, {text}}}").entry.bounds
        assert bounds is not None
        return iso(bounds.opens_ms), iso(bounds.closes_ms)

    assert window("from: 2026-03-01, until: 2026-04-01 09:30 Asia/Kathmandu") == (
        "2026-03-01T00:00:00.000Z",
        "2026-04-01T03:45:00.000Z",
    )
    assert window("from: 2026-03-01T09:00Z, until: 2026-04-01 Europe/Berlin") == (
        "2026-03-01T09:00:00.000Z",
        "2026-03-31T22:00:00.000Z",
    )
    # The clocks of Lord Howe Island jump over 02:15, those of São Paulo jumped over midnight.
    assert window("from: 2018-11-04 America/Sao_Paulo, until: 2026-10-04 02:15 Australia/Lord_Howe") == (
        "2018-11-04T03:00:00.000Z",
        "2026-10-03T15:30:00.000Z",
    )


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("{on: cart_updated, backfill: true}", "J162"),
        ("{command: true, backfill: true}", "J162"),
        ("{date: profile.birthday, offset: 7 days, backfill: true}", "J162"),
        ("{date: profile.birthday, offset: -7 days, backfill: false}", "J115"),
        ("{command: true, from: 2026-02-30}", "J163"),
        ("{command: true, from: 9999-12-31 America/New_York}", "J163"),
        ("{command: true, until: 0001-01-01 Pacific/Apia}", "J163"),
        ("{command: true, from: 2026-02-01 24:00}", "J163"),
        ("{command: true, until: 2026-02-01 Europe/Berlim}", "J509"),
        ("{command: true, from: 2026-02-01, until: 2026-02-01 01:00 Europe/Berlin}", "J523"),
        ("{command: true, limit: {max: 101}}", "J114"),
        ("{command: true, limit: {max: 1, of: everyone}}", "J115"),
        ("{command: true, limit: {per: 1 day}}", "J109"),
        ("{command: true, limit: [{max: 2}, {max: 1}]}", "J164"),
    ],
)
def test_a_window_a_limit_or_a_backfill_that_cannot_be_meant_is_refused(entry: str, code: str) -> None:
    assert [found for found, _ in codes(entry)] == [code]


def test_a_scenario_says_that_a_journey_comes_into_force() -> None:
    story = """
    - name: the date is ahead
      given: {time: 2026-03-02T09:00:00Z, profile: {birthday: 2026-03-05}, backfill: true}
      when: []
      then:
        - {at: start, entered: true}
    - name: without it nobody enters by surprise
      given: {time: 2026-03-02T09:00:00Z, profile: {birthday: 2026-03-05}}
      when: []
      then:
        - {entered: false}
    """
    assert played("{date: profile.birthday, offset: -7 days, backfill: true}", story) == ""


def test_limits_are_compiled_and_drawn() -> None:
    entry = "{command: true, limit: [{max: 3, per: 365 days}, {max: 10000, of: all}]}"
    bounds = greeting(entry).entry.bounds
    assert bounds is not None
    day = 86_400_000
    assert bounds.limits == (EntryLimit(3, 365 * day, is_of_all=False), EntryLimit(10_000, None, is_of_all=True))
    compilation = compile_journeys(sources(entry), EVENTS)
    assert compilation.journeys is not None
    assert compilation.journeys.uses_shared
    draft = next(draft for draft in compilation.drafts if draft.name.name == "greeting")
    assert entry_words(draft.entry) == [
        "enters when it is asked for",
        "at most 3 times in 365 days",
        "at most 10000 in all",
    ]


def test_months_are_understood_wherever_one_waits_for_so_long_at_most() -> None:
    text = """journey: greeting
owner: team@shop.example
status: live
entry: {on: order_placed, reentry: after 3 months}
goal: {on: email_clicked, within: 1 year}
steps:
  click: {wait_for: [{on: email_clicked}], timeout: 2 months}
  agree: {wait_while: consent.email, timeout: 6 weeks}
"""
    compilation = compile_journeys(fixture_sources({"greeting.yaml": text}), EVENTS)
    assert compilation.journeys is not None, compilation.problems
    journey = compilation.journeys.current["greeting"]
    click, agree = journey.steps["click"], journey.steps["agree"]
    assert isinstance(click, WaitFor)
    assert isinstance(agree, WaitWhile)
    assert (click.timeout_months, agree.timeout_months, agree.timeout_ms) == (2, 0, 42 * 86_400_000)
    assert journey.goal is not None
    assert (journey.goal.within_months, journey.entry.reentry.after_months) == (12, 3)
    draft = next(draft for draft in compilation.drafts if draft.name.name == "greeting")
    said = mermaid(draft)
    for words in ("again after 3 months", "at most 2 months", "at most 42 days", "within 1 year"):
        assert words in said


def test_the_condition_of_a_tick_counts_past_events() -> None:
    story = """
    - name: one order, and it is long ago by the second tick
      given: {time: 2026-03-03T09:00:00Z}
      when:
        - {event: order_placed, with: {cart_id: k1, total: 5}}
        - {at: +1 hour, event: order_placed, with: {cart_id: k2, total: 50}}
      until: +28 days
      then:
        - {at: +6 days, entered: true}
        - {transition: entered, because: schedule}
        - {messages: 0}
    """
    entry = "{schedule: '0 9 * * mon', zone: UTC, reentry: always, where: 'count(order_placed, 10 days) == %d'}"
    assert played(entry % 2, story) == ""
    assert played(entry % 1, story).startswith("entered: true at +6 days: nothing of the kind")


def test_a_wait_may_count_from_the_instant_of_entry() -> None:
    text = GREETING.replace(
        "pause: {{wait: 1 hour}}", "pause: {{wait: {{until: entry.at, offset: 3 days, past: now}}}}"
    )
    for entry, found in (("{command: true}", []), ("{on: cart_updated}", ["J202"])):
        written = text.format(entry=entry, when="consent.email")
        compilation = compile_journeys(fixture_sources({"greeting.yaml": written}), EVENTS)
        assert [problem.code for problem in compilation.problems if problem.path == "greeting.yaml"] == found


ODD = (
    *("1", "-1 days", "7 days", "1 month", "09:00", "24:00", "2026-03-01", "2026-02-30", "0001-01-01"),
    *("9999-12-31 23:59", "9999-12-31 Pacific/Chatham", "0001-01-01 Pacific/Apia", "true", "null", "''"),
    *("'0 9 * * mon'", "'* * * * *'", "'0 9 * * 7-7'", "'*/99999999999 1 1 1 1'", "'\u0663 9 * * *'", "year"),
    *("enters", "profile.birthday", "now", "event.value", "entry.at", "customer", "Europe/Berlin", "never"),
    *("after 3 months", "cart_updated", "vip", "[]", "{}", "[a, b]", "{max: 1}", "{max: 1, of: all}"),
    *("[{max: 1}, {max: 2, per: 1 day}]", "{max: 0}", "{per: 1 day}", "{max: x}"),
)


@settings(deadline=None)
@given(
    st.sampled_from(["", "command: true", "on: cart_updated", "date: profile.birthday", "schedule: '0 9 * * mon'"]),
    st.dictionaries(st.sampled_from([*ENTRY_KEYS, *ALL_KEYS, "wrong"]), st.sampled_from(ODD), max_size=4),
)
def test_whatever_is_written_is_compiled_or_refused(trigger: str, entry: dict[str, str]) -> None:
    given_already = trigger.partition(":")[0]
    written = ", ".join([trigger, *(f"{key}: {value}" for key, value in entry.items() if key != given_already)])
    compilation = compile_journeys(sources(f"{{{written}}}"), EVENTS)
    errors = [problem for problem in compilation.problems if problem.severity == "error"]
    assert (compilation.journeys is None) == bool(errors)


SEGMENTS = "segments: {busy: {when: 'count(order_placed, 7 days) >= 2'}}"
ORDERS = """
      when:
        - {event: order_placed, with: {cart_id: k1, total: 5}}
        - {at: +1 day, event: order_placed, with: {cart_id: k2, total: 5}}
"""


@pytest.mark.parametrize(
    ("entry", "then"),
    [
        ("{segment: busy, when: enters}", "{at: +1 day, entered: true}"),
        # Without an event: the first order leaves the window.
        ("{segment: busy, when: leaves}", "{at: +7 days, entered: true}"),
        # Tuesday the third is the first day, and on the ninth there are two orders still.
        ("{schedule: '0 9 * * mon', segment: busy, zone: UTC}", "{at: +6 days, entered: true}"),
        # A week later to the instant the first order does not count any more.
        ("{schedule: '0 9 * * tue', segment: busy, zone: UTC}", "{entered: false}"),
    ],
)
def test_a_scenario_tells_of_a_segment(entry: str, then: str) -> None:
    story = f"""
    - name: two orders
      given: {{time: 2026-03-03T09:00:00Z, profile: {{first_name: Ada}}}}{ORDERS}
      then:
        - {then}
    """
    assert played(entry, story, segments=SEGMENTS) == ""
