"""Scenarios run on the offline engine in simulated time: what was expected and did not happen, and the decision trace.

Every journey of the set is at work, as in production; a scenario speaks of its own journey unless it names another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.authoring.compiler import with_pinned
from orchestrator.authoring.durations import DAY_MS
from orchestrator.authoring.event_values import BadValue
from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.pause_source import with_paused
from orchestrator.authoring.scenario_checks import Happened, happened_instead, offset
from orchestrator.authoring.scenario_values import STATES, ChangeOver, Given, Scenario, Switch, When, event_of
from orchestrator.authoring.tracking import track, tracked_events
from orchestrator.authoring.yaml_source import Node
from orchestrator.engine.experiments import arm_of
from orchestrator.engine.ids import draw
from orchestrator.engine.limits import is_in_global_holdout
from orchestrator.engine.population import is_entry_clock, with_entries
from orchestrator.model.actions import ActionCommand, Effects, Transition
from orchestrator.model.customer import NEVER_MS, Customer, Sent, decode_customer, encode_customer
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet, Split, Status

CANDIDATES_MAX = 100_000
"""How many made-up customers are looked at to find one whom chance treats as the scenario says."""

RUNS_ON_MS_MAX = 400 * DAY_MS
"""A scenario ends so long after the last time that it mentions, even if timers are pending still."""


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One thing that happened, `after_ms` from the start."""

    after_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Missed:
    """An expectation that was not met: where it stands, what it expects, and what happened instead."""

    node: Node
    expected: str
    happened: str


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """How a scenario went. `transitions` are those of the scenario's customer, for coverage."""

    scenario: Scenario
    missed: tuple[Missed, ...]
    trace: tuple[TraceLine, ...]
    transitions: tuple[Transition, ...]


def all_live(journeys: JourneySet) -> JourneySet:
    """The set with every journey live: drafts can be tried before they run, and shadow journeys send."""
    live = {name: replace(journey, status=Status.LIVE) for name, journey in sorted(journeys.current.items())}
    entered = with_entries(journeys, live.values())
    # All segments, so that a scenario can say who is in one before a journey uses it.
    tracked = track(live.values(), journeys.segments, also=journeys.segments)
    return replace(
        entered,
        versions={(name, journey.version): journey for name, journey in live.items()},
        current=live,
        paused=frozenset(),
        # What drafts ask of a record is in no set that ever was in force.
        alignment=f"{journeys.alignment}+{','.join(entered.entries_by_clock)}",
        wanted=journeys.wanted.union(
            entered.entries, tracked_events(tracked), *(journey.listens for journey in live.values())
        ),
        tracked=tracked,
        migrating={name: journey for name, journey in live.items() if journey.migration is not None},
    )


def in_play(journeys: JourneySet, scenario: Scenario) -> JourneySet:
    """The journeys that a scenario is played with, all live.

    A draft changes nobody else's scenarios, and is tried by itself: that its messages and those of others count for
    the same caps is seen once it is in shadow. Journeys that the scenario names are there in any case.
    """
    named = {scenario.journey, *(line.journey for line in scenario.then)}
    named |= {when.journey for when in scenario.when if isinstance(when, Switch)}
    is_draft = journeys.current[scenario.journey].status is Status.DRAFT
    kept = {
        name: journey
        for name, journey in journeys.current.items()
        if name in named or not (is_draft or journey.status is Status.DRAFT)
    }
    return all_live(replace(journeys, current=kept))


def changed_over(before: JourneySet, after: JourneySet) -> JourneySet:
    """The set `after` with those inside versions of `before`; scenarios ask for all segments, used or not."""
    both = with_pinned(after, [before])
    tracked = track(both.versions.values(), both.segments, also=both.segments)
    return replace(both, tracked=tracked, wanted=both.wanted | tracked_events(tracked))


def run_scenarios(journeys: JourneySet, scenarios: Sequence[Scenario], *, only: str = "") -> list[ScenarioResult]:
    """The results of the scenarios whose journey or name contains `only`, in order.

    Each is played with the journeys `in_play`, whatever their status.
    """
    wanted = only.casefold()
    return [
        run_scenario(in_play(journeys, scenario), scenario)
        for scenario in scenarios
        if wanted in f"{scenario.journey}: {scenario.name}".casefold()
    ]


def run_scenario(journeys: JourneySet, scenario: Scenario) -> ScenarioResult:
    """Plays the events and timers up to the scenario's end, then checks what was expected."""
    after, under = journeys, scenario.given.under
    if under is not None:
        journeys = in_play(under, scenario)
        after = changed_over(journeys, after)
    customer_id = scenario.given.customer or find_customer(journeys, scenario)
    if customer_id is None:
        return _refused(
            scenario, scenario.node, "a customer whom chance treats so", "there is none: an arm has no share"
        )
    play = _Play(journeys, scenario, customer_id, after)
    refused = play.run()
    if refused is not None:
        return refused
    missed = []
    for expectation in scenario.then:
        instead = happened_instead(expectation, play.happened)
        if instead is not None:
            missed.append(Missed(expectation.node, *instead))
    happened = play.happened
    return ScenarioResult(scenario, tuple(missed), tuple(play.trace), tuple(happened.transitions))


