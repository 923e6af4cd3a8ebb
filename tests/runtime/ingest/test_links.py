"""Links in messages: what they do, what they do not tell, and what happens to those that are not ours."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.ingest.links import Kind, Link, LinkKey, read_link_keys, seal, unseal
from orchestrator.runtime.ingest.publisher import Unavailable
from tests.runtime.ingest.served import LINK_KEY, Send, Served

LINK = Link("anna@example.com", "a" * 32, "email", "https://shop.example/cart?id=1&x=ä")
KEYS = {LINK_KEY.name: LINK_KEY}

Got = tuple[int, dict[str, str], bytes]


def ask(served: Served, method: str, path: str, **headers: str) -> Got:
    async def send(client: Send) -> Got:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with client.request(method, path, headers=given, allow_redirects=False) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    found: Got = served.run(send)
    return found


def path(kind: Kind, link: Link = LINK, key: LinkKey = LINK_KEY) -> str:
    return f"/{kind}/{seal(key, kind, link)}" + (".gif" if kind == "o" else "")


def happened(served: Served) -> list[tuple[str, dict[str, Any]]]:
    keep = ("action_id", "url", "channel", "consent")
    return [(e.type, {name: e.fields[name] for name in keep if name in e.fields}) for e in served.log.events]


def test_a_click_leads_on_and_is_an_event() -> None:
    served = Served()
    status, headers, _ = ask(served, "GET", path("c"))
    assert (status, headers["Cache-Control"], headers["Referrer-Policy"]) == (302, "no-store", "no-referrer")
    assert headers["Location"] == LINK.url
    assert happened(served) == [("email_clicked", {"action_id": LINK.action_id, "url": LINK.url})]
    assert served.log.events[0].customer_id == LINK.customer_id


def test_an_opening_is_an_event_and_gets_a_picture_that_nobody_keeps() -> None:
    served = Served()
    status, headers, body = ask(served, "GET", path("o"))
    assert (status, headers["Content-Type"], body[:6]) == (200, "image/gif", b"GIF89a")
    assert headers["Cache-Control"] == "no-store"
    assert happened(served) == [("email_opened", {"action_id": LINK.action_id})]


def test_what_is_done_with_a_message_that_is_no_mail_has_events_of_its_own() -> None:
    served = Served()
    link = Link("anna", "a" * 32, "sms", "https://shop.example/cart")
    assert ask(served, "GET", path("c", link))[0] == 302
    assert ask(served, "GET", path("o", link))[0] == 200
    assert happened(served) == [
        ("message_clicked", {"action_id": link.action_id, "url": link.url, "channel": "sms"}),
        ("message_opened", {"action_id": link.action_id, "channel": "sms"}),
    ]


def test_programs_that_look_ahead_are_answered_and_not_counted() -> None:
    served = Served()
    assert ask(served, "HEAD", path("c"))[0] == 302
    assert ask(served, "HEAD", path("o"))[0] == 200
    assert ask(served, "GET", path("c"), Sec_Purpose="prefetch;prerender")[0] == 302
    assert ask(served, "GET", path("o"), Purpose="prefetch")[0] == 200
    assert served.log.events == []


def test_two_taps_are_one_click_and_a_later_one_is_another() -> None:
    served = Served()
    for _ in range(2):
        ask(served, "GET", path("c"))
    served.now_s += 20
    ask(served, "GET", path("c"))
    ids = [event.event_id for event in served.log.events]
    assert ids[0] == ids[1] != ids[2]


def test_signing_off_takes_one_request_and_looking_at_the_page_is_none() -> None:
    served = Served()
    status, headers, body = ask(served, "GET", path("u"))
    assert (status, served.log.events) == (200, [])
    assert b'<form method="post">' in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    status, _, body = ask(served, "POST", path("u"), Content_Type="application/x-www-form-urlencoded")
    assert (status, b"Unsubscribed" in body) == (200, True)
    assert ask(served, "POST", path("u", Link("anna", "b", "email", consent="newsletter")))[0] == 200
    assert happened(served) == [
        ("unsubscribed", {"action_id": LINK.action_id, "channel": "email", "consent": None}),
        ("unsubscribed", {"action_id": "b", "channel": "email", "consent": "newsletter"}),
    ]


def test_where_the_broker_is_away_a_click_leads_on_and_signing_off_is_asked_for_again() -> None:
    served = Served()
    served.log.refusal = Unavailable("no broker answers")
    assert ask(served, "GET", path("c"))[0] == 302
    assert ask(served, "GET", path("o"))[0] == 200
    status, headers, _ = ask(served, "POST", path("u"))
    assert (status, headers["Retry-After"]) == (503, "60")
    lost = {
        name: served.metrics.registry.get_sample_value("orchestrator_ingest_lost_events_total", {"type": name})
        for name in ("email_clicked", "email_opened", "unsubscribed")
    }
    assert lost == {"email_clicked": 1, "email_opened": 1, "unsubscribed": None}


def test_a_click_whose_event_fails_leads_on_and_is_counted_as_lost() -> None:
    served = Served()
    served.log.refusal = KeyError("email_clicked")
    assert ask(served, "GET", path("c"))[0] == 302
    lost = served.metrics.registry.get_sample_value
    assert lost("orchestrator_ingest_lost_events_total", {"type": "email_clicked"}) == 1


NO_PAGES = ("", "javascript:alert(1)", "//evil.example", "https://", "https://a b", "https://x\r\nY: z")


@pytest.mark.parametrize("url", NO_PAGES)
def test_a_link_leads_to_web_pages_alone(url: str) -> None:
    served = Served()
    assert ask(served, "GET", path("c", Link("anna", "a", "email", url)))[0] == 404
    assert served.log.events == []


def test_tokens_of_others_for_other_uses_and_changed_ones_are_worth_nothing() -> None:
    served = Served()
    click = seal(LINK_KEY, "c", LINK)
    other = seal(LinkKey("k1", b"x" * 32), "c", LINK)
    unknown = seal(LinkKey("k2", LINK_KEY.secret), "c", LINK)
    used_otherwise = (f"/u/{click}", f"/o/{click}.gif")
    for bad in (*used_otherwise, f"/c/{other}", f"/c/{unknown}", f"/c/{click[:-2]}AA", "/c/k1.", "/c/x"):
        assert ask(served, "GET", bad)[0] == 404, bad
    assert served.log.events == []


def test_a_link_tells_nobody_whose_it_is_and_is_the_same_each_time_it_is_made() -> None:
    token = seal(LINK_KEY, "c", LINK)
    assert token == seal(LINK_KEY, "c", LINK)
    assert seal(LINK_KEY, "c", Link("berta", "a" * 32, "email")).split(".")[1][:16] != token.split(".")[1][:16]
    assert re.fullmatch(r"k1\.[A-Za-z0-9_-]+", token)
    assert len(token) < 350


def statuses(served: Served, paths: list[str]) -> list[int]:
    """What one address is answered that asks for one after another."""

    async def flood(client: Send) -> list[int]:
        found = []
        for each in paths:
            async with client.get(each, allow_redirects=False) as answer:
                found.append(answer.status)
        return found

    found: list[int] = served.run(flood)
    return found


def test_an_address_that_tries_invalid_links_is_told_to_wait_and_a_valid_one_from_there_leads_on() -> None:
    assert statuses(Served(), ["/c/k1.AAAA"] * 102 + [path("c")]) == [404] * 100 + [429, 429, 302]


def test_any_number_of_people_may_come_from_one_address() -> None:
    served = Served()
    links = [path("c", Link(str(number), "a", "email", LINK.url)) for number in range(400)]
    assert statuses(served, links) == [302] * 400
    assert len(served.log.events) == 400


def test_one_link_followed_without_end_leads_on_and_makes_only_so_many_events() -> None:
    served = Served()
    assert statuses(served, [path("c")] * 80) == [302] * 80
    assert len(served.log.events) == 60


@given(st.text(max_size=60) | st.from_regex(r"k1\.[A-Za-z0-9_-]{0,80}", fullmatch=True))
@example("k1." + "A" * 5_000)
def test_any_token_is_answered(token: str) -> None:
    assert unseal(KEYS, "c", token) is None


@given(st.text(), st.text(), st.text(), st.sampled_from(["c", "o", "u"]))
def test_what_is_sealed_is_unsealed(customer: str, action: str, url: str, kind: Kind) -> None:
    link = Link(customer, action, "email", url)
    token = seal(LINK_KEY, kind, link)
    assert unseal(KEYS, kind, token) == (link if len(token) <= 4_000 else None)


def test_keys_are_read_and_never_shown() -> None:
    keys = read_link_keys("", {"ORCHESTRATOR_LINK_KEYS": f"# now, and before\nnew {'ab' * 32}\nold {'cd' * 32}\n"})
    assert set(keys) == {"new", "old"}
    assert "abab" not in repr(keys)
    assert unseal(keys, "c", seal(keys["old"], "c", LINK)) == LINK
    with pytest.raises(EnvironmentProblem, match="key 1") as problem:
        read_link_keys("", {"ORCHESTRATOR_LINK_KEYS": "new abcdef"})
    assert "abcdef" not in str(problem.value)
