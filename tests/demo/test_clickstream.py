from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.demo.clickstream import (
    Click,
    clickstream,
    convert,
    occurred_at_ms,
    read_clicks,
    scale_log,
)
from orchestrator.model.events import Event

SCHEMAS = Path(__file__).parents[2] / "schemas" / "events"


@pytest.fixture(scope="module")
def clicks() -> list[Click]:
    return read_clicks()


@pytest.fixture(scope="module")
def events(clicks: list[Click]) -> list[Event]:
    return convert(clicks)


def test_every_row_of_the_log_becomes_one_event(clicks: list[Click], events: list[Event]) -> None:
    of_rows = {event.event_id for event in events if event.event_id.count("-") == 1}
    assert of_rows == {f"ecom-{click.number:05}" for click in clicks}


def test_event_ids_are_unique(events: list[Event]) -> None:
    assert len({event.event_id for event in events}) == len(events)


def test_events_are_in_time_order(events: list[Event]) -> None:
    assert all(occurred_at_ms(a) <= occurred_at_ms(b) for a, b in pairwise(events))


def test_no_two_events_of_one_customer_have_the_same_time(events: list[Event]) -> None:
    assert len({(event.customer_id, occurred_at_ms(event)) for event in events}) == len(events)


def test_events_keep_the_seconds_of_their_rows(clicks: list[Click], events: list[Event]) -> None:
    at_ms = {f"ecom-{click.number:05}": click.at_ms for click in clicks}
    late = [occurred_at_ms(event) - at_ms[event.event_id] for event in events if event.event_id in at_ms]
    assert min(late) == 0
    assert max(late) < 1000


def test_each_user_registers_once_and_before_anything_else(clicks: list[Click], events: list[Event]) -> None:
    firsts: dict[str, str] = {}
    for event in events:
        firsts.setdefault(event.customer_id, event.type)
    assert set(firsts.values()) == {"customer_registered"}
    registered = [event.customer_id for event in events if event.type == "customer_registered"]
    assert sorted(registered) == sorted({click.user_id for click in clicks})


def test_all_events_fit_their_schemas(events: list[Event]) -> None:
    schemas = {path.stem: fastavro.parse_schema(json.loads(path.read_text())) for path in SCHEMAS.glob("*.avsc")}
    for event in events:
        fastavro.schemaless_writer(io.BytesIO(), schemas[event.type], event.fields, strict=True)


def test_a_cart_grows_with_every_addition_until_it_is_bought(events: list[Event]) -> None:
    values: dict[str, Decimal] = {}
    bought: set[str] = set()
    for event in events:
        cart_id = str(event.fields.get("cart_id"))
        if event.type == "cart_updated":
            assert cart_id not in bought
            assert event.fields["value"] > values.get(cart_id, Decimal(0))
            assert event.fields["value"] == sum(item["price"] * item["quantity"] for item in event.fields["items"])
            values[cart_id] = event.fields["value"]
        elif event.type == "order_placed":
            bought.add(cart_id)


def test_every_cart_begins_empty_and_gets_one_product_at_a_time(events: list[Event]) -> None:
    quantities: Counter[str] = Counter()
    for event in events:
        if event.type == "cart_updated":
            cart_id = event.fields["cart_id"]
            quantities[cart_id] += 1
            assert sum(item["quantity"] for item in event.fields["items"]) == quantities[cart_id]
    # Some customers go on shopping after they bought: that is a second cart of the same session.
    assert any(cart_id.endswith("-2") for cart_id in quantities)


def test_an_orders_total_is_the_last_value_of_its_cart(events: list[Event]) -> None:
    values: dict[str, Decimal] = {}
    orders = Counter[bool]()
    for event in events:
        if event.type == "cart_updated":
            values[event.fields["cart_id"]] = event.fields["value"]
        elif event.type == "order_placed":
            cart_id = event.fields["cart_id"]
            orders[cart_id is None] += 1
            assert event.fields["total"] > 0
            assert cart_id is None or event.fields["total"] == values.pop(cart_id)
    # The log has purchases in sessions that put nothing into a cart before.
    assert orders == {False: 364, True: 106}


