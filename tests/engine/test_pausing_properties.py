"""What holds of every pause, whatever the journey and whatever comes: decision record 0014 says it in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.authoring.pause_source import with_paused
from orchestrator.model.actions import Effects, Transition
from orchestrator.model.customer import ACTIVE, NEVER_MS, PAUSED, decode_customer, encode_customer
from orchestrator.model.journey import (
    Awaited,
    Cap,
    ClockTime,
    Exit,
    Journey,
    JourneySet,
    ReEntry,
    Step,
    Wait,
    WaitFor,
    WaitUntilTime,
)
from orchestrator.model.pauses import Resume, ResumeRate, size_of
from tests.engine.build import DAY, HOUR, START, event, goal, journey, journeys, ordered, reachable, send

NAME = "welcome"
PAUSE, RESUME = "pause", "resume"
TYPES = ("registered", "clicked", "ordered", "stopped")
IN_A_PAUSE = frozenset({"entered", "not_entered", "paused", "dropped"})
"""The kinds of transitions that a passage of a paused journey can have."""

logs = st.lists(st.sampled_from(TYPES), min_size=1, max_size=12)
moves = st.lists(st.sampled_from((*TYPES, *TYPES, PAUSE, RESUME)), min_size=2, max_size=30)


@st.composite
def chains(draw: st.DrawFn, *, has_timers: bool, stays: bool = False) -> Journey:
    """Waits for events and messages, with timers if there are to be some. Who `stays` is not done with them soon."""
    kinds = ["wait_for", "wait_for", "send", *(["wait", "until"] if has_timers else [])]
    steps: list[Step] = []
    listed = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6))
    for number, kind in enumerate(listed):
        following = f"s{number + 1}" if number + 1 < len(listed) else "stay"
        if kind == "send":
            steps.append(send(f"s{number}", following))
        elif kind == "wait":
            steps.append(Wait(f"s{number}", draw(st.integers(1, 30)) * HOUR, following))
        elif kind == "until":
            at = ClockTime(draw(st.integers(0, 23)), 0)
            steps.append(WaitUntilTime(f"s{number}", at, frozenset(), "UTC", following))
        else:
            timeout_ms = draw(st.none() | st.integers(1, 30)) if has_timers else None
            on = draw(st.lists(st.sampled_from(TYPES[1:]), min_size=1, max_size=2, unique=True))
            awaited = tuple(Awaited(one, None, following) for one in on)
            steps.append(WaitFor(f"s{number}", awaited, timeout_ms and timeout_ms * HOUR, following))
    steps.append(Wait("stay", 99 * DAY, "_end") if stays else Exit("stay", "finished"))
    return journey(*steps, name=NAME, listens=frozenset(TYPES[1:]))


class Play:
    """One customer; an hour goes by before each move."""

    def __init__(self, made: JourneySet) -> None:
        self.live = made
        self.engine = OfflineEngine(made)
        self.engine.put("c1", reachable())
        self.at_ms = START
        self.effects: list[tuple[bool, Effects]] = []
        """(whether the journey was paused, what came of it)."""

    @property
    def is_paused(self) -> bool:
        return NAME in self.engine.journeys.paused

    def move(self, number: int, what: str) -> None:
        self.at_ms += HOUR
        self.keep(self.engine.advance(self.at_ms))
        if what in {PAUSE, RESUME}:
            self.engine.journeys = with_paused(self.live, [NAME]) if what == PAUSE else self.live
            self.keep(self.engine.bring_in_line(self.at_ms))
            self.keep(self.engine.advance(self.at_ms))
        else:
            self.keep(self.engine.apply(self.at_ms, event(what, number)))
        self.check()

    def keep(self, effects: Effects) -> None:
        self.effects.append((self.is_paused, effects))

    def check(self) -> None:
        customer = self.engine.customers["c1"]
        read = decode_customer(encode_customer(customer))
        assert read == customer
        self.engine.put("c1", read)
        wake = self.engine.next_wake()
        assert wake is None or wake[0] > self.at_ms, "what is due has been done, and wakes nobody again"
        for instance in customer.instances:
            pause = instance.pause
            assert instance.state != PAUSED or pause is not None
            if pause is not None:
                assert instance.state == (ACTIVE if pause.is_over else PAUSED)
                assert pause.kept_bytes == sum(size_of(one) for one in pause.kept)
                assert pause.kept or not pause.is_over, "who keeps nothing more has nothing of the pause any more"
                assert pause.shown == len(pause.kept) or not pause.is_over, "its step has seen all of it"
            if self.is_paused and instance.journey == NAME:
                assert instance.timer_at_ms == NEVER_MS

    def of(self, name: str) -> list[Transition]:
        return [one for _, effects in self.effects for one in effects.transitions if one.journey == name]

    def steps(self) -> list[tuple[str, str, str, str, str | None]]:
        """What the passage did and why, and because of which event; without when."""
        told = [one for one in self.of(NAME) if one.kind not in {"paused", "resumed", "waiting"}]
        return [(one.kind, one.step, one.to, one.reason, one.event_id) for one in told]


def a_set(*every: Journey, resume: Resume | None = None) -> JourneySet:
    made = journeys(*(replace(one, resume=resume) for one in every))
    return replace(made, uses_shared=resume is not None and resume.rate is not None)


def played(made: JourneySet, log: Sequence[str], pause_at: int | None = None, resume_at: int = 0) -> Play:
    """The log with a pause before one event and a resume before another; an hour goes by in both cases."""
    play = Play(made)
    for number, what in enumerate(log):
        if pause_at is not None and number in {pause_at, resume_at}:
            play.move(number, PAUSE if number == pause_at else RESUME)
        play.move(number, what)
    if pause_at is not None and resume_at >= len(log):
        play.move(len(log), RESUME)
    return play


@given(chains(has_timers=False), logs, st.integers(0, 11), st.integers(1, 12))
def test_without_timers_a_pause_changes_nothing_but_when(
    made: Journey, log: list[str], pause_at: int, length: int
) -> None:
    assume(pause_at < len(log))
    without, paused = played(a_set(made), log), played(a_set(made), log, pause_at, pause_at + length)

    def by_cause(play: Play) -> list[tuple[str, str, str, str, str | None]]:
        # The first steps of who entered in the pause have no event: it is the pause's end that lets them go on.
        return [(*one[:4], None) if one[0] == "step" and one[3] == "sent" else one for one in play.steps()]

    entered = next((number for number, what in enumerate(log) if what == "registered"), len(log))
    if entered >= pause_at:
        assert [one[:4] for one in paused.steps() if one[0] != "not_entered"] == [
            one[:4] for one in without.steps() if one[0] != "not_entered"
        ]
    else:
        assert [one for one in by_cause(paused) if one[0] != "not_entered"] == [
            one for one in by_cause(without) if one[0] != "not_entered"
        ]


@settings(max_examples=200)
@given(chains(has_timers=True), logs, st.integers(0, 11))
def test_a_pause_that_lasts_until_the_last_event_changes_nothing_but_when(
    made: Journey, log: list[str], pause_at: int
) -> None:
    """Whatever is waited for: each event meets the step that it would have met, however late that step begins. But
    what is waited for counts after a time-out too.
    """
    assume(pause_at < len(log))
    plays: list[Play] = []
    for is_paused in (False, True):
        play = Play(a_set(made))
        for number, what in enumerate(log):
            if number == pause_at:
                play.move(number, PAUSE if is_paused else RESUME)
            play.move(number, what)
        play.move(len(log), RESUME)
        play.keep(play.engine.advance(START + 100 * DAY))
        plays.append(play)
    last_ms = START + (len(log) + 1) * HOUR
    assume(not any(one.reason == "timeout" and one.at_ms <= last_ms for one in plays[0].of(NAME)))
    without, paused = (
        [(*one[:4], None if one[3] == "sent" else one[4]) for one in play.steps() if one[0] != "not_entered"]
        for play in plays
    )
    if pause_at <= next((number for number, what in enumerate(log) if what == "registered"), len(log)):
        # What follows the entry at once does so without an event.
        without, paused = [(*one[:4], None) for one in without], [(*one[:4], None) for one in paused]
    assert paused == without


@given(
    chains(has_timers=True, stays=True),
    st.lists(st.just("clicked"), max_size=4),
    st.lists(st.sampled_from(TYPES), max_size=6),
    st.sampled_from(["ordered", "stopped"]),
    st.lists(st.sampled_from(TYPES), max_size=6),
)
def test_who_reached_the_goal_or_an_exit_in_the_pause_gets_nothing_from_then_on(
    made: Journey, before: list[str], missed: list[str], end: str, after: list[str]
) -> None:
    made = replace(made, goal=goal(within_ms=99 * DAY), exits_on=(replace(ordered(), on="stopped"),))
    log = ["registered", *before, *missed, end, *after]
    pause_at = 1 + len(before)
    play = played(a_set(made), log, pause_at, pause_at + len(missed) + 1)
    first = next(what for what in [*missed, end] if what in {"ordered", "stopped"})
    assert [one.reason for one in play.of(NAME) if one.kind == "exited"] == [
        "goal" if first == "ordered" else "stopped"
    ]
    paused = next(one for one in play.of(NAME) if one.kind == "paused")
    assert all(action.created_at_ms <= paused.at_ms for _, effects in play.effects for action in effects.actions)


@settings(max_examples=150)
@given(
    chains(has_timers=True),
    moves,
    st.sampled_from(
        [
            None,
            Resume(over_ms=5 * HOUR),
            Resume(rate=ResumeRate(1, 3 * HOUR)),
            Resume(expires=True),
            Resume(over_ms=HOUR, skip_older_than_ms=4 * HOUR),
        ]
    ),
    st.booleans(),
)
def test_while_a_journey_is_paused_nothing_of_it_happens_and_others_are_not_touched(
    made: Journey, listed: list[str], resume: Resume | None, is_bounded: bool
) -> None:
    made = replace(
        made,
        exits_on=(ordered(),),
        entry=replace(made.entry, reentry=ReEntry("always")),
        goal=goal(within_ms=9 * HOUR) if is_bounded else None,
        max_duration_ms=20 * HOUR if is_bounded else 0,
    )
    other = replace(made, name="other")
    play, plain = Play(a_set(made, other, resume=resume)), Play(a_set(other))
    for number, what in enumerate(listed):
        play.move(number, what)
        plain.move(number, what if what not in {PAUSE, RESUME} else RESUME)
    for is_paused, effects in play.effects:
        if is_paused:
            assert [one for one in effects.actions if one.journey == NAME] == []
            assert {one.kind for one in effects.transitions if one.journey == NAME} <= IN_A_PAUSE | {"goal"}
    told = [(one.kind, one.step, one.to, one.reason, one.at_ms) for one in play.of("other")]
    assert told == [(one.kind, one.step, one.to, one.reason, one.at_ms) for one in plain.of("other")]
    ids = [action.action_id for _, effects in play.effects for action in effects.actions]
    assert len(ids) == len(set(ids)), "nothing is sent twice"


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=4),
    st.integers(1, 6),
)
def test_messages_of_all_who_go_on_at_an_instant_go_by_priority(listed: list[list[int]], most: int) -> None:
    """Each journey has its messages one after the other, and a kept click between them."""
    made = []
    for number, priorities in enumerate(listed):
        steps: list[Step] = [Wait("think", HOUR, "m0")]
        for place, priority in enumerate(priorities):
            steps.append(send(f"m{place}", f"r{place}", priority=priority))
            steps.append(WaitFor(f"r{place}", (Awaited("clicked", None, f"m{place + 1}"),), None, "_end"))
        last = f"m{len(priorities)}"
        made.append(journey(*steps, Wait(last, DAY, "_end"), name=f"j{number}", listens=frozenset({"clicked"})))
    live = replace(journeys(*made), caps=(Cap("most", None, most, DAY),))
    engine = OfflineEngine(live)
    engine.put("c1", reachable())
    engine.apply(START, event("registered", 0))
    engine.journeys = with_paused(live, [one.name for one in made])
    engine.bring_in_line(START)
    for number in range(3):
        engine.apply(START + 2 * HOUR + number, event("clicked", 1 + number))
    engine.journeys = live
    engine.bring_in_line(START + 5 * HOUR)
    effects = engine.advance(START + 5 * HOUR)
    left, expected = {f"j{number}": list(priorities) for number, priorities in enumerate(listed)}, []
    while left:
        best = min(left, key=lambda name: (-left[name][0], name))
        expected.append((best, left[best].pop(0)))
        if not left[best]:
            del left[best]
    assert [(one.journey, one.priority) for one in effects.actions] == expected[:most]
    outcomes = [one.reason for one in effects.transitions if one.reason in {"sent", "capped"}]
    assert outcomes.count("sent") + outcomes.count("capped") == len(expected), "each comes as far as it comes"
