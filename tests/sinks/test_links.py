"""Links of messages that are no mails, on real parts: Kafka Connect, what it delivers to, the endpoint, a worker."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.resources import deploy_dir
from orchestrator.runtime.connectors import Connector, ConnectWorker
from orchestrator.runtime.ingest.links import Link, unseal
from orchestrator.stack.stack import Stack
from tests.runtime.ingest.endpoint_process import endpoint
from tests.runtime.worker_process import Installation, until
from tests.sinks.conftest import LINK_KEY, SECRETS
from tests.sinks.receiver import Receiver
from tests.sinks.traffic import Commands, dead_letters, eventually

pytestmark = pytest.mark.broker

Apply = Callable[..., Connector]
GO = "https://go.example.test/in"
KEYS = {LINK_KEY.name: LINK_KEY}


def opened(text: str) -> tuple[str, list[Link | None]]:
    """The text with the links of the endpoint numbered, and what the endpoint reads in them."""
    found: list[Link | None] = []

    def numbered(match: re.Match[str]) -> str:
        kind = match[1]
        assert kind in {"c", "u"}
        found.append(unseal(KEYS, "c" if kind == "c" else "u", match[2]))
        return f"[{kind}{len(found)}]"

    return re.sub(rf"{GO}/(\w)/([\w-]+\.[\w-]+)", numbered, text), found


TEXT = (
    "10% off: https://shop.example/offer?a=1&b=(x). More (https://shop.example/two), or http://shop.example/ä!\n"
    "Not links: shop.example, unsubscribe: reply STOP, ftp://x.example, https://. Stop: <unsubscribe:> "
    "<unsubscribe:news>"
)


def test_links_of_a_text_lead_by_way_of_the_endpoint_and_the_rest_is_as_it_was(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    on = {"topics": commands.topic}
    apply("sms", settings=on, SMS_URL=receiver.url, SMS_SENDER="Shop", LINKS_URL=f"{GO}/", SMS_LINKS_TRACK="clicks")
    commands.send("act-1", channel="sms", customer_id="anna", content={"body": TEXT})
    eventually(lambda: bool(receiver.accepted))
    body = urllib.parse.parse_qs(receiver.requests[0].body.decode(), strict_parsing=True)["Body"][0]
    text, links = opened(body)
    assert text == (
        "10% off: [c1]. More ([c2]), or [c3]!\n"
        "Not links: shop.example, unsubscribe: reply STOP, ftp://x.example, https://. Stop: [u4] [u5]"
    )
    targets = ["https://shop.example/offer?a=1&b=(x)", "https://shop.example/two", "http://shop.example/ä"]
    assert links == [
        *(Link("anna", "act-1", "sms", target) for target in targets),
        Link("anna", "act-1", "sms"),
        Link("anna", "act-1", "sms", consent="news"),
    ]


def test_a_part_that_is_a_link_is_led_and_a_whole_command_says_how_to_sign_off(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    tracked = {"LINKS_URL": GO, "PUSH_LINKS_TRACK": "clicks", "HTTP_LINKS_TRACK": "clicks"}
    apply("push", settings={"topics": commands.topic}, PUSH_URL=receiver.url, **tracked)
    content = {"title": "https://shop.example/title", "body": "Look", "image": "https://shop.example/i.png"}
    commands.send("linked", channel="push", content={**content, "link": "https://shop.example/cart"})
    commands.send("bare", channel="push", content=content)
    commands.send("off", channel="push", content={**content, "link": "unsubscribe:"}, message_class="transactional")
    eventually(lambda: len(receiver.accepted) == 3)
    messages = [request.json["message"] for request in receiver.requests]
    # Neither what it is called nor a picture is something that people click.
    assert {message["notification"]["title"] for message in messages} == {"https://shop.example/title"}
    found = [opened(message["data"]["link"]) for message in messages]
    assert found == [
        ("[c1]", [Link("user_1", "linked", "push", "https://shop.example/cart")]),
        ("", []),
        ("[u1]", [Link("user_1", "off", "push")]),
    ]
    apply("http", settings={"topics": commands.topic}, HTTP_URL=receiver.url, **tracked)
    eventually(lambda: len(receiver.accepted) == 6)
    linked, _, off = (request.json for request in receiver.requests[3:])
    assert linked["content"]["image"] == content["image"]
    assert opened(linked["content"]["link"]) == found[0]
    assert opened(linked["links"]["unsubscribe"]) == ("[u1]", [Link("user_1", "linked", "push")])
    # What must come cannot be signed off from, unless its author says so.
    assert "links" not in off
    assert opened(off["content"]["link"]) == found[2]


def test_a_provider_of_mail_over_http_gets_html_with_links_and_the_header_for_signing_off(
    commands: Commands, apply: Apply, receiver: Receiver
) -> None:
    body = {
        "to": ["{{address}}"],
        "html": "{{content.body}}",
        "headers": {"List-Unsubscribe": "<{{links.unsubscribe}}>", "X-Topic": "{{content.topic?}}"},
    }
    settings = {"topics": commands.topic, "http.body": json.dumps(body), "links.track": "clicks,opens"}
    apply("http", settings=settings, HTTP_URL=receiver.url, HTTP_LINKS_FORM="html", LINKS_URL=GO)
    html = '<a href="https://shop.example/?a=1&amp;b=2">x</a> https://shop.example/text <a href="unsubscribe:">no</a>'
    commands.send("act-1", channel="email", content={"body": html})
    eventually(lambda: bool(receiver.accepted))
    sent = receiver.requests[0].json
    shown, links = opened(sent["html"].partition("<img")[0])
    assert shown == '<a href="[c1]">x</a> https://shop.example/text <a href="[u2]">no</a>'
    assert links == [
        Link("user_1", "act-1", "email", "https://shop.example/?a=1&b=2"),
        Link("user_1", "act-1", "email"),
    ]
    assert f'<img src="{GO}/o/' in sent["html"]
    assert opened(sent["headers"]["List-Unsubscribe"]) == ("<[u1]>", [Link("user_1", "act-1", "email")])
    assert sent["headers"]["X-Topic"] == ""
    # A bracket that somebody forgot makes the rest of the mail part of the link.
    endless = f'<a href="https://shop.example/" {"and so on " * 2_000}'
    html = f'<a data-href="https://shop.example/app" href="unsubscribe:">no</a> {endless}'
    commands.send("act-2", channel="email", content={"body": html})
    eventually(lambda: receiver.accepted == ["act-1", "act-2"])
    shown, links = opened(receiver.requests[-1].json["html"].partition("<img")[0])
    assert shown == f'<a data-href="https://shop.example/app" href="[u1]">no</a> {endless}'
    assert links == [Link("user_1", "act-2", "email")]


def test_what_is_no_message_is_left_as_it_is_and_a_promise_that_cannot_be_kept_is_a_dead_letter(
    commands: Commands, apply: Apply, receiver: Receiver, connect: Stack
) -> None:
    connector = apply("http", settings={"topics": commands.topic}, HTTP_URL=receiver.url, HTTP_LINKS_TRACK="clicks")
    task = {"subject": "Call", "body": "See https://shop.example/customer <unsubscribe:>"}
    commands.send("task", kind="task", content=task)
    commands.send("promised", content={"body": "No more? <unsubscribe:>"})
    commands.send("plain", content={"body": "See https://shop.example/"})
    eventually(lambda: receiver.accepted == ["task", "plain"])
    assert [request.json["content"]["body"] for request in receiver.requests] == [
        task["body"],
        "See https://shop.example/",
    ]
    ((_, headers),) = dead_letters(commands, connector.config["errors.deadletterqueue.topic.name"], 1)
    assert headers["dlq.reason"] == "no_links"
    opens = Connector(connector.name, {**connector.config, "links.url": GO, "links.track": "opens"})
    assert [fault.setting for fault in ConnectWorker(connect.connect_url).faults(opens)] == ["links.track"]


RECEIPT = {"event_id", "customer_id", "occurred_at", "action_id", "channel"}
"""The fields of message_delivered."""

JOURNEY = {
    "channels.yaml": "channels:\n  sms: {address: phone, consent: sms}\n",
    "profile.yaml": (
        "profile:\n  - on: customer_registered\n    set: {phone: event.phone}\n"
        "    consent:\n      - {key: \"'sms'\", granted: event.sms_consent}\n"
        '  - on: unsubscribed\n    consent: {key: event.channel, granted: "false"}\n'
    ),
    "templates/offer/sms.liquid": "Our offer: https://shop.example/offer?of={{ profile.phone }} Stop: <unsubscribe:>\n",
    "templates/thanks/sms.liquid": "You have looked at it. Is it yours?\n",
    "offers.yaml": """\
