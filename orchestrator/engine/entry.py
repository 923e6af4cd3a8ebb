"""Who enters a journey, who may enter again, and who is left alone as the control group."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from orchestrator.engine.ids import draw
from orchestrator.engine.limits import measured_globally
from orchestrator.engine.steps import remove, run_steps
from orchestrator.engine.turn import Turn, fail, holds, record, value_of
from orchestrator.model.customer import ACTIVE, FINISHED, HELD_OUT, NEVER_MS, Instance
from orchestrator.model.journey import EntryIndex, Expression, Journey


def enter(turn: Turn, journey: Journey, cause: str = "") -> None:
    """Lets the customer into the journey if its entry rules say so, and runs the first steps.

    `cause` says what lets the customer in, where it is not the journey's event: `segment`, `schedule`, `date`, ….
    """
    customer = turn.customer
    rules = journey.entry
    turn.instance = None
    if rules.where is not None and not may_enter(turn, journey, rules.where):
        return
    event = turn.event
    instance = new_instance(turn, journey)
    memory = journey.name
    if rules.key is not None:
        key = value_of(turn, rules.key, journey, instance, "entry")
        if key is None:
            record(turn, journey, instance, "not_entered", reason="missing_key")
            return
        instance.key = str(key)
        memory = f"{memory}|{instance.key}"
    earlier = next((i for i in customer.instances if i.journey == journey.name and i.key == instance.key), None)
    if earlier is not None and earlier.state != FINISHED:
        return
    if not may_reenter(journey, customer.entered.get(memory), turn.now_ms):
        record(turn, journey, instance, "not_entered", reason="reentry")
        return
    instance.entry = [
        (event.get(c.field) if c.store is None else c.store(event.get(c.field))) for c in journey.captured
    ]
    turn.instance = instance
    if any(holds(turn, condition, journey, instance, "exit") for condition in journey.exits_when):
        record(turn, journey, instance, "not_entered", reason="exit_condition")
        return
    if earlier is not None:
        remove(turn, earlier)
    customer.entries = instance.number
    remember_entry(turn, journey, memory)
    if journey.goal is not None:
        instance.goal_until_ms = turn.now_ms + journey.goal.within_ms
    is_global = turn.journeys.global_holdout is not None and measured_globally(turn.journeys, journey, turn.customer_id)
    if journey.holdout and not is_global and draw(f"holdout/{journey.name}", turn.customer_id) < journey.holdout:
        instance.state = HELD_OUT
        record(turn, journey, instance, "held_out", reason=cause)
        if journey.goal is not None:
            customer.instances = [*customer.instances, instance]
        return
    customer.instances = [*customer.instances, instance]
    group = "global_holdout" if is_global else None
    record(turn, journey, instance, "entered", to=journey.first, reason=cause, value=group)
    run_steps(turn, journey, instance, journey.first)


def worth_asking(index: EntryIndex, fields: Mapping[str, Any]) -> tuple[Journey, ...]:
    """The journeys whose entry conditions may hold for an event with these fields, in name order."""
    found = index.others
    for field, table in index.by_field:
        told_apart = table.get(fields.get(field))
        if told_apart is not None:
            found = tuple(sorted((*found, *told_apart), key=_name)) if found else told_apart
    return found


_name = attrgetter("name")


def may_enter(turn: Turn, journey: Journey, where: Expression) -> bool:
    """Whether the entry condition holds; one that cannot be evaluated does not, and that it failed is recorded.

    Nothing is made for a customer who stays out: hundreds of journeys may ask about one event.
    """
    try:
        return bool(where.evaluate(turn))
    except ArithmeticError as error:
        fail(turn, journey, new_instance(turn, journey), "entry", f"{type(error).__name__} in {where.text}")
        return False


def new_instance(turn: Turn, journey: Journey) -> Instance:
    """The passage that begins now if the customer enters."""
    number = turn.customer.entries + 1
    return Instance(number, journey.name, journey.version, "", turn.now_ms, ACTIVE, "", NEVER_MS, NEVER_MS, [], {})


def may_reenter(journey: Journey, last_entry_ms: int | None, now_ms: int) -> bool:
    """Whether a customer whose last entry with this key was at `last_entry_ms` may enter now."""
    if last_entry_ms is None:
        return True
    rule = journey.entry.reentry
    if rule.mode == "after":
        return now_ms - last_entry_ms >= rule.after_ms
    return rule.mode == "always"


def remember_entry(turn: Turn, journey: Journey, memory: str) -> None:
    """Keeps the entry's instant as long as the re-entry rule can ask for it, and no longer."""
    rule = journey.entry.reentry
    entered = turn.customer.entered
    if rule.mode == "always":
        return
    if rule.mode == "after":
        prefix = f"{journey.name}|"
        horizon = turn.now_ms - rule.after_ms
        for name in [n for n, at_ms in entered.items() if at_ms <= horizon and n.startswith(prefix)]:
            del entered[name]
    entered[memory] = turn.now_ms
