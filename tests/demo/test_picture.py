from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from orchestrator.demo.picture import Picture, funnel, telling_customer
from orchestrator.demo.report import Places, print_report
from orchestrator.demo.run import shipped_journeys
from orchestrator.demo.screen import Moment, line, open_screen, view
from orchestrator.model.actions import Transition

JOURNEYS = shipped_journeys()
CART = JOURNEYS.current["cart_abandonment"]
WELCOME = JOURNEYS.current["welcome_series"]


def told(customer: str, kind: str, step: str = "", to: str = "", reason: str = "", **more: Any) -> Transition:
    return Transition(customer, "cart_abandonment", "v", 1, kind, step, to, reason, 0, None, **more)


SENT = told("c1", "step", "first_reminder", "react", "sent", action_id="a")
STORY = [
    told("c1", "entered", to="think_it_over"),
    told("c2", "entered", to="think_it_over"),
    told("c3", "held_out"),
    told("c4", "held_out"),
    told("c5", "not_entered", reason="reentry"),
    told("c1", "step", "think_it_over", "think_it_over", "cart_updated"),
    told("c1", "step", "think_it_over", "first_reminder", "timeout"),
    SENT,
    told("c2", "step", "think_it_over", "first_reminder", "timeout"),
    told("c2", "step", "first_reminder", "react", "no_consent"),
    told("c1", "goal", "react", reason="treated", value="12.50"),
    told("c1", "exited", "react", reason="goal"),
    told("c3", "goal", reason="held_out", value="7.50"),
]


def picture_of(story: list[Transition]) -> Picture:
    picture = Picture()
    for transition in story:
        picture.take_transition(transition)
    return picture


def entry(partition: int, until_ms: int, customer: bytes | None = None, slices: int = 0) -> dict[str, Any]:
    parts = [{"topic": f"t{number}", "first": 10, "last": 14} for number in range(slices)]
    return {
        "partition": partition,
        "slices": parts,
        "timers_until": until_ms,
        "timers_until_customer": customer,
    }


def test_customers_are_where_their_last_transition_took_them() -> None:
    passages = picture_of(STORY).passages["cart_abandonment"]
    assert +passages.here == {"react": 1}
    assert (passages.entered, passages.held_out) == (2, 2)
    assert passages.not_entered == {"reentry": 1}
    assert {step: len(came) for step, came in passages.reached.items()} == {
        "think_it_over": 2, "first_reminder": 2, "react": 2,
    }  # fmt: skip


def test_a_step_that_is_visited_again_counts_a_passage_once() -> None:
    again = [STORY[0], *[told("c1", "step", "think_it_over", "think_it_over", "cart_updated")] * 5]
    assert funnel(CART, again).steps[0].passages == 1


def test_messages_that_are_not_sent_are_counted_by_reason() -> None:
    assert picture_of(STORY).not_sent == {"no_consent": 1}


def test_a_funnel_compares_treated_customers_with_the_control_group() -> None:
    outcome = funnel(CART, STORY)
    assert (outcome.treated.passages, outcome.treated.converted, outcome.treated.value) == (2, 1, Decimal("12.50"))
    assert (outcome.held_out.conversion, outcome.held_out.value) == (0.5, Decimal("7.50"))
    assert outcome.exits == {"goal": 1}
    assert [step.step for step in outcome.steps] == list(CART.steps)


def test_a_funnel_is_of_one_journey() -> None:
    assert funnel(WELCOME, STORY).treated.passages == 0
    assert funnel(WELCOME, STORY).treated.conversion is None


def test_time_is_that_of_the_partition_furthest_behind() -> None:
    picture = Picture()
    picture.take("journal_entry", entry(0, 50, slices=2))
    assert picture.time_ms(2) is None
    picture.take("journal_entry", entry(1, 40))
    assert picture.time_ms(2) == 40
    assert picture.applied == 10


