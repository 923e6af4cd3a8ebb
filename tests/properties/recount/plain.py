"""Passages of plain journeys, from their entry to their end, lived again without the engine.

Plain is a journey that waits for time, waits for events and sends, with exits and a goal, all of it without
conditions. What such a passage does follows from the customer's events and from when it stood still, so it is told
beforehand, step by step, to the millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.model.action_steps import StartJourney, StopJourney
from orchestrator.model.actions import Transition
from orchestrator.model.customer import NEVER_MS
from orchestrator.model.journey import Exit, Journey, JourneySet, Send, Wait, WaitFor
from orchestrator.model.pauses import AT_ONCE, Resume
from tests.properties.playing import Happening, Played
from tests.properties.recount.entries import key_of
from tests.properties.recount.passages import all_lives

PLAIN = (Wait, WaitFor, Send, Exit, StartJourney, StopJourney)
FROM_OUTSIDE = {"removed_by_operator", "stopped_by_journey", "customer_erased"}
TOLD = {"step", "goal", "exited", "resumed", "dropped"}
NO_ROOM = "no_room"

Telling = tuple[str, str, str, int, str | None]
"""Kind of the transition, step, reason, when, and because of which event where that is told beforehand."""
Missed = tuple[int, str, str]
"""When an event came, its type and its id."""


def is_plain(journey: Journey, journeys: JourneySet) -> bool:
    """Whether the passages through the journey can be told beforehand."""
    goal, steps = journey.goal, journey.steps.values()
    return (
        not journeys.rates
        and not journeys.quiet_hours
        and not journey.exits_when
        and all(rule.where is None for rule in journey.exits_on)
        and (goal is None or (goal.where is None and not goal.within_months))
        and not journey.max_duration_months
        # A message that competes at the very end of the longest time may or may not be decided before that.
        and not (journeys.caps and journey.max_duration_ms)
        and all(isinstance(step, PLAIN) for step in steps)
        and not any(isinstance(step, WaitFor) and not _is_plain_wait(step) for step in steps)
    )


def _is_plain_wait(step: WaitFor) -> bool:
    return not step.timeout_months and all(awaited.where is None for awaited in step.awaited)


@dataclass(slots=True)
class Left:
    """What a passage has missed and not used up. Beside the present it has a second time, that of a life without the
    pause: `came_ms` is when it would have come to its step (None: it has been there since before), `over_ms` when it
    would have been done with it, where that is known. `seen` is how many of the events, the first ones, the step has
    seen and left.
    """

    since_ms: int
    events: list[Missed] = field(default_factory=list)
    seen: int = 0
    came_ms: int | None = None
    over_ms: int | None = None
    is_before_step: bool = False

    def come(self) -> None:
        """To the next step."""
        self.came_ms = max(self.came_ms or 0, self.over_ms or self.since_ms)
        self.over_ms, self.seen = None, 0

    def end_step(self, at_ms: int) -> None:
        """The step would have been over then, but not after what later steps are to see."""
        if not self.seen:
            self.over_ms = at_ms
        elif self.over_ms is None:
            self.over_ms = min(at_ms, self.events[0][0])


@dataclass(slots=True)
class Passage:
    """One passage as it must be. `told` is what has happened to it; times are None for never."""

    journey: Journey
    entered_ms: int
    key: str = ""
    step: str = ""
    due_ms: int | None = None
    is_inside: bool = True
    has_goal: bool = True
    told: list[Telling] = field(default_factory=list)
    left: Left | None = None
    is_still: bool = False
    expired_ms: int | None = None

    def is_reached(self, at_ms: int, event_type: str) -> bool:
        """Whether such an event at this time is the goal."""
        goal = self.journey.goal
        return (
            goal is not None and self.has_goal and goal.on == event_type and (at_ms < self.entered_ms + goal.within_ms)
        )

    def is_exit(self, event_type: str) -> bool:
        return any(rule.on == event_type for rule in self.journey.exits_on)

    def tell(self, kind: str, reason: str, at_ms: int, event_id: str | None = None) -> None:
        self.told.append((kind, self.step if kind == "step" else "", reason, at_ms, event_id))

    def leave(self, reason: str, at_ms: int, event_id: str | None = None) -> None:
        self.tell("exited", reason, at_ms, event_id)
        self.is_inside, self.is_still, self.left, self.due_ms = False, False, None, None

    def reach(self, at_ms: int, event_id: str) -> None:
        """The goal, once, by whomever."""
        self.tell("goal", "", at_ms, event_id)
        if self.is_inside:
            self.leave("goal", at_ms, event_id)
        self.has_goal = False

    def run(self, name: str, now_ms: int) -> None:
        """From one step on until it waits."""
        if self.left is not None:
            self.left.come()
        while self.is_inside:
            self.step, self.due_ms = name, None
            match self.journey.steps[name]:
                case Wait(duration_ms=duration_ms):
                    self.due_ms = now_ms + duration_ms
                    return
                case WaitFor(timeout_ms=timeout_ms):
                    self.due_ms = None if timeout_ms is None else now_ms + timeout_ms
                    return
                case Exit(reason=reason):
                    self.leave(reason, now_ms)
                case Send(next=following) | StartJourney(next=following) | StopJourney(next=following):
                    self.tell("step", "", now_ms)
                    name = following
                case other:
                    raise AssertionError(other)

    def fire(self, now_ms: int) -> None:
        """The timer of the step."""
        match self.journey.steps[self.step]:
            case Wait(next=following):
                self.tell("step", "waited", now_ms)
            case WaitFor(timeout_go=following):
                self.tell("step", "timeout", now_ms)
            case other:
                raise AssertionError(other)
        self.run(following, now_ms)

    def advance(self, until_ms: int) -> None:
        """Everything that is due, in order; of what is due at the same instant the step comes first."""
        while self.is_inside:
            most = self.journey.max_duration_ms
            end_ms = self.entered_ms + most if most and self.expired_ms is None else until_ms + 1
            if self.due_ms is not None and not self.is_still and self.due_ms <= min(end_ms, until_ms):
                now_ms = self.due_ms
                self.fire(now_ms)
                self.catch_up(now_ms)
            elif end_ms > until_ms:
                return
            elif self.is_still:
                self.expired_ms = end_ms
            else:
                self.leave("expired", end_ms)

    def meet(self, at_ms: int, event_type: str, event_id: str, now_ms: int) -> None:
        """An event that came at one time is applied at another, which is mostly the same."""
        if self.is_reached(at_ms, event_type):
            self.reach(now_ms, event_id)
        elif self.is_inside and self.is_exit(event_type):
            self.leave(event_type, now_ms, event_id)
        elif self.is_inside and isinstance(step := self.journey.steps[self.step], WaitFor):
            for awaited in step.awaited:
                if awaited.on == event_type:
                    self.tell("step", event_type, now_ms, event_id)
                    self.run(awaited.go, now_ms)
                    return

    def take(self, at_ms: int, event_type: str, event_id: str) -> None:
        """An event that comes: kept by whoever stands still."""
        if not self.is_still:
            self.meet(at_ms, event_type, event_id, at_ms)
            self.catch_up(at_ms)
        elif event_type in self.journey.listens and self.left is not None:
            self.left.events.append((at_ms, event_type, event_id))

    def stand_still(self, now_ms: int, *, is_new: bool = False) -> None:
        """What is left from a pause before stays, although nobody knows the second time any more."""
        left, self.left = self.left, Left(now_ms, is_before_step=is_new)
        if left is not None:
            self.left = Left(now_ms, left.events, left.seen, None, left.over_ms, left.is_before_step)
        self.is_still = True

    def resume(self, now_ms: int, policy: Resume) -> None:
        """Goes on with what it missed, if nothing of it was its end."""
        self.is_still = False
        self.tell("resumed", "", now_ms)
        missed = self.left.events if self.left is not None else []
        for number, (at_ms, event_type, event_id) in enumerate(missed):
            if self.expired_ms is not None and self.expired_ms <= at_ms:
                self.leave("expired", now_ms)
                self._count_goal(missed[number:], now_ms)
            elif self.is_reached(at_ms, event_type) or self.is_exit(event_type):
                self.meet(at_ms, event_type, event_id, now_ms)
                self._count_goal(missed[number + 1 :], now_ms)
            if not self.is_inside:
                return
        if self.expired_ms is not None:
            self.leave("expired", now_ms)
        elif policy.expires:
            self.leave("expired_in_pause", now_ms)
        elif policy.skip_older_than_ms is not None:
            self._skip(now_ms - policy.skip_older_than_ms, now_ms)
        self.catch_up(now_ms)

    def _count_goal(self, missed: list[Missed], now_ms: int) -> None:
        """Who left otherwise may have reached the goal after that."""
        for at_ms, event_type, event_id in missed:
            if self.is_reached(at_ms, event_type):
                self.reach(now_ms, event_id)

    def _skip(self, least_ms: int, now_ms: int) -> None:
        left = self.left
        if left is None or (self.due_ms is not None and self.due_ms < least_ms):
            self.leave("expired_in_pause", now_ms)
            return
        while left.events and left.events[0][0] < least_ms:
            _, event_type, event_id = left.events.pop(0)
            left.seen = max(0, left.seen - 1)
            self.tell("dropped", event_type, now_ms, event_id)

    def catch_up(self, now_ms: int) -> None:
        """Timer and events in the order in which they came, as far as the step can see them."""
        while (left := self.left) is not None and self.is_inside and not self.is_still:
            event = left.events[left.seen] if left.seen < len(left.events) else None
            if left.is_before_step:
                left.is_before_step = False
                left.end_step(self.due_ms or 0)
                self.run(self.step or self.journey.first, now_ms)
            elif self.due_ms is not None and self.due_ms <= now_ms and (event is None or self.due_ms <= event[0]):
                left.end_step(self.due_ms)
                self.fire(now_ms)
            elif event is not None:
                self._see(left, event, now_ms)
            elif left.events:
                left.over_ms = self._over_ms(left)
                return
            else:
                self.left = None

    def _see(self, left: Left, event: Missed, now_ms: int) -> None:
        """Shows the step what was missed: it uses up what it asks for, and what came in its own time."""
        number, before, over_ms = left.seen, self.journey.steps[self.step], left.over_ms
        is_its_own = left.came_ms is None or event[0] < self._over_ms(left)
        left.end_step(event[0])
        left.seen += 1
        told = len(self.told)
        self.meet(*event, now_ms)
        if len(self.told) == told:
            left.over_ms = over_ms
            if is_its_own:
                left.seen = number
        if is_its_own or (isinstance(before, WaitFor) and len(self.told) > told):
            left.events.pop(number)

    def _over_ms(self, left: Left) -> int:
        """When the step would have been over by itself."""
        came_ms = left.came_ms or left.since_ms
        if left.over_ms is not None:
            return left.over_ms
        match self.journey.steps[self.step]:
            case Wait(duration_ms=duration_ms):
                return came_ms + duration_ms
            case WaitFor(timeout_ms=timeout_ms):
                return NEVER_MS if timeout_ms is None else came_ms + timeout_ms
            case other:
                raise AssertionError(other)


def check_plain(played: Played) -> None:
    """Each passage of a plain journey does what it must, and nothing else."""
    for life in all_lives(played):
        passages: dict[int, Passage] = {}
        for one in life:
            if one.effects.duplicates:
                continue
            by_event = one.event.event_id if one.event is not None else ""
            for number, passage in passages.items():
                _live_on(passage, number, one)
            _enter(played, passages, one, [made for made in _entered(one) if made.event_id != by_event])
            if one.event is not None:
                for passage in passages.values():
                    passage.take(one.at_ms, one.event.type, one.event.event_id)
            _enter(played, passages, one, [made for made in _entered(one) if made.event_id == by_event])
            for number, passage in list(passages.items()):
                if not _check_told(passage, number, one):
                    del passages[number]


def _entered(one: Happening) -> list[Transition]:
    return [made for made in one.effects.transitions if made.kind == "entered"]


def _enter(played: Played, passages: dict[int, Passage], one: Happening, listed: list[Transition]) -> None:
    for made in listed:
        journey = played.journeys.versions[made.journey, made.version]
        if is_plain(journey, one.journeys):
            key = key_of(journey, one, made)
            for other in passages.values():
                if other.journey.name == made.journey and other.key == key:
                    # Its goal is now that of the new one.
                    other.has_goal = False
            passages[made.instance] = passage = Passage(journey, made.at_ms, key)
            if made.journey in one.journeys.paused:
                passage.due_ms = made.at_ms
                passage.stand_still(made.at_ms, is_new=True)
            else:
                passage.run(journey.first, made.at_ms)


def _live_on(passage: Passage, number: int, one: Happening) -> None:
    """Up to the decision's event. Who begins to stand still, or to go on, does before what is due at that instant."""
    kinds = {made.kind for made in one.effects.transitions if made.instance == number and made.journey}
    if kinds & {"paused", "resumed"}:
        passage.advance(one.at_ms - 1)
    if "paused" in kinds:
        passage.stand_still(one.at_ms)
    if "resumed" in kinds:
        current = one.journeys.current.get(passage.journey.name)
        passage.resume(one.at_ms, (current and current.resume) or AT_ONCE)
    passage.advance(one.at_ms)


