"""Small journeys made by hand, so that engine tests depend on nothing above the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.engine.population import with_entries
from orchestrator.model.customer import Customer
from orchestrator.model.events import Event
from orchestrator.model.journey import (
    Cap,
    Captured,
    Channel,
    Entry,
    Exit,
    ExitOn,
    Expression,
    Goal,
    Journey,
    JourneySet,
    ProfileRule,
    ReEntry,
    RenderProblem,
    Scope,
    Send,
    Status,
    Step,
)
from orchestrator.model.triggers import OnEvent
from orchestrator.model.types import BOOLEAN, STRING

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_700_000_000_000


def expression(evaluate: Callable[[Scope], Any], text: str = "made by hand") -> Expression:
    return Expression(text, BOOLEAN, evaluate)


def event_field(name: str) -> Expression:
    return expression(lambda scope: scope.event.get(name), f"event.{name}")


def render(_language: str, variables: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    return "en", {"body": " ".join(f"{k}={v}" for k, v in sorted(variables.items()) if k != "profile")}


def broken_render(_language: str, _variables: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    raise RenderProblem("undefined filter")


def send(name: str, next_step: str, *, channels: tuple[str, ...] = ("email",), **changes: Any) -> Send:
    options: dict[str, Any] = {
        "template": name,
        "renders": dict.fromkeys(channels, render),
        "variables": (),
        "message_class": "promotional",
        "priority": 5,
        "expires_after_ms": DAY,
    }
    return Send(name=name, channels=channels, next=next_step, **{**options, **changes})


def journey(*steps: Step, name: str = "welcome", on: str = "registered", **changes: Any) -> Journey:
    trigger = changes.pop("trigger", OnEvent(on))
    where, key, reentry = (changes.pop(name, None) for name in ("where", "key", "reentry"))
    entry = Entry(trigger, where, key, reentry or ReEntry("never"))
    options: dict[str, Any] = {
        "status": Status.LIVE,
        "version": "v1",
        "exits_on": (),
        "exits_when": (),
        "goal": None,
        "holdout": 0,
        "captured": (),
        "listens": frozenset({"clicked", "ordered", "stopped"}),
    }
    every_step = {step.name: step for step in (*steps, Exit("_end", "finished"))}
    return Journey(
        name=name,
        title=name,
        owner="o@example.com",
        entry=entry,
        steps=every_step,
        first=steps[0].name,
        **{**options, **changes},
    )


def journeys(*every: Journey, caps: tuple[Cap, ...] = ()) -> JourneySet:
    consent = ((event_field("channel"), event_field("granted")),)
    made = JourneySet(
        set_id="set",
        versions={(one.name, one.version): one for one in every},
        current={one.name: one for one in every},
        entries={},
        profile_rules={"consented": (ProfileRule("consented", (), consent),)},
        channels={
            "email": Channel("email", "email", "email", "actions.email"),
            "sms": Channel("sms", "phone", "sms", "actions.sms"),
        },
        caps=caps,
        wanted=frozenset({"registered", "clicked", "ordered", "stopped", "consented"}),
    )
    return with_entries(made, every)


def reachable(**changes: Any) -> Customer:
    options: dict[str, Any] = {
        "profile": {"email": "a@example.com", "phone": "+1"},
        "consent": {"email": True, "sms": True},
    }
    return Customer(**{**options, **changes})


def event(event_type: str, number: int = 1, **fields: Any) -> Event:
    return Event(event_type, f"e{number}", "c1", fields)


def captured(field: str) -> Captured:
    return Captured(field, STRING, None)


def ordered(where: Expression | None = None) -> ExitOn:
    return ExitOn("ordered", where)


def goal(*, within_ms: int = 7 * DAY, where: Expression | None = None, value: Expression | None = None) -> Goal:
    return Goal("ordered", where, within_ms, value)