journey: offers
owner: crm
status: live
entry: {on: customer_registered}
steps:
  offer: {send: sms, template: offer}
  look:
    wait_for:
      - {on: message_clicked, where: event.action_id == steps.offer.action_id and event.channel == 'sms', go: thank}
      - {on: unsubscribed, where: event.action_id == steps.offer.action_id, go: thank}
    timeout: 1 day
    on_timeout: done
  thank: {send: sms, template: thanks}
  done: {exit: finished}
""",
}


def test_a_click_in_a_text_message_moves_its_journey_on_and_signing_off_is_in_the_next_decision(
    connect: Stack, apply: Apply, receiver: Receiver, topic_prefix: str, tmp_path: Path
) -> None:
    journeys = tmp_path / "journeys"
    for name, text in JOURNEY.items():
        (journeys / name).parent.mkdir(parents=True, exist_ok=True)
        (journeys / name).write_text(text)
    installation = Installation(connect, topic_prefix, tmp_path, time="wall")

    def register(customer: str) -> dict[str, Any]:
        texts = {"language": "en", "time_zone": "UTC", "acquisition_channel": "web", "lifecycle": "new"}
        told = {"email_consent": False, "sms_consent": True, "push_consent": False, "email": None, "push_token": None}
        now_ms = int(time.time() * 1000)
        head = {"type": "customer_registered", "customer_id": customer, "occurred_at": now_ms, "first_name": customer}
        return {**head, **texts, **told, "phone": f"+49{len(customer)}"}

    def sent(customer: str) -> list[str]:
        forms = [urllib.parse.parse_qs(request.body.decode()) for request in receiver.requests]
        return [form["Body"][0] for form in forms if form["To"] == [f"+49{len(customer)}"]]

    keys = {"ORCHESTRATOR_LINK_KEYS": SECRETS["SINK_LINK_KEY"]}
    with (
        endpoint(installation, "--ingest-providers", str(deploy_dir() / "ingest"), **keys) as running,
        installation.worker("a", journeys=journeys) as worker,
    ):
        given = {"LINKS_URL": running.url, "SMS_LINKS_TRACK": "clicks"}
        apply("sms-twilio", TWILIO_URL=receiver.url, SMS_SENDER="Shop", **given)
        worker.until_ready()
        assert running.send(register("anna"), register("berta")).status == 202
        until(lambda: sent("anna") and sent("berta"), seconds=40, what="an offer to each")
        click = re.search(r"offer: (\S+)", sent("anna")[0])
        off = re.search(r"Stop: (\S+)", sent("berta")[0])
        assert click is not None
        assert off is not None
        assert "anna" not in click[1]
        assert running.request("GET", click[1]).headers["Location"] == "https://shop.example/offer?of=+494"
        assert running.request("POST", off[1], b"List-Unsubscribe=One-Click").status == 200
        until(lambda: len(sent("anna")) == 2, seconds=40, what="thanks for the click")
        # The provider was told where to say what became of this message, and nothing of whose it is.
        (callback,) = urllib.parse.parse_qs(receiver.requests[0].body.decode())["StatusCallback"]
        assert callback.startswith(f"{running.url}/v1/receipts/twilio/k1.")
        form = urllib.parse.urlencode({"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+49"}).encode()
        typed = {"Content-Type": "application/x-www-form-urlencoded"}
        assert running.request("POST", callback, form, typed).status == 202

        def delivered() -> set[str]:
            events = installation.committed(*installation.names.events)
            return {event["action_id"] for event in events if set(event) == RECEIPT}

        until(delivered, seconds=20, what="the receipt is an event")
        assert delivered() == {receiver.requests[0].key}

        def thanked() -> dict[str, str]:
            found = [record for record in installation.transitions() if record["step"] == "thank"]
            return {record["customer_id"]: record["reason"] for record in found if record["kind"] == "step"}

        until(lambda: len(thanked()) == 2, seconds=40, what="a decision about each")
        assert thanked() == {"anna": "sent", "berta": "no_consent"}
        assert len(sent("berta")) == 1
        assert running.stop() == 0
        assert worker.stop() == 0
