"""Waits in words, for graphs and other pictures of a journey."""

from __future__ import annotations

from typing import assert_never

from orchestrator.authoring.drafts import MonthsDraft, UntilMomentDraft, UntilTimeDraft, WaitWhileDraft
from orchestrator.authoring.durations import describe_months

WEEKDAYS = {"mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6, "sun": 7}
"""As authors write them -> as calendars count them."""


def wait_words(step: MonthsDraft | UntilTimeDraft | UntilMomentDraft | WaitWhileDraft) -> list[str]:
    """What the step waits for, line by line."""
    match step:
        case MonthsDraft():
            return [f"wait {describe_months(step.months)}"]
        case UntilTimeDraft():
            days = [word for word, number in WEEKDAYS.items() if number in step.weekdays]
            on = f" on {' or '.join(days)}" if days else ""
            return [f"wait until {step.at}{on}", *_zone(step.zone)]
        case UntilMomentDraft():
            said = f"wait until {' '.join(step.until.text.split())}"
            if step.offset is not None:
                said += f" {step.offset.text}"
            return [said, *([f"at {step.at}"] if step.at is not None else []), *_zone(step.zone)]
        case WaitWhileDraft():
            limit = [] if step.timeout is None else [f"at most {step.timeout}"]
            return [f"wait while {' '.join(step.condition.text.split())}", *limit]
        case _:
            assert_never(step)


def _zone(zone: str | None) -> list[str]:
    return [] if zone is None else [f"in {zone}"]
