"""A passage goes on after a pause: first by how things stand, then by one thing after the other that it missed.

From then on it is `ACTIVE`, so that everything that acts on passages acts on it, and what is left of `Instance.pause`
is what it still keeps. It sees one thing at a time, each when all that follows from the one before is decided
(`CatchUp`, in `settle`); a message that competes with those of other passages is decided before it sees the next one.

A step uses up what, without the pause, would have come while the passage was in it, and what it waits for. The rest
stays for the steps that follow: the waits before them begin as the passage comes to them, so those come later.

Source: decision record 0014, which says what is decided then, and in what order.
"""

from __future__ import annotations

from orchestrator.engine.expiry import EXPIRED
from orchestrator.engine.goals import reach_goal, worth_of
from orchestrator.engine.keeping import NO_ROOM, TOO_OLD, record_dropped
from orchestrator.engine.passages import apply_to_instance
from orchestrator.engine.pausing import EXPIRED_IN_PAUSE, policy_of
from orchestrator.engine.steps import (
    after_any_event,
    after_timer,
    leave,
    leaves_by_condition,
    run_steps,
    without_moment,
)
from orchestrator.engine.turn import Turn, ask_to_catch_up, holds, record, version_of
from orchestrator.engine.waits import clock_due, later, moment_due, months_due
from orchestrator.model.customer import ACTIVE, FINISHED, NEVER_MS, Instance
from orchestrator.model.journey import Journey, Wait, WaitFor, WaitMonths, WaitUntilMoment, WaitUntilTime
from orchestrator.model.pauses import EXIT, GOAL, Kept, Pause, revived, size_of


def take_up(turn: Turn, journey: Journey, instance: Instance) -> None:
    """The passage goes on, by how things stand; what it missed it sees after that."""
    pause = instance.pause
    if pause is None:
        return
    instance.state, pause.is_over = ACTIVE, True
    instance.timer_at_ms = NEVER_MS if pause.due_at_ms is None else pause.due_at_ms
    pause.due_at_ms = None
    turn.instance = instance
    record(turn, journey, instance, "resumed", step=instance.step, value=str(len(pause.kept)))
    if _ends(turn, journey, instance, pause):
        return
    _drop_bare(turn, journey, instance, pause)
    _look_again(turn, journey, instance, pause)
    _drop_old(turn, journey, instance, pause)
    ask_to_catch_up(turn, instance)


def catch_up(turn: Turn, instance: Instance) -> bool:
    """The earliest thing that the passage missed and its step has not seen; whether a kept event was used up.

    A timer that is due comes before what came at its instant or later, as ever. A passage whose message competes waits
    for that, and is asked again as it goes on.
    """
    pause = instance.pause
    if pause is None or not _is_under_way(turn, instance) or _competes(turn, instance):
        return False
    journey = version_of(turn.journeys, instance)
    turn.instance = instance
    event = pause.kept[pause.shown] if pause.shown < len(pause.kept) else None
    is_due = instance.timer_at_ms <= turn.now_ms
    kept = len(pause.kept)
    if pause.is_before_step:
        pause.is_before_step = False
        _be_over(pause, instance.timer_at_ms)
        if not leaves_by_condition(turn, journey, instance):
            run_steps(turn, journey, instance, instance.step)
    elif is_due and (event is None or instance.timer_at_ms <= event.at_ms):
        _be_over(pause, instance.timer_at_ms)
        if not leaves_by_condition(turn, journey, instance):
            after_timer(turn, journey, instance)
    elif event is not None:
        if _meet(turn, journey, instance, pause, event):
            # A step is shown each of them once: this is none of the rounds that may have no end.
            turn.rounds -= 1
    else:
        # Nothing is left but what would have come after this step.
        turn.rounds -= 1
        if not pause.kept:
            instance.pause = None
        elif pause.over_ms is None:
            pause.over_ms = _over_ms(turn, journey, instance, pause)
        return False
    ask_to_catch_up(turn, instance)
    return len(pause.kept) < kept


def leave_in_pause(turn: Turn, journey: Journey, instance: Instance, pause: Pause, reason: str) -> None:
    """Ends a passage that stands still. A goal that it reached before is counted."""
    _leave(turn, journey, instance, pause, reason, pause.kept)