def test_a_partition_whose_timers_are_not_all_fired_is_not_done() -> None:
    picture = Picture()
    picture.take("journal_entry", entry(0, 100, customer=b"c1"))
    assert not picture.is_done(100, 1)
    picture.take("journal_entry", entry(0, 100))
    assert picture.is_done(100, 1)
    assert not picture.is_done(101, 1)


def test_instants_may_be_written_for_people() -> None:
    picture = Picture()
    picture.take("journal_entry", {**entry(0, 0), "timers_until": 7})
    assert picture.time_ms(1) == 7
    picture.take("journey_transition", {**_values(SENT), "at": "1970-01-01T00:00:01.234Z"})
    assert picture.transitions[0].at_ms == 1_234


def test_one_action_of_each_channel_is_kept_as_a_sample() -> None:
    picture = Picture()
    for channel, number in (("email", 1), ("email", 2), ("sms", 3)):
        picture.take("action_command", {"channel": channel, "action_id": str(number)})
    assert picture.actions == {"email": 2, "sms": 1}
    assert picture.samples["email"]["action_id"] == "1"


def test_the_telling_customer_reached_a_goal_on_a_varied_way() -> None:
    assert telling_customer(STORY) == "c1"
    assert telling_customer([]) is None


def _values(transition: Transition) -> dict[str, Any]:
    values = {name: getattr(transition, name) for name in transition.__struct_fields__}
    values["at"] = values.pop("at_ms")
    return values


MOMENT = Moment(
    elapsed_s=4.0, produced=1_500, records_total=None, applied=1_234, events_per_s=308.5, time_ms=1_710_000_000_000
)


def printed(*, width: int = 80) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width), out


def test_a_line_says_how_far_it_is() -> None:
    picture = picture_of(STORY)
    picture.actions["email"] = 1
    assert line(MOMENT, picture, [CART]) == (
        "09 Mar 2024: 1,234 records applied (308/s, lag 266); cart_abandonment 1 inside; actions: email 1"
    )


def test_the_live_view_shows_steps_lag_and_actions() -> None:
    console, out = printed(width=100)
    picture = picture_of(STORY)
    picture.dead_letters = 3
    console.print(view(MOMENT, picture, [CART, WELCOME]))
    text = out.getvalue()
    assert "cart_abandonment: 2 entered, 2 held out, 2 reached the goal" in text
    assert "lag 266" in text
    assert "dead letters 3" in text
    assert [row.split() for row in text.splitlines() if row.split()[0] in {"think_it_over", "react"}] == [
        ["think_it_over", "2"],
        ["react", "1", "2"],
    ]


def test_without_a_terminal_lines_come_every_two_seconds() -> None:
    console, out = printed()
    with open_screen(console, [CART]) as screen:
        for elapsed_s in (0.0, 0.5, 1.9, 2.0, 3.0, 4.1):
            screen.show(Moment(elapsed_s, 0, None, 0, 0.0, None), Picture())
    assert len(out.getvalue().splitlines()) == 3


@pytest.mark.parametrize("is_kept", [True, False])
def test_the_report_has_everything(is_kept: bool, tmp_path: Any) -> None:
    console, out = printed()
    picture = picture_of(STORY)
    picture.take("action_command", {"channel": "email", "action_id": "a", "content": {"body": "x" * 200}})
    places = Places("broker:1", "http://registry", ("http://worker/metrics",), tmp_path, is_kept)
    print_report(console, picture, [CART, WELCOME], places)
    text = out.getvalue()
    assert "goal:  treated 1 of 2 (50.0%), worth 12.50" in text
    assert "held out 1 of 2 (50.0%), worth 7.50" in text
    assert f'{{"channel": "email", "action_id": "a", "content": {{"body": "{"x" * 80}..."}}}}' in text
    assert "the way of c1" in text
    assert "cart_abandonment: think_it_over -> first_reminder (timeout)" in text
    assert ("http://worker/metrics" in text) == is_kept
    assert ("orchestrator demo --keep" in text) != is_kept
