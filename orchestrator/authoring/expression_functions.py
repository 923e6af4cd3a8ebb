"""The functions of the expression language: what they take, what they give, how they are computed. All are total
but for ArithmeticError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from orchestrator.authoring.durations import DAY_MS, HOUR_MS
from orchestrator.model.types import BOOLEAN, INTEGER, STRING, Kind, Type

INTEGER_MAX = (1 << 63) - 1
TEXT = frozenset({Kind.STRING})
NUMBER = frozenset({Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL})
CALENDAR = frozenset({Kind.INSTANT, Kind.DATE})
COUNTABLE = frozenset({Kind.STRING, Kind.LIST, Kind.MAP})
SEARCHABLE = frozenset({Kind.STRING, Kind.LIST})
COMPARABLE = NUMBER | CALENDAR | {Kind.DURATION}
ANYTHING = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Function:
    """`parameters`: the kinds that each takes. `result` None: the unified type of the arguments.

    `on_null` is the result when an argument is null. `is_variadic`: the last parameter may be repeated. `required`:
    how many arguments there must be.
    """

    parameters: tuple[frozenset[Kind], ...]
    result: Type | None
    call: Callable[..., Any]
    description: str
    required: int
    is_variadic: bool = False
    on_null: Any = None


def whole_number(value: int) -> int:
    """The number itself.

    Raises: OverflowError if it does not fit into 64 bits.
    """
    if -INTEGER_MAX <= value <= INTEGER_MAX:
        return value
    raise OverflowError("whole number out of range")


def civil(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a count of days since 1970-01-01, for any number.

    Source: Howard Hinnant, chrono-compatible low-level date algorithms, civil_from_days.

    >>> civil(19_782)
    (2024, 2, 29)
    """
    shifted = days + 719_468
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    return year_of_era + era * 400 + (1 if month <= 2 else 0), month, day


def _year(days: int) -> int:
    return civil(days)[0]


def _month(days: int) -> int:
    return civil(days)[1]


def _day(days: int) -> int:
    return civil(days)[2]


def _weekday(days: int) -> int:
    return (days + 3) % 7 + 1


def _days_between(start_ms: int, end_ms: int) -> int:
    return (end_ms - start_ms) // DAY_MS


def _hours_between(start_ms: int, end_ms: int) -> int:
    return (end_ms - start_ms) // HOUR_MS


def _round(value: Any, digits: int = 0) -> Any:
    if isinstance(value, int):
        return value
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    rounded = exact.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    if digits == 0:
        if rounded.is_nan():
            raise ArithmeticError("not a number")
        return whole_number(int(rounded))
    return rounded if isinstance(value, Decimal) else float(rounded)


def _contains(where: Any, what: Any) -> bool:
    if isinstance(where, str):
        return isinstance(what, str) and what in where
    return what in where


def _starts_with(text: str, part: str) -> bool:
    return text.startswith(part)


def _ends_with(text: str, part: str) -> bool:
    return text.endswith(part)


FUNCTIONS: dict[str, Function] = {
    "lower": Function((TEXT,), STRING, str.lower, "lower(text)", 1),
    "upper": Function((TEXT,), STRING, str.upper, "upper(text)", 1),
    "contains": Function((SEARCHABLE, ANYTHING), BOOLEAN, _contains, "contains(text or list, part)", 2, on_null=False),
    "starts_with": Function((TEXT, TEXT), BOOLEAN, _starts_with, "starts_with(text, part)", 2, on_null=False),
    "ends_with": Function((TEXT, TEXT), BOOLEAN, _ends_with, "ends_with(text, part)", 2, on_null=False),
    "length": Function((COUNTABLE,), INTEGER, len, "length(text or list)", 1),
    "days_between": Function((CALENDAR, CALENDAR), INTEGER, _days_between, "days_between(earlier, later)", 2),
    "hours_between": Function((CALENDAR, CALENDAR), INTEGER, _hours_between, "hours_between(earlier, later)", 2),
    "year": Function((CALENDAR,), INTEGER, _year, "year(instant or date)", 1),
    "month": Function((CALENDAR,), INTEGER, _month, "month(instant or date)", 1),
    "day": Function((CALENDAR,), INTEGER, _day, "day(instant or date)", 1),
    "weekday": Function((CALENDAR,), INTEGER, _weekday, "weekday(instant or date)", 1),
    "round": Function((NUMBER, frozenset({Kind.INTEGER})), None, _round, "round(number) or round(number, digits)", 1),
    "min": Function((COMPARABLE,), None, min, "min(a, b, ...)", 2, is_variadic=True),
    "max": Function((COMPARABLE,), None, max, "max(a, b, ...)", 2, is_variadic=True),
    "abs": Function((NUMBER | {Kind.DURATION},), None, abs, "abs(number)", 1),
}
CALENDAR_DAYS = frozenset({"year", "month", "day", "weekday"})
"""Functions that take a count of days; an instant is divided down to one first."""
BETWEEN = frozenset({"days_between", "hours_between"})
"""Functions that take milliseconds; a date is its midnight in UTC."""
