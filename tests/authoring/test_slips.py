"""Slips that authors make: each is said once, where it stands, with what to do about it."""

from __future__ import annotations

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_values import event_shapes
from orchestrator.authoring.scenario_files import load_scenarios
from orchestrator.authoring.sources import Sources
from orchestrator.model.problems import Problem
from tests.authoring.cases import fixture_events, fixture_sources

EVENTS = fixture_events().types
FILES = fixture_sources().files
SCENARIO = """scenarios:
  - name: a cart is left alone
    given: {profile: {email: a@b.example, first_name: Ada}, consent: {email: true}}
    when:
      - {event: cart_updated, with: {cart_id: k, value: 30}}
    then:
      - {at: +1 hour, sent: email}
"""


def problems_of(path: str, old: str, new: str) -> tuple[Problem, ...]:
    assert old in FILES[path]
    changed = {path: FILES[path].replace(old, new, 1)}
    return compile_journeys(fixture_sources(changed), EVENTS).problems


IN_A_JOURNEY = [
    ("wait: 1 hour", "wait: 1h", "J501", "write 1 hour"),
    ("wait: 1 hour", "wait: 1 Day", "J501", "write 1 day"),
    ("wait: 1 hour", "wait: 1.5 hours", "J501", "write 90 minutes"),
    ("wait: 1 hour", "wait: 1 hour 30 minutes", "J501", "write 90 minutes"),
    ("wait: 1 hour", "wait: 1 hour and 30 min", "J501", "write 90 minutes"),
    ("wait: 1 hour", "wait: an hour", "J501", "write 1 hour"),
    ("wait: 1 hour", "wait: 60", "J501", "write a whole number and a unit: 90 minutes, 7 days"),
    ("wait: 1 hour", "wait: 1 hour or so", "J501", "write a whole number and a unit: 90 minutes, 7 days"),
    ("wait: 1 hour", "delay: 1 hour", "J116", 'did you mean "wait"?'),
    (
        "wait: 1 hour",
        "wait: {until: 2026-12-24}",
        "J507",
        "a date stands in the profile or in the entry event: until: profile.ATTRIBUTE, or entry.FIELD",
    ),
    ("{when: entry.value >= 100,", "{if: entry.value >= 100,", "J107", 'did you mean "when"?'),
    ("{when: entry.value >= 100,", "{where: entry.value >= 100,", "J107", 'did you mean "when"?'),
    ("go: offer}", "goto: offer}", "J107", 'did you mean "go"?'),
    ("{otherwise: done}", "{else: done}", "J107", 'did you mean "otherwise"?'),
    ("entry.value >= 100", "entry.value => 100", "J120", 'write ">="'),
    ("entry.value >= 100", "entry.value \u2265 100", "J120", 'write ">="'),
    ("entry.value >= 100", "entry.value > 1 AND consent.sms", "J120", 'write "and" in small letters'),
    ("entry.value >= 100", "profile.phone is not null", "J120", "write == null or != null"),
    ("entry.value >= 100", "profile.phone <> 'x'", "J120", 'write "!="'),
    ("entry.value >= 100", "entry.cart_id == \u2018abc\u2019", "J120", "write straight quotes: 'text'"),
    (
        "entry.value >= 100",
        "entry.value >= 100 EUR",
        "J120",
        'leave "EUR" out: a number has no unit, except those of time (7 days)',
    ),
    ("entry.value >= 100", "consent.sms == True", "J210", "write true"),
    ("entry.value >= 100", "consent.sms == yes", "J210", "write true"),
    ("entry.value >= 100", "profile.phone == None", "J210", "write null"),
    (
        "entry.value >= 100",
        "!consent.sms",
        "J105",
        'leave the tag out; in a condition "not" is a word: not consent.sms',
    ),
    (
        "entry.value >= 100",
        "days_since(order_placed) > 3 days",
        "J404",
        "days_since is a number of days: leave the unit out",
    ),
    ("entry.value >= 100", "entry.value >= 100,50", "J197", "write a decimal number with a point: 100.50"),
    ("{value: entry.value}", "{value: 12,50}", "J197", "write a decimal number with a point: 12.50"),
    ("entry.value >= 100", "now - entry.at > 1 day", "J202", "entry.occurred_at is when it happened"),
    ("entry.value >= 100", "steps.remind.outcome == 'send'", "J408", 'did you mean "sent"?'),
    ("entry.value >= 100", "\"steps.react.outcome in ['timeuot']\"", "J408", 'did you mean "timeout"?'),
    ("entry.value >= 100", "steps.remind.channel == 'sms'", "J408", "known: email"),
    ("go: offer}", "go: exit}", "J203", "every target is a step: add one, such as exit: {exit: finished}"),
    (
        "    wait_for:\n      - {on: email_clicked, where: event.action_id == steps.remind.action_id, go: done}",
        "    wait_for: email_clicked",
        "J108",
        "write on: email_clicked",
    ),
    (
        "where: event.value > 0",
        'where: event.cart_id == "a #b"',
        "J123",
        "a # after a blank begins a comment: put quotes around the whole value",
    ),
    (
        "status: live",
        "status:live",
        "J103",
        "a key, a colon, a blank, a value: write key: value",
    ),
    (
        "status: live",
        "status:\u00a0live",
        "J103",
        "there is a no-break space, which looks like a blank and is none: write a blank instead",
    ),
    ("title: Bring", "title: %Bring", "J103", "a text that begins with this sign needs quotes around it"),
    ("title: Bring back a full cart", 'title: "Bring back a full cart', "J103", "the closing quote is missing"),
    (
        "pause: {wait: 1 hour}",
        "pause: {wait: 1 hour",
        "J103",
        'the "{" of line 17 is not closed, or a value before here needs quotes',
    ),
    (
        "    template: reminder",
        "   template: reminder",
        "J103",
        "the keys that belong together stand below each other: those of line 17 begin in column 3",
    ),
]


