"""Journeys that are started and stopped, by others and by events: what was asked for follows in the same decision."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.model.customer import ACTIVE, FINISHED, PAUSED
from tests.properties.playing import Happening, Played
from tests.properties.recount.passages import all_lives

Asked = tuple[int, str, bool, str | None]
"""At which transition of the decision, which journey, whether to start it, and for which key (None: all of them)."""


def check_requests(played: Played) -> None:
    """Whoever is started enters, or is refused for a reason; whoever is stopped leaves."""
    for life in all_lives(played):
        for one in life:
            if any(failure.step == "settle" for failure in one.effects.failures):
                continue
            for asked in _asked(one):
                if asked[2]:
                    _check_start(one, asked)
                else:
                    _check_stop(one, asked)


def _asked(one: Happening) -> Iterator[Asked]:
    if one.event is not None and not one.effects.duplicates:
        journey, key = one.event.fields.get("journey"), one.event.fields.get("key")
        if one.event.type == "journey_stop_requested":
            yield 0, str(journey), False, key
        if one.event.type == "journey_requested" and journey in one.journeys.entries_by_command:
            yield 0, str(journey), True, key or ""
    for number, made in enumerate(one.effects.transitions):
        if made.reason == "start_asked":
            yield number, str(made.value), True, ""
        elif made.reason == "stop_asked":
            yield number, str(made.value), False, None


def _check_start(one: Happening, asked: Asked) -> None:
    number, name, _, key = asked
    journey = one.journeys.entries_by_command[name]
    bounds = journey.entry.bounds
    is_closed = bounds is not None and not bounds.opens_ms <= one.at_ms < bounds.closes_ms
    if is_closed or journey.entry.where is not None:
        return
    answered = any(
        made.journey == name and made.kind in {"entered", "held_out", "not_entered"}
        for made in one.effects.transitions[number:]
    )
    was_inside = any(
        instance.journey == name and instance.key == key and instance.state != FINISHED
        for instance in (*one.was.instances, *one.then.instances)
    )
    assert answered or was_inside, (one, asked)


def _check_stop(one: Happening, asked: Asked) -> None:
    number, name, _, key = asked
    transitions = one.effects.transitions
    before = transitions[:number]
    inside = {
        instance.number
        for instance in one.was.instances
        if instance.journey == name and instance.state in {ACTIVE, PAUSED} and key in {None, instance.key}
    }
    if key is None:
        inside |= {made.instance for made in before if made.journey == name and made.kind == "entered"}
    inside -= {made.instance for made in before if made.kind == "exited"}
    assert inside <= {made.instance for made in transitions[number:] if made.kind == "exited"}, (one, asked)


CHECKS = (check_requests,)