def find_customer(journeys: JourneySet, scenario: Scenario) -> str | None:
    """The first made-up customer who falls into the arms that the scenario names, and into no control group but,
    where the scenario says so, that of its journey.
    """
    given = scenario.given
    journey = journeys.current[scenario.journey]
    splits = [(step, given.arms[name]) for name, step in journey.steps.items() if name in given.arms]
    for number in range(1, CANDIDATES_MAX + 1):
        customer_id = f"customer-{number}"
        is_in_place = all(
            (draw(f"holdout/{other.name}", customer_id) < other.holdout)
            == (given.is_held_out and other.name == journey.name)
            for other in journeys.current.values()
        )
        is_in_place &= all(
            arm_of(journeys.experiments[name], customer_id) == arm for name, arm in given.experiments.items()
        )
        is_in_place &= is_in_global_holdout(journeys, customer_id) == given.is_left_alone
        if is_in_place and all(isinstance(s, Split) and _arm(s, customer_id) == arm for s, arm in splits):
            return customer_id
    return None


def _arm(split: Split, customer_id: str) -> str:
    lot = draw(split.salt, customer_id)
    return next((arm.go for arm in split.arms if lot < arm.until), "")


class _Play:
    """One scenario on its way: the engine, what happened so far, and the trace."""

    def __init__(self, journeys: JourneySet, scenario: Scenario, customer_id: str, after: JourneySet) -> None:
        self.scenario = scenario
        self._after = after
        self.trace: list[TraceLine] = []
        self.happened = Happened(scenario.given.at_ms, channels=journeys.channels)
        self._customer_id = customer_id
        self._engine = OfflineEngine(journeys)
        self._journeys = journeys
        self._paused: set[str] = set()
        customer = _customer(scenario.given)
        if scenario.given.is_backfilled:
            customer.last_at_ms = scenario.given.at_ms
        else:
            customer.populated = list(journeys.entries_by_backfill)
        self._engine.put(customer_id, customer)
        # The record is in line with the journeys from the start, as it is where they have been in force before.
        self._keep(self._engine.align(customer_id, scenario.given.at_ms))
        self._wanted = journeys.wanted
        # States at the same instant are looked at after everything that happens then.
        self._looks = sorted({e.after_ms for e in scenario.then if e.kind in STATES and e.after_ms is not None})

    def run(self) -> ScenarioResult | None:
        """Runs to the end; a result only if an event could not be made."""
        change = self.scenario.change_over
        for number, when in enumerate(self.scenario.when, 1):
            if change is not None and change.events_before == number - 1:
                self._change_over(change)
            self._look_until(when.after_ms - 1)
            self._advance(when.after_ms - 1)
            if isinstance(when, Switch):
                self._switch(when)
                continue
            refused = self._happen(when, number)
            if refused is not None:
                return refused
        scenario = self.scenario
        if change is not None and change.events_before == len(scenario.when):
            self._change_over(change)
        self._look_until(scenario.mentioned_ms)
        self._advance(max(scenario.mentioned_ms, scenario.until_ms or 0))
        if scenario.until_ms is None:
            self._run_out(scenario.given.at_ms + scenario.mentioned_ms + RUNS_ON_MS_MAX)
        return None

    def _change_over(self, change: ChangeOver) -> None:
        """The journeys of today come into force, and take the customer along where they say so."""
        self._look_until(change.after_ms - 1)
        self._advance(change.after_ms)
        self._journeys, self._wanted = self._after, self._after.wanted
        self._engine.journeys = with_paused(self._journeys, self._paused) if self._paused else self._journeys
        self.trace.append(TraceLine(change.after_ms, "the journeys change to those of today"))
        self._keep(self._engine.align(self._customer_id, self.scenario.given.at_ms + change.after_ms))

    def _run_out(self, end_ms: int) -> None:
        """Lets time pass until no timer is pending any more. What lets customers in again and again comes once."""
        come: set[str] = set()
        while (due := self._next_due(come)) is not None and due <= end_ms:
            come |= {name for name, due_ms in self._record().clocks.items() if due_ms == due}
            self._keep(self._engine.advance(due))

    def _next_due(self, without: set[str]) -> int | None:
        """When something is due, clocks of these names left out."""
        customer = self._record()
        pending = [time_ms for i in customer.instances for time_ms in (i.timer_at_ms, i.goal_until_ms)]
        pending += [due for name, due in customer.clocks.items() if not (name in without and is_entry_clock(name))]
        due_ms = min(pending, default=NEVER_MS)
        return None if due_ms == NEVER_MS else due_ms

    def _record(self) -> Customer:
        return self._engine.customers[self._customer_id]

    def _look_until(self, after_ms: int) -> None:
        while self._looks and self._looks[0] <= after_ms:
            self._advance(self._looks[0])
            self.happened.states[self._looks.pop(0)] = self._state()

    def _advance(self, after_ms: int) -> None:
        self._keep(self._engine.advance(self.scenario.given.at_ms + after_ms))

    def _switch(self, switch: Switch) -> None:
        """The journey is paused, or runs again, as with a set that comes into force."""
        self._advance(switch.after_ms)
        self._paused ^= {switch.journey}
        self._engine.journeys = with_paused(self._journeys, self._paused)
        said = "paused" if switch.is_pause else "runs again"
        self.trace.append(TraceLine(switch.after_ms, f"journey {switch.journey}: {said}"))
        self._keep(self._engine.align(self._customer_id, self.scenario.given.at_ms + switch.after_ms))
        self._advance(switch.after_ms)

    def _happen(self, when: When, number: int) -> ScenarioResult | None:
        scenario = self.scenario
        # The customer's timers due at this very instant fire before the event, and may send what it refers to.
        self._advance(when.after_ms)
        action_ids: dict[str, str] = {}
        for name, step in when.actions_of.items():
            sent = self.happened.last_action(scenario.journey, step)
            if sent is None:
                expected = f"step {step} to have sent a message by {offset(when.after_ms)}"
                return _refused(scenario, when.node, expected, "it has sent none", tuple(self.trace))
            action_ids[name] = sent.action_id
        try:
            event = event_of(when, scenario.given, self._customer_id, number, action_ids)
        except BadValue as bad:
            return _refused(scenario, when.node, "an event that fits its schema", str(bad), tuple(self.trace))
        self._apply(event, when.after_ms)
        return None

    def _apply(self, event: Event, after_ms: int) -> None:
        if event.type not in self._wanted:
            self.trace.append(TraceLine(after_ms, f"event {event.type}: no journey asks for it"))
            return
        effects = self._engine.apply(self.scenario.given.at_ms + after_ms, event)
        suffix = ": a redelivery, nothing changes" if effects.duplicates else ""
        self.trace.append(TraceLine(after_ms, f"event {event.type}{suffix}"))
        self._keep(effects)

    def _keep(self, effects: Effects) -> None:
        self.happened.actions += effects.actions
        self.happened.transitions += effects.transitions
        self.happened.emitted += effects.events
        actions = {action.action_id: action for action in effects.actions}
        for transition in effects.transitions:
            after_ms = transition.at_ms - self.scenario.given.at_ms
            self.trace.append(TraceLine(after_ms, describe(transition, actions.get(transition.action_id or ""))))

    def _state(self) -> Customer:
        return decode_customer(encode_customer(self._record()))


