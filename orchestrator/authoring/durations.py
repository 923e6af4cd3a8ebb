"""Durations as authors write them: `90 minutes`, `1 hour`, `7 days`, `2 weeks`."""

from __future__ import annotations

import re
from dataclasses import dataclass

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
DURATION_MS_MAX = 3_650 * DAY_MS
MONTHS_MAX = 120
MONTH_DAYS_MIN = 27
"""Days that every month has, even one of 28 days in which a zone leaves out a day."""

UNITS_MS = {"second": SECOND_MS, "minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS, "week": WEEK_MS}
CALENDAR_UNITS = frozenset({"month", "year"})
MONTHS_OF = {"month": 1, "year": 12}

ABBREVIATIONS = {
    "s": "second",
    "sec": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "d": "day",
    "w": "week",
    "wk": "week",
}
_WRITTEN_OTHERWISE = re.compile(r"\b((?:an?|one)(?=\s)|[0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([a-z]+)\b", re.ASCII)
_DURATION = re.compile(r"\s*([0-9]{1,12})\s+([a-z]+)\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class DurationProblem:
    """Why a text is not a duration."""

    code: str
    message: str
    hint: str


def unit_ms(word: str) -> int | None:
    """How long one of this unit is (singular or plural), or None for an unknown word."""
    return UNITS_MS.get(word.removesuffix("s"))


def is_calendar_unit(word: str) -> bool:
    """Whether the word is a unit whose length depends on the calendar."""
    return word.removesuffix("s") in CALENDAR_UNITS


def calendar_problem(word: str) -> DurationProblem:
    """What to say about months and years, whose length depends on where one starts."""
    unit = word.removesuffix("s")
    days = "30 days" if unit == "month" else "365 days"
    return DurationProblem("J502", f"a {unit} has no fixed length", f"write it in days or weeks: {days}")


def parse_duration(text: str) -> int | DurationProblem:
    """Milliseconds, more than none and at most ten years."""
    match = _DURATION.fullmatch(text)
    if match is None:
        hint = _as_meant(text) or "write a whole number and a unit: 90 minutes, 7 days"
        return DurationProblem("J501", f'"{shortened(text)}" is not a duration', hint)
    amount, word = int(match[1]), match[2]
    if is_calendar_unit(word):
        return calendar_problem(word)
    unit = unit_ms(word)
    if unit is None:
        hint = _as_meant(text) or "use seconds, minutes, hours, days or weeks"
        return DurationProblem("J501", f'"{word}" is not a unit of time', hint)
    return checked_duration(amount * unit)


def _as_meant(text: str) -> str:
    """A hint with the duration that the text probably means; none if that cannot be told."""
    total_ms = 0.0
    small = text.lower()
    rest = _WRITTEN_OTHERWISE.sub("", small)
    for amount, word in _WRITTEN_OTHERWISE.findall(small):
        unit = unit_ms(word) or unit_ms(ABBREVIATIONS.get(word) or ABBREVIATIONS.get(word.removesuffix("s"), ""))
        if unit is None:
            return ""
        total_ms += unit * (float(amount) if amount[0].isdigit() else 1)
    if not total_ms or total_ms % SECOND_MS or rest.replace("and", "").strip(" ,+"):
        return ""
    return f"write {describe_duration(int(total_ms))}"


def parse_months(text: str) -> int | None:
    """How many calendar months `3 months` or `1 year` are, or None for any other text."""
    match = _DURATION.fullmatch(text)
    if match is None or not is_calendar_unit(match[2]):
        return None
    return int(match[1]) * MONTHS_OF[match[2].removesuffix("s")]


def checked_months(months: int) -> int | DurationProblem:
    """The months themselves if they are within bounds."""
    if months <= 0:
        return DurationProblem("J503", "a duration must be longer than nothing", "leave the step out instead")
    if months > MONTHS_MAX:
        return DurationProblem("J504", "a duration cannot be longer than 120 months", "check the number and the unit")
    return months


def checked_duration(duration_ms: int) -> int | DurationProblem:
    """The duration itself if it is within bounds."""
    if duration_ms <= 0:
        return DurationProblem("J503", "a duration must be longer than nothing", "leave the step out instead")
    if duration_ms > DURATION_MS_MAX:
        return DurationProblem("J504", "a duration cannot be longer than 3650 days", "check the number and the unit")
    return duration_ms


@dataclass(frozen=True, slots=True)
class Span:
    """A duration, or months of the customer's calendar; of those `ms` is a lower bound."""

    ms: int
    months: int = 0

    def __str__(self) -> str:
        return describe_months(self.months) if self.months else describe_duration(self.ms)


def parse_span(text: str) -> Span | DurationProblem:
    """A duration, or calendar months and years."""
    months = parse_months(text)
    if months is None:
        duration_ms = parse_duration(text)
        return duration_ms if isinstance(duration_ms, DurationProblem) else Span(duration_ms)
    checked = checked_months(months)
    return checked if isinstance(checked, DurationProblem) else Span(checked * MONTH_DAYS_MIN * DAY_MS, checked)


def describe_duration(duration_ms: int) -> str:
    """The duration in its largest whole unit up to days: `90 minutes`, `7 days`."""
    for name in ("day", "hour", "minute", "second"):
        if duration_ms % UNITS_MS[name] == 0 and duration_ms:
            amount = duration_ms // UNITS_MS[name]
            return f"{amount} {name}" if amount == 1 else f"{amount} {name}s"
    return f"{duration_ms} ms"


def describe_months(months: int) -> str:
    """Calendar months as authors write them: `1 month`, `2 years`."""
    amount, unit = (months // 12, "year") if months % 12 == 0 else (months, "month")
    return f"{amount} {unit}" if amount == 1 else f"{amount} {unit}s"


def shortened(text: str) -> str:
    """The text on one line and at most 60 characters long, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:57] + "..."
