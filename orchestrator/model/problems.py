"""Problems: what is wrong with a journey source (a value), and what is wrong with the outside world (an exception)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a source, with its position (1-based) and what to do about it.

    `code` is stable (`J203`): J1xx syntax, J2xx references, J3xx graph, J4xx types, J5xx time, J6xx templates,
    J7xx policies, J8xx scenarios, J9xx schemas. `length` is how many characters the mark underlines.
    """

    path: str
    line: int
    column: int
    code: str
    message: str
    hint: str = field(default="", compare=False)
    length: int = field(default=1, compare=False)
    severity: str = field(default="error", compare=False)


class EnvironmentProblem(Exception):
    """The outside world is not as needed (broker down, topic missing, port taken). The command exits with 3.

    `hint` says what to do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