@pytest.mark.parametrize(("old", "new", "code", "hint"), IN_A_JOURNEY, ids=[slip[1] for slip in IN_A_JOURNEY])
def test_a_slip_in_a_journey_is_one_problem_with_its_remedy(old: str, new: str, code: str, hint: str) -> None:
    problems = problems_of("cart.yaml", old, new)
    # What the slip hides is not known; warnings about templates and the like may follow.
    errors = [(problem.code, problem.hint) for problem in problems if problem.severity == "error"]
    assert errors == [(code, hint)]


@pytest.mark.parametrize(
    ("path", "old", "new", "code", "hint"),
    [
        ("channels.yaml", "address: phone", "adress: phone", "J107", 'did you mean "address"?'),
        ("channels.yaml", "{address: phone, consent: sms}", "phone", "J108", "write address: phone"),
        ("channels.yaml", "sms: {address", "SMS: {address", "J113", "use small letters, digits and _"),
        ("profile.yaml", "consent: {key", "consents: {key", "J107", 'did you mean "consent"?'),
        ("audiences.yaml", "identity:", "identty:", "J107", 'did you mean "identity"?'),
        ("webhooks.yaml", "endpoint:", "endpont:", "J107", 'did you mean "endpoint"?'),
    ],
    ids=lambda value: value,
)
def test_a_slip_in_a_file_of_rules_is_not_repeated_wherever_its_name_is_used(
    path: str, old: str, new: str, code: str, hint: str
) -> None:
    (problem,) = problems_of(path, old, new)
    assert problem.path == path
    assert problem.code == code
    assert problem.hint.startswith(hint)


def test_a_name_that_nobody_wrote_is_unknown_beside_one_whose_entry_is_broken() -> None:
    channels = FILES["channels.yaml"].replace("address: phone", "adress: phone")
    cart = FILES["cart.yaml"].replace("send: [sms, email]", "send: [sms, push, email]")
    found = compile_journeys(fixture_sources({"channels.yaml": channels, "cart.yaml": cart}), EVENTS).problems
    assert [(problem.path, problem.code) for problem in found] == [("cart.yaml", "J205"), ("channels.yaml", "J107")]


def test_a_broken_segment_is_not_called_unknown() -> None:
    segments = "segments:\n  vip: {when: count(order_placed, 7 days) > 2}\n  big: {when: count(order_placed) > 2}\n"
    cart = FILES["cart.yaml"].replace("entry.value >= 100", "segment.vip and segment.bog")
    found = compile_journeys(fixture_sources({"segments.yaml": segments, "cart.yaml": cart}), EVENTS).problems
    assert [(problem.path, problem.code, problem.hint) for problem in found] == [
        ("cart.yaml", "J250", 'did you mean "big"?'),
        ("segments.yaml", "J197", 'put quotes around the whole value: "count(order_placed, 7 days) > 2"'),
    ]


def test_a_step_that_could_not_be_read_has_results() -> None:
    problems = problems_of("cart.yaml", "    template: reminder\n", "")
    assert [problem.code for problem in problems if problem.severity == "error"] == ["J109"]


def test_the_directory_above_the_journeys_is_one_problem() -> None:
    above = Sources(files={f"shop/{path}": text for path, text in FILES.items()}, root=".")
    (problem,) = compile_journeys(above, EVENTS).problems
    assert problem.code == "J196"
    assert problem.hint == "name that directory: orchestrator validate ./shop"


