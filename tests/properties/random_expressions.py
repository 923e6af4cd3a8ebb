"""Conditions and values that fit their place, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.properties.shop import AUDIENCES, CONSENTS, EVENTS, EXPERIMENTS, PROFILE, SEGMENTS

ORDERINGS = ("<", "<=", ">", ">=")
TEXTS = ("c1", "c2", "c3", "home", "sku1", "Ada", "de")
SIZES = ("SMALL", "LARGE", "GIFT")
NUMBERS = {"whole": ("0", "1", "2", "3"), "number": ("0", "1.5", "30"), "decimal": ("0", "9.99", "50", "120.00")}
LENGTHS = ("1 hour", "5 hours", "1 day", "3 days")
PAST_NUMBERS = {
    "whole": ("count(cart, 1 day)", "distinct(viewed.sku)", "sum(ordered.items, 3 days)", "days_since(ordered)"),
    "decimal": ("sum(ordered.total, 3 days)", "max(cart.value)", "avg(cart.value, 1 day)"),
}
"""Kind → what past events say of it."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a journey can name of the others: all of them, those that can be started, the purposes of messages."""

    journeys: tuple[str, ...] = ()
    commanded: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """What can be named where an expression stands: the event, the entry event, the steps by kind."""

    event: str | None = None
    entry: str | None = None
    steps: Mapping[str, str] = field(default_factory=dict)
    around: Around = field(default_factory=Around)

    def names(self) -> list[tuple[str, str, bool]]:
        """(name, kind of value, whether it may be null)."""
        found = [(f"profile.{name}", kind, True) for name, kind in PROFILE.items()]
        for root, event in (("event", self.event), ("entry", self.entry)):
            if event is not None:
                found += [(f"{root}.{f.name}", f.kind, f.nullable) for f in EVENTS[event]]
                found.append((f"{root}.occurred_at", "instant", False))
        if self.entry is None and self.steps:
            found.append(("entry.at", "instant", False))
        return found


@st.composite
def conditions(draw: st.DrawFn, place: Place, *, depth: int = 2) -> str:
    """Something that is true or false."""
    shape = draw(st.sampled_from(["simple"] * 5 + ["and", "or", "not"])) if depth else "simple"
    if shape == "not":
        return f"not ({draw(conditions(place, depth=depth - 1))})"
    if shape in {"and", "or"}:
        parts = [draw(conditions(place, depth=depth - 1)) for _ in range(2)]
        return f" {shape} ".join(f"({part})" for part in parts)
    choices = [_comparison(place), _comparison(place), _membership(), _division(place), _past()]
    if place.steps:
        choices.append(_step_result(place))
    return draw(st.one_of(choices))


@st.composite
def values(draw: st.DrawFn, place: Place, kind: str) -> str:
    """A value of this kind, which may be null where a profile attribute can be."""
    names = [name for name, of, _ in place.names() if of == kind]
    if kind == "text":
        return draw(st.sampled_from([*names, "'Eve'", "upper('x')", "last(viewed.sku)", "first(cart.cart_id, 1 day)"]))
    if kind == "instant":
        return draw(st.sampled_from([*names, "now", "now + 3 days", "now - 1 day", "max(viewed.due, 7 days)"]))
    # Only events have numbers of every kind, and not every place has one.
    past = PAST_NUMBERS.get(kind, ())
    name = draw(st.sampled_from([*names, *names, *past] or ["1.5"]))
    if kind == "whole":
        return draw(st.sampled_from([name, f"{name} + 1", f"({name} ?? 0) + 1" if "profile" in name else name, "2"]))
    return draw(st.sampled_from([name, f"{name} * 2", f"{name} / 3"]))


