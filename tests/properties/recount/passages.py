"""What happens between an entry and an exit: in order, nothing after the end, waits as long as they say."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.model.actions import Transition
from orchestrator.model.customer import ACTIVE, PAUSED, Customer, Instance
from orchestrator.model.events import Event
from orchestrator.model.journey import Expression, Scope, Wait, WaitFor, WaitWhile
from tests.properties.playing import Happening, Played
from tests.properties.random_logs import CUSTOMERS, DAY

EXPECTED_FAILURES = ("ZeroDivisionError", "DivisionByZero", "DivisionUndefined", "InvalidOperation", "OverflowError")
EXPECTED_PROBLEMS = ("template risky", "template gone", "event told: the values do not fit")
REMEMBERED = 32
"""How many event ids a customer's record remembers."""
TRANSITIONS_MAX = 2_000
"""More than any decision leads to that these journeys can bring about."""
EMITTED_MAX, HOUR = 100, 3_600_000
LONGEST_MONTH = 32 * DAY
"""A month and an hour that clocks may be put back in it."""


def lives(played: Played, customer_id: str) -> Iterator[list[Happening]]:
    """The customer's decisions from the first event, or from having been forgotten, to being forgotten."""
    life: list[Happening] = []
    for one in played.of(customer_id):
        life.append(one)
        if one.event is not None and one.event.type == "customer_erased":
            yield life
            life = []
    yield life


def all_lives(played: Played) -> Iterator[list[Happening]]:
    """Those of all customers."""
    for customer_id in CUSTOMERS:
        yield from lives(played, customer_id)


def transitions_of(life: list[Happening]) -> list[Transition]:
    """All transitions, in order."""
    return [made for one in life for made in one.effects.transitions]


def check_exits(played: Played) -> None:
    """Nothing happens to a passage after its exit but that its goal is reached; and nothing after that."""
    for life in all_lives(played):
        gone: set[int] = set()
        reached: set[int] = set()
        for made in transitions_of(life):
            if (
                made.kind in {"step", "waiting", "entered", "exited", "held_out", "audience", "exposed"}
                and made.journey
            ):
                assert made.instance not in gone, made
            if made.kind == "goal":
                assert made.instance not in reached, made
                reached.add(made.instance)
            if made.kind in {"exited", "held_out"}:
                gone.add(made.instance)


def check_exit_criteria(played: Played) -> None:
    """Nobody whom an exit criterion takes out is still inside after the event."""
    for one in played.happenings:
        if one.event is None or one.effects.duplicates or one.event.type == "customer_erased":
            continue
        moved = {made.instance for made in one.effects.transitions if made.kind != "not_entered"}
        has_changed = any(
            made.reason in {"set", "incremented"} or made.kind in {"audience", "exposed"}
            for made in one.effects.transitions
        )
        inside = _inside(one.then)
        still = {instance.number for instance in one.then.instances if instance.state == PAUSED}
        for before in one.was.instances:
            if before.state != ACTIVE or before.number in (moved | still) - inside.keys():
                continue
            # It may have come into another version.
            instance = inside[before.number]
            journey = played.journeys.versions[instance.journey, instance.version]
            assert all(rule.on != one.event.type or rule.where is not None for rule in journey.exits_on), one
            if instance.number not in moved and not has_changed:
                assert not any(_holds(one, instance, condition) for condition in journey.exits_when), one


def _inside(customer: Customer) -> dict[int, Instance]:
    return {instance.number: instance for instance in customer.instances if instance.state == ACTIVE}


def _holds(one: Happening, instance: Instance, condition: Expression) -> bool:
    scope = Scope()
    scope.customer, scope.customer_id, scope.instance, scope.now_ms = one.then, one.customer_id, instance, one.at_ms
    try:
        return bool(condition.evaluate(scope))
    except ArithmeticError:
        return False