@pytest.mark.parametrize(
    ("old", "new", "code", "hint"),
    [
        ("+1 hour", "1 hour", "J804", "write +1 hour"),
        ("+1 hour", "+1h", "J804", "write 1 hour, with + before it"),
        ("sent: email", "send: email", "J807", 'did you mean "sent"?'),
        ("sent: email", "goal: yes", "J809", "write goal: reached, goal: missed, or goal: 19.80"),
        ("first_name: Ada", "phone: 4912345", "J809", "put it in quotes"),
        ("first_name: Ada", "birthday: 2026-02-30", "J809", "write a day that there is: 2026-03-02"),
        ("email: true", "email: yes", "J809", "write true or false, without quotes"),
    ],
    ids=lambda value: value,
)
def test_a_slip_in_a_scenario_says_what_to_write(old: str, new: str, code: str, hint: str) -> None:
    journeys = compile_journeys(fixture_sources(), EVENTS).journeys
    assert journeys is not None
    assert old in SCENARIO
    files = {"cart.scenarios.yaml": SCENARIO.replace(old, new, 1)}
    found = load_scenarios(files, journeys, event_shapes(EVENTS)).problems
    assert [(problem.code, problem.hint) for problem in found] == [(code, hint)]


def warned_of(old: str, new: str) -> list[tuple[str, str]]:
    return [(problem.code, problem.message) for problem in problems_of("cart.yaml", old, new)]


AWAITED = "      - {on: email_clicked, where: event.action_id == steps.remind.action_id, go: done}\n"


def test_a_step_that_only_follows_an_unreachable_one_is_not_reported_beside_it() -> None:
    problems = problems_of("cart.yaml", "    timeout: 1 day\n", "")
    assert [(problem.code, problem.message) for problem in problems if problem.severity == "error"] == [
        ("J301", 'no way leads to step "worth_it"')
    ]
    assert problems[-1].hint.endswith('step "react" above it always goes elsewhere')


def test_steps_that_lead_to_each_other_in_a_circle_are_reported_once() -> None:
    new = "  done: {exit: finished}\n  one: {wait: 1 day}\n  two: {wait: 1 day, next: one}\n"
    assert warned_of("  done: {exit: finished}\n", new) == [("J301", 'no way leads to step "one"')]


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("{on: order_placed, where: event.cart_id == entry.cart_id, go: done}", ["J345"]),
        ("{on: order_placed, where: event.cart_id == entry.cart_id and event.total > 5, go: done}", ["J345"]),
        ("{on: order_placed, go: done}", []),
        ("{on: order_placed, where: event.total > 5, go: done}", []),
    ],
)
def test_an_awaited_event_that_an_exit_takes_is_warned_of(line: str, codes: list[str]) -> None:
    assert [code for code, _ in warned_of(AWAITED, f"{AWAITED}      - {line}\n")] == codes


@pytest.mark.parametrize(
    ("condition", "codes"),
    [
        ("steps.offer.outcome == 'sent'", ["J347"]),
        ("steps.worth_it.visits > 1", ["J347"]),
        ("steps.remind.outcome == 'sent'", []),
    ],
)
def test_a_result_of_a_step_that_never_comes_before_is_warned_of(condition: str, codes: list[str]) -> None:
    assert [code for code, _ in warned_of("entry.value >= 100", condition)] == codes


def test_in_a_loop_every_step_of_it_comes_before() -> None:
    changed = FILES["cart.yaml"].replace("entry.value >= 100", "steps.offer.visits < 3")
    changed = changed.replace(
        "{send: [sms, email], template: offer}", "{send: [sms, email], template: offer, next: react}"
    )
    changed = changed.replace("      - {otherwise: done}", "      - {otherwise: choose}")
    assert compile_journeys(fixture_sources({"cart.yaml": changed}), EVENTS).problems == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ value | append }}", 'not Liquid: the filter "append" takes 1 value after it'),
        ("{{ value | upcase: 'x' }}", 'not Liquid: the filter "upcase" takes no value after it'),
        ("{% if value %}{{ value | slice }}{% endif %}", 'not Liquid: the filter "slice" takes 1 to 2 values after it'),
        (
            "{{ value | default: 'x', alow_false: true }}",
            'not Liquid: the filter "default" takes no such named value after it',
        ),
    ],
)
def test_a_filter_that_is_not_given_what_it_takes_is_a_mistake(text: str, message: str) -> None:
    template = f"---\nsubject: Hello\n---\n{text}\n"
    found = compile_journeys(fixture_sources({"templates/reminder/email.liquid": template}), EVENTS).problems
    assert [(problem.code, problem.message) for problem in found] == [("J601", message)]


@pytest.mark.parametrize(
    "text", ["{{ value | slice: 0, 2 }}", "{{ value | default: 'x', allow_false: true }}", "{{ value | date }}"]
)
def test_a_filter_that_is_given_what_it_takes_is_none(text: str) -> None:
    template = f"---\nsubject: Hello\n---\n{text}\n"
    assert compile_journeys(fixture_sources({"templates/reminder/email.liquid": template}), EVENTS).problems == ()
