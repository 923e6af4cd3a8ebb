"""Problems that only follow from another one are left out: whoever mends the other has mended them.

A channel with a mistake in its entry is written all the same, so that "there is no such channel" at each place that
sends on it would be wrong, and would hide the one line that has to be changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from orchestrator.authoring.reading import Problems
from orchestrator.authoring.rules_source import (
    AUDIENCES_FILE,
    CHANNELS_FILE,
    EXPERIMENTS_FILE,
    POLICIES_FILE,
    PROFILE_FILE,
    RULE_FILES,
    SEGMENTS_FILE,
    WEBHOOKS_FILE,
)
from orchestrator.authoring.yaml_source import MappingNode, Node
from orchestrator.model.problems import Problem

LOOKED_UP = {
    "J205": (CHANNELS_FILE, "channels"),
    "J230": (AUDIENCES_FILE, "audiences"),
    "J233": (WEBHOOKS_FILE, "webhooks"),
    "J250": (SEGMENTS_FILE, "segments"),
    "J260": (POLICIES_FILE, "purposes"),
    "J263": (EXPERIMENTS_FILE, "experiments"),
}
"""Code of a name that does not exist -> the file and the key under which such names are written."""

JOURNEYS = frozenset({"J238", "J261"})
"""Codes of a journey that does not exist."""

LEARNED = {
    "J206": (PROFILE_FILE, CHANNELS_FILE, AUDIENCES_FILE, POLICIES_FILE),
    "J207": (PROFILE_FILE,),
    "J218": (PROFILE_FILE,),
}
"""Code of what nothing says -> the files that would say it, if they could be read."""


def without_consequences(problems: Problems, texts: Mapping[str, str], roots: Mapping[str, Node]) -> Problems:
    """The problems without those that follow from a name whose own entry could not be read.

    `texts` are the sources, `roots` those of them that are YAML.
    """
    unread = {problem.path for problem in problems if problem.code.startswith("J1") and problem.severity == "error"}
    journeys = {PurePosixPath(path).name.partition(".")[0] for path in unread.difference(RULE_FILES)}

    def follows(problem: Problem) -> bool:
        if problem.code in JOURNEYS:
            return _named(problem, texts) in journeys
        if problem.code in LEARNED:
            return not unread.isdisjoint(LEARNED[problem.code])
        if problem.code not in LOOKED_UP:
            return False
        path, key = LOOKED_UP[problem.code]
        if path not in unread or path not in roots:
            return False
        names = _written(roots[path], key)
        if names is None:
            # Without purposes policies.yaml is whole; other files are nothing but such names.
            return path != POLICIES_FILE
        return _named(problem, texts) in names

    return [problem for problem in problems if not follows(problem)]


def _written(root: Node, key: str) -> frozenset[str] | None:
    """The names that stand under the key, in small letters; None if it holds none that can be told."""
    entries = {name.value: value for name, value in root.entries} if isinstance(root, MappingNode) else {}
    under = entries.get(key)
    return frozenset(name.value.lower() for name, _ in under.entries) if isinstance(under, MappingNode) else None


def _named(problem: Problem, texts: Mapping[str, str]) -> str:
    """The name that the problem marks; that of a template's channel stands in the name of its file."""
    if problem.path.endswith(".liquid"):
        return PurePosixPath(problem.path).name.partition(".")[0]
    line = texts[problem.path].split("\n")[problem.line - 1]
    return line[problem.column - 1 : problem.column - 1 + problem.length].strip("'\"")
