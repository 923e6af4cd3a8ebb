"""Files that lie or are called otherwise than they should: said once, instead of everything that follows from it."""

from __future__ import annotations

from pathlib import PurePosixPath

from orchestrator.authoring.rules_source import RULE_FILES, TOP_KEYS
from orchestrator.authoring.sources import Sources
from orchestrator.authoring.yaml_source import MappingNode, Node, problem_at
from orchestrator.model.problems import Problem


def below(sources: Sources) -> Problem | None:
    """A problem if the journeys directory lies below the one that was given: all files of rules do."""
    if any(path in RULE_FILES for path in sources.files):
        return None
    found = sorted({path.rpartition("/")[0] for path in sources.files if PurePosixPath(path).name in RULE_FILES})
    if not found:
        return None
    directory = f"{sources.root.rstrip('/')}/{found[0]}" if sources.root else found[0]
    message = f'this is not the journeys directory: profile.yaml, channels.yaml and the like lie in "{found[0]}"'
    return Problem("", 1, 1, "J196", message, hint=f"name that directory: orchestrator validate {directory}")


def something_else(root: Node, journey_keys: tuple[str, ...]) -> Problem | None:
    """A problem if the file has nothing of a journey in it."""
    if not isinstance(root, MappingNode) or not root.entries:
        return None
    keys = [key.value for key, _ in root.entries]
    if any(key in journey_keys for key in keys):
        return None
    top = next((key for key in keys if key in TOP_KEYS), None)
    if "scenarios" in keys:
        hint = "scenarios stand beside their journey, in <journey>.scenarios.yaml"
    elif top is None:
        hint = "a journey has the keys journey, owner, status, entry and steps"
    else:
        hint = f"a file with {top}: is called {TOP_KEYS[top]}, at the top of the directory"
    return problem_at(root.entries[0][0], "J195", "this file is no journey", hint=hint)
