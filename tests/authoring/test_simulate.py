from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from orchestrator.authoring.event_files import BadLine, EventLine
from orchestrator.authoring.simulate import OutOfOrder, Simulation, in_order, simulate
from orchestrator.cli.simulate import command
from orchestrator.engine.ids import draw
from orchestrator.resources import journeys_dir, schemas_dir
from tests.journeys.shipped import DAY, HOUR, START, shipped_journeys, shop_event

CART = shipped_journeys().current["cart_abandonment"]
HELD_OUT = next(f"h{n}" for n in range(10_000) if draw("holdout/cart_abandonment", f"h{n}") < CART.holdout)
TREATED = next(f"t{n}" for n in range(10_000) if draw("holdout/cart_abandonment", f"t{n}") >= CART.holdout)


def line(number: int, after_ms: int, event_type: str, customer_id: str = TREATED, **fields: Any) -> EventLine:
    at_ms = START + after_ms
    return EventLine(number, at_ms, shop_event(event_type, f"e{number}", customer_id, at_ms, **fields))


def registered(number: int, customer_id: str, **fields: Any) -> EventLine:
    known = {"email": "a@example.com", "email_consent": True, **fields}
    return line(number, 0, "customer_registered", customer_id, **known)


def cart(number: int, after_ms: int, customer_id: str, value: int = 20) -> EventLine:
    return line(number, after_ms, "cart_updated", customer_id, cart_id="k", value=value)


def run(*lines: EventLine | BadLine, **options: Any) -> Simulation:
    return simulate(shipped_journeys(), lines, **options)


def test_entries_paths_sends_and_exits_are_counted() -> None:
    found = run(registered(1, TREATED), cart(2, DAY * 30, TREATED))
    report = found.journeys["cart_abandonment"]
    assert (report.treated.passages, report.held_out.passages) == (1, 0)
    assert report.steps["react"].outcomes == {("timeout", "worth_an_offer"): 1}
    assert report.steps["worth_an_offer"].outcomes == {("otherwise", "last_call"): 1}
    assert report.sent == {("email", "cart_reminder"): 1, ("web", "cart_last_call"): 1}
    assert report.exits == {"finished": 1}
    assert report.steps["done"].left == 1
    assert found.journeys["welcome_series"].exits == {"not_bought": 1}


def test_what_was_not_sent_is_counted_by_reason() -> None:
    # Three welcome messages in a week leave no room for the cart's two.
    found = run(registered(1, TREATED), cart(2, DAY * 4 + 1, TREATED))
    assert found.journeys["cart_abandonment"].not_sent == {"capped": 2}
    found = run(registered(1, TREATED, email=None))
    assert found.journeys["welcome_series"].not_sent == {"unreachable": 4}


def test_both_sides_of_the_holdout_are_compared() -> None:
    order = {"cart_id": "k", "total": "12.50"}
    found = run(
        registered(1, TREATED),
        registered(2, HELD_OUT),
        cart(3, HOUR, TREATED),
        cart(4, HOUR, HELD_OUT),
        line(5, HOUR + 1, "order_placed", HELD_OUT, **order),
        line(6, HOUR + 2, "order_placed", TREATED, **order),
    )
    report = found.journeys["cart_abandonment"]
    assert (report.treated.converted, report.treated.value, report.treated.conversion) == (1, Decimal("12.50"), 1.0)
    assert (report.held_out.passages, report.held_out.converted, report.held_out.value) == (1, 1, Decimal("12.50"))


def test_customers_who_wait_at_the_end_are_where_they_wait() -> None:
    found = run(registered(1, TREATED), cart(2, HOUR, TREATED), until_ms=START + HOUR + 1)
    assert found.journeys["cart_abandonment"].steps["think_it_over"].waiting == 1
    assert found.journeys["welcome_series"].steps["next_day"].waiting == 1


def test_events_after_the_end_are_left_out_and_counted() -> None:
    found = run(registered(1, TREATED), cart(2, 2 * HOUR, TREATED), until_ms=START + HOUR)
    assert (found.events, found.beyond) == (1, 1)
    assert found.journeys["cart_abandonment"].treated.passages == 0


def test_time_goes_on_for_30_days_after_the_last_event() -> None:
    found = run(registered(1, TREATED))
    assert found.until_ms == START + 30 * DAY


