"""What chance decides about a customer, once and for all: arms of experiments, control groups, the global holdout."""

from __future__ import annotations

from collections import defaultdict

from orchestrator.model.actions import ActionCommand
from orchestrator.model.journey import Send, Split
from tests.properties.playing import Played
from tests.properties.random_logs import CUSTOMERS
from tests.properties.recount.messages import purpose_of
from tests.properties.recount.passages import all_lives


def check_arms(played: Played) -> None:
    """A customer meets the same arm of an experiment wherever it is met, and only while it runs; a passage is exposed
    once, and what it asks for afterwards says so.
    """
    met: dict[tuple[str, str], str] = {}
    for life in all_lives(played):
        exposed: dict[int, dict[str, str]] = defaultdict(dict)
        for one in life:
            actions = {action.action_id: action for action in one.effects.actions}
            for made in one.effects.transitions:
                if made.kind == "exposed":
                    assert met.setdefault((one.customer_id, made.reason), str(made.value)) == made.value, made
                    assert made.reason not in exposed[made.instance], made
                    exposed[made.instance][made.reason] = str(made.value)
                    experiment = played.journeys.experiments[made.reason]
                    assert experiment.from_ms is None or experiment.from_ms <= made.at_ms, made
                    assert experiment.until_ms is None or made.at_ms < experiment.until_ms, made
                elif made.journey and (action := actions.get(made.action_id or "")) is not None:
                    assert action.experiments == exposed[made.instance], action


def check_splits(played: Played) -> None:
    """The same split always sends a customer the same way."""
    ways: dict[tuple[str, str, str, str], str] = {}
    for life in all_lives(played):
        for one in life:
            for made in one.effects.transitions:
                journey = played.journeys.versions.get((made.journey, made.version))
                if made.kind == "step" and journey is not None and isinstance(journey.steps[made.step], Split):
                    visit = (one.customer_id, made.journey, made.version, made.step)
                    assert ways.setdefault(visit, made.to) == made.to, made


def check_holdout(played: Played) -> None:
    """A customer either is in the global holdout and gets no promotional message but of the excepted purposes, and
    meets no experiment; or is not, always.
    """
    for customer_id in CUSTOMERS:
        made = played.transitions(customer_id)
        held = [one for one in made if "global_holdout" in {one.reason, one.value}]
        if held:
            assert played.journeys.global_holdout is not None
            assert not [one for one in played.actions(customer_id) if _is_withheld(played, one)], held[0]
            assert not [one for one in made if one.kind == "exposed"], held[0]


def _is_withheld(played: Played, action: ActionCommand) -> bool:
    holdout = played.journeys.global_holdout
    if action.kind != "send" or action.message_class != "promotional" or holdout is None:
        return False
    step = played.journeys.versions[action.journey, action.version].steps[action.step]
    assert isinstance(step, Send)
    return purpose_of(played.journeys, step) not in holdout.excepted


CHECKS = (check_arms, check_splits, check_holdout)