def _meet(turn: Turn, journey: Journey, instance: Instance, pause: Pause, event: Kept) -> bool:
    """What the kept event means for the passage now; it is used up, unless it would have come after the step. Gives
    whether the passage is still in the step.
    """
    number, step, over_ms = pause.shown, journey.steps[instance.step], pause.over_ms
    is_used_up = pause.came_ms is None or event.at_ms < _over_ms(turn, journey, instance, pause)
    _be_over(pause, event.at_ms)
    pause.shown += 1
    before = turn.event, turn.event_id
    _show(turn, event)
    apply_to_instance(turn, instance, event.type)
    turn.event, turn.event_id = before
    has_stayed = pause.shown == number + 1
    if has_stayed:
        pause.over_ms = over_ms
    if is_used_up or (isinstance(step, WaitFor) and not has_stayed):
        pause.kept = [*pause.kept[:number], *pause.kept[number + 1 :]]
        pause.kept_bytes -= size_of(event)
        if has_stayed:
            pause.shown = number
    return has_stayed


def _be_over(pause: Pause, at_ms: int) -> None:
    """The step is over at this instant, if it is now; but not later than what is left for later steps came."""
    if not pause.shown:
        pause.over_ms = at_ms
    elif pause.over_ms is None:
        pause.over_ms = min(at_ms, pause.kept[0].at_ms)


def _over_ms(turn: Turn, journey: Journey, instance: Instance, pause: Pause) -> int:
    """When the passage would have been done with its step without the pause, as far as time tells."""
    if pause.over_ms is not None:
        return pause.over_ms
    step, came_ms = journey.steps[instance.step], pause.came_ms or pause.since_ms
    now_ms, turn.now_ms = turn.now_ms, came_ms
    match step:
        case Wait():
            over_ms = came_ms + step.duration_ms
        case WaitMonths():
            over_ms = months_due(turn, step)
        case WaitUntilTime():
            over_ms = clock_due(turn, step)
        case WaitUntilMoment():
            over_ms = instance.timer_at_ms
        case WaitFor():
            over_ms = NEVER_MS if step.timeout_ms is None else later(turn, step.timeout_ms, step.timeout_months)
        case _:
            # A message may have gone out at once, and a condition may not have held.
            over_ms = came_ms
    turn.now_ms = now_ms
    return over_ms


def _is_under_way(turn: Turn, instance: Instance) -> bool:
    return instance.state == ACTIVE and any(one is instance for one in turn.customer.instances)


def _competes(turn: Turn, instance: Instance) -> bool:
    """Whether the passage has come to a message that is not decided yet."""
    return turn.contenders is not None and any(one.instance is instance for one in turn.contenders)


def _ends(turn: Turn, journey: Journey, instance: Instance, pause: Pause) -> bool:
    """Whether the passage ends here: who reached the goal or met an exit in the pause gets nothing more."""
    expired_at_ms = pause.expired_at_ms
    for number, event in enumerate(pause.kept):
        if expired_at_ms is not None and expired_at_ms <= event.at_ms:
            _leave(turn, journey, instance, pause, EXPIRED, pause.kept[number:])
            return True
        if _is_reached(turn, journey, instance, pause, event):
            return True
        if _is_exit(turn, journey, instance, event):
            _leave(turn, journey, instance, pause, event.type, pause.kept[number + 1 :], because_of=event)
            return True
    if expired_at_ms is not None:
        leave(turn, journey, instance, EXPIRED)
        return True
    if policy_of(turn, instance).expires:
        leave(turn, journey, instance, EXPIRED_IN_PAUSE)
        return True
    return leaves_by_condition(turn, journey, instance)


def _leave(
    turn: Turn,
    journey: Journey,
    instance: Instance,
    pause: Pause,
    reason: str,
    kept_after: list[Kept],
    *,
    because_of: Kept | None = None,
) -> None:
    """Ends the passage; that its goal came after that, and was counted still, is not forgotten."""
    before = turn.event, turn.event_id
    if because_of is not None:
        _show(turn, because_of)
    leave(turn, journey, instance, reason)
    turn.event, turn.event_id = before
    if journey.goal is not None:
        for event in kept_after:
            if _is_reached(turn, journey, instance, pause, event, state=FINISHED):
                return


