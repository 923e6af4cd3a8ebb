from __future__ import annotations

from itertools import pairwise

import pytest

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.demo.audience import with_reactions
from orchestrator.demo.clickstream import convert, occurred_at_ms, read_clicks
from orchestrator.demo.run import shipped_journeys
from orchestrator.model.actions import ActionCommand
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet

REACTIONS = {"email_opened", "email_clicked"}


@pytest.fixture(scope="module")
def journeys() -> JourneySet:
    return shipped_journeys()


@pytest.fixture(scope="module")
def log() -> list[Event]:
    return convert(read_clicks())[:8_000]


@pytest.fixture(scope="module")
def events(journeys: JourneySet, log: list[Event]) -> list[Event]:
    return with_reactions(journeys, log)


@pytest.fixture(scope="module")
def actions(journeys: JourneySet, events: list[Event]) -> dict[str, ActionCommand]:
    """What is sent when the events and the reactions among them are run from the start."""
    engine = OfflineEngine(journeys)
    return {
        action.action_id: action for event in events for action in engine.apply(occurred_at_ms(event), event).actions
    }


def test_the_log_stays_as_it_is(log: list[Event], events: list[Event]) -> None:
    assert [event for event in events if event.type not in REACTIONS] == log


def test_reactions_stand_where_they_belong_in_time(events: list[Event]) -> None:
    assert all(occurred_at_ms(a) <= occurred_at_ms(b) for a, b in pairwise(events))
    assert len({(event.customer_id, occurred_at_ms(event)) for event in events}) == len(events)
    # The log counts seconds, and has at most a few events of one customer in one second.
    assert all(occurred_at_ms(event) % 1000 >= 500 for event in events if event.type in REACTIONS)


def test_every_reaction_is_to_an_email_that_is_really_sent_before(
    events: list[Event], actions: dict[str, ActionCommand]
) -> None:
    reactions = [event for event in events if event.type in REACTIONS]
    assert {event.type for event in reactions} == REACTIONS
    for event in reactions:
        action = actions[event.fields["action_id"]]
        assert (action.channel, action.customer_id) == ("email", event.customer_id)
        assert action.created_at_ms < occurred_at_ms(event) < action.created_at_ms + 86_400_000


def test_nobody_follows_an_email_before_opening_it(events: list[Event]) -> None:
    opened: set[str] = set()
    for event in events:
        if event.type == "email_opened":
            opened.add(event.fields["action_id"])
        elif event.type == "email_clicked":
            assert event.fields["action_id"] in opened


def test_a_reaction_can_change_what_a_journey_does(journeys: JourneySet, events: list[Event]) -> None:
    engine = OfflineEngine(journeys)
    told = [t for event in events for t in engine.apply(occurred_at_ms(event), event).transitions]
    assert any(transition.reason == "email_clicked" for transition in told)


def test_the_same_log_leads_to_the_same_reactions(journeys: JourneySet, log: list[Event]) -> None:
    assert with_reactions(journeys, log[:2_000]) == with_reactions(shipped_journeys(), log[:2_000])
