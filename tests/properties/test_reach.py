"""Random journeys and logs are worth something if what can happen does happen in them."""

from __future__ import annotations

from collections import Counter

from hypothesis import Phase, given, seed, settings

from tests.properties.effort import SLOW_TO_DRAW
from tests.properties.playing import Case, Played, cases, play
from tests.properties.random_logs import CUSTOMERS

KINDS = {"entered", "held_out", "not_entered", "step", "waiting", "goal", "exited", "failed"}
REASONS = {
    *("sent", "shadow", "capped", "held", "skipped_quiet_hours", "no_consent", "unreachable", "template_failed"),
    *("waited", "rebased", "missing", "past", "over", "timeout", "case_1", "otherwise", "set"),
    *("reentry", "exit_condition", "goal", "finished", "limit", "schedule", "date", "segment"),
}
STEPS = {
    *("Wait", "WaitMonths", "WaitUntilTime", "WaitUntilMoment", "WaitWhile", "WaitFor"),
    *("Branch", "Split", "Send", "SetProfile", "Exit"),
}


def marks(played: Played) -> set[str]:
    """What happened, in words."""
    made = [one for customer_id in CUSTOMERS for one in played.transitions(customer_id)]
    messages = [one for customer_id in CUSTOMERS for one in played.messages(customer_id)]
    steps = [step for journey in played.journeys.versions.values() for step in journey.steps.values()]
    return {
        *(one.kind for one in made),
        *(one.reason for one in made),
        *(one.message_class for one in messages),
        *(type(step).__name__ for step in steps),
        *("duplicate" for one in played.happenings if one.after.duplicates),
    }


WANTED = KINDS | REASONS | STEPS | {"promotional", "transactional", "duplicate"}
ROUNDS_MAX = 12


def test_everything_that_can_happen_happens_in_random_cases() -> None:
    seen: Counter[str] = Counter()
    for number in range(ROUNDS_MAX):
        look(seen, number)
        if not WANTED - set(seen):
            return
    raise AssertionError(f"never seen: {sorted(WANTED - set(seen))}, among {seen.most_common()}")


def look(seen: Counter[str], number: int) -> None:
    """Plays a hundred cases, the same ones for the same number."""

    @given(case=cases())
    @seed(number)
    @settings(
        max_examples=100, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=SLOW_TO_DRAW
    )
    def play_one(case: Case) -> None:
        seen.update(marks(play(case)))

    play_one()
