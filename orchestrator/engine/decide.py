"""Every verb of a decision, in order: `apply_event` and `fire_timers`, and `bring_in_line` under a new journey set.

The customer record is advanced in place: the caller decoded it for this purpose and nobody else holds it. What the
decision asks for is appended to `effects`. The same record, events and times give the same result, always.
"""

from __future__ import annotations

from orchestrator.engine.align import align
from orchestrator.engine.audiences import withdraw
from orchestrator.engine.clocks import fire_clock, take_due_clock
from orchestrator.engine.commands import COMMAND_EVENTS, answer, take_command
from orchestrator.engine.contest import contend, contend_first
from orchestrator.engine.entry import enter
from orchestrator.engine.entry_index import worth_asking
from orchestrator.engine.erasure import ERASED, erase
from orchestrator.engine.ids import event_digest, is_remembered
from orchestrator.engine.passages import apply_to_instance
from orchestrator.engine.pausing import close_goal
from orchestrator.engine.population import rebase_entries
from orchestrator.engine.profile import apply_profile_rules
from orchestrator.engine.resuming import catch_up, take_up
from orchestrator.engine.segments import observe, update_segments
from orchestrator.engine.slides import set_slides
from orchestrator.engine.steps import (
    after_any_event,
    after_timer,
    leaves_by_condition,
    run_steps,
    without_moment,
)
from orchestrator.engine.turn import CatchUp, Turn, record, version_of
from orchestrator.engine.waits import clock_due, moment_due
from orchestrator.model.actions import Effects, Failure
from orchestrator.model.customer import ACTIVE, NEVER_MS, PAUSED, RECENT_EVENTS_MAX, Customer, Instance, wake_at_ms
from orchestrator.model.events import Event
from orchestrator.model.journey import Journey, JourneySet, WaitUntilMoment, WaitUntilTime

ROUNDS_MAX = 100
"""How often in one decision changes of profile and segments, and requests of journeys, are followed."""

_RECENT_BYTES_KEPT = (RECENT_EVENTS_MAX - 1) * 8


def apply_event(journeys: JourneySet, customer: Customer, event: Event, at_ms: int, effects: Effects) -> None:
    """Applies one event to its customer. `at_ms` is the record's timestamp.

    A customer who is to be forgotten is, before anything that was due is still done. Otherwise, in this order: a
    redelivered event changes nothing; the record is brought in line with the journey set; the customer's own
    timers due before; profile rules, and audiences that the customer may not be in any more; aggregates, this event
    included, and segments; each instance (goal, exits, the wait of its step); entries; what follows from a changed
    profile, from changes of segments, and from requests that journeys start and stop (`settle`); promotional messages,
    which compete for the room under the caps.

    Raises: UnknownVersion if the customer is inside a version that `journeys` does not hold.
    """
    if event.type == ERASED:
        now_ms = at_ms if at_ms > customer.last_at_ms else customer.last_at_ms
        erase(Turn(journeys, customer, event.customer_id, event.fields, event.event_id, now_ms, effects))
        return
    digest = event_digest(event.event_id)
    recent = customer.recent
    # `find` takes two thirds of the time of `in`.
    if recent.find(digest) >= 0 and is_remembered(recent, digest):
        effects.duplicates += 1
        return
    now_ms = at_ms if at_ms > customer.last_at_ms else customer.last_at_ms
    if customer.aligned != journeys.alignment:
        realign(journeys, customer, event.customer_id, now_ms, effects)
    if (customer.instances or customer.clocks) and wake_at_ms(customer) <= now_ms:
        fire_timers(journeys, customer, event.customer_id, now_ms, effects)
    customer.recent = recent[-_RECENT_BYTES_KEPT:] + digest
    is_new = customer.last_at_ms == 0
    customer.last_at_ms = now_ms
    event_type = event.type
    turn = Turn(journeys, customer, event.customer_id, event.fields, event.event_id, now_ms, effects)
    rules = journeys.profile_rules.get(event_type)
    if rules is not None:
        apply_profile_rules(turn, rules)
        if customer.audiences:
            withdraw(turn)
    if journeys.tracked is not None:
        observe(turn, journeys.tracked, event_type, is_new=is_new)
    entries = journeys.entries.get(event_type)
    turn.has_entries = entries is not None or bool(journeys.entries_by_segment)
    if event_type in COMMAND_EVENTS:
        take_command(turn, event_type)
    for instance in customer.instances:
        apply_to_instance(turn, instance, event_type)
    if entries is not None:
        let_in(turn, entries_of(turn, event_type, entries))
    if turn.profile_changed or turn.segment_changes is not None or turn.requests:
        settle(turn)
    if turn.contenders is not None:
        give_room(turn)
    if journeys.has_slides:
        set_slides(turn)


