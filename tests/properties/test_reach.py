"""Random journeys and logs are worth something if what can happen does happen in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from orchestrator.model.actions import Transition
from orchestrator.model.customer import NEVER_MS, PAUSED, Instance
from orchestrator.model.journey import Status
from orchestrator.model.pauses import AT_ONCE
from tests.properties.effort import SLOW_TO_DRAW
from tests.properties.playing import Case, Happening, Played, cases, changing_cases, pausing_cases, play
from tests.properties.random_logs import CUSTOMERS
from tests.properties.recount import CHECKS
from tests.properties.recount.passages import all_lives
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


def marks_of_pauses(played: Played) -> set[str]:
    """What happened in pauses and as they ended, in words."""
    found: set[str] = set()
    came = {event.event_id: at_ms for at_ms, _, event in played.log if event is not None}
    for life in all_lives(played):
        resumed: dict[int, int] = {}
        for one in life:
            still = {instance.number: instance for instance in one.was.instances if instance.state == PAUSED}
            then = {instance.number: instance for instance in one.then.instances if instance.state == PAUSED}
            for made in one.effects.transitions:
                if made.kind == "resumed":
                    resumed[made.instance] = made.at_ms
                found |= _marks_of(one, made, came, is_still=made.instance in still, resumed=resumed)
            for number, instance in then.items():
                found |= {"kept"} if instance.pause is not None and instance.pause.kept else set()
                if number in still and still[number].timer_at_ms < NEVER_MS == instance.timer_at_ms:
                    found.add("paused again before its turn")
                found |= {"only the verdict is kept"} if _has_bare(instance) else set()
            if still and one.event is not None:
                found |= {"duplicate in a pause"} if one.effects.duplicates else {f"{one.event.type} in a pause"}
    return found


def _marks_of(
    one: Happening, made: Transition, came: dict[str, int], *, is_still: bool, resumed: dict[int, int]
) -> set[str]:
    found = {made.kind} if made.kind in {"paused", "resumed", "dropped"} else set()
    is_late = came.get(made.event_id or "", made.at_ms) < made.at_ms
    is_going_on = resumed.get(made.instance) == made.at_ms
    if made.kind == "entered" and made.journey in one.journeys.paused:
        found.add("entered in a pause")
    if made.kind == "exited" and is_going_on:
        found.add(f"left on going on: {made.reason if is_late or made.reason in ENDINGS else 'by itself'}")
    if made.kind in {"exited", "migrated"} and is_still and not is_going_on:
        found.add(f"{made.kind} in a pause: {made.reason if made.kind == 'exited' else ''}")
    if made.kind == "goal" and is_late:
        found.add("goal of a pause")
    if made.kind == "step" and is_late:
        found.add("a kept event moves on at once" if is_going_on else "a kept event moves on later")
    if made.kind == "dropped":
        found.add(str(made.value))
    if made.kind == "resumed":
        current = one.journeys.current.get(made.journey)
        resume = (current and current.resume) or AT_ONCE
        found.add(
            "resumed: expire" if resume.expires else "resumed: rate" if resume.rate else "resumed: at once or over"
        )
        found |= {"resumed: over"} if resume.over_ms else set()
        found |= {"resumed: retired"} if current is not None and current.status is Status.RETIRED else set()
    return found


def _has_bare(instance: Instance) -> bool:
    return instance.pause is not None and any(kept.is_bare for kept in instance.pause.kept)


ENDINGS = {"expired", "expired_in_pause", "exit_condition"}
WANTED_OF_PAUSES = {
    *("paused", "resumed", "dropped", "kept", "no_room", "only the verdict is kept"),
    *(
        "entered in a pause",
        "paused again before its turn",
        "duplicate in a pause",
        "consent_changed in a pause",
    ),
    *("migrated in a pause: ", "exited in a pause: removed_by_operator", "exited in a pause: stopped_by_journey"),
    *("exited in a pause: customer_erased", "goal of a pause"),
    *(f"left on going on: {why}" for why in ("goal", "ordered", "told", "expired", "expired_in_pause")),
    *("a kept event moves on at once", "a kept event moves on later"),
    *("resumed: expire", "resumed: rate", "resumed: over", "resumed: at once or over", "resumed: retired"),
}
WANTED = KINDS | REASONS | ACTIONS | STEPS | {"promotional", "transactional", "duplicate"}
WANTED_OF_CHANGES = {"migrated", "backfill"}
ROUNDS_MAX = 12


@pytest.mark.parametrize(
    ("random", "wanted", "marks_in"),
    [
        (cases, WANTED, marks),
        (changing_cases, WANTED_OF_CHANGES, marks),
        (pausing_cases, WANTED_OF_PAUSES, marks_of_pauses),
    ],
)
def test_everything_that_can_happen_happens_in_random_cases(
    random: Callable[[], st.SearchStrategy[Case]], wanted: set[str], marks_in: Callable[[Played], set[str]]
) -> None:
    seen: Counter[str] = Counter()
    for number in range(ROUNDS_MAX):
        look(random(), seen, number, marks_in)
        if not wanted - set(seen):
            print("of", (number + 1) * 100, "cases:", {name: seen[name] for name in sorted(wanted)})
            return
    raise AssertionError(f"never seen: {sorted(wanted - set(seen))}, among {seen.most_common()}")


def look(
    random: st.SearchStrategy[Case], seen: Counter[str], number: int, marks_in: Callable[[Played], set[str]]
) -> None:
    """Plays a hundred cases, the same ones for the same number."""

    @given(case=random)
    @seed(number)
    @settings(
        max_examples=100, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=SLOW_TO_DRAW
    )
    def play_one(case: Case) -> None:
        played = play(case)
        seen.update(marks_in(played))
        for check in CHECKS:
            check(played)

    play_one()
