"""The worker's own cycle and the offline engine, which share no code but the engine, decide the same about a log."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.authoring.offline import OfflineEngine
from orchestrator.model.actions import ActionCommand, Transition
from orchestrator.model.customer import encode_customer
from tests.properties.effort import examples
from tests.properties.live import Entry, Live, topic_of
from tests.properties.playing import Case, cases, play
from tests.properties.random_logs import CUSTOMERS, DAY


@given(
    case=cases(most=15),
    batch_records_max=st.sampled_from([100, 3, 1]),
    timers_max=st.sampled_from([100, 1]),
    restart_every=st.sampled_from([4, 1, 100]),
)
@examples(40)
def test_a_worker_decides_what_a_simulation_decides(
    case: Case, batch_records_max: int, timers_max: int, restart_every: int
) -> None:
    played = play(case)
    journeys = played.journeys
    entries: list[Entry] = [(one.at_ms, one.event) for one in played.happenings if one.event is not None]
    entries.sort(key=lambda entry: (entry[0], topic_of(entry[1])))
    until_ms = case.log[-1].at_ms + DAY
    live = Live(journeys, batch_records_max, timers_max)
    live.work(entries, until_ms, restart_every=restart_every)

    offline = OfflineEngine(journeys)
    effects = []
    for at_ms, event in entries:
        if event.type in journeys.wanted:
            effects += [offline.advance(at_ms - 1), offline.apply(at_ms, event)]
    effects.append(offline.advance(until_ms))

    simulated = [made for one in effects for made in one.transitions]
    sent = [action for one in effects for action in one.actions]
    published = live.published("journey_transition")
    commands = live.published("action_command")
    for customer_id in CUSTOMERS:
        decided = [_told(made) for made in simulated if made.customer_id == customer_id]
        assert [_read(one) for one in published if one["customer_id"] == customer_id] == decided
        expected = sorted(_command(action) for action in sent if action.customer_id == customer_id)
        assert sorted(_read_command(one) for one in commands if one["customer_id"] == customer_id) == expected
        kept, known = live.customer(customer_id), offline.customers.get(customer_id)
        assert (kept and encode_customer(kept)) == (known and encode_customer(known))
    assert set(live.dead_letters()) <= {"condition_failed"}


def _told(made: Transition) -> tuple[Any, ...]:
    return (made.journey, made.instance, made.kind, made.step, made.to, made.reason, made.at_ms, made.event_id)


def _read(record: dict[str, Any]) -> tuple[Any, ...]:
    at_ms = round(record["at"].timestamp() * 1000)
    return (
        *(record[key] for key in ("journey", "instance", "kind", "step", "to", "reason")),
        at_ms,
        record["event_id"],
    )


def _command(action: ActionCommand) -> tuple[Any, ...]:
    return (action.action_id, action.channel, action.address, action.message_class, sorted(action.content.items()))


def _read_command(record: dict[str, Any]) -> tuple[Any, ...]:
    content = sorted(record["content"].items())
    return (record["action_id"], record["channel"], record["address"], record["message_class"], content)