def entries_of(turn: Turn, event_type: str, entries: tuple[Journey, ...]) -> tuple[Journey, ...]:
    """Those of the journeys which the event type lets customers into that may let this customer in."""
    index = turn.journeys.entry_indexes.get(event_type)
    return entries if index is None else worth_asking(index, turn.event)


def let_in(turn: Turn, entries: tuple[Journey, ...], cause: str = "") -> None:
    """Lets the customer into the journeys whose entry rules say so."""
    turn.has_entries = len(entries) > 1 or bool(turn.requests) or bool(turn.journeys.entries_by_segment)
    for journey in entries:
        contend_first(turn, journey)
        enter(turn, journey, cause)


def fire_timers(journeys: JourneySet, customer: Customer, customer_id: str, until_ms: int, effects: Effects) -> None:
    """Fires the customer's timers due at or before `until_ms`, in due order, each at its due time.

    Of those due at the same instant, passages come first, in the order of entry, then clocks in name order; messages
    that they lead to compete with each other.

    Raises: UnknownVersion if the customer is inside a version that `journeys` does not hold.
    """
    turn: Turn | None = None
    while (due_ms := wake_at_ms(customer)) <= until_ms and due_ms < NEVER_MS:
        instance = next((i for i in customer.instances if due_ms in (i.timer_at_ms, i.goal_until_ms)), None)
        effects.timers_fired += 1
        now_ms = due_ms if due_ms > customer.last_at_ms else customer.last_at_ms
        customer.last_at_ms = now_ms
        if customer.aligned != journeys.alignment:
            # Aligning may have moved or taken away the very timer that is due.
            realign(journeys, customer, customer_id, now_ms, effects)
        elif instance is None:
            name = take_due_clock(customer, due_ms)
            if name is not None:
                if turn is None or turn.contenders is None:
                    turn = Turn(journeys, customer, customer_id, {}, None, now_ms, effects)
                turn.rounds = 0
                fire_clock(turn, name)
                if turn.profile_changed or turn.segment_changes is not None or turn.requests:
                    settle(turn)
        elif instance.timer_at_ms == due_ms:
            if turn is None or turn.contenders is None:
                turn = Turn(journeys, customer, customer_id, {}, None, now_ms, effects)
                turn.has_entries = bool(customer.clocks or journeys.entries_by_segment)
            # Each timer is as far from the bound as one by itself, whatever others of this instant have led to.
            turn.rounds = 0
            journey = version_of(journeys, instance)
            if instance.state == PAUSED:
                take_up(turn, journey, instance)
            elif not leaves_by_condition(turn, journey, instance):
                after_timer(turn, journey, instance)
            if turn.profile_changed or turn.segment_changes is not None or turn.requests:
                settle(turn)
        elif instance.state in {ACTIVE, PAUSED}:
            close_goal(instance)
        else:
            customer.instances = [other for other in customer.instances if other is not instance]
        if turn is not None and (turn.contenders is not None or journeys.has_slides):
            end_timer(turn, due_ms)


def end_timer(turn: Turn, due_ms: int) -> None:
    """Decides the messages that compete, unless more is due at this instant, and sets the clocks of windows."""
    if turn.contenders is not None and wake_at_ms(turn.customer) != due_ms:
        give_room(turn)
    if turn.journeys.has_slides:
        set_slides(turn)


def bring_in_line(journeys: JourneySet, customer: Customer, customer_id: str, at_ms: int, effects: Effects) -> bool:
    """Brings a customer about whom nothing else is decided in line with a new journey set; whether it was needed.

    Timers due at or before `at_ms` must have fired. Of a customer who is not known, or was forgotten, nothing is kept.
    """
    if customer.aligned == journeys.alignment or not customer.last_at_ms:
        return False
    customer.last_at_ms = max(at_ms, customer.last_at_ms)
    realign(journeys, customer, customer_id, customer.last_at_ms, effects)
    return True


