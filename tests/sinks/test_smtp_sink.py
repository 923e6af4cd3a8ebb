"""The mail sink on a real Kafka Connect, against a real mail server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest

from orchestrator.runtime.connectors import Connector, ConnectWorker
from orchestrator.runtime.ingest.links import Kind, Link, seal, unseal
from orchestrator.runtime.ingest.tracking import is_web
from orchestrator.stack.stack import Stack
from tests.sinks.conftest import LINK_KEY, MAIL_PASSWORD
from tests.sinks.mail_server import OK, MailServer
from tests.sinks.traffic import Commands, dead_letter_count, dead_letters, eventually

pytestmark = pytest.mark.broker

Apply = Callable[..., Connector]
BODY = "<p>Grüße, Anna</p>\n.\n<p>end</p>"


@pytest.fixture
def server() -> Iterator[MailServer]:
    running = MailServer()
    yield running
    running.close()


@pytest.fixture
def mail(commands: Commands, apply: Apply, server: MailServer) -> Connector:
    """The sink of the shipped template, without encryption, on the test's topic."""
    return start(apply, commands, server)


def start(apply: Apply, commands: Commands, server: MailServer, **values: str) -> Connector:
    return apply(
        "email",
        settings={"topics": commands.topic},
        SMTP_HOST="127.0.0.1",
        SMTP_PORT=str(server.port),
        SMTP_FROM="The shöp <shop@example.test>",
        **{"SMTP_SECURITY": "none", **values},
    )


def send(commands: Commands, *action_ids: str, subject: str = "Grüße", address: str = "anna@example.test") -> None:
    commands.send(*action_ids, address=address, content={"subject": subject, "body": BODY})


def ids(server: MailServer) -> list[str]:
    return [str(mail["X-Action-Id"]) for mail in server.mails]


def test_a_command_arrives_as_mail_whose_id_is_made_of_the_action_id(
    mail: Connector, commands: Commands, server: MailServer
) -> None:
    send(commands, "act-1")
    eventually(lambda: bool(server.mails))
    (received,) = server.mails
    assert received["Subject"] == "Grüße"
    assert received["To"] == "anna@example.test"
    assert received["From"] == "The shöp <shop@example.test>"
    assert received["Message-ID"] == "<act-1@example.test>"
    assert received.get_content_type() == "text/html"
    assert received.get_content().splitlines() == BODY.splitlines()


@pytest.mark.parametrize(
    "address",
    [
        "anna@example.test\r\nBcc: eve@example.test",
        "anna@example.test, eve@example.test",
        "Anna <anna@example.test>",
        "friends: anna@example.test, eve@example.test;",
        '"anna@example.test, eve"@example.test',
        "anna(eve@example.test)@example.test",
        " anna@example.test",
        "anna",
        "",
    ],
)
def test_an_address_that_is_not_one_plain_address_is_a_dead_letter(
    address: str, mail: Connector, commands: Commands, server: MailServer
) -> None:
    send(commands, "bad", address=address)
    send(commands, "good")
    eventually(lambda: ids(server) == ["good"])
    assert server.attempts == ["anna@example.test"]
    ((_, headers),) = dead_letters(commands, mail.config["errors.deadletterqueue.topic.name"], 1)
    assert headers["dlq.reason"] == "bad_address"


def test_a_subject_cannot_add_headers(mail: Connector, commands: Commands, server: MailServer) -> None:
    send(commands, "a", subject="Hello\r\nBcc: eve@example.test\r\n\r\n<p>other body</p>\x00")
    eventually(lambda: bool(server.mails))
    (received,) = server.mails
    assert received["Subject"] == "Hello Bcc: eve@example.test <p>other body</p>"
    assert received["Bcc"] is None
    assert server.attempts == ["anna@example.test"]
    assert "Grüße, Anna" in received.get_content()