def _check_told(passage: Passage, number: int, one: Happening) -> bool:
    """Whether the passage can be told further: of who is taken out, or into another version, it cannot."""
    made = [each for each in one.effects.transitions if each.instance == number and each.journey]
    cut = next((place for place, each in enumerate(made) if _is_cut(each)), None)
    actual = [_telling(passage.journey, each) for each in made[:cut] if each.kind in TOLD and each.value != NO_ROOM]
    told, passage.told = passage.told, []
    assert len(actual) <= len(told) if cut is not None else len(actual) == len(told), (told, actual, one)
    for must, does in zip(told, actual, strict=False):
        # Which event it was because of is not told of all.
        assert must == (*does[:4], must[4] and does[4]), (must, does, one)
    for each in made:
        if each.kind == "dropped" and each.value == NO_ROOM and passage.left is not None:
            passage.left.events = [other for other in passage.left.events if other[2] != each.event_id]
    return cut is None


def _is_cut(made: Transition) -> bool:
    return made.kind == "migrated" or (made.kind == "exited" and made.reason in FROM_OUTSIDE)


def _telling(journey: Journey, made: Transition) -> Telling:
    is_wait = made.kind == "step" and isinstance(journey.steps[made.step], Wait | WaitFor)
    is_told = is_wait or made.kind in {"exited", "dropped"}
    step = made.step if made.kind == "step" else ""
    return made.kind, step, made.reason if is_told else "", made.at_ms, made.event_id


CHECKS = (check_plain,)
