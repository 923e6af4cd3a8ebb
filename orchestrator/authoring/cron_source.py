"""Five cron fields -> the values that each allows. The parser is cronsim's; what goes beyond plain cron is refused."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from orchestrator.model.triggers import Cron

_FIELDS = ("minute", "hour", "day of the month", "month", "weekday")
_START = datetime(2000, 1, 1, tzinfo=UTC)


def parse_cron(text: str) -> Cron | str:
    """The schedule, or what is wrong with it."""
    parts = text.split()
    if len(parts) != len(_FIELDS):
        return f"a schedule has five fields ({', '.join(_FIELDS)}), and this has {len(parts)}"
    for place, (part, name) in enumerate(zip(parts, _FIELDS, strict=True)):
        # Each by itself, so that the field at fault can be named.
        alone = ["*"] * len(_FIELDS)
        alone[place] = part
        if not _is_plain(part) or not _can_be_read(" ".join(alone)):
            return f'"{part}" is not a {name}'
    if not _can_be_read(text):
        return "no month has such a day"
    read = CronSim(" ".join(parts), _START)
    return Cron(
        text=" ".join(parts),
        minutes=tuple(sorted(read.minutes)),
        hours=tuple(sorted(read.hours)),
        days=frozenset(_numbers(read.days)),
        months=frozenset(_numbers(read.months)),
        weekdays=frozenset(number or 7 for number in _numbers(read.weekdays)),
        is_either_day=not read.day_and,
        is_repeated=parts[0].startswith("*") or parts[1].startswith("*"),
    )


def ticks_a_day(cron: Cron) -> int:
    """How often it ticks on a day on which it ticks."""
    return len(cron.hours) * len(cron.minutes)


def _is_plain(part: str) -> bool:
    """Whether it has no letters but those of names: L, W and # are not of plain cron."""
    words = part.lower().replace(",", " ").replace("-", " ").replace("/", " ").split()
    return "#" not in part and all(word == "*" or word.isdecimal() or len(word) == len("mon") for word in words)


def _can_be_read(text: str) -> bool:
    try:
        CronSim(text, _START)
    except CronSimError:
        return False
    return True


def _numbers(found: set[int] | set[int | tuple[int, int]]) -> set[int]:
    return {number for number in found if isinstance(number, int)}
