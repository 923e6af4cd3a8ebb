"""Who enters a journey, who may enter again, and who is left alone as the control group."""

from __future__ import annotations

from orchestrator.engine.expiry import bound_passage
from orchestrator.engine.ids import draw
from orchestrator.engine.limits import measured_globally
from orchestrator.engine.local_time import months_later
from orchestrator.engine.pausing import begin
from orchestrator.engine.shared import take
from orchestrator.engine.steps import remove
from orchestrator.engine.turn import Turn, fail, holds, record, value_of
from orchestrator.engine.waits import later, zone_for
from orchestrator.model.customer import ACTIVE, FINISHED, HELD_OUT, NEVER_MS, Instance
from orchestrator.model.journey import Expression, Journey
from orchestrator.model.triggers import EntryLimit

_DAY_MS = 86_400_000
KEYS_MAX = 1_000
"""How many keys of one journey with `reentry: never` a customer's record remembers; about 30 bytes each."""


def enter(turn: Turn, journey: Journey, cause: str = "", key: str = "") -> None:
    """Lets the customer into the journey if its entry rules say so, and runs the first steps.

    `cause` says what lets the customer in, where it is not the journey's event: `segment`, `schedule`, `date`, ….
    `key` tells parallel passages apart in a journey that has no key of its own.
    """
    customer = turn.customer
    rules = journey.entry
    bounds = rules.bounds
    if bounds is not None and not bounds.opens_ms <= turn.now_ms < bounds.closes_ms:
        return
    turn.instance = None
    if rules.where is not None and not may_enter(turn, journey, rules.where):
        return
    event = turn.event
    instance = new_instance(turn, journey)
    memory = journey.name
    if key or rules.key is not None:
        found = key if rules.key is None else value_of(turn, rules.key, journey, instance, "entry")
        if found is None:
            record(turn, journey, instance, "not_entered", reason="missing_key")
            return
        instance.key = str(found)
        memory = f"{memory}|{instance.key}"
    earlier = next((i for i in customer.instances if i.journey == journey.name and i.key == instance.key), None)
    if earlier is not None and earlier.state != FINISHED:
        return
    if not may_reenter(turn, journey, customer.entered.get(memory)):
        record(turn, journey, instance, "not_entered", reason="reentry")
        return
    instance.entry = [
        (event.get(c.field) if c.store is None else c.store(event.get(c.field))) for c in journey.captured
    ]
    turn.instance = instance
    if any(holds(turn, condition, journey, instance, "exit") for condition in journey.exits_when):
        record(turn, journey, instance, "not_entered", reason="exit_condition")
        return
    if bounds is not None and bounds.limits:
        refused = admit(turn, journey, bounds.limits)
        if refused:
            record(turn, journey, instance, "not_entered", reason=refused)
            return
    if earlier is not None:
        remove(turn, earlier)
    customer.entries = instance.number
    remember_entry(turn, journey, memory)
    if journey.goal is not None:
        instance.goal_until_ms = later(turn, journey.goal.within_ms, journey.goal.within_months)
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
    bound_passage(turn, journey, instance)
    begin(turn, journey, instance)


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


def may_reenter(turn: Turn, journey: Journey, last_entry_ms: int | None) -> bool:
    """Whether a customer whose last entry with this key was at `last_entry_ms` may enter now."""
    if last_entry_ms is None:
        return True
    rule = journey.entry.reentry
    if rule.mode == "after":
        if rule.after_months:
            return turn.now_ms >= months_later(last_entry_ms, rule.after_months, zone_for(turn, None))
        return turn.now_ms - last_entry_ms >= rule.after_ms
    return rule.mode == "always"


def remember_entry(turn: Turn, journey: Journey, memory: str) -> None:
    """Keeps the entry's instant as long as the re-entry rule can ask for it, and no longer; of keys that may never
    enter again only the newest, since there is no end to them.
    """
    rule = journey.entry.reentry
    entered = turn.customer.entered
    if rule.mode == "always":
        return
    if rule.mode == "after":
        prefix = f"{journey.name}|"
        # No month is longer than 31 days, and no zone jumps further than a day.
        horizon = turn.now_ms - (rule.after_ms if not rule.after_months else (31 * rule.after_months + 1) * _DAY_MS)
        for name in [n for n, at_ms in entered.items() if at_ms <= horizon and n.startswith(prefix)]:
            del entered[name]
    elif rule.mode == "never" and len(entered) >= KEYS_MAX:
        # The record keeps the order in which they came.
        keyed = [name for name in entered if name.startswith(f"{journey.name}|")]
        for name in keyed[: len(keyed) + 1 - KEYS_MAX] if len(keyed) >= KEYS_MAX else ():
            del entered[name]
    entered[memory] = turn.now_ms


def admit(turn: Turn, journey: Journey, limits: tuple[EntryLimit, ...]) -> str:
    """Counts the entry where the journey's limits leave room for it, and gives ""; otherwise why there is none.

    Of one customer's entries those are kept that count still, which is never more than the limit itself.
    """
    now_ms = turn.now_ms
    admissions = turn.customer.admissions
    earlier = admissions.get(journey.name, [])
    own = [limit for limit in limits if not limit.is_of_all]
    if any(_counted(earlier, limit, now_ms) >= limit.max for limit in own):
        return "limit"
    shared = turn.effects.shared
    for limit in limits:
        # The last of all, because what is taken is not given back; of two such limits the second may be the full one.
        name = f"entry/{journey.name}/{limit.per_ms or 'ever'}"
        if limit.is_of_all and shared is not None and not take(shared, name, limit.max, limit.per_ms, now_ms):
            return "limit_of_all"
    if own:
        kept = max(_counted(earlier, limit, now_ms) for limit in own)
        admissions[journey.name] = [*earlier[len(earlier) - kept :], now_ms]
    return ""


def _counted(earlier: list[int], limit: EntryLimit, now_ms: int) -> int:
    """How many of the earlier entries count; one that lies exactly the window's length back does not."""
    if limit.per_ms is None:
        return len(earlier)
    return sum(1 for at_ms in earlier if at_ms > now_ms - limit.per_ms)