def describe(transition: Transition, action: ActionCommand | None) -> str:
    """The transition in words."""
    journey = transition.journey
    match transition.kind:
        case "entered":
            cause = f" (by {transition.reason})" if transition.reason else ""
            return f"{journey}: entered at {transition.to}{cause}"
        case "held_out":
            return f"{journey}: in the control group"
        case "paused" | "resumed":
            return f"{journey}: {transition.kind} at {transition.step}"
        case "dropped":
            return f"{journey}: event {transition.reason} dropped ({transition.value})"
        case "not_entered":
            return f"{journey}: not entered ({transition.reason})"
        case "goal":
            return f"{journey}: goal reached{f', worth {transition.value}' if transition.value else ''}"
        case "exited":
            return f"{journey}: left at {transition.step or 'the end'} ({transition.reason})"
        case "exposed":
            return f"{journey}: {transition.step} exposed to {transition.reason} ({transition.value})"
        case "audience":
            where = f"{journey}: {transition.step}" if journey else "whatever the journeys do"
            return f"{where}: audience {transition.value} ({transition.reason})"
        case "migrated":
            to = f": {transition.step} -> {transition.to}" if transition.step else ""
            return f"{journey}: from version {transition.reason} to {transition.version}{to}"
        case "failed":
            return f"{journey}: {transition.step} failed ({transition.reason})"
        case _:
            sent = f", {action.channel} {action.template}" if action is not None else ""
            return f"{journey}: {transition.step} -> {transition.to} ({transition.reason}{sent})"


def _customer(given: Given) -> Customer:
    sends = [Sent(given.at_ms - ago_ms, *of) for ago_ms, *of in given.sends]
    audiences = {name: (given.at_ms, identity) for name, identity in given.audiences.items()}
    is_known = bool(given.profile or given.consent or sends or audiences)
    return Customer(
        profile=dict(given.profile),
        consent=dict(given.consent),
        sends=sends,
        audiences=audiences,
        unreachable=dict(given.unreachable),
        # Something is known from earlier decisions, so that this is not the customer's first event.
        last_at_ms=given.at_ms if is_known else 0,
    )


def _refused(
    scenario: Scenario, node: Node, expected: str, happened: str, trace: tuple[TraceLine, ...] = ()
) -> ScenarioResult:
    return ScenarioResult(scenario, (Missed(node, expected, happened),), trace, ())
