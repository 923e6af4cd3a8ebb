"""Links to sign off with: where one is missed, by whom, and what counts as one."""

from __future__ import annotations

import pytest

from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.resources import schemas_dir
from tests.authoring.cases import fixture_sources

EVENTS = load_event_types(schemas_dir() / "events")
HEARD = """profile:
  - on: customer_registered
    set: {email: event.email, phone: event.phone, first_name: event.first_name}
  - on: unsubscribed
    consent: {key: event.consent ?? event.channel, granted: "false"}
"""
JOURNEY = """journey: cart
owner: team@shop.example
status: %(status)s
entry: {on: order_placed}
steps:
  remind: {send: [email, sms], template: offer, class: %(message_class)s}
"""


def found(
    email: str, sms: str = "x", *, rules: str = "", status: str = "live", message_class: str = "promotional"
) -> list[tuple[str, str, str]]:
    files = fixture_sources().files
    kept = {path: text for path, text in files.items() if path in {"channels.yaml", "policies.yaml"}}
    kept |= {"profile.yaml": HEARD, "templates/offer/email.liquid": email, "templates/offer/sms.liquid": sms}
    kept |= {"cart.yaml": JOURNEY % {"status": status, "message_class": message_class}}
    kept |= {"governance.yaml": rules} if rules else {}
    compilation = compile_journeys(type(fixture_sources())(files=kept), EVENTS)
    return [
        (problem.code, problem.path.removeprefix("templates/offer/").removesuffix(".liquid"), problem.severity)
        for problem in compilation.problems
        if problem.code.startswith("J6")
    ]


MISSED = ("J612", "email", "warning")
ON_EMAIL = "require: {unsubscribe: email}\n"


@pytest.mark.parametrize(
    "link",
    [
        '<a href="unsubscribe:">no</a>',
        "<A class=x HREF = ' unsubscribe:sms ' >no</A>",
        '{% if profile.first_name %}<a href="unsubscribe:email">no</a>{% endif %}',
    ],
)
def test_a_link_in_the_html_of_a_mail_is_one(link: str) -> None:
    assert found(f"<p>Hello</p> {link}") == []


@pytest.mark.parametrize(
    "text", ["<p>Hello</p>", "unsubscribe:", "<unsubscribe:>", '<a href="https://x/unsubscribe:">']
)
def test_a_promotional_mail_without_one_is_a_warning(text: str) -> None:
    assert found(text) == [MISSED]
    assert found(text, message_class="transactional") == []


def test_the_rules_of_the_house_say_on_which_channels_it_is_an_error() -> None:
    text = "<p>Hello</p>"
    assert found(text, rules=ON_EMAIL) == [("J612", "email", "error")]
    assert found(text, rules=ON_EMAIL, status="draft") == [MISSED]
    assert found(text, rules="require: {unsubscribe: []}\n") == []
    both = "require: {unsubscribe: [email, sms]}\n"
    assert found(text, rules=both) == [("J612", "email", "error"), ("J612", "sms", "error")]
    assert found('<a href="unsubscribe:">no</a>', "No more: <unsubscribe:>", rules=both) == []


def test_a_name_in_a_link_is_a_consent_that_somebody_asks_for() -> None:
    assert found('<a href="unsubscribe:letters">no</a>', "<unsubscribe:mail>") == [
        ("J613", "email", "error"),
        ("J613", "sms", "error"),
    ]
