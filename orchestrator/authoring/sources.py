"""The texts that journeys are compiled from: a journeys directory, or a definition read back from Kafka."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model.problems import EnvironmentProblem, Problem

SUFFIXES = (".yaml", ".yml", ".liquid")
SCENARIO_SUFFIXES = (".scenarios.yaml", ".scenarios.yml")
EARLIER_SUFFIXES = (".earlier.yaml", ".earlier.yml")
FILE_BYTES_MAX = 1 << 20
"""A journey is a page of text; a megabyte of it is a mistake, and YAML takes seconds to read."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Relative POSIX path → text. `root` is where they lie, as the user named it, for messages only.

    `problems` are the files that could not be read as text.
    """

    files: Mapping[str, str]
    root: str = ""
    problems: tuple[Problem, ...] = ()

    @property
    def set_id(self) -> str:
        """The hash of all texts that decide something: files that are there for tests are not among them."""
        return hash_texts((path, text) for path, text in self.files.items() if not is_test_file(path))


def is_scenario_file(path: str) -> bool:
    """Whether this path is a file of given/when/then scenarios."""
    return path.endswith(SCENARIO_SUFFIXES)


def is_earlier_file(path: str) -> bool:
    """Whether this path is an older form of a journey, for scenarios in which it is changed."""
    return path.endswith(EARLIER_SUFFIXES)


def is_test_file(path: str) -> bool:
    """Whether what stands there decides nothing."""
    return is_scenario_file(path) or is_earlier_file(path)


def hash_texts(texts: Iterable[tuple[str, str]]) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over (name, text) pairs in name order, lengths included."""
    digest = hashlib.sha256()
    for name, text in sorted(texts):
        for part in (name, text):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big"))
            digest.update(encoded)
    return digest.hexdigest()[:16]


def read_sources(path: Path) -> Sources:
    """The YAML and Liquid files below a directory; unreadable ones become problems.

    Raises: EnvironmentProblem if the directory does not exist.
    """
    if path.is_file():
        raise EnvironmentProblem(
            f"{path} is a file: journeys are read as a whole, with the rules beside them",
            hint=f"name the directory that holds them, such as {path.parent}",
        )
    if not path.is_dir():
        raise EnvironmentProblem(
            f"there is no journeys directory {path}", hint="name the directory that holds the journeys"
        )
    files: dict[str, str] = {}
    problems: list[Problem] = []
    for found in sorted(path.rglob("*")):
        relative = found.relative_to(path)
        if found.suffix not in SUFFIXES or any(part.startswith(".") for part in relative.parts):
            continue
        read = _read(found, relative.as_posix())
        if isinstance(read, Problem):
            problems.append(read)
        elif read is not None:
            files[relative.as_posix()] = read
    return Sources(files=files, root=path.as_posix(), problems=tuple(problems))


def _read(file: Path, name: str) -> str | Problem | None:
    try:
        if not file.is_file():
            return None
        content = file.read_bytes()
    except OSError as error:
        return Problem(name, 1, 1, "J101", f"the file cannot be read: {error.strerror or 'unknown reason'}")
    if len(content) > FILE_BYTES_MAX:
        return Problem(name, 1, 1, "J112", f"the file is larger than {FILE_BYTES_MAX >> 20} MiB", hint="split it up")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        return Problem(name, line, column, "J101", "the file is not UTF-8 text", hint="save it with the encoding UTF-8")