@pytest.mark.parametrize("stage", ["recipient_answer", "data_answer"])
def test_a_refusal_for_now_holds_the_mail_and_one_for_good_is_a_dead_letter(
    stage: str, mail: Connector, commands: Commands, server: MailServer
) -> None:
    answers = iter(["451 later", "451 later", "550 no such mailbox"])
    setattr(server, stage, lambda address: next(answers, OK) if address.startswith("bob") else OK)
    send(commands, "a")
    send(commands, "b", address="bob@example.test")
    send(commands, "c")
    eventually(lambda: ids(server) == ["a", "c"])
    assert server.attempts.count("bob@example.test") == 3
    ((_, headers),) = dead_letters(commands, mail.config["errors.deadletterqueue.topic.name"], 1)
    assert headers["dlq.reason"] == "smtp_550"
    assert "bob" not in headers["dlq.detail"]


def test_while_the_mail_server_is_down_mails_are_held_and_then_delivered_in_order(
    mail: Connector, commands: Commands, server: MailServer
) -> None:
    send(commands, "first")
    eventually(lambda: ids(server) == ["first"])
    server.close()
    held = [f"held-{number:02}" for number in range(20)]
    send(commands, *held)
    time.sleep(2)
    server.open()
    eventually(lambda: len(server.mails) == 21)
    assert ids(server) == ["first", *held]
    assert dead_letter_count(commands, mail.config["errors.deadletterqueue.topic.name"]) == 0


def test_a_server_without_encryption_gets_nothing_unless_the_configuration_says_so(
    commands: Commands, apply: Apply, server: MailServer
) -> None:
    connector = start(apply, commands, server, SMTP_SECURITY="starttls")
    send(commands, "a")
    time.sleep(2)
    assert server.attempts == []
    assert dead_letter_count(commands, connector.config["errors.deadletterqueue.topic.name"]) == 0


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
def test_it_signs_in_with_a_secret_that_only_connect_knows(
    commands: Commands, apply: Apply, connect_log: Callable[[], str]
) -> None:
    server = MailServer(password=MAIL_PASSWORD)
    try:
        connector = start(apply, commands, server, SMTP_USER="shop")
        assert connector.config["smtp.password"] == "${env:SINK_SMTP_PASSWORD}"
        send(commands, "a", "b")
        eventually(lambda: ids(server) == ["a", "b"])
    finally:
        server.close()
    assert server.logins == [MAIL_PASSWORD]
    assert MAIL_PASSWORD not in connect_log()


LINKED = """<html><body><p>href="https://shop.example/no-link"</p>
<a class='x' href="https://shop.example/cart?a=1&amp;b=%C3%A4">Cart</a> <A HREF='https://shop.example/two'>Two</A>
<a href="mailto:shop@example.test">Mail</a> <a href="unsubscribe:">No more</a> <a href="unsubscribe:newsletter">News</a>
</body></html>"""


def links_of(server: MailServer, kind: Kind) -> list[Link]:
    """What the endpoint reads in the links of the last mail."""
    tokens = re.findall(rf'"https://go\.example\.test/in/{kind}/([^"]+?)(?:\.gif)?"', server.mails[-1].get_content())
    found = [unseal({LINK_KEY.name: LINK_KEY}, kind, token) for token in tokens]
    assert None not in found
    return [link for link in found if link is not None]


