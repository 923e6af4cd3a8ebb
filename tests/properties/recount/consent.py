"""What customers agreed to, by their own events, and what is done with it: messages, audiences, forgetting."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.model.actions import ActionCommand
from orchestrator.model.customer import Customer
from orchestrator.model.events import Event
from orchestrator.model.journey import Send
from orchestrator.model.policies import Basis
from tests.properties.playing import Happening, Played
from tests.properties.random_logs import CUSTOMERS
from tests.properties.recount.messages import purpose_of
from tests.properties.shop import AUDIENCES, CONSENTS

Consents = dict[str, bool]


def with_consents(played: Played, customer_id: str) -> Iterator[tuple[Happening, Consents]]:
    """Each decision about the customer with what he or she agreed to by then, this very event included."""
    known: Consents = {}
    for one in played.of(customer_id):
        if one.event is not None and not one.effects.duplicates:
            known = _after(known, one.event)
        yield one, known


def _after(known: Consents, event: Event) -> Consents:
    match event.type:
        case "registered":
            return known | {name: event.fields[f"{name}_ok"] for name in CONSENTS}
        case "consent_changed":
            return known | {event.fields["channel"]: event.fields["granted"]}
        case "customer_erased":
            return {}
        case _:
            return known


def check_messages(played: Played) -> None:
    """No message goes out without what its purpose needs."""
    for customer_id in CUSTOMERS:
        for one, known in with_consents(played, customer_id):
            for message in one.effects.actions:
                if message.kind == "send":
                    assert _may_go_out(played, message, known), (message, known)


def _may_go_out(played: Played, message: ActionCommand, known: Consents) -> bool:
    step = played.journeys.versions[message.journey, message.version].steps[message.step]
    assert isinstance(step, Send)
    purpose = played.journeys.purposes.get(purpose_of(played.journeys, step))
    if purpose is None:
        return known.get(message.channel, False)
    key = purpose.by_channel.get(message.channel, purpose.consent)
    match purpose.basis:
        case Basis.CONTRACT:
            return True
        case Basis.CONSENT:
            return known.get(message.channel, False) and known.get(key, False)
        case Basis.LEGITIMATE_INTEREST:
            return known.get(message.channel, True) and known.get(key, True)


def check_audiences(played: Played) -> None:
    """Additions and removals alternate, each under the name that was added; whoever is in has agreed to it, at every
    moment.
    """
    for customer_id in CUSTOMERS:
        inside: dict[str, str] = {}
        for one, known in with_consents(played, customer_id):
            for action in one.effects.actions:
                if action.kind == "audience_add":
                    identity, needed = AUDIENCES[action.target]
                    assert action.target not in inside
                    assert known.get(needed), (action, known)
                    if not {"set", "incremented"} & {made.reason for made in one.effects.transitions}:
                        assert action.address == one.then.profile[identity]
                    inside[action.target] = action.address
                elif action.kind == "audience_remove":
                    assert inside.pop(action.target) == action.address
            assert all(known.get(AUDIENCES[name][1]) for name in inside), (one.event, inside, known)
            assert {name: who for name, (_, who) in one.then.audiences.items()} == inside


def check_forgotten(played: Played) -> None:
    """Nothing is left of a customer who is to be forgotten, and nothing is asked for but removals."""
    for one in played.happenings:
        if one.event is not None and one.event.type == "customer_erased":
            assert one.then == Customer()
            assert all(action.kind == "audience_remove" for action in one.effects.actions)


CHECKS = (check_messages, check_audiences, check_forgotten)
