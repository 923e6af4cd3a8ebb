"""How many messages one customer can get in any seven days: what the steps and waits of a journey allow at most.

Nothing is simulated. A wait takes at least its duration, a wait for an event or until a time may end at once, a branch
may go any way: so the figure may be higher than what ever happens, and is never lower. A window is half open, as those
of caps are: a message exactly seven days after another is not in the same week.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

from orchestrator.authoring.durations import DAY_MS
from orchestrator.model.action_steps import ChangeAudience, Emit, Increment, StartJourney, StopJourney, Task, Webhook
from orchestrator.model.experiments import MeetExperiment
from orchestrator.model.journey import (
    Branch,
    Cap,
    Exit,
    Journey,
    JourneySet,
    Send,
    SetProfile,
    Split,
    Status,
    Step,
    Wait,
    WaitFor,
    WaitMonths,
    WaitUntilMoment,
    WaitUntilTime,
    WaitWhile,
)

WEEK_MS = 7 * DAY_MS
MONTH_MS_LEAST = 27 * DAY_MS
"""No calendar month is shorter, a change of the clocks included."""
LABELS_MAX = 20_000
"""Where the ways through a journey are more than this, no limit is given."""


@dataclass(frozen=True, slots=True)
class WorstCase:
    """Messages to one customer in any seven days, at most; None where nothing limits them.

    `promotional` is what the caps leave of `promotional_without_caps`.
    """

    promotional: int | None
    promotional_without_caps: int | None
    transactional: int | None


def worst_cases(journeys: JourneySet) -> dict[str, WorstCase]:
    """Journey → its worst case, in name order, drafts left out."""
    return {
        name: worst_case(journey, journeys.caps)
        for name, journey in sorted(journeys.current.items())
        if journey.status is not Status.DRAFT
    }


def worst_case_of_all(journeys: JourneySet) -> WorstCase:
    """The worst case over all journeys together."""
    cases = worst_cases(journeys)
    names = {name: _channels(journeys.current[name]) for name in cases}
    without = _sum(case.promotional_without_caps for case in cases.values())
    channels = frozenset[str]().union(*names.values())
    capped = _least(_sum(case.promotional for case in cases.values()), _left_by_caps(journeys.caps, channels, None))
    return WorstCase(capped, without, _sum(case.transactional for case in cases.values()))


def worst_case(journey: Journey, caps: tuple[Cap, ...]) -> WorstCase:
    """The worst case of one journey."""
    without = _in_a_week(journey, lambda step: step.message_class == "promotional")
    left = _left_by_caps(caps, _channels(journey), journey.name)
    return WorstCase(
        _least(without, left), without, _in_a_week(journey, lambda step: step.message_class != "promotional")
    )


def worst_case_table(journeys: JourneySet) -> str:
    """The worst cases for people to read, a line for each journey that sends messages, then all together."""
    cases = {name: case for name, case in worst_cases(journeys).items() if case != _NOTHING}
    if not cases:
        return ""
    rows = [("messages to one customer in a week, at most", "promotional", "without caps", "transactional")]
    for name, case in [*cases.items(), ("all journeys together", worst_case_of_all(journeys))]:
        figures = (case.promotional, case.promotional_without_caps, case.transactional)
        said = ["no limit" if figure is None else str(figure) for figure in figures]
        rows.append((f"  {name}", said[0], said[1], said[2]))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join((first.ljust(widths[0]), *cells)))
    return "\n".join(lines)


_NOTHING = WorstCase(0, 0, 0)


def _channels(journey: Journey) -> frozenset[str]:
    return frozenset(
        channel
        for step in journey.steps.values()
        if isinstance(step, Send) and step.message_class == "promotional"
        for channel in step.channels
    )


def _in_a_week(journey: Journey, counts: Callable[[Send], bool]) -> int | None:
    """Over all passages of a customer."""
    of_one = _of_one_passage(journey, counts)
    if not of_one:
        return of_one
    rule = journey.entry.reentry
    if journey.entry.key is not None or rule.mode == "always":
        return None
    if rule.mode == "never":
        return of_one
    # Those that begin within the week, and one that began before it.
    return of_one * ((WEEK_MS - 1) // max(1, rule.after_ms) + 2)


def _of_one_passage(journey: Journey, counts: Callable[[Send], bool]) -> int | None:
    """The most messages on a way through the steps that takes less than a week; a week begins with a message."""
    ways = {name: list(ways_on(step)) for name, step in journey.steps.items()}
    counted = {name for name, step in journey.steps.items() if isinstance(step, Send) and counts(step)}
    if any(_comes_back_at_once(name, ways) for name in counted):
        return None
    # For each step the (time since the first message, messages) of the ways that lead to it, none beaten by another.
    labels: dict[str, list[tuple[int, int]]] = {}
    ahead = [(name, 0, 1) for name in counted]
    most, looked_at = 0, 0
    while ahead:
        name, at_ms, messages = ahead.pop()
        looked_at += 1
        if looked_at > LABELS_MAX:
            return None
        known = labels.setdefault(name, [])
        if any(other_ms <= at_ms and other >= messages for other_ms, other in known):
            continue
        known[:] = [label for label in known if not (at_ms <= label[0] and messages >= label[1])]
        known.append((at_ms, messages))
        most = max(most, messages)
        for target, least_ms in ways.get(name, ()):
            if target in journey.steps and at_ms + least_ms < WEEK_MS:
                ahead.append((target, at_ms + least_ms, messages + (target in counted)))
    return most


def _comes_back_at_once(start: str, ways: dict[str, list[tuple[str, int]]]) -> bool:
    """Whether a way that may take no time leads from the step to itself."""
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        for target, least_ms in ways.get(ahead.pop(), ()):
            if least_ms:
                continue
            if target == start:
                return True
            if target not in reached:
                reached.add(target)
                ahead.append(target)
    return False


def ways_on(step: Step) -> Iterator[tuple[str, int]]:
    """(step that may follow, the least time that it takes to get there in milliseconds)."""
    match step:
        case Wait() | WaitMonths() | WaitUntilTime() | WaitUntilMoment() | WaitWhile() | WaitFor():
            yield from _ways_of_wait(step)
        case Branch():
            yield from ((case.go, 0) for case in step.cases)
            yield step.otherwise, 0
        case Split():
            yield from ((arm.go, 0) for arm in step.arms)
        case MeetExperiment():
            yield from ((target, 0) for target in step.go.values())
        case Exit():
            return
        case Send() | SetProfile():
            yield step.next, 0
        case Increment() | ChangeAudience() | Task() | Webhook() | Emit() | StartJourney() | StopJourney():
            yield step.next, 0
        case _:
            assert_never(step)


def _ways_of_wait(
    step: Wait | WaitMonths | WaitUntilTime | WaitUntilMoment | WaitWhile | WaitFor,
) -> Iterator[tuple[str, int]]:
    match step:
        case Wait():
            yield step.next, step.duration_ms
        case WaitMonths():
            yield step.next, step.months * MONTH_MS_LEAST
        case WaitUntilTime():
            yield step.next, 0
        case WaitUntilMoment():
            yield from ((target, 0) for target in (step.next, step.missing, step.past))
        case WaitWhile():
            yield step.next, 0
            if step.timeout_ms is not None:
                yield step.timeout_go, step.timeout_ms
        case WaitFor():
            yield from ((awaited.go, 0) for awaited in step.awaited)
            if step.timeout_ms is not None:
                yield step.timeout_go, step.timeout_ms
        case _:
            assert_never(step)


def _left_by_caps(caps: tuple[Cap, ...], channels: frozenset[str], journey: str | None) -> int | None:
    """What caps leave of messages on these channels in a week; caps for some purposes only are not counted on."""
    applying = _applying(caps, journey)
    of_channels = _sum(
        min((_weekly(cap) for cap in applying if cap.channels and channel in cap.channels), default=None)
        for channel in sorted(channels)
    )
    of_all = [_weekly(cap) for cap in applying if cap.channels is None or channels <= cap.channels]
    return _least(of_channels, min(of_all, default=None))


def _applying(caps: tuple[Cap, ...], journey: str | None) -> list[Cap]:
    return [cap for cap in caps if cap.purposes is None and (cap.journeys is None or journey in cap.journeys)]


def _weekly(cap: Cap) -> int:
    """A week is covered by so many of the cap's windows, each of which holds at most its number."""
    return cap.max * -(-WEEK_MS // cap.per_ms)


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _sum(parts: Iterator[int | None]) -> int | None:
    total = 0
    for part in parts:
        if part is None:
            return None
        total += part
    return total