def test_a_session_without_a_purchase_has_one_cart_named_after_it(clicks: list[Click], events: list[Event]) -> None:
    bought = {click.session_id for click in clicks if click.event == "purchase"}
    session_of = {f"ecom-{click.number:05}": click.session_id for click in clicks}
    for event in events:
        session = session_of.get(event.event_id)
        if event.type == "cart_updated" and session not in bought:
            assert event.fields["cart_id"] == session


def test_people_can_be_written_to_without_reaching_anybody(events: list[Event]) -> None:
    for event in events:
        if event.type == "customer_registered":
            assert event.fields["email"].endswith("@example.com")
            assert event.fields["phone"] is None or event.fields["phone"][5:10] == "55501"


def test_changes_of_the_relationship_are_told(clicks: list[Click], events: list[Event]) -> None:
    stages: defaultdict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.type in {"customer_registered", "profile_updated"}:
            stages[event.customer_id].append(event.fields["lifecycle"])
    assert all(before != after for told in stages.values() for before, after in pairwise(told))
    last = {click.user_id: click.lifecycle for click in sorted(clicks, key=lambda c: (c.at_ms, c.number))}
    assert {user: told[-1] for user, told in stages.items()} == last


def test_converting_again_gives_the_same_events(clicks: list[Click], events: list[Event]) -> None:
    assert convert(reversed(clicks)) == events


def test_an_unknown_row_is_named() -> None:
    click = Click(7, "u", "s", "teleport", 0, "desktop", "email", "new")
    with pytest.raises(ValueError, match=r"row 7 .* 'teleport'"):
        convert([click])


_KINDS = ["home", "product_view", "wishlist_add", "add_to_cart", "payment_details", "payment_error", "purchase"]
_CLICKS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from(_KINDS), st.integers(0, 5)), max_size=40
)


@given(_CLICKS)
def test_any_log_converts_to_consistent_carts_in_time_order(rows: list[tuple[int, int, str, int]]) -> None:
    clicks = [
        Click(number, f"u{user}", f"s{user}-{session}", event, second * 1000, "mobile", "email", "new")
        for number, (user, session, event, second) in enumerate(rows, start=1)
    ]
    events = convert(clicks)
    assert sorted(events, key=occurred_at_ms) == events
    assert len({(event.customer_id, occurred_at_ms(event)) for event in events}) == len(events)
    value: dict[str, Decimal] = {}
    for event in events:
        if event.type == "cart_updated":
            value[event.fields["cart_id"]] = event.fields["value"]
        elif event.type == "order_placed" and event.fields["cart_id"] is not None:
            assert event.fields["total"] == value.pop(event.fields["cart_id"])


def test_copies_are_the_log_again_with_other_customers_in_time_order(events: list[Event]) -> None:
    log = events[:2000]
    scaled = list(scale_log(log, 3, shift_ms=60_000))
    assert all(occurred_at_ms(a) <= occurred_at_ms(b) for a, b in pairwise(scaled))
    assert len({event.event_id for event in scaled}) == 3 * len(log)
    assert len({event.customer_id for event in scaled}) == 3 * len({event.customer_id for event in log})
    assert [event for event in scaled if "." not in event.event_id] == log
    second = [event for event in scaled if event.event_id.endswith(".2")]
    assert [event.type for event in second] == [event.type for event in log]
    assert {occurred_at_ms(b) - occurred_at_ms(a) for a, b in zip(log, second, strict=True)} == {120_000}


def test_copies_share_no_cart_order_or_address(events: list[Event]) -> None:
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for event in scale_log(events, 3):
        assert event.fields["customer_id"] == event.customer_id
        assert event.fields["event_id"] == event.event_id
        for name in ("cart_id", "order_id", "email", "push_token"):
            if event.fields.get(name):
                owners[f"{name}={event.fields[name]}"].add(event.customer_id)
    assert all(len(customers) == 1 for customers in owners.values())


def test_copies_leave_the_original_events_as_they_are(events: list[Event]) -> None:
    before = [json.dumps(event.fields, default=str) for event in events[:500]]
    list(scale_log(events[:500], 2))
    assert [json.dumps(event.fields, default=str) for event in events[:500]] == before


def test_the_clickstream_has_as_many_copies_as_asked_for(events: list[Event]) -> None:
    assert sum(1 for _ in clickstream()) == len(events)
    assert sum(1 for _ in clickstream(copies=2)) == 2 * len(events)
