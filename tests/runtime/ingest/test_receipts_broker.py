"""What comes back from the world is in the next decision: on the real broker, with a real worker."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.resources import deploy_dir
from orchestrator.runtime.ingest.links import Link, seal
from orchestrator.runtime.ingest.signatures import sign
from orchestrator.stack.stack import Stack
from tests.runtime.ingest.endpoint_process import Answer, EndpointProcess, endpoint
from tests.runtime.ingest.served import LINK_KEY, PROVIDER_SECRETS, SCHEMES
from tests.runtime.worker_process import Installation, until

pytestmark = pytest.mark.broker
CUSTOMERS = ("anna", "berta", "clara")


def registered(customer: str) -> dict[str, Any]:
    texts = {"language": "en", "time_zone": "UTC", "acquisition_channel": "web", "lifecycle": "new"}
    return {
        "type": "customer_registered",
        "customer_id": customer,
        "occurred_at": int(time.time() * 1000),
        "email": f"{customer}@example.com",
        "phone": None,
        "push_token": None,
        "first_name": customer,
        "email_consent": True,
        "sms_consent": False,
        "push_consent": False,
        **texts,
    }


def issued(customer: str) -> dict[str, Any]:
    return {
        "type": "disclosure_issued",
        "customer_id": customer,
        "occurred_at": int(time.time() * 1000),
        "notice_id": "n1",
        "subject": "New terms",
        "url": "https://shop.example/n1",
    }


def bounce(running: EndpointProcess, customer: str, action_id: str) -> Answer:
    receipt = {"type": "bounced", "class": "permanent", "at": int(time.time() * 1000)}
    receipt |= {"customer_id": customer, "action_id": action_id, "to": f"{customer.upper()}@example.com"}
    body, stamp = json.dumps({"events": [receipt]}).encode(), str(int(time.time()))
    headers = {"X-Signature": sign(SCHEMES["generic"], stamp, body), "X-Timestamp": stamp}
    return running.request("POST", "/v1/receipts/generic", body, {**headers, "Content-Type": "application/json"})


def test_a_bounce_and_signing_off_are_in_the_next_decision(stack: Stack, topic_prefix: str, tmp_path: Path) -> None:
    installation = Installation(stack, topic_prefix, tmp_path, time="wall")
    secrets = {**PROVIDER_SECRETS, "ORCHESTRATOR_LINK_KEYS": f"{LINK_KEY.name} {LINK_KEY.secret.hex()}"}
    more = ["--ingest-providers", str(deploy_dir() / "ingest")]
    with endpoint(installation, *more, **secrets) as running, installation.worker("a") as worker:
        worker.until_ready()
        assert running.send(*map(registered, CUSTOMERS)).status == 202
        until(lambda: len(installation.actions()) == 3, seconds=30, what="a message to each")
        sent = {action["customer_id"]: action["action_id"] for action in installation.actions()}

        assert bounce(running, "anna", sent["anna"]).json == {"accepted": 1, "ignored": 0, "unusable": 0}
        off = seal(LINK_KEY, "u", Link("berta", sent["berta"], "email"))
        assert running.request("POST", f"/u/{off}", b"List-Unsubscribe=One-Click").status == 200
        link = seal(LINK_KEY, "c", Link("clara", sent["clara"], "email", "https://shop.example/start"))
        assert running.request("GET", f"/c/{link}").headers["Location"] == "https://shop.example/start"

        def clicked() -> bool:
            events = installation.committed(*installation.names.events)
            return any(event.get("url") == "https://shop.example/start" for event in events)

        until(clicked, seconds=20, what="the click is an event")
        assert running.send(*map(issued, CUSTOMERS)).status == 202

        def outcomes() -> dict[str, str]:
            return {
                record["customer_id"]: record["reason"]
                for record in installation.transitions()
                if (record["journey"], record["step"]) == ("regulated_disclosure", "notice")
                and record["kind"] == "step"
            }

        until(lambda: len(outcomes()) == 3, seconds=30, what="a decision about each")
        assert outcomes() == {"anna": "unreachable", "berta": "no_consent", "clara": "sent"}
        written = running.output()
        assert running.stop() == 0
        assert worker.stop() == 0
    assert off not in written
    assert link not in written
    assert "anna" not in written