def test_links_lead_by_way_of_the_endpoint_which_can_read_them(
    apply: Apply, commands: Commands, server: MailServer
) -> None:
    start(apply, commands, server, LINKS_URL="https://go.example.test/in/", LINKS_TRACK="clicks,opens")
    content = {"subject": "Cart", "body": LINKED}
    commands.send("act-1", customer_id="anna@example.test", channel="email", address="a@example.test", content=content)
    eventually(lambda: bool(server.mails))
    received = server.mails[-1]
    assert links_of(server, "c") == [
        Link("anna@example.test", "act-1", "email", "https://shop.example/cart?a=1&b=%C3%A4"),
        Link("anna@example.test", "act-1", "email", "https://shop.example/two"),
    ]
    plain = Link("anna@example.test", "act-1", "email")
    news = Link("anna@example.test", "act-1", "email", consent="newsletter")
    assert links_of(server, "u") == [plain, news]
    assert links_of(server, "o") == [plain]
    shown = received.get_content()
    assert '<p>href="https://shop.example/no-link"</p>' in shown
    assert 'href="mailto:shop@example.test"' in shown
    assert "anna" not in shown
    assert received["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    one_click = re.fullmatch(r"<https://go\.example\.test/in/u/(\S+)>", "".join(received["List-Unsubscribe"].split()))
    assert one_click is not None
    assert unseal({LINK_KEY.name: LINK_KEY}, "u", one_click[1]) == plain
    # The token is the one that the endpoint would make.
    assert one_click[1] == seal(LINK_KEY, "u", plain)
    assert len(server.mails) == 1


LED = {
    "https://shop.example/a b?x=%C3%A4&amp;y=1": "https://shop.example/a%20b?x=%C3%A4&y=1",
    "https://shop.example/?a=1&#38;b=&#x27;2&apos;": "https://shop.example/?a=1&b='2'",
    "HTTPS://SHOP.EXAMPLE/ä": "HTTPS://SHOP.EXAMPLE/ä",
    "https://shop.example/?a=1&copy=2": "https://shop.example/?a=1&copy=2",
}
LEFT = (
    "https://shop.example/a&nbsp;b",
    "https://shop.example/a\u200bb",
    "https://shop.example/?a=1&copy;2",
    "https://",
    "https:///path",
    "https://[shop/",
    "https://shop\u2100.example/",
    "https://shop.example/" + "a" * 3_000,
)


def test_a_link_that_the_endpoint_would_refuse_is_left_as_it_stands(
    apply: Apply, commands: Commands, server: MailServer
) -> None:
    start(apply, commands, server, LINKS_URL="https://go.example.test/in", LINKS_TRACK="clicks")
    body = "".join(f'<a href="{link}">x</a>\n' for link in (*LED, *LEFT))
    commands.send("act-1", channel="email", address="a@example.test", content={"subject": "Links", "body": body})
    eventually(lambda: bool(server.mails))
    targets = [link.url for link in links_of(server, "c")]
    assert targets == list(LED.values())
    assert all(is_web(target) for target in targets)
    shown = server.mails[-1].get_content()
    assert [link for link in LEFT if f'href="{link}"' not in shown] == []


def test_a_mail_that_must_come_offers_no_button_and_nothing_is_tracked_unless_asked_for(
    apply: Apply, commands: Commands, server: MailServer
) -> None:
    start(apply, commands, server, LINKS_URL="https://go.example.test/in")
    content = {"subject": "Terms", "body": LINKED}
    commands.send("act-1", channel="email", message_class="transactional", address="a@example.test", content=content)
    eventually(lambda: bool(server.mails))
    assert server.mails[-1]["List-Unsubscribe"] is None
    assert (links_of(server, "c"), links_of(server, "o")) == ([], [])
    assert len(links_of(server, "u")) == 2
    assert "https://shop.example/two" in server.mails[-1].get_content()


BAD_LINKS = [("links.url", "https://go.example.test/?x"), ("links.secret", "k1 abcdef"), ("links.track", "all")]


@pytest.mark.parametrize(("setting", "value"), BAD_LINKS)
def test_links_that_could_not_work_are_refused_before_anything_is_sent(
    mail: Connector, connect: Stack, setting: str, value: str
) -> None:
    links = {"links.url": "https://go.example.test", setting: value}
    faults = ConnectWorker(connect.connect_url).faults(Connector(mail.name, {**mail.config, **links}))
    assert [fault.setting for fault in faults] == [setting]
    assert "abcdef" not in str(faults)
