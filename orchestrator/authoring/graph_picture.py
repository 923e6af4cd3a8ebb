"""What is drawn of a journey, before it is written in the language of one drawing tool."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Shape(Enum):
    """How a box is drawn; each kind of step has a shape, and a colour by it."""

    STADIUM = "entry"
    BOX = "send"
    ROUND = "set"
    HEXAGON = "wait"
    RHOMBUS = "branch"
    CHANCE = "split"
    FLAG = "goal"
    CIRCLE = "exit"


STADIUM, BOX, ROUND, HEXAGON = Shape.STADIUM, Shape.BOX, Shape.ROUND, Shape.HEXAGON
RHOMBUS, CHANCE, FLAG, CIRCLE = Shape.RHOMBUS, Shape.CHANCE, Shape.FLAG, Shape.CIRCLE


@dataclass(frozen=True, slots=True)
class Colours:
    """Of a box, as `#rrggbb`."""

    fill: str
    line: str


COLOURS: dict[Shape, Colours] = {
    STADIUM: Colours("#e8eaf6", "#3949ab"),
    BOX: Colours("#e3f2fd", "#1976d2"),
    ROUND: Colours("#ede7f6", "#7e57c2"),
    HEXAGON: Colours("#fff8e1", "#f9a825"),
    RHOMBUS: Colours("#e0f2f1", "#00897b"),
    CHANCE: Colours("#f1f8e9", "#7cb342"),
    FLAG: Colours("#e8f5e9", "#2e7d32"),
    CIRCLE: Colours("#eceff1", "#78909c"),
}


@dataclass(frozen=True, slots=True)
class Box:
    """One box: `name` is its identity (letters, digits, underscores), `said` the lines in it."""

    name: str
    shape: Shape
    said: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """An arrow from one box to another. `is_open_always`: it can be taken from every step."""

    start: str
    end: str
    label: str
    is_open_always: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A journey's boxes and ways, in the order of the journey."""

    name: str
    title: str
    parts: tuple[Box | Way, ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The boxes alone."""
        return tuple(part for part in self.parts if isinstance(part, Box))

    @property
    def ways(self) -> tuple[Way, ...]:
        """The arrows alone."""
        return tuple(part for part in self.parts if isinstance(part, Way))