def check_waits(played: Played) -> None:
    """Each wait lasts as long as it says, counted from the step that led to it; nobody stays longer than allowed. Of
    whoever stood still meanwhile, `plain` and `pauses` say what follows.
    """
    for life in all_lives(played):
        arrived: dict[int, tuple[str, int | None]] = {}
        entered: dict[int, int] = {}
        migrated: dict[int, int] = {}
        resumed: dict[int, int] = {}
        still: set[int] = set()
        for made in transitions_of(life):
            if made.kind == "entered":
                entered[made.instance] = made.at_ms
            if made.kind == "paused":
                still.add(made.instance)
            if made.kind == "step":
                _check_wait(played, made, *arrived[made.instance])
            if made.kind == "resumed":
                arrived[made.instance], resumed[made.instance] = (made.step, None), made.at_ms
                still.remove(made.instance)
            if made.kind in {"entered", "step"}:
                arrived[made.instance] = (made.to, made.at_ms)
            if made.kind == "migrated":
                # Whether its wait goes on or begins anew depends on both versions.
                arrived[made.instance], migrated[made.instance] = (made.to, None), made.at_ms
            # Of somebody who is to be forgotten nothing is done any more that was due; and another version may allow
            # less than has gone by.
            if made.reason == "customer_erased" or migrated.get(made.instance) == made.at_ms:
                continue
            # Who should have left while standing still leaves on going on, or is taken out before.
            if made.kind == "exited" and (made.instance in still or resumed.get(made.instance) == made.at_ms):
                continue
            if made.instance in entered and made.kind in {"step", "waiting", "exited", "audience", "exposed"}:
                journey = played.journeys.versions[made.journey, made.version]
                most = journey.max_duration_months * LONGEST_MONTH or journey.max_duration_ms
                assert not most or made.at_ms <= entered[made.instance] + most, made


def _check_wait(played: Played, made: Transition, arrived_at: str, since_ms: int | None) -> None:
    assert made.step == arrived_at, made
    if since_ms is None:
        return
    step = played.journeys.versions[made.journey, made.version].steps[made.step]
    if isinstance(step, Wait):
        assert made.at_ms == since_ms + step.duration_ms, made
    elif isinstance(step, WaitFor | WaitWhile) and step.timeout_ms is not None and not step.timeout_months:
        late = made.at_ms - since_ms - step.timeout_ms
        assert late == 0 if made.reason == "timeout" else late <= 0, made


def check_goals(played: Played) -> None:
    """Goals are reached by their event, within their time, and are worth what the event says. One that came while the
    passage stood still counts later.
    """
    for life in all_lives(played):
        entered = {m.instance: m.at_ms for m in transitions_of(life) if m.kind in {"entered", "held_out"}}
        came: dict[str, tuple[int, Event]] = {}
        still: set[int] = set()
        for one in life:
            if one.event is not None and not one.effects.duplicates:
                came[one.event.event_id] = (one.at_ms, one.event)
            for made in one.effects.transitions:
                if made.kind == "paused":
                    still.add(made.instance)
                if made.kind != "goal":
                    continue
                goal = played.journeys.versions[made.journey, made.version].goal
                assert goal is not None
                at_ms, event = came[made.event_id or ""]
                assert event.type == goal.on
                assert at_ms == one.at_ms or made.instance in still, made
                within_ms = goal.within_months * LONGEST_MONTH or goal.within_ms
                assert at_ms < entered[made.instance] + within_ms, made
                if goal.value is None:
                    assert made.value is None
                elif goal.value.text == "event.total":
                    assert made.value == str(event.fields["total"])


def check_order(played: Played) -> None:
    """Decisions are in time order, each at the instant of its event or timer; duplicates change nothing."""
    for life in all_lives(played):
        recent: list[str] = []
        for one in life:
            assert all(made.at_ms == one.at_ms for made in one.effects.transitions)
            if one.event is not None and one.event.type != "customer_erased":
                assert one.effects.duplicates == (one.event.event_id in recent[-REMEMBERED:])
                if one.effects.duplicates:
                    assert one.was == one.then
                    assert not one.effects.transitions
                else:
                    recent.append(one.event.event_id)
        times = [one.at_ms for one in life]
        assert times == sorted(times)


def check_bounds(played: Played) -> None:
    """A decision ends, and so do journeys that set each other off."""
    for life in all_lives(played):
        began_ms, count = -HOUR, 0
        for one in life:
            assert len(one.effects.transitions) <= TRANSITIONS_MAX
            for _ in one.effects.events:
                if one.at_ms - began_ms >= HOUR:
                    began_ms, count = one.at_ms, 0
                count += 1
                assert count <= EMITTED_MAX
            refused = any(made.reason == "too_many_events" for made in one.effects.transitions)
            assert not refused or count == EMITTED_MAX


def check_failures(played: Played) -> None:
    """What fails is a value that nobody could know beforehand: a division by zero, a template on a missing value."""
    for life in all_lives(played):
        for made in transitions_of(life):
            if made.kind == "failed":
                assert made.reason.startswith((*EXPECTED_FAILURES, *EXPECTED_PROBLEMS)), made
            assert made.reason != "runaway", made


CHECKS = (
    check_exits,
    check_exit_criteria,
    check_waits,
    check_goals,
    check_order,
    check_bounds,
    check_failures,
)
