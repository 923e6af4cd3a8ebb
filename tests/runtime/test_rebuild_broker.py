"""New aggregates get the past from the topics of a real broker, while a worker runs."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.authoring.tracking import listed_aggregates
from orchestrator.model.customer import Customer
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.in_force import load_journeys
from orchestrator.runtime.replay_kafka import TopicReader, found_records
from orchestrator.stack.stack import Stack
from tests.runtime.worker_process import DAY_MS, PARTITIONS, START_MS, Installation, until

pytestmark = pytest.mark.broker

ORDERS, VIEWS = "count(order_placed where event.total > 7, 300 days)", "count(page_viewed)"
JOURNEY = f"""\
journey: regulars
owner: lifecycle@shop.example
status: live
entry: {{segment: regular, when: enters}}
exit:
  - when: {VIEWS} > 99
steps:
  thanks: {{send: email, template: welcome}}
"""
SEGMENT = f"  regular: {{when: '{ORDERS} >= 3'}}\n"
CUSTOMERS = [f"customer-{number}" for number in range(6)]
SCHEMAS = ["--schemas", str(schemas_dir())]


class Shop(Installation):
    """An installation whose customers order and look at pages."""

    def order(self, customer: str, *, at_ms: int, total: str = "9.50") -> None:
        fields = {"order_id": "o", "cart_id": None, "total": Decimal(total), "currency": "EUR"}
        self.send("order_placed", customer, at_ms=at_ms, **fields)

    def view(self, customer: str, *, at_ms: int) -> None:
        self.send("page_viewed", customer, at_ms=at_ms, page="home", url="/")

    def customers(self) -> dict[str, Customer]:
        reader = TopicReader(brokers_of(self.settings))
        found: dict[str, Customer] = {}
        for partition in range(PARTITIONS):
            bounds = reader.bounds(self.names.changelog, partition)
            found |= found_records(reader, self.names.changelog, partition, bounds).customers
        reader.close()
        return found


def before(shop: Shop) -> None:
    """What happens while nothing is counted."""
    for customer in CUSTOMERS:
        shop.register(customer, at_ms=START_MS)
        shop.order(customer, at_ms=START_MS + 1)
        shop.order(customer, at_ms=START_MS + 2)
        # Delivered twice, and one that does not count.
        shop.order(customer, at_ms=START_MS + 2)
        shop.order(customer, at_ms=START_MS + 3, total="1.00")
        shop.view(customer, at_ms=START_MS + 4)
    for customer in ("stranger", "forgotten"):
        shop.view(customer, at_ms=START_MS + 4)
    shop.heartbeat(at_ms=START_MS + DAY_MS)


def after(shop: Shop) -> None:
    """What happens once it is: half of them order, one page view is delivered once more, somebody is forgotten."""
    for customer in CUSTOMERS[:3]:
        shop.order(customer, at_ms=START_MS + DAY_MS + 1)
    shop.view(CUSTOMERS[0], at_ms=START_MS + 4)
    shop.send("customer_erased", "forgotten", at_ms=START_MS + DAY_MS + 1, requested_by="")
    shop.heartbeat(at_ms=START_MS + DAY_MS + 2)


def test_new_aggregates_get_the_past_once_while_a_worker_runs(stack: Stack, topic_prefix: str, tmp_path: Path) -> None:
    shop = Shop(stack, topic_prefix, tmp_path)
    journeys = Path(shutil.copytree(journeys_dir(), tmp_path / "journeys"))
    with shop.worker("a", journeys=journeys) as worker:
        worker.until_ready()
        before(shop)
        until(lambda: len(shop.actions()) >= len(CUSTOMERS), seconds=30, what="a message to each")
        (journeys / "regulars.yaml").write_text(JOURNEY)
        with (journeys / "segments.yaml").open("a") as file:
            file.write(SEGMENT)
        keys = {
            text: one.key for text, one in listed_aggregates(load_journeys(journeys, schemas_dir()).journeys).items()
        }
        applying = ["--time", "stream", "--partitions", str(PARTITIONS), *SCHEMAS]
        applied = shop.command("apply", str(journeys), "--who", "anna", "--why", "regulars", *applying)
        assert f"orchestrator rebuild '{VIEWS}' --who NAME --why TEXT" in applied.stdout, applied.stderr
        until(lambda: "journeys taken up" in worker.output(), seconds=20, what="taken up")
        after(shop)
        counted = [keys[ORDERS], keys[VIEWS]]
        until(lambda: counted[0] in shop.customers()[CUSTOMERS[2]].aggregates, seconds=20, what="live counts")
        registry = ["--registry-url", shop.registry_url]
        looked = shop.command("rebuild", "--look", *registry, *SCHEMAS)
        assert f"{VIEWS}: lacks the past in 2 partitions; all events that count are there" in looked.stdout
        for _ in range(2):
            done = shop.command("rebuild", ORDERS, VIEWS, "--who", "anna", "--why", "test", *registry, *SCHEMAS)
            assert "the past of 7 customers" in done.stdout, done.stdout + done.stderr
        shop.heartbeat(at_ms=START_MS + DAY_MS + 3)
        until(lambda: "stranger" in shop.customers(), seconds=20, what="the past of all")
        # Nothing was due in the past: whoever is a regular by it does not enter.
        assert {action["journey"] for action in shop.actions()} == {"welcome_series"}
        assert worker.stop() == 0
    found = shop.customers()
    assert "forgotten" not in found
    for customer in [*CUSTOMERS, "stranger"]:
        kept = found[customer].aggregates
        orders = 3 if customer in CUSTOMERS[:3] else 2 if customer in CUSTOMERS else 0
        assert (sum(kept.get(counted[0], [])[1::2]), kept[counted[1]]) == (orders, 1), customer
        assert ("regular" in found[customer].segments) == (orders == 3)
    replayed = shop.command("replay", *registry)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