def realign(journeys: JourneySet, customer: Customer, customer_id: str, now_ms: int, effects: Effects) -> None:
    """Brings the record in line with the journey set, with all that follows."""
    turn = Turn(journeys, customer, customer_id, {}, None, now_ms, effects)
    align(turn)
    if turn.profile_changed or turn.segment_changes is not None or turn.requests:
        settle(turn)
    if turn.contenders is not None:
        give_room(turn)
    if journeys.has_slides:
        set_slides(turn)


def give_room(turn: Turn) -> None:
    """Decides the messages that compete, with all that follows."""
    rounds = 0
    while turn.contenders is not None:
        rounds = contend(turn, rounds)
        if (turn.profile_changed or turn.segment_changes is not None or turn.requests) and settle(turn):
            rounds = 0


def settle(turn: Turn) -> bool:
    """What follows from a changed profile, from segments that the customer has come into or gone out of, and from what
    journeys ask of each other, until nothing changes any more: other segments, waits for a moment that moved, exits,
    waits while a condition holds, entries by a segment, journeys that are started and stopped, and what passages that
    go on after a pause have missed.

    Passages may so open and end each other in turns without end; the bound stops it, and that it did is recorded. There
    is an end to what was missed, so whatever uses up some of it is as far from the bound as a decision by itself: gives
    whether something did.
    """
    tracked, is_used_up = turn.journeys.tracked, False
    while turn.profile_changed or turn.segment_changes is not None or turn.requests:
        turn.rounds += 1
        if turn.rounds > ROUNDS_MAX:
            turn.profile_changed, turn.segment_changes, turn.requests = False, None, None
            turn.effects.failures.append(Failure("", "settle", "passages open and end each other without end"))
        elif turn.profile_changed:
            turn.profile_changed = False
            if tracked is not None and tracked.of_profile:
                update_segments(turn, tracked.of_profile)
            rebase_waits(turn)
        elif turn.segment_changes is not None:
            changes, turn.segment_changes = turn.segment_changes, None
            follow_segments(turn, changes)
        elif turn.requests:
            request = turn.requests.pop(0)
            if not isinstance(request, CatchUp):
                answer(turn, request)
            elif catch_up(turn, request.instance):
                turn.rounds, is_used_up = 0, True
    return is_used_up


def follow_segments(turn: Turn, changes: list[tuple[str, bool]]) -> None:
    """Looks at each passage again, now that segments changed, and lets the customer into the journeys that wait for
    such a change.
    """
    for instance in turn.customer.instances:
        if instance.state == ACTIVE:
            journey = version_of(turn.journeys, instance)
            if not leaves_by_condition(turn, journey, instance) and journey.waits_while:
                turn.instance = instance
                after_any_event(turn, journey, instance)
    entries = turn.journeys.entries_by_segment
    if entries:
        for change in changes:
            let_in(turn, entries.get(change, ()), "segment")


def rebase_waits(turn: Turn) -> None:
    """Looks again at each wait for a local time or for a moment that the profile names, and at the dates that let the
    customer in, now that the profile changed.

    A passage that goes on may change the profile too. It then goes only ways that nobody waits on, of which the
    compiler lets no journey have a loop.
    """
    if turn.journeys.entries_by_profile:
        rebase_entries(turn)
    for instance in turn.customer.instances:
        if instance.state == ACTIVE and instance.timer_at_ms < NEVER_MS:
            rebase(turn, version_of(turn.journeys, instance), instance)


def rebase(turn: Turn, journey: Journey, instance: Instance) -> None:
    """Sets the timer of such a wait by the profile as it is now; goes on if its moment is missing or past by now."""
    step = journey.steps[instance.step]
    if not isinstance(step, WaitUntilTime | WaitUntilMoment):
        return
    turn.instance = instance
    due_ms = clock_due(turn, step) if isinstance(step, WaitUntilTime) else moment_due(turn, journey, instance, step)
    if due_ms is not None and due_ms > turn.now_ms:
        if due_ms != instance.timer_at_ms:
            instance.timer_at_ms = due_ms
            record(turn, journey, instance, "waiting", step=step.name, to=step.name, reason="rebased")
    elif isinstance(step, WaitUntilMoment) and not leaves_by_condition(turn, journey, instance):
        run_steps(turn, journey, instance, without_moment(turn, journey, instance, step, due_ms))