@st.composite
def _comparison(draw: st.DrawFn, place: Place) -> str:
    name, kind, nullable = draw(st.sampled_from(place.names()))
    if nullable and draw(st.sampled_from([False] * 4 + [True])):
        return draw(st.sampled_from([f"{name} == null", f"{name} != null"]))
    match kind:
        case "flag":
            return name
        case "size":
            size = draw(st.sampled_from(SIZES))
            return draw(
                st.sampled_from([f"{name} == '{size}'", f"{name} != '{size}'", f"{name} in ['{size}', 'GIFT']"])
            )
        case "text":
            text = draw(st.sampled_from(TEXTS))
            others = [other for other, of, _ in place.names() if of == "text" and other != name]
            return draw(
                st.sampled_from(
                    [
                        f"{name} == '{text}'",
                        f"{name} != '{text}'",
                        f"{name} in ['{text}', 'c2']",
                        f"starts_with({name}, '{text[0]}')",
                        f"length({name}) > 2",
                        *[f"{name} == {other}" for other in others[:3]],
                    ]
                )
            )
        case "instant" | "date":
            ordering = draw(st.sampled_from(ORDERINGS))
            length = draw(st.sampled_from(LENGTHS))
            of_now = [f"now - {name} {ordering} {length}"] if kind == "instant" else []
            return draw(st.sampled_from([*of_now, f"days_between({name}, now) {ordering} 2", f"weekday({name}) > 3"]))
        case _:
            ordering = draw(st.sampled_from([*ORDERINGS, "==", "!="]))
            given = f"({name} ?? 1)" if nullable and draw(st.booleans()) else name
            return f"{given} {ordering} {draw(st.sampled_from(NUMBERS[kind]))}"


def _membership() -> st.SearchStrategy[str]:
    arms = [f"experiment.{name} == '{arm}'" for name, arms in EXPERIMENTS.items() for arm in arms]
    groups = [(f"consent.{key}" for key in CONSENTS), (f"segment.{name}" for name in SEGMENTS)]
    in_audiences = [f"audience.{name}" for name in AUDIENCES]
    return st.one_of(
        *(st.sampled_from([*some]) for some in (*groups, in_audiences, [*arms, "experiment.look != null"]))
    )


@st.composite
def _past(draw: st.DrawFn) -> str:
    """Says something about past events."""
    window = draw(st.sampled_from(["", ", 5 hours", ", 1 day", ", 3 days"]))
    which = draw(st.sampled_from(["", "", " where event.value > 9.99", " where event.size == 'LARGE'"]))
    ordering = draw(st.sampled_from(ORDERINGS))
    return draw(
        st.sampled_from(
            [
                f"count(cart{which}{window}) {ordering} 2",
                f"sum(cart.value{which}{window}) {ordering} 60",
                f"sum(ordered.items{window}) {ordering} 3",
                f"avg(cart.items{which}{window}) {ordering} 1.5",
                f"min(ordered.total{window}) {ordering} 50",
                f"max(viewed.seconds{window}) {ordering} 2",
                f"last(viewed.sku{window}) == 'sku1'",
                f"first(cart.cart_id{which}{window}) != 'c1'",
                f"distinct(cart.cart_id{which}{window}) {ordering} 2",
                f"days_since(viewed) {ordering} 2",
                f"now - max(viewed.due{window}) {ordering} 1 day",
                f"count(told{window}) {ordering} 1",
            ]
        )
    )


@st.composite
def _division(draw: st.DrawFn, place: Place) -> str:
    """Divides by what may be zero."""
    whole = [name for name, kind, _ in place.names() if kind == "whole"]
    name, by = draw(st.sampled_from(whole)), draw(st.sampled_from(whole))
    return f"{name} {draw(st.sampled_from(['/', '%']))} {by} {draw(st.sampled_from(ORDERINGS))} 1"


@st.composite
def _step_result(draw: st.DrawFn, place: Place) -> str:
    step, kind = draw(st.sampled_from(sorted(place.steps.items())))
    choices = [f"steps.{step}.visits > 1", f"steps.{step}.at == null", f"now - steps.{step}.at < 1 day"]
    if kind in {"task", "webhook", "emit"}:
        done = "emitted" if kind == "emit" else "asked"
        choices += [f"steps.{step}.action_id != null", f"steps.{step}.outcome in ['{done}', 'shadow']"]
        if place.event == "task_completed" and kind == "task":
            choices += [f"event.action_id == steps.{step}.action_id"] * 3
    if kind == "send":
        choices += [f"steps.{step}.outcome == 'sent'", f"steps.{step}.channel != null"]
        if place.event == "clicked":
            choices += [f"event.action_id == steps.{step}.action_id"] * 3
    return draw(st.sampled_from(choices))
