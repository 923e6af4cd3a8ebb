"""Who enters, how often, and when."""

from __future__ import annotations

from collections import defaultdict

from orchestrator.model.actions import Transition
from orchestrator.model.journey import Journey, Status
from tests.properties.playing import Happening, Played
from tests.properties.random_logs import DAY
from tests.properties.recount.passages import all_lives

SHORTEST_MONTH = 28 * DAY - 2 * DAY
"""February, less what another zone may take away from it."""

IN = frozenset({"entered", "held_out"})


def check_entries(played: Played) -> None:
    """Everybody enters as the journey's rules say: when it is open, one passage at a time for each key, again only
    after the time that has to go by, and no more often than the limit allows.
    """
    for life in all_lives(played):
        entered: dict[tuple[str, str], int] = {}
        admitted: dict[str, list[int]] = defaultdict(list)
        inside: dict[int, tuple[str, str]] = {}
        for one in life:
            for made in one.effects.transitions:
                if made.kind == "exited":
                    inside.pop(made.instance, None)
                if made.kind == "not_entered" and made.reason == "limit":
                    assert _is_full(one.journeys.current[made.journey], admitted[made.journey], made.at_ms, room=1)
                if made.kind not in IN:
                    continue
                journey = one.journeys.current[made.journey]
                assert journey.version == made.version
                who = (made.journey, key_of(journey, one, made))
                assert who not in inside.values(), made
                _check_entry(journey, made, entered.get(who))
                entered[who] = made.at_ms
                admitted[made.journey].append(made.at_ms)
                assert not _is_full(journey, admitted[made.journey], made.at_ms, room=0), made
                if made.kind == "entered":
                    inside[made.instance] = who


def key_of(journey: Journey, one: Happening, made: Transition) -> str:
    """What tells the passage that begins from parallel ones."""
    if journey.entry.key is not None:
        assert one.event is not None
        return str(one.event.fields[journey.entry.key.text.removeprefix("event.")])
    if made.reason == "command":
        assert one.event is not None
        return one.event.fields["key"] or ""
    return ""


def _check_entry(journey: Journey, made: Transition, before_ms: int | None) -> None:
    bounds, rule = journey.entry.bounds, journey.entry.reentry
    assert journey.status in {Status.LIVE, Status.SHADOW, Status.PAUSED}
    assert bounds is None or bounds.opens_ms <= made.at_ms < bounds.closes_ms, made
    if before_ms is not None:
        assert rule.mode != "never", made
        if rule.mode == "after":
            least = rule.after_months * SHORTEST_MONTH or rule.after_ms
            assert made.at_ms - before_ms >= least, (made, before_ms)


def _is_full(journey: Journey, entries: list[int], now_ms: int, *, room: int) -> bool:
    """Whether so many entries more would be too many for the journey's limit of one customer."""
    limits = journey.entry.bounds.limits if journey.entry.bounds is not None else ()
    for limit in limits:
        counted = [at for at in entries if limit.per_ms is None or at > now_ms - limit.per_ms]
        if not limit.is_of_all and len(counted) + room > limit.max:
            return True
    return False


CHECKS = (check_entries,)
