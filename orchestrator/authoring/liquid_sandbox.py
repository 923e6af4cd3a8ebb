"""The Liquid environments that templates live in: bounded, without files, clock or locale."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from liquid import Environment
from liquid.undefined import is_undefined

FORBIDDEN_TAGS = frozenset({"include", "render"})
"""They read other files."""
FORBIDDEN_FILTERS = frozenset({"safe"})
"""It would let a customer's own data into the markup of a message."""

MONTHS = ["January", "February", "March", "April", "May", "June", "July"]
MONTHS += ["August", "September", "October", "November", "December"]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class Sandbox(Environment):
    """Liquid with bounds on nesting, loops, variables and output."""

    block_nesting_limit = 20
    context_depth_limit = 20
    loop_iteration_limit = 1_000
    local_namespace_limit = 200_000
    output_stream_limit = 500_000


def _sandbox(*, autoescape: bool) -> Sandbox:
    sandbox = Sandbox(autoescape=autoescape)
    for tag in FORBIDDEN_TAGS:
        del sandbox.tags[tag]
    for name in FORBIDDEN_FILTERS:
        del sandbox.filters[name]
    sandbox.add_filter("date", date_filter)
    return sandbox


def date_filter(value: Any, pattern: Any = "%Y-%m-%d") -> str:
    """The instant or date, by strftime's letters in English and UTC; anything else as it is.

    Liquid's own filter reads the clock for `now` and the machine's time zone for numbers.
    """
    if is_undefined(value) or value is None:
        return ""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if not isinstance(value, dt.datetime):
        return str(value)
    moment = value
    return re.sub(r"%(-?[a-zA-Z%])", lambda match: _letter(match[1], moment), str(pattern))


def _letter(letter: str, at: dt.datetime) -> str:
    match letter.removeprefix("-"):
        case "B":
            return MONTHS[at.month - 1]
        case "b":
            return MONTHS[at.month - 1][:3]
        case "A":
            return WEEKDAYS[at.weekday()]
        case "a":
            return WEEKDAYS[at.weekday()][:3]
        case "Y":
            return f"{at.year:04}"
        case "e":
            return str(at.day)
        case "%":
            return "%"
        case plain if (number := _number(plain, at)) is not None:
            return str(number) if letter.startswith("-") else f"{number:02}"
        case _:
            return f"%{letter}"


def _number(letter: str, at: dt.datetime) -> int | None:
    return {
        "y": at.year % 100,
        "m": at.month,
        "d": at.day,
        "H": at.hour,
        "I": (at.hour + 11) % 12 + 1,
        "M": at.minute,
        "S": at.second,
    }.get(letter)


PLAIN = _sandbox(autoescape=False)
ESCAPING = _sandbox(autoescape=True)
"""For parts that are HTML: variables are escaped."""
