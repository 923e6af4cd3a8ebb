"""What the shipped templates over HTTP send, for each kind of channel."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.runtime.connectors import Connector
from tests.sinks.receiver import Receiver
from tests.sinks.traffic import Commands, dead_letters, eventually

pytestmark = pytest.mark.broker

Apply = Callable[..., Connector]
HOSTILE = 'a "quote", a \\ and a &To=+49999\nline {{customer_id}} ü'


def on(commands: Commands) -> dict[str, str]:
    return {"topics": commands.topic}


def test_sms_is_a_form_in_which_a_text_is_only_a_text(commands: Commands, apply: Apply, receiver: Receiver) -> None:
    apply("sms", settings=on(commands), SMS_URL=receiver.url, SMS_SENDER="Shop")
    commands.send("a", address="+49170", content={"body": HOSTILE})
    eventually(lambda: bool(receiver.accepted))
    (request,) = receiver.requests
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert urllib.parse.parse_qs(request.body.decode(), strict_parsing=True) == {
        "To": ["+49170"],
        "From": ["Shop"],
        "Body": [HOSTILE],
    }


def test_push_and_whatsapp_are_json_in_which_a_text_is_only_a_text(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    apply("push", settings=on(commands), PUSH_URL=receiver.url)
    commands.send("a", address="token-1", content={"title": HOSTILE, "body": HOSTILE})
    eventually(lambda: bool(receiver.accepted))
    message = receiver.requests[0].json["message"]
    assert message["token"] == "token-1"
    assert message["notification"] == {"title": HOSTILE, "body": HOSTILE}
    apply("whatsapp", settings=on(commands), WHATSAPP_URL=receiver.url)
    eventually(lambda: len(receiver.accepted) == 2)
    assert receiver.requests[1].json["text"] == {"body": HOSTILE}


def test_a_content_without_the_part_that_a_template_needs_is_a_dead_letter(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    connector = apply("push", settings=on(commands), PUSH_URL=receiver.url)
    commands.send("a", content={"body": "x"})
    ((_, headers),) = dead_letters(commands, connector.config["errors.deadletterqueue.topic.name"], 1)
    assert (headers["dlq.reason"], headers["dlq.detail"]) == ("missing_value", "the command has no content.title")


def test_audiences_are_added_to_and_removed_from_by_two_sinks_on_one_topic(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    for template in ("ads-add", "ads-remove"):
        apply(template, settings=on(commands), ADS_URL=receiver.url)
    commands.send("in", kind="audience_add", target="vip")
    commands.send("message")
    commands.send("out", kind="audience_remove", target="vip")
    eventually(lambda: len(receiver.accepted) == 2)
    member = {"audience": "vip", "member": "anna@example.test"}
    assert {(request.method, request.key) for request in receiver.requests} == {("POST", "in"), ("DELETE", "out")}
    assert [request.json for request in receiver.requests] == [member, member]


def test_a_webhook_goes_to_its_endpoint_with_its_own_method_and_body(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    connector = apply("webhook", settings=on(commands), WEBHOOK_URL=receiver.url, WEBHOOK_ENDPOINT="crm")
    body = '{"total": 10.50, "items": ["a"]}'
    webhook: dict[str, Any] = {"kind": "webhook", "target": "crm_lead"}
    commands.send("a", address="crm", content={"method": "PUT", "body": body}, **webhook)
    commands.send("other", address="erp", content={"method": "PUT", "body": body}, **webhook)
    commands.send("bad", address="crm", content={"method": "PUT", "body": "{"}, **webhook)
    commands.send("odd", address="crm", content={"method": "CONNECT", "body": body}, **webhook)
    found = dead_letters(commands, connector.config["errors.deadletterqueue.topic.name"], 2)
    assert [headers["dlq.reason"] for _, headers in found] == ["bad_body", "bad_method"]
    (request,) = receiver.requests
    assert (request.method, request.key, request.body.decode()) == ("PUT", "a", body)
