"""Steps that ask for something other than a message: increments, audiences, tasks, webhooks."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.actions import CONTEXT
from orchestrator.engine.audiences import REMOVAL_EXPIRES_MS
from orchestrator.engine.decide import apply_event, bring_in_line, fire_timers
from orchestrator.model.action_steps import ChangeAudience, Increment, Task, Webhook
from orchestrator.model.actions import Effects
from orchestrator.model.customer import Customer, decode_customer, encode_customer
from orchestrator.model.journey import (
    Audience,
    Awaited,
    Exit,
    Journey,
    JourneySet,
    ReEntry,
    Scope,
    Status,
    Wait,
    WaitFor,
)
from tests.engine.build import DAY, HOUR, START, broken_render, event, expression, journey, journeys, reachable

ADS = {
    "vip": Audience("vip", "ads", "actions.ads", "email", "email"),
    "win_back": Audience("win_back", "ads", "actions.ads", "phone", "sms"),
}


def audience(name: str, following: str, *names: str, is_add: bool = True) -> ChangeAudience:
    return ChangeAudience(name, names, is_add, 5, DAY, following)


def a_set(*every: Journey) -> JourneySet:
    made = journeys(*every)
    made.audiences.update(ADS)
    return made


def again(*steps: Any, **changes: Any) -> JourneySet:
    return a_set(journey(*steps, reentry=ReEntry("always"), **changes))


def apply(journeys: JourneySet, customer: Customer, *events: Any, at_ms: int = START) -> Effects:
    effects = Effects()
    for one in events:
        apply_event(journeys, customer, one, at_ms, effects)
    return effects


def kinds(effects: Effects) -> list[tuple[str, str]]:
    return [(action.kind, action.target) for action in effects.actions]


def reasons(effects: Effects) -> list[tuple[str | None, str]]:
    return [(t.value, t.reason) for t in effects.transitions if t.kind == "audience"]


def consent(number: int, channel: str, *, granted: bool) -> Any:
    return event("consented", number, channel=channel, granted=granted)


def test_a_customer_is_added_with_who_she_is_there_and_kept_as_a_member() -> None:
    customer = reachable()
    effects = apply(a_set(journey(audience("add", "_end", "vip", "win_back"))), customer, event("registered"))
    assert kinds(effects) == [("audience_add", "vip"), ("audience_add", "win_back")]
    first, second = effects.actions
    assert (first.channel, first.address, second.address) == ("ads", "a@example.com", "+1")
    assert first.action_id != second.action_id
    assert (first.journey, first.version, first.instance, first.step) == ("welcome", "v1", 1, "add")
    assert (first.created_at_ms, first.expires_at_ms, first.priority) == (START, START + DAY, 5)
    assert customer.audiences == {"vip": (START, "a@example.com"), "win_back": (START, "+1")}
    assert decode_customer(encode_customer(customer)) == customer


def test_adding_twice_asks_for_nothing_twice() -> None:
    customer = reachable()
    effects = apply(again(audience("add", "_end", "vip")), customer, event("registered"), event("registered", 2))
    assert kinds(effects) == [("audience_add", "vip")]
    assert reasons(effects) == [("vip", "added"), ("vip", "already_in")]


def test_who_has_no_consent_or_no_identity_is_not_added() -> None:
    steps = audience("add", "_end", "vip", "win_back")
    customer = Customer(profile={"email": "a@example.com"}, consent={"email": False, "sms": True})
    effects = apply(a_set(journey(steps)), customer, event("registered"))
    assert effects.actions == []
    assert customer.audiences == {}
    assert reasons(effects) == [("vip", "no_consent"), ("win_back", "unreachable")]


def test_a_removal_names_who_was_added_and_needs_no_consent() -> None:
    customer = reachable(audiences={"vip": (START - DAY, "old@example.com")}, consent={})
    effects = apply(a_set(journey(audience("remove", "_end", "vip", is_add=False))), customer, event("registered"))
    assert kinds(effects) == [("audience_remove", "vip")]
    assert effects.actions[0].address == "old@example.com"
    assert effects.actions[0].expires_at_ms == START + REMOVAL_EXPIRES_MS
    assert customer.audiences == {}
    again_removed = apply(
        a_set(journey(audience("remove", "_end", "vip", is_add=False))), reachable(), event("registered")
    )
    assert again_removed.actions == []
    assert reasons(again_removed) == [("vip", "not_in")]


def test_a_journey_in_shadow_changes_no_audience() -> None:
    customer = reachable()
    shadow = journey(audience("add", "_end", "vip"), status=Status.SHADOW)
    effects = apply(a_set(shadow), customer, event("registered"))
    assert effects.actions == []
    assert customer.audiences == {}
    assert reasons(effects) == [("vip", "shadow")]


def test_who_takes_the_consent_back_is_removed_with_that_event_whatever_the_journey_does() -> None:
    steps = (audience("add", "wait", "vip", "win_back"), Wait("wait", DAY, "_end"))
    customer = reachable()
    made = a_set(journey(*steps))
    apply(made, customer, event("registered"))
    effects = apply(made, customer, consent(2, "email", granted=False), at_ms=START + HOUR)
    assert kinds(effects) == [("audience_remove", "vip")]
    command = effects.actions[0]
    assert (command.journey, command.step, command.instance, command.message_class) == ("", "", 0, "transactional")
    assert command.expires_at_ms == START + HOUR + REMOVAL_EXPIRES_MS
    assert reasons(effects) == [("vip", "consent_withdrawn")]
    assert list(customer.audiences) == ["win_back"]
    assert apply(made, customer, consent(3, "email", granted=False), at_ms=START + HOUR).actions == []


def test_who_has_not_given_the_consent_that_new_rules_ask_for_is_removed_as_they_come_into_force() -> None:
    customer = reachable()
    made = a_set(journey(audience("add", "wait", "vip", "win_back"), Wait("wait", DAY, "_end")))
    apply(made, customer, event("registered"))
    stricter = replace(made, alignment="new", audiences={**ADS, "vip": replace(ADS["vip"], consent="profiling")})
    effects = Effects()
    assert bring_in_line(stricter, customer, "c1", START + HOUR, effects)
    assert (kinds(effects), reasons(effects)) == ([("audience_remove", "vip")], [("vip", "consent_withdrawn")])
    assert list(customer.audiences) == ["win_back"]


def test_each_withdrawal_has_an_id_of_its_own() -> None:
    customer = reachable()
    made = again(audience("add", "_end", "vip"))
    ids = []
    for number in (1, 4):
        apply(made, customer, consent(number, "email", granted=True), event("registered", number + 1))
        effects = apply(made, customer, consent(number + 2, "email", granted=False))
        ids += [action.action_id for action in effects.actions]
    assert len(set(ids)) == 2


def attribute_plus(name: str, by: Any) -> Any:
    def evaluate(scope: Scope) -> Any:
        added = by(scope)
        return None if added is None else (scope.customer.profile.get(name) or 0) + added

    return expression(evaluate)


def test_a_sum_that_is_null_or_fails_leaves_the_attribute_and_the_rest_goes_on() -> None:
    def fails(_: Scope) -> Any:
        raise OverflowError

    sums = (
        ("a", attribute_plus("a", lambda _: 2), None),
        ("b", attribute_plus("b", lambda _: None), None),
        ("c", expression(fails), None),
        ("d", attribute_plus("d", lambda _: Decimal("0.5")), str),
    )
    customer = reachable(profile={"a": 1, "b": 1, "c": 1})
    effects = apply(a_set(journey(Increment("count", sums, "_end"))), customer, event("registered"))
    assert customer.profile == {"a": 3, "b": 1, "c": 1, "d": "0.5"}
    assert [t.kind for t in effects.transitions] == ["entered", "failed", "step", "exited"]


operations = st.lists(
    st.one_of(
        st.tuples(st.just("registered"), st.booleans()),
        st.tuples(st.sampled_from(["email", "sms"]), st.booleans()),
    ),
    max_size=25,
)


@given(operations)
def test_nobody_is_ever_in_an_audience_without_the_consent_and_commands_alternate(
    story: list[tuple[str, bool]],
) -> None:
    """Whatever happens: the sink that applies the commands in order holds exactly the members on record."""
    customer = reachable(consent={})
    made = a_set(
        journey(audience("add", "_end", "vip", "win_back"), name="in", reentry=ReEntry("always")),
        journey(
            audience("remove", "out", "win_back", is_add=False),
            Exit("out", "out"),
            name="out",
            on="stopped",
            reentry=ReEntry("always"),
        ),
    )
    sink: dict[str, str] = {}
    for number, (what, flag) in enumerate(story):
        if what == "registered":
            one = event("registered" if flag else "stopped", number)
        else:
            one = consent(number, what, granted=flag)
        effects = Effects()
        apply_event(made, customer, one, START + number, effects)
        fire_timers(made, customer, "c1", START + number, effects)
        for action in effects.actions:
            assert (action.target in sink) is (action.kind == "audience_remove")
            if action.kind == "audience_add":
                sink[action.target] = action.address
            else:
                assert sink.pop(action.target) == action.address
        customer = decode_customer(encode_customer(customer))
        assert sink == {name: identity for name, (_, identity) in customer.audiences.items()}
        assert all(customer.consent.get(ADS[name].consent, False) for name in sink)


def a_task(**changes: Any) -> Task:
    options: dict[str, Any] = {
        "render": lambda language, variables: (language or "en", {"subject": f"{variables['total']}"}),
        "variables": (("total", expression(lambda _: Decimal("9.50"))),),
        "print_as": {"total": str},
        "context": lambda title, entered_at_ms, values: f"{title} {entered_at_ms} {values}",
        "due_after_ms": 2 * DAY,
    }
    options |= changes
    return Task(
        "call",
        "sales",
        "call_customer",
        message_class="promotional",
        priority=7,
        expires_after_ms=30 * DAY,
        next="_end",
        **options,
    )


def a_webhook() -> Webhook:
    variables = (("total", expression(lambda _: 1 / 0)),)
    return Webhook("lead", "crm_lead", "crm", "POST", variables, str, "transactional", 5, DAY, "_end")


def test_a_task_says_what_is_to_be_done_by_when_and_where_it_comes_from() -> None:
    customer = reachable(profile={"language": "de"}, consent={})
    effects = apply(a_set(journey(a_task())), customer, event("registered"))
    command = effects.actions[0]
    assert (command.kind, command.target, command.channel, command.address) == ("task", "sales", "human", "")
    assert (command.template, command.language, command.priority) == ("call_customer", "de", 7)
    assert command.content == {"subject": "9.50", CONTEXT: f"welcome {START} {{'total': Decimal('9.50')}}"}
    assert (command.due_at_ms, command.expires_at_ms) == (START + 2 * DAY, START + 30 * DAY)
    step = next(t for t in effects.transitions if t.kind == "step")
    assert (step.reason, step.action_id, step.value) == ("asked", command.action_id, "human")


def test_a_task_without_a_due_time_or_with_a_failing_template_is_no_exception() -> None:
    effects = apply(a_set(journey(a_task(due_after_ms=None))), reachable(), event("registered"))
    assert effects.actions[0].due_at_ms is None
    effects = apply(a_set(journey(a_task(render=broken_render))), reachable(), event("registered"))
    assert effects.actions == []
    assert [t.reason for t in effects.transitions if t.kind == "step"] == ["template_failed"]


def test_a_webhook_names_its_endpoint_and_a_value_that_fails_is_null() -> None:
    effects = apply(a_set(journey(a_webhook())), reachable(), event("registered"))
    command = effects.actions[0]
    assert (command.kind, command.target, command.channel, command.address) == ("webhook", "crm_lead", "webhook", "crm")
    assert command.content == {"method": "POST", "body": "{'total': None}"}
    assert [t.kind for t in effects.transitions] == ["entered", "failed", "step", "exited"]


def test_in_shadow_nobody_is_asked() -> None:
    steps = (replace(a_task(), next="lead"), a_webhook())
    effects = apply(a_set(journey(*steps, status=Status.SHADOW)), reachable(), event("registered"))
    assert effects.actions == []
    assert [t.reason for t in effects.transitions if t.kind == "step"] == ["shadow", "shadow"]


def test_the_answer_finds_its_task_by_the_action_id_which_each_visit_has_anew() -> None:
    def is_answered(scope: Scope) -> bool:
        assert scope.instance is not None
        return bool(scope.event["action_id"] == scope.instance.results["call"].action_id)

    steps = (
        replace(a_task(), next="wait"),
        WaitFor("wait", (Awaited("clicked", expression(is_answered), "call"),), None, "_end"),
    )
    customer = reachable()
    made = a_set(journey(*steps))
    first = apply(made, customer, event("registered")).actions[0]
    other = apply(made, customer, event("clicked", 2, action_id="x"))
    assert other.actions == []
    second = apply(made, customer, event("clicked", 3, action_id=first.action_id)).actions[0]
    assert second.action_id != first.action_id