def _is_exit(turn: Turn, journey: Journey, instance: Instance, event: Kept) -> bool:
    """Whether the kept event ends the passage: as it was judged when it came, if it was.

    What was the goal may be an exit too, if the goal does not count any more.
    """
    if event.verdict == EXIT or event.is_decisive is False:
        return event.verdict == EXIT
    if event.is_bare:
        return any(rule.on == event.type for rule in journey.exits_on)
    before = turn.event, turn.event_id
    _show(turn, event)
    is_exit = any(
        rule.on == event.type and holds(turn, rule.where, journey, instance, "exit") for rule in journey.exits_on
    )
    turn.event, turn.event_id = before
    return is_exit


def _is_reached(
    turn: Turn, journey: Journey, instance: Instance, pause: Pause, event: Kept, *, state: int = ACTIVE
) -> bool:
    """Whether the kept event was the passage's goal, within the goal's window as it came; if so that is recorded."""
    goal, closed_at_ms = journey.goal, pause.goal_closed_at_ms
    is_open = instance.goal_until_ms < NEVER_MS or (closed_at_ms is not None and event.at_ms < closed_at_ms)
    is_judged = bool(event.verdict) or event.is_decisive is False
    if goal is None or goal.on != event.type or not is_open or (is_judged and event.verdict != GOAL):
        return False
    before = turn.event, turn.event_id
    _show(turn, event)
    is_goal = is_judged or holds(turn, goal.where, journey, instance, "goal")
    if is_goal:
        instance.state = state
        worth = event.worth if is_judged else worth_of(turn, journey, instance)
        reach_goal(turn, journey, instance, worth)
    turn.event, turn.event_id = before
    return is_goal


def _look_again(turn: Turn, journey: Journey, instance: Instance, pause: Pause) -> None:
    """What the passage waits for, by the profile as it is now: a moment may have moved, a condition may not hold."""
    if pause.is_before_step:
        return
    step = journey.steps[instance.step]
    if isinstance(step, WaitUntilTime):
        if instance.timer_at_ms > turn.now_ms:
            instance.timer_at_ms = clock_due(turn, step)
    elif isinstance(step, WaitUntilMoment):
        due_ms = moment_due(turn, journey, instance, step)
        if due_ms is None or (due_ms < pause.since_ms and due_ms != instance.timer_at_ms):
            run_steps(turn, journey, instance, without_moment(turn, journey, instance, step, due_ms))
        else:
            instance.timer_at_ms = due_ms
    else:
        after_any_event(turn, journey, instance)


def _drop_bare(turn: Turn, journey: Journey, instance: Instance, pause: Pause) -> None:
    """Drops verdicts without their events that do not count in this version: there is nothing that a step could see."""
    for event in [one for one in pause.kept if one.is_bare]:
        pause.kept = [one for one in pause.kept if one is not event]
        pause.kept_bytes -= size_of(event)
        record_dropped(turn, journey, instance, event, NO_ROOM)


def _drop_old(turn: Turn, journey: Journey, instance: Instance, pause: Pause) -> None:
    """Ends a passage whose step was due too long ago, and drops events that are too old."""
    older_than_ms = policy_of(turn, instance).skip_older_than_ms
    if older_than_ms is None or not _is_under_way(turn, instance):
        return
    least_ms = turn.now_ms - older_than_ms
    if instance.timer_at_ms < least_ms:
        leave(turn, journey, instance, EXPIRED_IN_PAUSE)
        return
    while pause.kept and pause.kept[0].at_ms < least_ms:
        event, pause.kept = pause.kept[0], pause.kept[1:]
        pause.kept_bytes -= size_of(event)
        pause.shown = max(0, pause.shown - 1)
        record_dropped(turn, journey, instance, event, TOO_OLD)


def _show(turn: Turn, event: Kept) -> None:
    """Makes the kept event the one that is decided about; `now` is the present."""
    turn.event = {name: revived(value) for name, value in event.fields.items()}
    turn.event_id = event.event_id
