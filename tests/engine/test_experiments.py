"""Named experiments: sticky arms, exposures, and commands that carry them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.engine.decide import apply_event, fire_timers
from orchestrator.engine.experiments import arm_of
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.experiments import Experiment, MeetExperiment
from orchestrator.model.journey import JourneySet, ReEntry, Status, Wait
from orchestrator.model.policies import GlobalHoldout
from tests.engine.build import DAY, HOUR, START, event, journey, journeys, reachable, send

ALL = 1 << 64
SUBJECT = Experiment("subject", "experiment/subject", (("control", ALL // 2), ("short", ALL)))
SHORT = replace(SUBJECT, arms=(("control", 0), ("short", ALL)))
CONTROL = replace(SUBJECT, arms=(("control", ALL), ("short", ALL)))


def shop(experiment: Experiment | None = SUBJECT, **changes: Any) -> JourneySet:
    steps = (
        send("before", "meet"),
        MeetExperiment("meet", "subject", {"control": "plain", "short": "brief"}),
        send("plain", "pause"),
        send("brief", "pause"),
        Wait("pause", HOUR, "again"),
        MeetExperiment("again", "subject", {"control": "after", "short": "after"}),
        send("after", "_end"),
    )
    made = journeys(journey(*steps, reentry=ReEntry("always"), **changes))
    return replace(made, experiments={} if experiment is None else {"subject": experiment})


def go_through(given: JourneySet, customer: Customer, at_ms: int = START, number: int = 1) -> Effects:
    effects = Effects()
    apply_event(given, customer, event("registered", number), at_ms, effects)
    fire_timers(given, customer, "c1", at_ms + DAY, effects)
    return effects


def exposed(effects: Effects) -> list[tuple[str, str, str | None]]:
    return [(t.step, t.reason, t.value) for t in effects.transitions if t.kind == "exposed"]


def test_a_passage_is_exposed_once_and_its_later_commands_carry_the_arm() -> None:
    customer = reachable()
    effects = go_through(shop(SHORT), customer)
    assert exposed(effects) == [("meet", "subject", "short")]
    assert [(a.step, a.experiments) for a in effects.actions] == [
        ("before", {}),
        ("brief", {"subject": "short"}),
        ("after", {"subject": "short"}),
    ]
    assert customer.exposures == {"subject": "short"}
    assert decode_customer(encode_customer(customer)) == customer


def test_the_arm_of_the_first_exposure_stays_when_shares_change() -> None:
    customer = reachable()
    go_through(shop(SHORT), customer)
    effects = go_through(shop(CONTROL), customer, START + 2 * DAY, 2)
    assert exposed(effects) == [("meet", "subject", "short")]
    assert exposed(go_through(shop(CONTROL), reachable())) == [("meet", "subject", "control")]


def test_outside_of_its_time_nobody_is_exposed_and_all_take_the_control_arm() -> None:
    later = replace(SHORT, from_ms=START + DAY, until_ms=START + 2 * DAY)
    for at_ms in (START, START + 2 * DAY):
        customer = reachable()
        effects = go_through(shop(later), customer, at_ms)
        assert exposed(effects) == []
        assert [a.step for a in effects.actions] == ["before", "plain", "after"]
        assert customer.exposures == {}
    customer = reachable()
    assert exposed(go_through(shop(later), customer, START + DAY)) == [("meet", "subject", "short")]
    # Who has met it keeps the arm after its end, and is not counted again.
    effects = go_through(shop(later), customer, START + 3 * DAY, 2)
    assert exposed(effects) == []
    assert [a.step for a in effects.actions] == ["before", "brief", "after"]


def test_a_version_from_before_an_arm_takes_its_control_arm() -> None:
    grown = replace(SUBJECT, arms=(("control", 0), ("emoji", ALL), ("short", ALL)))
    customer = reachable()
    effects = go_through(shop(grown), customer)
    assert [a.step for a in effects.actions] == ["before", "plain", "after"]
    assert (exposed(effects), customer.exposures) == ([], {})
    assert [a.step for a in go_through(shop(None), reachable()).actions] == ["before", "plain", "after"]


def test_shadow_exposes_the_passage_and_keeps_nothing_for_others() -> None:
    customer = reachable()
    effects = go_through(shop(SHORT, status=Status.SHADOW), customer)
    assert exposed(effects) == [("meet", "subject", "short")]
    assert customer.exposures == {}


def test_the_global_holdout_is_not_exposed() -> None:
    given = replace(shop(SHORT), global_holdout=GlobalHoldout(ALL, ""))
    customer = reachable()
    assert exposed(go_through(given, customer)) == []
    assert customer.exposures == {}


def test_experiments_that_are_gone_are_forgotten_with_the_next_exposure() -> None:
    customer = reachable(exposures={"gone": "a"})
    go_through(shop(SHORT), customer)
    assert customer.exposures == {"subject": "short"}


def test_shares_hold_and_experiments_draw_independently() -> None:
    other = replace(SUBJECT, name="price", salt="experiment/price")
    seen = [(arm_of(SUBJECT, f"c{n}"), arm_of(other, f"c{n}")) for n in range(4_000)]
    for pair in (("control", "control"), ("control", "short"), ("short", "control"), ("short", "short")):
        assert 900 < seen.count(pair) < 1_100


@given(
    bounds=st.lists(st.integers(0, ALL), min_size=1, max_size=4),
    customer_ids=st.lists(st.text(max_size=8), min_size=1, max_size=6),
    visits=st.integers(1, 4),
)
@settings(max_examples=100, deadline=None)
def test_a_customer_never_changes_the_arm(bounds: list[int], customer_ids: list[str], visits: int) -> None:
    for customer_id in customer_ids:
        customer = reachable()
        met: set[str | None] = set()
        for number in range(visits):
            bound = bounds[number % len(bounds)]
            given_now = shop(replace(SUBJECT, arms=(("control", bound), ("short", ALL))))
            effects = Effects()
            happened = Event("registered", f"e{number}", customer_id, {})
            apply_event(given_now, customer, happened, START + number * DAY, effects)
            customer = decode_customer(encode_customer(customer))
            fire_timers(given_now, customer, customer_id, START + number * DAY + 2 * HOUR, effects)
            met |= {value for _, _, value in exposed(effects)}
        assert len(met) == 1
        assert customer.exposures == {"subject": met.pop()}
