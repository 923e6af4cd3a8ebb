"""POST /v1/receipts: who is believed, and what providers' webhooks become."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.events import Event
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import deploy_dir
from orchestrator.runtime.ingest.links import Link, LinkKey, seal
from orchestrator.runtime.ingest.providers import read_providers
from orchestrator.runtime.ingest.publisher import Unavailable
from orchestrator.runtime.ingest.reading import BadBody
from orchestrator.runtime.ingest.receipts import read_receipts
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.ingest.signatures import refusal, sign
from tests.runtime.ingest.served import (
    LINK_KEY,
    PROVIDER_SECRETS,
    PROVIDERS,
    SCHEMES,
    SHAPES,
    RememberingLog,
    Send,
    Served,
    bearer,
    installed,
)

ACTION = "a" * 32


def bounced(**fields: Any) -> dict[str, Any]:
    receipt = {
        "id": "r1",
        "type": "bounced",
        "class": "permanent",
        "at": "2026-03-02T09:00:00Z",
        "customer_id": "anna",
        "action_id": ACTION,
        "to": "anna@example.com",
    }
    return receipt | fields


def of_resend(kind: str, **more: Any) -> dict[str, Any]:
    """A webhook as Resend's pages show it (resend.com/docs/webhooks/emails)."""
    data = {
        "created_at": "2026-03-02T08:59:58.894719+00:00",
        "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
        "message_id": "<111-222-333@email.example.com>",
        "from": "The shop <shop@example.com>",
        "to": ["anna@example.com"],
        "subject": "Your cart",
        "template_id": "43f68331-0622-4e15-8202-246a0388854b",
        "tags": {"customer_id": "anna", "action_id": ACTION},
    }
    return {"type": f"email.{kind}", "created_at": "2026-03-02T09:00:00.000Z", "data": {**data, **more}}


RESEND = of_resend("bounced", bounce={"message": "…", "subType": "Suppressed", "type": "Permanent"})
WHATSAPP = {
    "object": "whatsapp_business_account",
    "entry": [
        {
            "id": "1",
            "changes": [
                {
                    "field": "messages",
                    "value": {
                        "statuses": [
                            {
                                "recipient_identity_key_hash": "x",
                                "conversation": {"id": "c", "origin": {"type": "utility"}},
                                "pricing": {"billable": True, "pricing_model": "PMP", "category": "utility"},
                                "id": "wamid.1",
                                "status": status,
                                "timestamp": "1772442000",
                                "recipient_id": "4915100000",
                                "biz_opaque_callback_data": f"{ACTION}:anna:of:the:shop",
                                **(
                                    {
                                        "errors": [
                                            {
                                                "code": 131049,
                                                "title": "x",
                                                "message": "x",
                                                "error_data": {"details": "x"},
                                            }
                                        ]
                                    }
                                    if status == "failed"
                                    else {}
                                ),
                            }
                            for status in ("sent", "delivered", "read", "failed")
                        ]
                    },
                }
            ],
        }
    ],
}


