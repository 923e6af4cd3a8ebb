"""Random journeys and logs are worth something if what can happen does happen in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from tests.properties.effort import SLOW_TO_DRAW
from tests.properties.playing import Case, Played, cases, changing_cases, play
from tests.properties.random_logs import CUSTOMERS
from tests.properties.shop import EXPERIMENTS

KINDS = {"entered", "held_out", "not_entered", "step", "waiting", "goal", "exited", "failed", "audience", "exposed"}
REASONS = {
    *("sent", "shadow", "capped", "held", "skipped_quiet_hours", "no_consent", "unreachable", "template_failed"),
    *("waited", "rebased", "missing", "past", "over", "timeout", "case_1", "otherwise", "set", "incremented"),
    *("reentry", "exit_condition", "goal", "finished", "limit", "schedule", "date", "segment", "expired"),
    *("limit_of_all", "rate", "rate_limited", "global_holdout", "missing_key", "customer_erased"),
    *("added", "already_in", "removed", "not_in", "consent_withdrawn", "asked", "emitted", "invalid_event"),
    *("start_asked", "stop_asked", "not_running", "journey", "command", "stopped_by_journey", "removed_by_operator"),
    *("treated", "held_out", *EXPERIMENTS),
}
ACTIONS = {"send", "audience_add", "audience_remove", "task", "webhook"}
STEPS = {
    *("Wait", "WaitMonths", "WaitUntilTime", "WaitUntilMoment", "WaitWhile", "WaitFor"),
    *("Branch", "Split", "Send", "SetProfile", "Exit", "Increment", "ChangeAudience", "Task", "Webhook", "Emit"),
    *("StartJourney", "StopJourney", "MeetExperiment"),
}


def marks(played: Played) -> set[str]:
    """What happened, in words."""
    made = [one for customer_id in CUSTOMERS for one in played.transitions(customer_id)]
    actions = [one for customer_id in CUSTOMERS for one in played.actions(customer_id)]
    steps = [step for journey in played.journeys.versions.values() for step in journey.steps.values()]
    return {
        *(one.kind for one in made),
        *(one.reason for one in made),
        *(one.kind for one in actions),
        *(one.message_class for one in actions if one.kind == "send"),
        *(type(step).__name__ for step in steps),
        *("duplicate" for one in played.happenings if one.effects.duplicates),
    }


WANTED = KINDS | REASONS | ACTIONS | STEPS | {"promotional", "transactional", "duplicate"}
WANTED_OF_CHANGES = {"migrated", "backfill"}
ROUNDS_MAX = 12


@pytest.mark.parametrize(("random", "wanted"), [(cases, WANTED), (changing_cases, WANTED_OF_CHANGES)])
def test_everything_that_can_happen_happens_in_random_cases(
    random: Callable[[], st.SearchStrategy[Case]], wanted: set[str]
) -> None:
    seen: Counter[str] = Counter()
    for number in range(ROUNDS_MAX):
        look(random(), seen, number)
        if not wanted - set(seen):
            return
    raise AssertionError(f"never seen: {sorted(wanted - set(seen))}, among {seen.most_common()}")


def look(random: st.SearchStrategy[Case], seen: Counter[str], number: int) -> None:
    """Plays a hundred cases, the same ones for the same number."""

    @given(case=random)
    @seed(number)
    @settings(
        max_examples=100, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=SLOW_TO_DRAW
    )
    def play_one(case: Case) -> None:
        seen.update(marks(play(case)))

    play_one()
