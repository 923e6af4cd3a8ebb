"""Passages that an earlier release paused: what they keep has no verdicts, and the pause no times of its steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from orchestrator.model.customer import HEADER_BYTES, decode_customer, encode_customer
from orchestrator.model.journey import Expression
from orchestrator.model.types import Kind, Type
from tests.engine.build import DAY, goal, ordered
from tests.engine.test_pausing import Story, welcome

PAUSE_FIELDS, KEPT_FIELDS = 9, 5
"""How many fields records of release 0.1 have of a pause and of a kept event; the earliest had one less of either."""


def written_before(record: bytes, fewer: int) -> bytes:
    """The record as that release wrote it."""
    customer: list[Any] = msgspec.msgpack.decode(record[HEADER_BYTES:])
    for instance in customer[2]:
        pause = instance[13]
        pause[5] = [kept[: KEPT_FIELDS - fewer] for kept in pause[5]]
        instance[13] = pause[: PAUSE_FIELDS - fewer]
    return record[:HEADER_BYTES] + msgspec.msgpack.encode(customer)


@pytest.mark.parametrize("fewer", [0, 1])
@pytest.mark.parametrize(
    ("what", "told", "sent"),
    [
        ("clicked", [("exited", "_end", "finished", 100)], [("first", 100), ("thanks", 100)]),
        ("ordered", [("goal", "think", "treated", 100), ("exited", "think", "goal", 100)], []),
        ("stopped", [("exited", "think", "stopped", 100)], []),
    ],
)
def test_who_was_paused_by_an_earlier_release_goes_on_as_ever(
    what: str, told: list[tuple[str, str, str, float]], sent: list[tuple[str, float]], fewer: int
) -> None:
    worth = Expression("event.total", Type(Kind.INTEGER), lambda scope: scope.event["total"])
    story = Story(welcome(goal=goal(within_ms=9 * DAY, value=worth), exits_on=(replace(ordered(), on="stopped"),)))
    story.at(0, "registered")
    story.pause(0.5)
    story.at(5, what, total=7)
    old = written_before(encode_customer(story.engine.customers["c1"]), fewer)
    story.engine.put("c1", decode_customer(old))
    story.resume(100)
    assert story.told("exited", "goal") == told
    assert story.sent == sent
