"""What a person sees while the demo runs: a live table on a terminal, a line every few seconds anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.demo.picture import Picture
from orchestrator.model.journey import Journey

LINE_EVERY_S = 2.0
REFRESHES_PER_S = 5


@dataclass(frozen=True, slots=True)
class Moment:
    """The numbers beside the picture: what was sent and taken, how fast, and how long it has been going on."""

    elapsed_s: float
    produced: int
    records_total: int | None
    applied: int
    events_per_s: float
    time_ms: int | None

    @property
    def lag(self) -> int:
        """Records that were sent and are not applied yet."""
        return max(0, self.produced - self.applied)


class Screen(Protocol):
    """Where the demo shows how it goes."""

    def show(self, moment: Moment, picture: Picture) -> None:
        """Shows the current numbers, if it is time to."""


@contextmanager
def open_screen(console: Console, journeys: Sequence[Journey]) -> Iterator[Screen]:
    """A screen that suits the console, for as long as the context lasts."""
    if not console.is_terminal:
        yield _Lines(console, journeys)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield _Table(live, journeys)


class _Lines:
    __slots__ = ("_console", "_journeys", "_shown_s")

    def __init__(self, console: Console, journeys: Sequence[Journey]) -> None:
        self._console = console
        self._journeys = journeys
        self._shown_s = -LINE_EVERY_S

    def show(self, moment: Moment, picture: Picture) -> None:
        if moment.elapsed_s - self._shown_s < LINE_EVERY_S:
            return
        self._shown_s = moment.elapsed_s
        self._console.print(line(moment, picture, self._journeys), highlight=False, soft_wrap=True)


class _Table:
    __slots__ = ("_journeys", "_live", "_shown_s")

    def __init__(self, live: Live, journeys: Sequence[Journey]) -> None:
        self._live = live
        self._journeys = journeys
        self._shown_s = -1.0

    def show(self, moment: Moment, picture: Picture) -> None:
        if moment.elapsed_s - self._shown_s < 1 / REFRESHES_PER_S:
            return
        self._shown_s = moment.elapsed_s
        self._live.update(view(moment, picture, self._journeys), refresh=True)


def line(moment: Moment, picture: Picture, journeys: Sequence[Journey]) -> str:
    """The picture in one line."""
    inside = ", ".join(f"{journey.name} {_inside(picture, journey)} inside" for journey in journeys)
    sent = ", ".join(f"{channel} {count:,}" for channel, count in sorted(picture.actions.items())) or "none yet"
    return (
        f"{_day(moment.time_ms)}: {moment.applied:,} records applied ({moment.events_per_s:,.0f}/s, "
        f"lag {moment.lag:,}); {inside}; actions: {sent}"
    )


def view(moment: Moment, picture: Picture, journeys: Sequence[Journey]) -> RenderableType:
    """The picture as a table for each journey, with a line of numbers above and the actions below."""
    head = Text.assemble(
        (f"{_day(moment.time_ms)}  ", "bold"),
        f"{moment.applied:,}{_total(moment)} records applied, {moment.events_per_s:,.0f} a second, ",
        f"lag {moment.lag:,}, {moment.elapsed_s:.0f} s",
    )
    parts: list[RenderableType] = [head]
    for journey in journeys:
        # Not the table's own title, which would be broken to the table's width.
        parts += [_journey_head(picture, journey), _journey_table(picture, journey)]
    sent = "   ".join(f"{channel} {count:,}" for channel, count in sorted(picture.actions.items()))
    kept = "   ".join(f"{reason} {count:,}" for reason, count in sorted(picture.not_sent.items()))
    parts.append(Text.assemble(("actions  ", "bold"), sent or "none yet"))
    if kept:
        parts.append(Text.assemble(("not sent ", "bold"), kept))
    if picture.dead_letters:
        parts.append(Text(f"dead letters {picture.dead_letters:,}", style="red"))
    return Group(*parts)


def _journey_head(picture: Picture, journey: Journey) -> Text:
    passages = picture.passages[journey.name]
    goals = sum(passages.goals.values())
    counts = f"{passages.entered:,} entered, {passages.held_out:,} held out, {goals:,} reached the goal"
    return Text.assemble((journey.name, "bold"), f": {counts}")


def _journey_table(picture: Picture, journey: Journey) -> Table:
    passages = picture.passages[journey.name]
    table = Table(box=None, padding=(0, 2, 0, 2))
    table.add_column("step")
    table.add_column("here now", justify="right")
    table.add_column("came by", justify="right")
    for step in journey.steps:
        here, reached = passages.here[step], len(passages.reached.get(step, ()))
        if reached:
            table.add_row(step, f"{here:,}" if here else "", f"{reached:,}", style="" if here else "dim")
    return table


def _inside(picture: Picture, journey: Journey) -> str:
    return f"{sum(picture.passages[journey.name].here.values()):,}"


def _total(moment: Moment) -> str:
    return "" if moment.records_total is None else f" of {moment.records_total:,}"


def _day(time_ms: int | None) -> str:
    if time_ms is None:
        return "starting"
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%d %b %Y")