def test_redelivered_and_unwanted_events_are_counted_apart() -> None:
    first = registered(1, TREATED)
    found = run(first, first, line(2, 5, "page_viewed", page="home"))
    assert (found.events, found.duplicates, found.skipped, found.customers) == (2, 1, 1, 1)


def test_bad_lines_are_kept_and_with_strict_the_first_one_ends_the_run() -> None:
    lines = (registered(1, TREATED), BadLine(2, "is not JSON"), registered(3, HELD_OUT))
    assert [run(*lines).customers, run(*lines, strict=True).customers] == [2, 1]
    assert run(*lines).bad == [BadLine(2, "is not JSON")]


def test_events_that_are_not_in_time_order_are_refused_or_sorted() -> None:
    lines = [cart(1, HOUR, TREATED), registered(2, TREATED)]
    with pytest.raises(OutOfOrder, match="line 2 is earlier"):
        list(in_order(lines, sort=False))
    assert [one.number for one in in_order(lines, sort=True)] == [2, 1]
    assert list(in_order(lines[::-1], sort=False)) == lines[::-1]


def test_events_at_the_same_instant_keep_their_order_when_sorted() -> None:
    lines = [cart(number, HOUR, TREATED) for number in range(1, 5)]
    assert list(in_order(lines, sort=True)) == lines


def write(path: Path, *written: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(one) for one in written) + "\n")
    return path


def event(event_type: str, occurred_at: str, **fields: Any) -> dict[str, Any]:
    return {"type": event_type, "customer_id": TREATED, "occurred_at": occurred_at, **fields}


REGISTERED = event("customer_registered", "2026-03-02T09:00:00Z", email="a@example.com", email_consent=True)
FILLED = event("cart_updated", "2026-03-10T09:00:00Z", cart_id="k", value=20, items=[])


def invoke(arguments: Iterable[str], **options: Any) -> tuple[int, str, str]:
    directories = ["--journeys", str(journeys_dir()), "--schemas", str(schemas_dir())]
    result = CliRunner().invoke(command, [*arguments, *directories], standalone_mode=False, **options)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout, result.stderr


def test_the_command_reports_named_journeys_as_json(tmp_path: Path) -> None:
    file = write(tmp_path / "events.jsonl", REGISTERED, FILLED)
    code, output, _ = invoke(["cart_abandonment", "--events", str(file), "--format", "json"])
    report = json.loads(output)
    assert (code, report["events"], list(report["journeys"])) == (0, 2, ["cart_abandonment"])
    assert report["journeys"]["cart_abandonment"]["exits"] == {"finished": 1}
    assert report["until"] == "2026-04-09T09:00:00Z"


def test_the_command_prints_tables_for_all_journeys(tmp_path: Path) -> None:
    file = write(tmp_path / "events.jsonl", REGISTERED, FILLED)
    code, output, _ = invoke(["--events", str(file)])
    assert code == 0
    for text in ("cart_abandonment: Bring back", "1 entered, 0 held out", "email cart_reminder", "treated", "2 events"):
        assert text in output


def test_the_command_reads_the_standard_input() -> None:
    text = f"{json.dumps(REGISTERED)}\n{json.dumps(FILLED)}\n"
    code, output, _ = invoke(["--events", "-", "--format", "json"], input=text)
    assert (code, json.loads(output)["events"]) == (0, 2)


def test_the_command_names_bad_lines_and_ends_with_1(tmp_path: Path) -> None:
    file = write(tmp_path / "events.jsonl", REGISTERED, {**FILLED, "value": "much"})
    code, output, errors = invoke(["--events", str(file), "--format", "json"])
    assert (code, json.loads(output)["events"]) == (1, 1)
    assert f"{file}:2: cart_updated: value is not a number" in errors
    assert "1 line left out" in errors


def test_the_command_suggests_sorting(tmp_path: Path) -> None:
    file = write(tmp_path / "events.jsonl", FILLED, REGISTERED)
    code, _, errors = invoke(["--events", str(file)])
    assert (code, "--sort" in errors) == (1, True)
    assert invoke(["--events", str(file), "--sort"])[0] == 0


def test_an_unknown_journey_is_a_usage_error(tmp_path: Path) -> None:
    file = write(tmp_path / "events.jsonl", REGISTERED)
    with pytest.raises(click.UsageError, match='did you mean "cart_abandonment"'):
        invoke(["cart_abandonmnt", "--events", str(file)])