def post(
    served: Served,
    provider: str,
    body: Any,
    *,
    age_s: int = 0,
    secret_of: str = "",
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """A webhook, signed so long ago with the secret of this provider or another."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    scheme = SCHEMES[secret_of or provider]
    own = SCHEMES[provider]
    stamp = str(int(served.wall()) - age_s)
    given = {"Content-Type": "application/json", own.header: sign(scheme, stamp, sent, "msg_1")}
    given |= {name: value for name, value in ((own.timestamp_header, stamp), (own.id_header, "msg_1")) if name}
    given |= headers or {}

    async def send(client: Send) -> tuple[int, Any]:
        async with client.post(f"/v1/receipts/{provider}", data=sent, headers=given) as answer:
            return answer.status, json.loads(await answer.read())

    found: tuple[int, Any] = served.run(send)
    return found


def test_a_bounce_of_the_generic_form_becomes_an_event() -> None:
    served = Served()
    assert post(served, "generic", {"events": [bounced()]}) == (202, {"accepted": 1, "ignored": 0, "unusable": 0})
    (event,) = served.log.events
    assert (event.type, event.customer_id) == ("message_bounced", "anna")
    assert event.fields["hard"] is True
    assert event.fields["address"] == "anna@example.com"
    assert event.fields["action_id"] == ACTION
    assert event.fields["occurred_at"] == 1_772_442_000_000


def test_a_webhook_that_is_sent_again_gives_the_same_event_ids() -> None:
    served = Served()
    for _ in range(2):
        post(served, "generic", {"events": [bounced()]})
        post(served, "whatsapp", WHATSAPP)
    ids = [event.event_id for event in served.log.events]
    assert ids[:4] == ids[4:]
    assert len(set(ids)) == 4


def test_the_public_form_of_resend() -> None:
    served = Served()
    assert post(served, "resend", RESEND)[0] == 202
    (event,) = served.log.events
    assert (event.type, event.fields["hard"], event.fields["reason"]) == ("message_bounced", True, "Suppressed")
    assert event.fields["address"] == "anna@example.com"


def test_every_kind_of_resend_that_says_something_of_a_message() -> None:
    served = Served()
    click = {"ipAddress": "192.0.2.1", "link": "https://shop.example/cart", "timestamp": "x", "userAgent": "x"}
    said = {
        "sent": {},
        "scheduled": {},
        "delivered": {},
        "delivery_delayed": {},
        "bounced": {"bounce": {"message": "…", "subType": "MailboxFull", "type": "Transient"}},
        "suppressed": {"suppressed": {"message": "…", "type": "OnAccountSuppressionList"}},
        "failed": {"failed": {"reason": "reached_daily_quota"}},
        "complained": {},
        "opened": {},
        "clicked": {"click": click},
    }
    for kind, more in said.items():
        assert post(served, "resend", of_resend(kind, **more))[0] == 202
    keep = ("hard", "reason", "url")
    assert [(e.type, *(e.fields[name] for name in keep if name in e.fields)) for e in served.log.events] == [
        ("message_delivered",),
        ("message_bounced", False, "MailboxFull"),
        ("message_bounced", True, "OnAccountSuppressionList"),
        ("message_failed", "reached_daily_quota"),
        ("message_complained",),
        ("email_opened",),
        ("email_clicked", "https://shop.example/cart"),
    ]


def test_the_public_form_of_whatsapp_with_one_field_for_action_and_customer() -> None:
    served = Served()
    assert post(served, "whatsapp", WHATSAPP) == (202, {"accepted": 3, "ignored": 1, "unusable": 0})
    types = ["message_delivered", "message_opened", "message_failed"]
    assert [event.type for event in served.log.events] == types
    assert {event.customer_id for event in served.log.events} == {"anna:of:the:shop"}
    assert served.log.events[2].fields["reason"] == "131049"
    assert served.log.events[0].fields["channel"] == "whatsapp"


def test_receipts_of_messages_that_are_not_ours_are_answered_and_counted() -> None:
    served = Served()
    found = post(
        served, "generic", {"events": [bounced(customer_id=None), bounced(at="yesterday"), {"type": "odd"}, 7]}
    )
    assert found == (202, {"accepted": 0, "ignored": 2, "unusable": 2})
    value = served.metrics.registry.get_sample_value
    assert value("orchestrator_ingest_receipts_total", {"provider": "generic", "outcome": "unusable"}) == 2


@pytest.mark.parametrize("provider", ["generic", "resend", "whatsapp"])
def test_who_has_not_the_secret_is_not_believed(provider: str) -> None:
    served = Served()
    other = "generic" if provider != "generic" else "whatsapp"
    assert post(served, provider, RESEND, secret_of=other)[0] == 401
    for signature in ("", "nonsense"):
        assert post(served, provider, RESEND, headers={SCHEMES[provider].header: signature})[0] == 401
    assert served.log.events == []
    value = served.metrics.registry.get_sample_value
    counted = {name: value("orchestrator_ingest_bad_signatures_total", {"provider": name}) for name in PROVIDERS}
    assert counted == dict.fromkeys(PROVIDERS, 0) | {provider: 3}


def test_what_was_signed_long_ago_or_is_still_to_be_is_a_replay() -> None:
    served = Served()
    assert post(served, "generic", {"events": [bounced()]}, age_s=299)[0] == 202
    assert post(served, "generic", {"events": [bounced()]}, age_s=301)[0] == 401
    assert post(served, "generic", {"events": [bounced()]}, age_s=-301)[0] == 401
    # Another time than was signed does not help.
    stamp = str(int(served.wall()))
    assert post(served, "generic", {"events": [bounced()]}, age_s=301, headers={"X-Timestamp": stamp})[0] == 401


def test_an_address_that_guesses_signatures_is_answered_429_at_last() -> None:
    served = Served()

    async def guess(client: Send) -> list[int]:
        statuses = []
        for _ in range(101):
            headers = {"X-Signature": "00", "X-Timestamp": str(int(served.wall()))}
            async with client.post("/v1/receipts/generic", json={}, headers=headers) as answer:
                statuses.append(answer.status)
        return statuses

    assert served.run(guess) == [401] * 100 + [429]


def test_bodies_and_providers_that_there_are_not() -> None:
    served = Served()
    assert post(served, "generic", b"{")[0] == 400

    async def unknown(client: Send) -> int:
        async with client.post("/v1/receipts/nobody", json={}) as answer:
            return answer.status

    assert served.run(unknown) == 404
    served.log.refusal = Unavailable("no broker answers")
    assert post(served, "generic", {"events": [bounced()]})[0] == 503


WORDS = st.sampled_from(["changes", "value", "statuses", "type", "status", "errors", "tags", "to", "bounce", "at"])
SCALARS = st.none() | st.text(max_size=8) | st.integers()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner)))
def test_whatever_a_provider_sends_is_read(body: Any) -> None:
    for provider in PROVIDERS.values():
        for sent in (body, {"events": body}, {"entry": body}, {"type": "email.bounced", "data": body}):
            read = read_receipts(json.dumps(sent).encode(), provider, SHAPES)
            assert not read.events


@given(st.binary(max_size=50), st.text(max_size=20), st.text(max_size=20))
def test_whatever_is_in_the_headers_is_refused(body: bytes, signature: str, stamp: str) -> None:
    for name, scheme in SCHEMES.items():
        headers = {scheme.header: signature, scheme.timestamp_header: stamp, scheme.id_header: stamp}
        assert refusal(scheme, headers, body, 1.0)
        headers[scheme.header] = scheme.prefix + signature
        assert refusal(scheme, headers, body, 1.0)
        if body:
            with pytest.raises(BadBody):
                read_receipts(b"\xff" + body, PROVIDERS[name], SHAPES)


def test_providers_without_a_secret_are_left_out_and_bad_files_are_refused(tmp_path: Path) -> None:
    shipped = str(deploy_dir() / "ingest")
    # One that is told its address with each message needs no secret.
    assert set(read_providers(shipped, {})) == {"twilio"}
    (tmp_path / "secret").write_text("g" * 32 + "\n")
    by_file = {"INGEST_SECRET_GENERIC_FILE": str(tmp_path / "secret")}
    found = read_providers(shipped, by_file)
    assert found["generic"].scheme == SCHEMES["generic"]
    assert "gggg" not in repr(found)
    with pytest.raises(EnvironmentProblem, match="too short"):
        read_providers(shipped, {**PROVIDER_SECRETS, "INGEST_SECRET_GENERIC": "short"})
    text = (deploy_dir() / "ingest" / "generic.yaml").read_text()
    for wrong in (
        text.replace("kind: type", "kinds: type"),
        text.replace("message_failed", "customer_erased"),
        text.replace("customer_id: customer_id\n", ""),
        text.replace("{field: at}", "{field: at, in: days}"),
        text.replace("timestamp: X-Timestamp", 'id: ""'),
        text.replace("{timestamp}.", "{timestamp}.{id}."),
        text.replace("timestamp: X-Timestamp", "timestamp: X-Timestamp, tolerance_seconds: -1"),
        text.replace("each: events", "sealed: true"),
        text.replace("each: events", "body: xml"),
        text.replace("{field: at}", "{in: received}").replace("id: id\n", ""),
        "[",
    ):
        (tmp_path / "own.yaml").write_text(wrong)
        with pytest.raises(EnvironmentProblem, match="is not a provider"):
            read_providers(str(tmp_path), PROVIDER_SECRETS)


def test_more_receipts_than_the_publisher_takes_at_once_are_published_in_parts() -> None:
    served = Served(settings=IngestSettings(ingest_in_flight_max=3, ingest_events_max=3))
    parts: list[int] = []

    class Counting(RememberingLog):
        async def publish(self, events: Sequence[Event], *, trace: str = "") -> None:
            parts.append(len(events))
            await super().publish(events, trace=trace)

    served.log = Counting()
    body = {"events": [bounced(id=str(number)) for number in range(8)]}
    assert post(served, "generic", body) == (202, {"accepted": 8, "ignored": 0, "unusable": 0})
    assert parts == [3, 3, 2]


def test_too_many_receipts_are_refused_and_none_is_lost_without_a_word() -> None:
    served = Served(settings=IngestSettings(ingest_body_bytes_max=3_000_000))
    assert post(served, "generic", {"events": [bounced(id=str(number)) for number in range(10_001)]})[0] == 413
    assert served.log.events == []


def test_a_right_signature_does_not_count_against_its_address() -> None:
    served = Served()
    body = json.dumps({"events": [bounced()]}).encode()
    scheme = SCHEMES["generic"]
    stamp = str(int(served.wall()))
    headers = {
        "Content-Type": "application/json",
        scheme.header: sign(scheme, stamp, body),
        scheme.timestamp_header: stamp,
    }

    async def many(client: Send) -> set[int]:
        found = set()
        for _ in range(110):
            async with client.post("/v1/receipts/generic", data=body, headers=headers) as answer:
                found.add(answer.status)
        return found

    assert served.run(many) == {202}


def test_bodies_of_strangers_are_held_up_to_half_and_those_of_clients_go_on() -> None:
    served = Served(settings=IngestSettings(ingest_body_bytes_max=2_000, ingest_held_bytes_max=4_000))
    half = (
        b"POST /v1/receipts/generic HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2000\r\n\r\n"
    )

    async def crowd(client: Send) -> tuple[int, int, int]:
        writers = []
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
            writer.write(half + b" " * 990)
            await writer.drain()
            writers.append(writer)
        await asyncio.sleep(0.1)
        json_type = {"Content-Type": "application/json"}
        async with client.post("/v1/receipts/generic", data=b" " * 500, headers=json_type) as answer:
            stranger = answer.status
        async with client.post("/v1/events", json=installed(), headers=bearer()) as answer:
            known = answer.status
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.1)
        async with client.post("/v1/receipts/generic", data=b" " * 500, headers=json_type) as answer:
            return stranger, known, answer.status

    assert served.run(crowd) == (503, 202, 401)


def asked(served: Served, provider: str, **query: str) -> tuple[int, str]:
    """A provider asks whether the address is ours."""

    async def send(client: Send) -> tuple[int, str]:
        given = {f"hub.{name}": value for name, value in query.items()}
        async with client.get(f"/v1/receipts/{provider}", params=given) as answer:
            return answer.status, await answer.text()

    found: tuple[int, str] = served.run(send)
    return found


def test_a_provider_that_asks_whether_the_address_is_ours_gets_its_challenge_back() -> None:
    token = PROVIDER_SECRETS["INGEST_VERIFY_WHATSAPP"]
    given = {"mode": "subscribe", "challenge": "1158201444"}
    assert asked(Served(), "whatsapp", **given, verify_token=token) == (200, "1158201444")
    for wrong in ({**given, "verify_token": "x"}, given, {"verify_token": token, "challenge": "<b>hello</b>"}):
        status, text = asked(Served(), "whatsapp", **wrong)
        assert status == 403
        assert token not in text
        assert "<b>" not in text
    assert asked(Served(), "generic", **given, verify_token="")[0] == 404
    assert token not in repr(PROVIDERS)


def called_back(served: Served, token: str, *, kind: str = "delivered", body: bytes = b"", **more: str) -> int:
    """A status callback as Twilio sends it."""
    form = {"MessageSid": "SM1", "MessageStatus": kind, "To": "+4915100000", "AccountSid": "AC1", "From": "+1", **more}

    async def send(client: Send) -> int:
        sent = body or urlencode(form).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": "AAAA"}
        async with client.post(f"/v1/receipts/twilio{token}", data=sent, headers=headers) as answer:
            return answer.status

    found: int = served.run(send)
    return found


def test_a_provider_that_was_told_a_sealed_address_is_believed_about_that_message() -> None:
    served = Served()
    token = "/" + seal(LINK_KEY, "r", Link("anna@example.com", ACTION, "sms"))
    for _ in range(2):
        assert called_back(served, token) == 202
    assert called_back(served, token, kind="undelivered", ErrorCode="30005") == 202
    assert called_back(served, token, kind="undelivered", ErrorCode="30003") == 202
    assert called_back(served, token, kind="sending") == 202
    first, again, gone, away = served.log.events
    assert (first.type, first.customer_id, first.event_id) == ("message_delivered", "anna@example.com", again.event_id)
    assert (first.fields["action_id"], first.fields["channel"]) == (ACTION, "sms")
    assert first.fields["occurred_at"] == int(served.wall() * 1000)
    assert (gone.fields["hard"], gone.fields["address"], gone.fields["reason"]) == (True, "+4915100000", "30005")
    assert (away.type, away.fields["hard"]) == ("message_bounced", False)


def test_who_was_told_no_address_is_not_believed() -> None:
    served = Served()
    link = Link("anna", ACTION, "sms")
    other = LinkKey("k1", bytes(32))
    for token in ("/x", "/" + seal(LINK_KEY, "c", link), "/" + seal(other, "r", link)):
        assert called_back(served, token) == 401
    assert called_back(served, "") == 404
    right = "/" + seal(LINK_KEY, "r", link)
    assert called_back(served, right, body=b"MessageStatus=%ff") == 400
    assert called_back(served, right, body=b"&".join(b"a=1" for _ in range(300))) == 400
    body = {"events": [bounced()]}
    assert post(served, "generic", body)[0] == 202
    served.log.events.clear()

    async def signed_elsewhere(client: Send) -> int:
        async with client.post(f"/v1/receipts/generic{right}", json=body) as answer:
            return answer.status

    assert served.run(signed_elsewhere) == 404
    assert served.log.events == []
    value = served.metrics.registry.get_sample_value
    assert value("orchestrator_ingest_bad_signatures_total", {"provider": "twilio"}) == 3
